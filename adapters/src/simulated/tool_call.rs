//! Which tools a simulated model calls, and the arguments that it makes up from their schemas.

use serde_json::{Map, Value, json};

/// How deep made-up arguments go; deeper parts stay empty, so that a recursive schema comes to an end.
const DEPTH_MAX: usize = 4;

/// The tools to call: the one that `tool_choice` demands, else those that `message` names after the word `call`, in
/// that order; at most one if the payload says `parallel_tool_calls: false`.
pub(super) fn chosen<'a>(payload: &'a Value, message: &str) -> Vec<&'a Value> {
    let tools = payload.get("tools").and_then(Value::as_array).into_iter().flatten();
    let functions: Vec<_> = tools.filter_map(|tool| tool.get("function")).collect();
    let name_of = |function: &Value| function.get("name").and_then(Value::as_str).map(str::to_owned);
    let choice = payload.get("tool_choice");
    match choice.and_then(Value::as_str) {
        Some("none") => return Vec::new(),
        Some("required") => return functions.into_iter().take(1).collect(),
        _ => {}
    }
    let called =
        |name: &str| functions.iter().find(|function| name_of(function).as_deref() == Some(name)).copied();
    if let Some(wanted) = choice.and_then(|choice| choice.get("function")).and_then(name_of) {
        return called(&wanted).into_iter().collect();
    }
    let most = match payload.get("parallel_tool_calls") {
        Some(Value::Bool(false)) => 1,
        _ => functions.len(),
    };
    let punctuation = |c: char| !c.is_alphanumeric() && c != '_' && c != '-';
    let words: Vec<_> = message.split_whitespace().map(|word| word.trim_matches(punctuation)).collect();
    let named = words.windows(2).filter(|pair| pair[0].eq_ignore_ascii_case("call"));
    named.filter_map(|pair| called(pair[1])).take(most).collect()
}

/// Arguments that fit the schema of `function`, as JSON text.
pub(super) fn arguments(function: &Value) -> String {
    let parameters = function.get("parameters").cloned().unwrap_or_else(|| json!({"type": "object"}));
    made_up("", &parameters, 0).to_string()
}

fn made_up(name: &str, schema: &Value, depth: usize) -> Value {
    if let Some(first) = schema.get("enum").and_then(|values| values.get(0)).or_else(|| schema.get("const")) {
        return first.clone();
    }
    let kind = schema.get("type").map(|kind| kind.get(0).unwrap_or(kind)).and_then(Value::as_str);
    match kind {
        Some("string") => name.into(),
        Some("integer") => 1.into(),
        Some("number") => 1.5.into(),
        Some("boolean") => true.into(),
        Some("array") => match schema.get("items") {
            Some(items) if depth < DEPTH_MAX => json!([made_up(name, items, depth + 1)]),
            _ => json!([]),
        },
        Some("object") | None => match schema.get("properties").and_then(Value::as_object) {
            Some(properties) if depth < DEPTH_MAX => {
                let field =
                    |(name, schema): (&String, &Value)| (name.clone(), made_up(name, schema, depth + 1));
                Value::Object(properties.iter().map(field).collect())
            }
            _ => Value::Object(Map::new()),
        },
        Some(_) => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(choice: Value) -> Value {
        let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
        json!({"tools": [tool("time"), tool("weather")], "tool_choice": choice})
    }

    fn names(payload: &Value, message: &str) -> String {
        let name = |function: &&Value| function["name"].as_str().unwrap().to_owned();
        chosen(payload, message).iter().map(name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn tools_are_called_when_demanded_or_named() {
        let auto = payload(Value::Null);
        assert_eq!(names(&auto, "what is the weather?"), "");
        assert_eq!(names(&auto, "please Call `weather`, now"), "weather");
        assert_eq!(names(&auto, "call weather and call time"), "weather time", "in the order of the words");
        assert_eq!(names(&payload(json!("none")), "call weather"), "");
        assert_eq!(names(&payload(json!("required")), ""), "time");
        let forced = json!({"type": "function", "function": {"name": "weather"}});
        assert_eq!(names(&payload(forced), "call time"), "weather");
        assert_eq!(names(&json!({}), "call weather"), "");
        let mut single = auto;
        single["parallel_tool_calls"] = json!(false);
        assert_eq!(names(&single, "call weather and call time"), "weather");
    }

    #[test]
    fn arguments_fit_the_schema() {
        let parameters = json!({"type": "object", "properties": {
            "city": {"type": "string"}, "days": {"type": ["integer", "null"]}, "unit": {"enum": ["C", "F"]},
            "tags": {"type": "array", "items": {"type": "string"}}, "exact": {"type": "boolean"},
        }});
        let made: Value = serde_json::from_str(&arguments(&json!({"parameters": parameters}))).unwrap();
        assert_eq!(made, json!({"city": "city", "days": 1, "unit": "C", "tags": ["tags"], "exact": true}));
        assert_eq!(arguments(&json!({"name": "f"})), "{}");
    }
}
