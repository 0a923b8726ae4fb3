//! The tool call that a model would make: the tool's name as offered, and arguments that fit its schema.

use serde_json::{Map, Value, json};

/// Characters of one fragment of streamed arguments.
const PIECE_CHARS: usize = 8;

/// How deep a schema is followed; below that an argument is null.
const MAX_DEPTH: u32 = 8;

/// A tool chosen from those offered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tool<'a> {
    pub(super) name: &'a str,
    pub(super) parameters: Option<&'a Value>,
}

/// The call, as the answer has it.
pub(super) struct ToolCall {
    pub(super) id: String,
    pub(super) name: String,
    /// The arguments, cut into the fragments of a stream.
    pub(super) pieces: Vec<String>,
}

impl ToolCall {
    pub(super) fn new(id: String, tool: Tool<'_>) -> Self {
        let arguments = tool.parameters.map_or_else(|| json!({}), |schema| example(schema, 0)).to_string();
        let chars: Vec<char> = arguments.chars().collect();
        Self {
            id,
            name: tool.name.to_owned(),
            pieces: chars.chunks(PIECE_CHARS).map(|piece| piece.iter().collect()).collect(),
        }
    }
}

/// The plainest value that fits a schema: the required members, and the first of the allowed values.
fn example(schema: &Value, depth: u32) -> Value {
    if depth >= MAX_DEPTH {
        return Value::Null;
    }
    if let Some(first) = schema.get("enum").and_then(|values| values.get(0)) {
        return first.clone();
    }
    let kind = schema.get("type");
    // A list of types means any one of them.
    let kind = kind.and_then(|kind| kind.get(0)).or(kind).and_then(Value::as_str);
    match kind {
        Some("string") => json!("sim"),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        Some("null") => Value::Null,
        _ => Value::Object(required(schema, depth)),
    }
}

fn required(schema: &Value, depth: u32) -> Map<String, Value> {
    let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    names
        .filter_map(Value::as_str)
        .map(|name| {
            let property = schema.get("properties").and_then(|properties| properties.get(name));
            (name.to_owned(), property.map_or(Value::Null, |property| example(property, depth + 1)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_hold_what_the_schema_requires() {
        let schema = json!({
            "type": "object",
            "required": ["city", "unit", "days", "place"],
            "properties": {
                "city": {"type": "string"},
                "unit": {"enum": ["c", "f"]},
                "days": {"type": ["integer", "null"]},
                "place": {"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}},
                "optional": {"type": "string"},
            },
        });
        let call = ToolCall::new("call_7".to_owned(), Tool { name: "weather", parameters: Some(&schema) });
        assert_eq!((call.id.as_str(), call.name.as_str()), ("call_7", "weather"));
        assert!(call.pieces.len() > 1);
        let arguments: Value = serde_json::from_str(&call.pieces.concat()).unwrap();
        assert_eq!(arguments, json!({"city": "sim", "unit": "c", "days": 1, "place": {"ok": true}}));
    }
}
