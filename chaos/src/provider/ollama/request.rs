//! The part of a chat that the answer depends on, checked as Ollama checks it: types, images and roles.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::provider::errors::ApiError;
use crate::provider::fields::{estimate_tokens, list, number, present};
use crate::provider::tool::Tool;

/// Tokens that each message costs besides its text.
const MESSAGE_OVERHEAD_TOKENS: u32 = 4;

/// A valid request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) prompt_tokens: u32,
    pub(super) texts: Vec<&'a str>,
    pub(super) tokens_max: Option<u32>,
    pub(super) thinks: bool,
    pub(super) tool: Option<Tool<'a>>,
    pub(super) schema: Option<&'a Value>,
}

impl<'a> Request<'a> {
    pub(super) fn read(body: &'a Value) -> Result<Self, ApiError> {
        let messages = list(body, "messages")?;
        let mut texts = Vec::with_capacity(messages.len());
        for message in messages {
            texts.push(text(message)?);
        }
        let count = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        let overhead = MESSAGE_OVERHEAD_TOKENS.saturating_mul(count);
        let prompt_tokens =
            texts.iter().fold(overhead, |sum, text| sum.saturating_add(estimate_tokens(text)));
        let tokens_max = match present(body, "options") {
            Some(options) => number(options, "num_predict", 1, u32::MAX)?,
            None => None,
        };
        Ok(Self {
            prompt_tokens,
            texts,
            tokens_max,
            thinks: present(body, "think").is_some_and(|think| *think != Value::Bool(false)),
            tool: tool(body, messages)?,
            schema: schema(body)?,
        })
    }
}

fn text(message: &Value) -> Result<&str, ApiError> {
    match message.get("role").and_then(Value::as_str) {
        Some("system" | "user" | "assistant" | "tool") => {}
        _ => return Err(ApiError::wrong_value("role", "invalid role")),
    }
    for image in message.get("images").and_then(Value::as_array).into_iter().flatten() {
        if image.as_str().is_none_or(|image| STANDARD.decode(image).is_err()) {
            return Err(ApiError::wrong_value("images", "illegal base64 data at input byte 0"));
        }
    }
    for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
        if !call.pointer("/function/arguments").is_some_and(Value::is_object) {
            let problem =
                "json: cannot unmarshal string into Go struct field of type api.ToolCallFunctionArguments";
            return Err(ApiError::wrong_value("tool_calls", problem));
        }
    }
    match message.get("content") {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(ApiError::wrong_type("content", "a string", other)),
    }
}

/// The tool to call: none if none is offered, or if the last message is a tool's result.
fn tool<'a>(body: &'a Value, messages: &[Value]) -> Result<Option<Tool<'a>>, ApiError> {
    let last = messages.last().and_then(|message| message.get("role")).and_then(Value::as_str);
    if present(body, "tools").is_none() || last == Some("tool") {
        return Ok(None);
    }
    let Some(tool) = list(body, "tools")?.first() else { return Ok(None) };
    let name = tool.pointer("/function/name").and_then(Value::as_str);
    let name = name.ok_or_else(|| ApiError::missing("tools.function.name"))?;
    Ok(Some(Tool { name, parameters: tool.pointer("/function/parameters") }))
}

fn schema(body: &Value) -> Result<Option<&Value>, ApiError> {
    match present(body, "format") {
        None => Ok(None),
        Some(Value::String(word)) if word.is_empty() => Ok(None),
        Some(Value::String(word)) if word == "json" => Ok(Some(&Value::Null)),
        Some(schema @ Value::Object(_)) => Ok(Some(schema)),
        Some(_) => Err(ApiError::wrong_value("format", "expected \"json\" or a JSON schema")),
    }
}
