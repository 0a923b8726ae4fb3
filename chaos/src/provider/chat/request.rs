//! The part of a chat request that the answer depends on, checked as the OpenAI API checks it.
//! It ignores unknown members: clients send many that mean nothing to a simulator.

use serde_json::Value;

use crate::provider::errors::ApiError;
use crate::provider::fields::{estimate_tokens, flag, list, number, present};
use crate::provider::tool::Tool;

const ROLES: [&str; 6] = ["developer", "system", "user", "assistant", "tool", "function"];

/// The largest `n`.
const MAX_CHOICES: u32 = 128;

/// The largest `top_logprobs`.
const MAX_RIVALS: u32 = 20;

/// Tokens that each message costs besides its text.
const MESSAGE_OVERHEAD_TOKENS: u32 = 4;

/// A valid request.
#[derive(Debug)]
pub(super) struct ChatRequest<'a> {
    pub(super) prompt_tokens: u32,
    pub(super) choices: u32,
    pub(super) max_tokens: Option<u32>,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    /// How many rivals of each token to tell; none if the answer does not tell how likely tokens are.
    pub(super) logprobs: Option<u32>,
    /// The tool to call instead of answering in words.
    pub(super) tool: Option<Tool<'a>>,
}

impl<'a> ChatRequest<'a> {
    pub(super) fn read(body: &'a Value) -> Result<Self, ApiError> {
        let messages = list(body, "messages")?;
        if messages.is_empty() {
            return Err(ApiError::wrong_value("messages", "the array must have at least one message."));
        }
        let mut prompt_tokens = 0u32;
        for (index, message) in messages.iter().enumerate() {
            prompt_tokens = prompt_tokens.saturating_add(message_tokens(index, message)?);
        }
        let stream = flag(body, "stream")?;
        let options = present(body, "stream_options");
        if options.is_some() && !stream {
            let problem = "it is only allowed when 'stream' is enabled.";
            return Err(ApiError::wrong_value("stream_options", problem));
        }
        let rivals = number(body, "top_logprobs", 0, MAX_RIVALS)?;
        let tells = flag(body, "logprobs")?;
        if rivals.is_some() && !tells {
            return Err(ApiError::wrong_value("top_logprobs", "'logprobs' must be set to true to use it."));
        }
        let max_tokens = match number(body, "max_completion_tokens", 1, u32::MAX)? {
            Some(max) => Some(max),
            None => number(body, "max_tokens", 1, u32::MAX)?,
        };
        Ok(Self {
            prompt_tokens,
            choices: number(body, "n", 1, MAX_CHOICES)?.unwrap_or(1),
            max_tokens,
            stream,
            logprobs: tells.then(|| rivals.unwrap_or(0)),
            include_usage: options.map_or(Ok(false), |options| flag(options, "include_usage"))?,
            tool: tool(body, messages)?,
        })
    }
}

fn message_tokens(index: usize, message: &Value) -> Result<u32, ApiError> {
    let path = |member: &str| format!("messages[{index}]{member}");
    if !message.is_object() {
        return Err(ApiError::wrong_type(&path(""), "an object", message));
    }
    match present(message, "role") {
        None => return Err(ApiError::missing(&path(".role"))),
        Some(Value::String(role)) if ROLES.contains(&role.as_str()) => {}
        Some(_) => {
            let problem = format!("supported values are: {}.", ROLES.join(", "));
            return Err(ApiError::wrong_value(&path(".role"), &problem));
        }
    }
    let text = match present(message, "content") {
        None => 0,
        Some(Value::String(text)) => estimate_tokens(text),
        Some(Value::Array(parts)) => parts
            .iter()
            .filter_map(|part| part.get("text").and_then(Value::as_str))
            .fold(0, |sum: u32, text| sum.saturating_add(estimate_tokens(text))),
        Some(other) => {
            return Err(ApiError::wrong_type(&path(".content"), "a string or an array of parts", other));
        }
    };
    Ok(text.saturating_add(MESSAGE_OVERHEAD_TOKENS))
}

/// The tool to call: none if none is offered, if tools are forbidden, or if the last message is a tool's result,
/// so that a conversation comes to its end.
fn tool<'a>(body: &'a Value, messages: &[Value]) -> Result<Option<Tool<'a>>, ApiError> {
    let choice = present(body, "tool_choice");
    if present(body, "tools").is_none() || choice.and_then(Value::as_str) == Some("none") {
        return Ok(None);
    }
    let tools = list(body, "tools")?;
    let last_role = messages.last().and_then(|message| message.get("role")).and_then(Value::as_str);
    if last_role == Some("tool") {
        return Ok(None);
    }
    let wanted = choice.and_then(|choice| choice.pointer("/function/name")).and_then(Value::as_str);
    for (index, tool) in tools.iter().enumerate() {
        let path = format!("tools[{index}].function.name");
        let name = tool.pointer("/function/name").ok_or_else(|| ApiError::missing(&path))?;
        let name = name.as_str().ok_or_else(|| ApiError::wrong_type(&path, "a string", name))?;
        if wanted.is_none_or(|wanted| wanted == name) {
            return Ok(Some(Tool { name, parameters: tool.pointer("/function/parameters") }));
        }
    }
    match wanted {
        None => Ok(None),
        Some(_) => Err(ApiError::wrong_value("tool_choice", "no tool of that name is in 'tools'.")),
    }
}
