//! Translates tools into OpenAI functions, and the tool choice into OpenAI's.

use schemas::{Error, codec};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value, json};

use super::body::{CacheControl, ToolChoice};

/// The longest tool name, as in the original.
const NAME_CHARS_MAX: usize = 128;

/// A tool that the client runs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tool {
    #[serde(rename = "type")]
    _type: Option<IgnoredAny>,
    name: String,
    description: Option<String>,
    input_schema: Map<String, Value>,
    strict: Option<bool>,
    cache_control: Option<CacheControl>,
    // Refused if they ask for something.
    defer_loading: Option<bool>,
    input_examples: Option<Vec<Value>>,
    allowed_callers: Option<Vec<String>>,
    // Dropped.
    #[serde(rename = "eager_input_streaming")]
    _eager_input_streaming: Option<IgnoredAny>,
}

/// The tools, as functions.
pub(super) fn offered(tools: Vec<Value>) -> Result<Vec<Value>, Error> {
    tools.into_iter().enumerate().map(|(index, tool)| function(tool, &format!("tools[{index}]"))).collect()
}

fn function(tool: Value, at: &str) -> Result<Value, Error> {
    let kind = tool.get("type").and_then(Value::as_str);
    if let Some(kind) = kind.filter(|kind| *kind != "custom") {
        let kind: String = kind.chars().take(64).collect();
        let why = format!(
            "`{kind}` runs on Anthropic's servers; only `custom` tools, which the client runs, are offered here"
        );
        return Err(Error::invalid(format!("{at}.type"), why));
    }
    let tool: Tool = codec::from_value(tool, at)?;
    tool.check(at)?;
    let mut function = json!({"name": tool.name, "parameters": tool.input_schema});
    if let Some(description) = tool.description {
        function["description"] = description.into();
    }
    if let Some(strict) = tool.strict {
        function["strict"] = strict.into();
    }
    Ok(CacheControl::mark(json!({"type": "function", "function": function}), tool.cache_control))
}

impl Tool {
    fn check(&self, at: &str) -> Result<(), Error> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !(1..=NAME_CHARS_MAX).contains(&self.name.len()) || !self.name.chars().all(fits) {
            let why = format!("expected 1 to {NAME_CHARS_MAX} letters, digits, `_` and `-`");
            return Err(Error::invalid(format!("{at}.name"), why));
        }
        let wishes = [
            (
                "defer_loading",
                self.defer_loading == Some(true),
                "is not supported: the model always gets all tools at once",
            ),
            (
                "input_examples",
                self.input_examples.as_ref().is_some_and(|examples| !examples.is_empty()),
                "not offered here; put examples into `description`",
            ),
            (
                "allowed_callers",
                self.allowed_callers.iter().flatten().any(|caller| caller != "direct"),
                "only the model itself (`direct`) calls tools here",
            ),
        ];
        match wishes.into_iter().find(|(_, asked, _)| *asked) {
            Some((field, _, why)) => Err(Error::invalid(format!("{at}.{field}"), why)),
            None => Ok(()),
        }
    }
}

/// `tool_choice` and `parallel_tool_calls`; the latter only if calls must come one at a time.
pub(super) fn choice(choice: ToolChoice, has_tools: bool) -> Result<(Value, Option<bool>), Error> {
    let (choice, one_at_a_time) = match choice {
        _ if !has_tools => return Err(Error::invalid("tool_choice", "there are no `tools` to choose among")),
        ToolChoice::None {} => (json!("none"), None),
        ToolChoice::Auto { disable_parallel_tool_use } => (json!("auto"), disable_parallel_tool_use),
        ToolChoice::Any { disable_parallel_tool_use } => (json!("required"), disable_parallel_tool_use),
        ToolChoice::Tool { name, disable_parallel_tool_use } => {
            (json!({"type": "function", "function": {"name": name}}), disable_parallel_tool_use)
        }
    };
    Ok((choice, (one_at_a_time == Some(true)).then_some(false)))
}
