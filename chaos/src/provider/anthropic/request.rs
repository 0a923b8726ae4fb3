//! The part of a request that the answer depends on, checked as Anthropic's API checks it.

use serde_json::Value;

use super::Version;
use super::conversation::{self, Conversation};
use crate::history::{key_of, marker, markers};
use crate::provider::errors::ApiError;
use crate::provider::fields::{estimate_tokens, flag, list, number, present};
use crate::provider::tool::Tool;

/// The members that a request may hold in every version; any other is refused.
const MEMBERS: [&str; 18] = [
    "model",
    "messages",
    "max_tokens",
    "system",
    "tools",
    "tool_choice",
    "stop_sequences",
    "stream",
    "metadata",
    "thinking",
    "output_config",
    "cache_control",
    "service_tier",
    "speed",
    "container",
    "inference_geo",
    "diagnostics",
    "user_profile_id",
];

/// The members that only the earlier version takes.
const SAMPLING: [&str; 3] = ["temperature", "top_p", "top_k"];

/// A valid request.
#[derive(Debug)]
pub(super) struct MessageRequest<'a> {
    pub(super) prompt_tokens: u32,
    pub(super) max_tokens: u32,
    pub(super) stream: bool,
    pub(super) thinks: bool,
    /// The request's marker from its prompt and a space; empty if there is none.
    pub(super) opening: String,
    /// The tool to call instead of answering in words.
    pub(super) tool: Option<Tool<'a>>,
}

impl<'a> MessageRequest<'a> {
    pub(super) fn read(body: &'a Value, version: Version) -> Result<Self, ApiError> {
        check_members(body, version)?;
        let max_tokens =
            number(body, "max_tokens", 0, u32::MAX)?.ok_or_else(|| ApiError::missing("max_tokens"))?;
        let conversation = conversation::read(body, version)?;
        let thinking = present(body, "thinking").map(|thinking| &thinking["type"]);
        let thinks = thinking.is_some_and(|kind| kind == "enabled" || kind == "adaptive");
        if let Some((index, first)) = conversation.called_without_a_thought
            && thinking.is_some_and(|kind| kind == "enabled")
        {
            let problem = format!(
                "Expected `thinking` or `redacted_thinking`, but found `{first}`. When `thinking` is enabled, a final \
                 `assistant` message must start with a thinking block (preceeding the lastmost set of `tool_use` and \
                 `tool_result` blocks)."
            );
            return Err(ApiError::wrong_value(&format!("messages.{index}.content.0.type"), &problem));
        }
        let tool = tool(body, &conversation, thinks)?;
        check_output(body)?;
        Ok(Self {
            prompt_tokens: conversation.tokens.saturating_add(system_tokens(body)?),
            max_tokens,
            stream: flag(body, "stream")?,
            thinks,
            opening: opening(&conversation),
            tool,
        })
    }
}

/// How many tokens a question has; it needs no limit for an answer.
pub(super) fn count(body: &Value, version: Version) -> Result<u32, ApiError> {
    check_members(body, version)?;
    Ok(conversation::read(body, version)?.tokens.saturating_add(system_tokens(body)?))
}

fn check_members(body: &Value, version: Version) -> Result<(), ApiError> {
    let taken =
        |name: &str| MEMBERS.contains(&name) || (version == Version::Earlier && SAMPLING.contains(&name));
    let stranger = body.as_object().into_iter().flat_map(|members| members.keys()).find(|name| !taken(name));
    if let Some(name) = stranger {
        return Err(ApiError::wrong_value(name, "Extra inputs are not permitted"));
    }
    match present(body, "temperature").map(Value::as_f64) {
        None => {}
        Some(Some(temperature)) if (0.0..=1.0).contains(&temperature) => {}
        Some(_) => return Err(ApiError::wrong_value("temperature", "range: 0..1")),
    }
    let stops = present(body, "stop_sequences").map(|_| list(body, "stop_sequences")).transpose()?;
    match stops.into_iter().flatten().position(|stop| stop.as_str().is_none_or(|stop| stop.trim().is_empty()))
    {
        Some(_) => {
            Err(ApiError::wrong_value("stop_sequences", "each stop sequence must contain non-whitespace"))
        }
        None => Ok(()),
    }
}

fn check_output(body: &Value) -> Result<(), ApiError> {
    let Some(output) = present(body, "output_config") else { return Ok(()) };
    let efforts = ["low", "medium", "high", "xhigh", "max"];
    let effort = present(output, "effort");
    if effort.is_some_and(|effort| !efforts.iter().any(|known| effort == known)) {
        return Err(ApiError::wrong_value(
            "output_config.effort",
            "Input should be 'low', 'medium', 'high', 'xhigh' or 'max'",
        ));
    }
    match present(output, "format") {
        Some(format) if format["type"] != "json_schema" || !format["schema"].is_object() => {
            Err(ApiError::missing("output_config.format.schema"))
        }
        _ => Ok(()),
    }
}

/// The system's words are a text or blocks of text.
fn system_tokens(body: &Value) -> Result<u32, ApiError> {
    match present(body, "system") {
        None => Ok(0),
        Some(Value::String(text)) => Ok(estimate_tokens(text)),
        Some(Value::Array(blocks)) => {
            blocks.iter().enumerate().try_fold(0_u32, |sum, (index, block)| {
                match (block["type"].as_str(), block["text"].as_str()) {
                    (Some("text"), Some(text)) if !text.is_empty() => {
                        Ok(sum.saturating_add(estimate_tokens(text)))
                    }
                    _ => Err(ApiError::wrong_value(
                        &format!("system.{index}"),
                        "text content blocks must be non-empty",
                    )),
                }
            })
        }
        Some(other) => Err(ApiError::wrong_type("system", "a string or text blocks", other)),
    }
}

fn opening(conversation: &Conversation<'_>) -> String {
    let key = conversation.texts.iter().flat_map(|text| markers(text)).find_map(key_of);
    key.map(|key| format!("{} ", marker(&key))).unwrap_or_default()
}

/// The tool to call: none if none is offered or tools are forbidden, nor after a tool's result unless the choice forces
/// a call, so that a conversation comes to its end.
fn tool<'a>(
    body: &'a Value,
    conversation: &Conversation<'_>,
    thinks: bool,
) -> Result<Option<Tool<'a>>, ApiError> {
    let tools = present(body, "tools").map(|_| list(body, "tools")).transpose()?.unwrap_or_default();
    for (index, tool) in tools.iter().enumerate() {
        check_tool(index, tool)?;
    }
    let Some(choice) = present(body, "tool_choice") else {
        return Ok(tools.first().filter(|_| !conversation.ends_with_a_result).map(offered));
    };
    if tools.is_empty() {
        return Err(ApiError::wrong_value("tool_choice", "may only be specified while providing tools"));
    }
    let kind = choice["type"].as_str().unwrap_or_default();
    if thinks && matches!(kind, "any" | "tool") {
        return Err(ApiError::wrong_value(
            "tool_choice",
            "Thinking may not be enabled when tool_choice forces tool use.",
        ));
    }
    match kind {
        "none" if choice.get("disable_parallel_tool_use").is_none() => Ok(None),
        "auto" => Ok(tools.first().filter(|_| !conversation.ends_with_a_result).map(offered)),
        "any" => Ok(tools.first().map(offered)),
        "tool" => match tools.iter().find(|tool| tool["name"] == choice["name"]) {
            Some(tool) => Ok(Some(offered(tool))),
            None => Err(ApiError::wrong_value("tool_choice.name", "no tool of that name is in tools")),
        },
        _ => Err(ApiError::wrong_value("tool_choice", "Input tag should be 'auto', 'any', 'tool' or 'none'")),
    }
}

fn offered(tool: &Value) -> Tool<'_> {
    Tool { name: tool["name"].as_str().unwrap_or_default(), parameters: tool.get("input_schema") }
}

fn check_tool(index: usize, tool: &Value) -> Result<(), ApiError> {
    let path = |member: &str| format!("tools.{index}.custom.{member}");
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match tool["name"].as_str() {
        None => return Err(ApiError::missing(&path("name"))),
        Some(name) if (1..=128).contains(&name.len()) && name.chars().all(fits) => {}
        Some(_) => {
            return Err(ApiError::wrong_value(
                &path("name"),
                "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
            ));
        }
    }
    match tool["input_schema"]["type"].as_str() {
        Some("object") => Ok(()),
        _ => Err(ApiError::missing(&path("input_schema.type"))),
    }
}
