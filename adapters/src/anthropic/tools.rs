//! Translates the offered tools, and which of them to call.

use serde_json::{Value, json};

/// The tools in the API's form.
pub(super) fn offered(tools: Vec<Value>) -> Result<Vec<Value>, String> {
    tools.into_iter().enumerate().map(|(index, tool)| offer(index, tool)).collect()
}

fn offer(index: usize, mut tool: Value) -> Result<Value, String> {
    if tool["type"] != "function" {
        return Err(format!(
            "an anthropic provider takes functions only: tools[{index}] has the type {}",
            tool["type"]
        ));
    }
    let mut take = |path: &str| tool.pointer_mut(path).map(Value::take).unwrap_or_default();
    let parameters = take("/function/parameters");
    let members = [
        ("name", take("/function/name")),
        ("description", take("/function/description")),
        // A function may have no parameters.
        ("input_schema", if parameters.is_object() { parameters } else { json!({"type": "object"}) }),
        ("strict", take("/function/strict")),
        ("cache_control", take("/cache_control")),
    ];
    let members = members.into_iter().filter(|(_, value)| !value.is_null());
    Ok(Value::Object(members.map(|(name, value)| (name.to_owned(), value)).collect()))
}

/// Which tool to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    way: Way,
    one_at_a_time: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    Auto,
    None,
    Any,
    Named(String),
}

impl Choice {
    /// Whether the model must call a tool.
    pub(super) const fn demands_a_tool(&self) -> bool {
        matches!(self.way, Way::Any | Way::Named(_))
    }

    pub(super) fn into_value(self) -> Value {
        let mut choice = match self.way {
            Way::Auto => json!({"type": "auto"}),
            Way::None => return json!({"type": "none"}),
            Way::Any => json!({"type": "any"}),
            Way::Named(name) => json!({"type": "tool", "name": name}),
        };
        if self.one_at_a_time {
            choice["disable_parallel_tool_use"] = true.into();
        }
        choice
    }
}

/// The tool choice to send, if any. Without tools the API takes none.
pub(super) fn choice(
    wanted: Option<&Value>,
    parallel: Option<bool>,
    has_tools: bool,
) -> Result<Option<Choice>, String> {
    let one_at_a_time = parallel == Some(false);
    let way = match wanted {
        None if one_at_a_time => Way::Auto,
        None => return Ok(None),
        Some(Value::String(word)) if word == "auto" => Way::Auto,
        Some(Value::String(word)) if word == "none" => Way::None,
        Some(Value::String(word)) if word == "required" => Way::Any,
        Some(wanted) => match (wanted["type"].as_str(), wanted["function"]["name"].as_str()) {
            (Some("function"), Some(name)) => Way::Named(name.to_owned()),
            _ => {
                let known = "`auto`, `none`, `required`, or a function by its name";
                return Err(format!("an anthropic provider accepts as `tool_choice` only {known}"));
            }
        },
    };
    let choice = Choice { way, one_at_a_time };
    match has_tools {
        true => Ok(Some(choice)),
        false if choice.demands_a_tool() => {
            Err("`tool_choice` demands a call, but `tools` names none".to_owned())
        }
        false => Ok(None),
    }
}
