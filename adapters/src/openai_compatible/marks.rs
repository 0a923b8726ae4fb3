//! Removes Anthropic's cache marks from a chat's payload: few servers of this kind know them, and many refuse them.

use serde_json::{Map, Value};

const MARK: &str = "cache_control";

/// Removes the marks wherever they may be: they do not change the answer.
pub(super) fn remove(body: &mut Map<String, Value>) {
    body.remove(MARK);
    each(body.get_mut("tools"), |_| {});
    each(body.get_mut("messages"), |message| {
        each(message.get_mut("content"), |_| {});
        each(message.get_mut("tool_calls"), |_| {});
    });
}

/// Removes the mark from each object of a list, and calls `rest` with the object.
fn each(list: Option<&mut Value>, rest: impl Fn(&mut Map<String, Value>)) {
    let objects = list.and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut);
    for object in objects {
        object.remove(MARK);
        rest(object);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_mark_is_left_and_all_else_is() {
        let mark = json!({"type": "ephemeral"});
        let body = |mark: Option<&Value>| {
            let marked = |mut object: Value| {
                if let Some(mark) = mark {
                    object["cache_control"] = mark.clone();
                }
                object
            };
            let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
            let part = json!({"type": "text", "text": "cache_control"});
            marked(json!({
                "model": "m",
                "messages": [
                    marked(json!({"role": "system", "content": "s"})),
                    {"role": "user", "content": [marked(part)]},
                    {"role": "assistant", "content": null, "tool_calls": [marked(call)]},
                    marked(json!({"role": "tool", "tool_call_id": "c", "content": "r"})),
                ],
                "tools": [marked(json!({"type": "function", "function": {"name": "f"}}))],
            }))
        };
        let Value::Object(mut marked) = body(Some(&mark)) else { unreachable!() };
        remove(&mut marked);
        assert_eq!(Value::Object(marked), body(None));
        for odd in [json!({"messages": 7, "tools": {}}), json!({"messages": [7, {"content": 7}]})] {
            let Value::Object(mut body) = odd.clone() else { unreachable!() };
            remove(&mut body);
            assert_eq!(Value::Object(body), odd);
        }
    }
}
