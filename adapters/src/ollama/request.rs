//! Translates OpenAI's fields into the body of a chat, by the table of [`super`].

use serde_json::{Map, Value, json};

use crate::{
    Call, Error,
    chat::question::{self, Called, Message, Part},
    endpoint::Endpoint,
};

/// Fields that are options of the same name.
const OPTIONS: [&str; 8] = [
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "repeat_penalty",
];

/// Ollama's own fields, for which OpenAI has no equivalent.
const OWN: [&str; 2] = ["keep_alive", "think"];

const TRANSLATED: [&str; 20] = [
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "repeat_penalty",
    "max_completion_tokens",
    "max_tokens",
    "n",
    "stop",
    "response_format",
    "reasoning_effort",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "options",
    "keep_alive",
    "think",
];

/// The body. Ollama streams unless it is told not to.
pub(super) fn body(endpoint: &Endpoint, call: &Call, streamed: bool) -> Result<Value, Error> {
    let payload = &call.payload;
    question::check_fields(endpoint, payload, &TRANSLATED)?;
    if payload.get("n").and_then(Value::as_u64).is_some_and(|n| n > 1) {
        return Err(endpoint.cannot("payload.n: gives one answer at a time"));
    }
    let messages = question::messages(endpoint, payload)?;
    let messages = messages.iter().map(|it| message(endpoint, it)).collect::<Result<Vec<_>, _>>()?;
    let mut body = Map::new();
    body.insert("model".into(), call.model.as_str().into());
    body.insert("messages".into(), messages.into());
    body.insert("stream".into(), streamed.into());
    if let Some(tools) = tools(endpoint, payload)? {
        body.insert("tools".into(), tools);
    }
    if let Some(schema) = question::schema(endpoint, payload)? {
        body.insert("format".into(), if schema.is_null() { "json".into() } else { schema });
    }
    if let Some(effort) = payload.get("reasoning_effort").and_then(Value::as_str) {
        body.insert("think".into(), think(endpoint, effort)?);
    }
    let options = options(payload);
    if !options.is_empty() {
        body.insert("options".into(), options.into());
    }
    for field in OWN {
        if let Some(value) = payload.get(field) {
            body.insert(field.into(), value.clone());
        }
    }
    Ok(Value::Object(body))
}

fn options(payload: &Value) -> Map<String, Value> {
    let given = |field: &str| payload.get(field).filter(|value| !value.is_null()).cloned();
    let mut options: Map<_, _> =
        OPTIONS.into_iter().filter_map(|field| Some((field.to_owned(), given(field)?))).collect();
    if let Some(most) = question::tokens_max(payload) {
        options.insert("num_predict".into(), most.clone());
    }
    if let Some(stop) = question::stop(payload) {
        options.insert("stop".into(), stop);
    }
    if let Some(Value::Object(own)) = payload.get("options") {
        options.extend(own.clone());
    }
    options
}

fn think(endpoint: &Endpoint, effort: &str) -> Result<Value, Error> {
    match effort {
        "none" => Ok(false.into()),
        "minimal" => Ok("low".into()),
        "xhigh" => Ok("max".into()),
        "low" | "medium" | "high" | "max" => Ok(effort.into()),
        other => {
            let why =
                format!("payload.reasoning_effort: `{other}` is not one of none, low, medium, high, max");
            Err(endpoint.cannot(&why))
        }
    }
}

fn tools(endpoint: &Endpoint, payload: &Value) -> Result<Option<Value>, Error> {
    let functions = question::functions(endpoint, payload)?;
    if functions.is_empty() {
        return Ok(None);
    }
    match payload.get("tool_choice") {
        None | Some(Value::Null) => {}
        Some(Value::String(word)) if word == "auto" => {}
        Some(Value::String(word)) if word == "none" => return Ok(None),
        Some(_) => return Err(endpoint.cannot("payload.tool_choice: only knows `auto` and `none`")),
    }
    if payload.get("parallel_tool_calls") == Some(&Value::Bool(false)) {
        return Err(endpoint.cannot("payload.parallel_tool_calls: cannot be limited to one call at a time"));
    }
    let tool = |function: &Value| json!({"type": "function", "function": function});
    Ok(Some(functions.into_iter().map(tool).collect()))
}

fn message(endpoint: &Endpoint, message: &Message<'_>) -> Result<Value, Error> {
    match message {
        Message::System(text) => Ok(json!({"role": "system", "content": text})),
        Message::User(parts) => user(endpoint, parts),
        Message::Assistant { text, reasoning, calls } => {
            let mut said = json!({"role": "assistant", "content": text});
            if !reasoning.is_empty() {
                said["thinking"] = (*reasoning).into();
            }
            if !calls.is_empty() {
                said["tool_calls"] = calls.iter().map(made).collect();
            }
            Ok(said)
        }
        Message::Tool { id, name, text } => {
            let mut result = json!({"role": "tool", "content": text, "tool_name": name});
            if !id.is_empty() {
                result["tool_call_id"] = (*id).into();
            }
            Ok(result)
        }
    }
}

fn made(call: &Called<'_>) -> Value {
    let mut made = json!({"function": {"name": call.name, "arguments": call.arguments}});
    if !call.id.is_empty() {
        made["id"] = call.id.into();
    }
    made
}

fn user(endpoint: &Endpoint, parts: &[Part<'_>]) -> Result<Value, Error> {
    let (mut texts, mut images) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Part::Text(text) => texts.push(*text),
            Part::Inline { kind: "image_url", data, .. } => images.push(*data),
            Part::Inline { kind, .. } => {
                return Err(endpoint.cannot(&format!("payload.messages: reads images, but no `{kind}`")));
            }
        }
    }
    let mut said = json!({"role": "user", "content": texts.join("\n")});
    if !images.is_empty() {
        said["images"] = images.into();
    }
    Ok(said)
}

#[cfg(test)]
mod tests;
