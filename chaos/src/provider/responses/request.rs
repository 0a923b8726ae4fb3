//! The part of a request that the answer depends on, checked as the API checks it.

use serde_json::Value;

use super::super::errors::ApiError;
use super::super::fields::{estimate_tokens, flag, list, number, present};
use super::super::tool::Tool;
use super::input;

/// The fields that a request may hold.
const FIELDS: [&str; 31] = [
    "background",
    "context_management",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "moderation",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// Fields that chat completions name differently: their name, and the one here.
const MOVED: [(&str, &str); 5] = [
    ("messages", "input"),
    ("response_format", "text.format"),
    ("max_tokens", "max_output_tokens"),
    ("max_completion_tokens", "max_output_tokens"),
    ("reasoning_effort", "reasoning.effort"),
];

/// What the API has and the simulator lacks, since it keeps nothing and only calls functions.
const BEYOND: [&str; 4] = ["background", "conversation", "context_management", "prompt"];

/// The smallest bound on the tokens of an answer.
const MIN_TOKENS: u32 = 16;

/// Prompts shorter than this are not cached; longer ones are cached in steps.
const CACHED_FROM_TOKENS: u32 = 1_024;
const CACHED_STEP_TOKENS: u32 = 128;

/// A valid request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) prompt_tokens: u32,
    /// How many of those are cached. A prompt with a `prompt_cache_key` counts as sent before.
    pub(super) cached_tokens: u32,
    pub(super) texts: Vec<&'a str>,
    pub(super) tokens_max: Option<u32>,
    pub(super) stream: bool,
    pub(super) obfuscates: bool,
    /// Whether it thinks before it answers.
    pub(super) reasons: bool,
    /// Whether it summarises what it thought.
    pub(super) summarises: bool,
    pub(super) tools: &'a [Value],
    /// The tool to call instead of answering in words.
    pub(super) tool: Option<Tool<'a>>,
    /// The schema of the answer; null if any JSON will do.
    pub(super) schema: Option<&'a Value>,
}

impl<'a> Request<'a> {
    pub(super) fn read(body: &'a Value) -> Result<Self, ApiError> {
        check_names(body)?;
        let input = input::read(body)?;
        let mut texts = input.texts;
        texts.extend(present(body, "instructions").and_then(Value::as_str));
        let prompt_tokens =
            texts.iter().fold(input.overhead, |sum, text| sum.saturating_add(estimate_tokens(text)));
        let is_known = present(body, "prompt_cache_key").is_some() && prompt_tokens >= CACHED_FROM_TOKENS;
        let stream = flag(body, "stream")?;
        let options = present(body, "stream_options");
        if options.is_some() && !stream {
            let problem = "it is only allowed when 'stream' is enabled.";
            return Err(ApiError::wrong_value("stream_options", problem));
        }
        let schema = schema(body, &texts)?;
        let reasoning = present(body, "reasoning").unwrap_or(&Value::Null);
        let effort = reasoning.get("effort").and_then(Value::as_str);
        let reasons = reasoning.is_object() && effort != Some("none");
        let tools = if present(body, "tools").is_some() { list(body, "tools")? } else { &[] };
        Ok(Self {
            prompt_tokens,
            cached_tokens: if is_known { prompt_tokens / CACHED_STEP_TOKENS * CACHED_STEP_TOKENS } else { 0 },
            texts,
            tokens_max: number(body, "max_output_tokens", MIN_TOKENS, u32::MAX)?,
            stream,
            obfuscates: options.and_then(|it| it.get("include_obfuscation")) != Some(&Value::Bool(false)),
            reasons,
            summarises: reasons && present(reasoning, "summary").is_some(),
            tools,
            tool: tool(body, tools, input.is_answered)?,
            schema,
        })
    }
}

fn check_names(body: &Value) -> Result<(), ApiError> {
    for name in body.as_object().into_iter().flatten().map(|(name, _)| name.as_str()) {
        if let Some((_, now)) = MOVED.iter().find(|(moved, _)| *moved == name) {
            return Err(ApiError::moved_parameter(name, now));
        }
        if !FIELDS.contains(&name) {
            return Err(ApiError::unknown_parameter(name));
        }
    }
    for name in BEYOND {
        if present(body, name).is_some_and(|value| *value != Value::Bool(false)) {
            return Err(ApiError::wrong_value(name, "the simulator keeps nothing between two calls."));
        }
    }
    match present(body, "previous_response_id").and_then(Value::as_str) {
        Some(id) => Err(ApiError::no_response(id)),
        None => Ok(()),
    }
}

/// What `text.format` asks for.
fn schema<'a>(body: &'a Value, texts: &[&str]) -> Result<Option<&'a Value>, ApiError> {
    let Some(format) = present(body, "text").and_then(|text| present(text, "format")) else {
        return Ok(None);
    };
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(None),
        Some("json_object") => {
            if !texts.iter().any(|text| text.to_lowercase().contains("json")) {
                let problem = "Response input messages must contain the word 'json' in some form to use \
                    'text.format' of type 'json_object'.";
                return Err(ApiError::wrong_value("input", problem));
            }
            Ok(Some(&Value::Null))
        }
        Some("json_schema") => {
            present(format, "name").ok_or_else(|| ApiError::missing("text.format.name"))?;
            let schema = present(format, "schema").ok_or_else(|| ApiError::missing("text.format.schema"))?;
            let is_open = schema.get("additionalProperties") != Some(&Value::Bool(false));
            if is_open && format.get("strict") == Some(&Value::Bool(true)) {
                let problem =
                    "In context=(), 'additionalProperties' is required to be supplied and to be false.";
                return Err(ApiError::wrong_value("text.format.schema", problem));
            }
            Ok(Some(schema))
        }
        _ => {
            let problem = "Supported values are: 'json_object', 'json_schema', and 'text'.";
            Err(ApiError::wrong_value("text.format.type", problem))
        }
    }
}

/// The tool to call: none if none is offered, if tools are forbidden, or if the last item is a tool's result, so that a
/// conversation comes to its end.
fn tool<'a>(body: &'a Value, tools: &'a [Value], is_answered: bool) -> Result<Option<Tool<'a>>, ApiError> {
    let mut found = None;
    let choice = present(body, "tool_choice");
    let wanted = choice.and_then(|choice| choice.get("name")).and_then(Value::as_str);
    for (index, tool) in tools.iter().enumerate() {
        if tool.get("type").and_then(Value::as_str) != Some("function") {
            let problem = "the simulator only calls functions.";
            return Err(ApiError::wrong_value(&format!("tools[{index}].type"), problem));
        }
        let path = format!("tools[{index}].name");
        let name = present(tool, "name").ok_or_else(|| ApiError::missing(&path))?;
        let name = name.as_str().ok_or_else(|| ApiError::wrong_type(&path, "a string", name))?;
        if found.is_none() && wanted.is_none_or(|wanted| wanted == name) {
            found = Some(Tool { name, parameters: present(tool, "parameters") });
        }
    }
    match choice {
        Some(Value::String(word)) if word == "none" => Ok(None),
        Some(Value::String(word)) if word == "auto" || word == "required" => Ok(found),
        None => Ok(found),
        Some(Value::Object(_)) if wanted.is_some() && found.is_some() => Ok(found),
        Some(_) => Err(ApiError::wrong_value(
            "tool_choice",
            "Tool choice 'function' not found in 'tools' parameter.",
        )),
    }
    .map(|found| found.filter(|_| !is_answered))
}
