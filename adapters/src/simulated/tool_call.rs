//! Which tool a simulated model calls, and the arguments that it makes up from the tool's schema.

use serde_json::{Map, Value, json};

/// How deep made-up arguments go; deeper parts are left empty, so that a schema of itself comes to an end.
const DEPTH_MAX: usize = 4;

/// The tool to call: the one that `tool_choice` demands, else one that `message` names after the word `call`.
pub(super) fn chosen<'a>(payload: &'a Value, message: &str) -> Option<&'a Value> {
    let mut functions = payload.get("tools")?.as_array()?.iter().filter_map(|tool| tool.get("function"));
    let name_of = |function: &Value| function.get("name").and_then(Value::as_str).map(str::to_owned);
    let choice = payload.get("tool_choice");
    match choice.and_then(Value::as_str) {
        Some("none") => return None,
        Some("required") => return functions.next(),
        _ => {}
    }
    if let Some(wanted) = choice.and_then(|choice| choice.get("function")).and_then(name_of) {
        return functions.find(|function| name_of(function).as_ref() == Some(&wanted));
    }
    let punctuation = |c: char| !c.is_alphanumeric() && c != '_' && c != '-';
    let words: Vec<_> = message.split_whitespace().map(|word| word.trim_matches(punctuation)).collect();
    let named =
        |name: String| words.windows(2).any(|pair| pair[0].eq_ignore_ascii_case("call") && pair[1] == name);
    functions.find(|function| name_of(function).is_some_and(named))
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

    fn name(payload: &Value, message: &str) -> Option<String> {
        chosen(payload, message).map(|function| function["name"].as_str().unwrap().to_owned())
    }

    #[test]
    fn a_tool_is_called_when_demanded_or_named() {
        let auto = payload(Value::Null);
        assert_eq!(name(&auto, "what is the weather?"), None);
        assert_eq!(name(&auto, "please Call `weather`, now").as_deref(), Some("weather"));
        assert_eq!(name(&payload(json!("none")), "call weather"), None);
        assert_eq!(name(&payload(json!("required")), "").as_deref(), Some("time"));
        let forced = json!({"type": "function", "function": {"name": "weather"}});
        assert_eq!(name(&payload(forced), "").as_deref(), Some("weather"));
        assert_eq!(name(&json!({}), "call weather"), None);
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
