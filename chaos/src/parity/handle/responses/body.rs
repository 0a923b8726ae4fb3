//! Writes a chat as a request of the Responses API, or says why it has no form there.

use serde_json::{Map, Value, json};

/// The body.
pub(super) fn of(request: &Value) -> Result<Value, String> {
    if request["action"] != "chat.completion" {
        return Err("the Responses API chats, and nothing else".to_owned());
    }
    let options = request.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    if let Some(name) = options.into_iter().find(|name| !matches!(*name, "action" | "payload" | "metadata")) {
        return Err(format!("the Responses API has no `{name}`"));
    }
    let payload = request["payload"].as_object().ok_or("its body is made of the payload")?;
    let mut body = Map::new();
    body.extend(request.get("metadata").map(|notes| ("metadata".to_owned(), notes.clone())));
    for (name, value) in payload {
        let (name, value) = match name.as_str() {
            "messages" => ("input", input(value)),
            "max_tokens" | "max_completion_tokens" => ("max_output_tokens", value.clone()),
            "tools" => ("tools", value.as_array().into_iter().flatten().map(flat).collect()),
            "tool_choice" => ("tool_choice", if value.is_object() { flat(value) } else { value.clone() }),
            "response_format" => ("text", json!({"format": format(value)})),
            other @ ("n" | "stream_options") => {
                return Err(format!("the Responses API has no `{other}` as chats have it"));
            }
            // Any other field goes to the provider as it came.
            other => (other, value.clone()),
        };
        body.insert(name.to_owned(), value);
    }
    Ok(body.into())
}

/// Moves what a chat nests below its own kind up beside it.
fn flat(value: &Value) -> Value {
    let kind = value["type"].as_str().unwrap_or_default();
    let mut fields = value[kind].as_object().cloned().unwrap_or_default();
    fields.insert("type".into(), kind.into());
    fields.into()
}

fn format(format: &Value) -> Value {
    if format["type"] == "json_schema" { flat(format) } else { format.clone() }
}

/// Passes on what is no list, so that the API refuses it.
fn input(messages: &Value) -> Value {
    match messages.as_array() {
        Some(messages) => messages.iter().flat_map(items).collect(),
        None => messages.clone(),
    }
}

fn items(message: &Value) -> Vec<Value> {
    let content = message.get("content").filter(|content| !content.is_null());
    if message["role"] == "tool" {
        let call = &message["tool_call_id"];
        return vec![json!({"type": "function_call_output", "call_id": call, "output": content})];
    }
    let calls = message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut items = Vec::new();
    if content.is_some() || calls.is_empty() {
        let mut item = json!({"role": message["role"]});
        if let Some(content) = content {
            item["content"] = match content.as_array() {
                Some(parts) => parts.iter().map(part).collect(),
                None => content.clone(),
            };
        }
        items.push(item);
    }
    items.extend(calls.iter().map(|call| {
        let (name, arguments) = (&call["function"]["name"], &call["function"]["arguments"]);
        json!({"type": "function_call", "call_id": call["id"], "name": name, "arguments": arguments})
    }));
    items
}

fn part(part: &Value) -> Value {
    match part["type"].as_str() {
        Some("text") => json!({"type": "input_text", "text": part["text"]}),
        Some("image_url") => json!({"type": "input_image", "image_url": part["image_url"]["url"]}),
        _ => part.clone(),
    }
}
