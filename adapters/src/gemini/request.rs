//! Translates OpenAI's fields into the body of a chat, by the table of [`super`].

use serde_json::{Map, Value, json};

use super::{conversation, is_before_gemini_3, tools};
use crate::{Call, Error, chat::question, endpoint::Endpoint};

/// Fields that mean the same under another name.
const RENAMED: [(&str, &str); 9] = [
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("n", "candidateCount"),
    ("seed", "seed"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
    ("logprobs", "responseLogprobs"),
    ("top_logprobs", "logprobs"),
];

/// Gemini's own fields, for which OpenAI has no equivalent.
const OWN: [&str; 2] = ["safetySettings", "cachedContent"];

const TRANSLATED: [&str; 21] = [
    "temperature",
    "top_p",
    "top_k",
    "n",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "max_completion_tokens",
    "max_tokens",
    "stop",
    "response_format",
    "reasoning_effort",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "modalities",
    "generationConfig",
    "safetySettings",
    "cachedContent",
];

/// The body.
pub(super) fn body(endpoint: &Endpoint, call: &Call) -> Result<Value, Error> {
    let payload = &call.payload;
    question::check_fields(endpoint, payload, &TRANSLATED)?;
    if payload.get("modalities").is_some_and(|wanted| *wanted != Value::Null && *wanted != json!(["text"])) {
        return Err(endpoint.cannot("payload.modalities: only answers in text"));
    }
    let conversation = conversation::translate(endpoint, call)?;
    let mut body = Map::new();
    body.insert("contents".into(), conversation.contents.into());
    if !conversation.system.is_empty() {
        body.insert("systemInstruction".into(), json!({"parts": conversation.system}));
    }
    tools::add(endpoint, payload, &mut body)?;
    let config = generation(endpoint, call)?;
    if !config.is_empty() {
        body.insert("generationConfig".into(), config.into());
    }
    for field in OWN {
        if let Some(value) = payload.get(field) {
            body.insert(field.into(), value.clone());
        }
    }
    Ok(Value::Object(body))
}

fn generation(endpoint: &Endpoint, call: &Call) -> Result<Map<String, Value>, Error> {
    let payload = &call.payload;
    let mut config = Map::new();
    let mut set = |name: &str, value: Value| drop(config.insert(name.into(), value));
    for (field, name) in RENAMED {
        if let Some(value) = payload.get(field).filter(|value| !value.is_null()) {
            set(name, value.clone());
        }
    }
    if let Some(most) = question::tokens_max(payload) {
        set("maxOutputTokens", most.clone());
    }
    if let Some(stop) = question::stop(payload) {
        set("stopSequences", stop);
    }
    if let Some(schema) = question::schema(endpoint, payload)? {
        set("responseMimeType", "application/json".into());
        if !schema.is_null() {
            set("responseJsonSchema", schema);
        }
    }
    if let Some(effort) = payload.get("reasoning_effort").and_then(Value::as_str) {
        set("thinkingConfig", thinking(endpoint, &call.model, effort)?);
    }
    if let Some(own) = payload.get("generationConfig").and_then(Value::as_object) {
        config.extend(own.clone());
    }
    Ok(config)
}

/// How much the model thinks. Models before Gemini 3 know only token budgets; these are Google's own for these levels.
fn thinking(endpoint: &Endpoint, model: &str, effort: &str) -> Result<Value, Error> {
    let (level, budget) = match effort {
        "none" => return Ok(json!({"thinkingBudget": 0})),
        "minimal" => ("MINIMAL", 1_024),
        "low" => ("LOW", 1_024),
        "medium" => ("MEDIUM", 8_192),
        "high" | "xhigh" | "max" => ("HIGH", 24_576),
        other => {
            let why =
                format!("payload.reasoning_effort: `{other}` is not one of none, minimal, low, medium, high");
            return Err(endpoint.cannot(&why));
        }
    };
    if is_before_gemini_3(model) {
        return Ok(json!({"thinkingBudget": budget, "includeThoughts": true}));
    }
    Ok(json!({"thinkingLevel": level, "includeThoughts": true}))
}

#[cfg(test)]
mod tests;
