//! Makes the body; its errors say what this API cannot do.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::chat;
use crate::{Error, chat::Ask, chat::Origin, chat::question, endpoint::Endpoint};

/// Fields sent under the same name.
const SAME: [&str; 12] = [
    "temperature",
    "top_p",
    "parallel_tool_calls",
    "metadata",
    "user",
    "safety_identifier",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning",
    "include",
    "truncation",
];
/// Fields that are translated, or that only tune.
const READ: [&str; 12] = [
    "tools",
    "tool_choice",
    "response_format",
    "reasoning_effort",
    "max_completion_tokens",
    "max_tokens",
    "n",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "top_logprobs",
];

/// The lowest limit on an answer's tokens that the API takes.
const TOKENS_MIN: u64 = 16;

/// Translates `payload` into the body, and adds the `fields` that the body lacks.
pub(in super::super) fn body(
    endpoint: &Endpoint,
    ask: &Ask,
    payload: &Value,
    fields: &BTreeMap<String, Value>,
    origin: &Origin,
) -> Result<Value, Error> {
    let known: Vec<&str> = SAME.into_iter().chain(READ).collect();
    question::check_fields(endpoint, payload, &known)?;
    let number = |field: &str| payload.get(field).and_then(Value::as_u64);
    if number("n").is_some_and(|n| n > 1) {
        return Err(endpoint.cannot("gives one answer to a question: leave `n` out"));
    }
    if number("top_logprobs").is_some_and(|n| n > 0) {
        return Err(endpoint.cannot("does not return `top_logprobs` by its Responses API"));
    }
    let most = question::tokens_max(payload);
    if most.and_then(Value::as_u64).is_some_and(|most| most < TOKENS_MIN) {
        return Err(endpoint.cannot(&format!("takes no `max_completion_tokens` below {TOKENS_MIN}")));
    }
    let mut body: Map<String, Value> = SAME
        .into_iter()
        .filter_map(|field| Some((field.to_owned(), payload.get(field)?.clone())))
        .filter(|(_, value)| !value.is_null())
        .collect();
    body.insert("model".into(), ask.model.as_str().into());
    body.insert("input".into(), input(endpoint, payload, origin)?.into());
    body.insert("store".into(), (payload.get("store") == Some(&Value::Bool(true))).into());
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.into(), value);
        }
    };
    let tools = question::functions(endpoint, payload)?.into_iter().map(tool).collect::<Vec<_>>();
    set("tools", (!tools.is_empty()).then(|| tools.into()));
    set("tool_choice", choice(endpoint, payload)?);
    set("max_output_tokens", most.cloned());
    set("text", text(endpoint, payload)?);
    set("stream", ask.streamed.then_some(Value::Bool(true)));
    if let Some(effort) = payload.get("reasoning_effort").filter(|effort| !effort.is_null()) {
        let reasoning = body.entry("reasoning").or_insert_with(|| json!({}));
        if let Value::Object(reasoning) = reasoning {
            reasoning.entry("effort").or_insert_with(|| effort.clone());
        }
    }
    for (field, value) in fields {
        body.entry(field).or_insert_with(|| value.clone());
    }
    Ok(Value::Object(body))
}

/// The messages as items.
fn input(endpoint: &Endpoint, payload: &Value, origin: &Origin) -> Result<Vec<Value>, Error> {
    let messages = payload.get("messages").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut items = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let at = At { endpoint, index, origin };
        match message["role"].as_str().unwrap_or_default() {
            role @ ("system" | "developer" | "user") => at.heard(role, message, &mut items)?,
            "assistant" => at.said(message, &mut items)?,
            "tool" => {
                let output = at.plain(message)?;
                let call = at.call_id(message["tool_call_id"].as_str().unwrap_or_default()).0;
                items.push(json!({"type": "function_call_output", "call_id": call, "output": output}));
            }
            "function" => return Err(at.cannot(": takes no `function` messages, the older form of `tool`")),
            other => return Err(at.wrong(&format!(".role: `{other}` is no role"))),
        }
    }
    Ok(items)
}

/// One message, and its index for errors.
struct At<'e> {
    endpoint: &'e Endpoint,
    index: usize,
    origin: &'e Origin,
}

impl At<'_> {
    fn wrong(&self, what: &str) -> Error {
        self.endpoint.wrong(&format!("payload.messages[{}]{what}", self.index))
    }

    fn cannot(&self, what: &str) -> Error {
        self.endpoint.cannot(&format!("payload.messages[{}]{what}", self.index))
    }

    /// What the model hears.
    fn heard(&self, role: &str, message: &Value, items: &mut Vec<Value>) -> Result<(), Error> {
        let content =
            self.parts(message)?.into_iter().map(|part| self.told(&part)).collect::<Result<Vec<_>, _>>()?;
        if !content.is_empty() {
            items.push(json!({"type": "message", "role": role, "content": content}));
        }
        Ok(())
    }

    /// The id of a call, and the reasoning before it, if the id carries any.
    fn call_id(&self, id: &str) -> (String, Vec<Value>) {
        let (id, thoughts) = self.origin.split(id);
        // A client may send anything as an id.
        let thoughts = thoughts.into_iter().filter(|item| item["type"] == "reasoning");
        (chat::short(id), thoughts.collect())
    }

    /// What the model said, then its calls.
    fn said(&self, message: &Value, items: &mut Vec<Value>) -> Result<(), Error> {
        if message.get("function_call").is_some_and(Value::is_object) {
            return Err(self.cannot(".function_call: is the older form of `tool_calls`; use that"));
        }
        let begin = items.len();
        let mut content = Vec::new();
        for part in self.parts(message)? {
            match (part["text"].as_str(), part["refusal"].as_str()) {
                (Some(""), _) => {}
                (Some(text), _) => {
                    content.push(json!({"type": "output_text", "text": text, "annotations": []}))
                }
                (None, Some(refusal)) => content.push(json!({"type": "refusal", "refusal": refusal})),
                (None, None) => return Err(self.cannot(".content: only text is allowed here")),
            }
        }
        if let Some(refusal) = message["refusal"].as_str().filter(|refusal| !refusal.is_empty()) {
            content.push(json!({"type": "refusal", "refusal": refusal}));
        }
        if !content.is_empty() {
            items.push(json!({"type": "message", "role": "assistant", "content": content}));
        }
        for (index, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
            let Some(name) = call["function"]["name"].as_str() else {
                return Err(self.cannot(".tool_calls: only calls of functions can be passed on"));
            };
            let arguments = call["function"]["arguments"].as_str().filter(|text| !text.trim().is_empty());
            let (call_id, thoughts) = self.call_id(call["id"].as_str().unwrap_or_default());
            // Thoughts in the first call come before anything that the model said.
            let place = if index == 0 { begin } else { items.len() };
            items.splice(place..place, thoughts);
            items.push(json!({
                "type": "function_call",
                "call_id": call_id,
                "name": name,
                "arguments": arguments.unwrap_or("{}"),
            }));
        }
        Ok(())
    }

    /// The parts of a message; a text is one.
    fn parts(&self, message: &Value) -> Result<Vec<Value>, Error> {
        match &message["content"] {
            Value::Null => Ok(Vec::new()),
            Value::String(text) => Ok(vec![json!({"type": "text", "text": text})]),
            Value::Array(parts) => Ok(parts.clone()),
            _ => Err(self.wrong(".content: expected a string or an array of parts")),
        }
    }

    fn told(&self, part: &Value) -> Result<Value, Error> {
        match part["type"].as_str().unwrap_or_default() {
            "text" if part["text"].is_string() => Ok(json!({"type": "input_text", "text": part["text"]})),
            "image_url" if part["image_url"]["url"].is_string() => {
                let detail = part["image_url"].get("detail").cloned().unwrap_or_else(|| "auto".into());
                Ok(json!({"type": "input_image", "image_url": part["image_url"]["url"], "detail": detail}))
            }
            "file" => {
                let mut item = part["file"].as_object().cloned().unwrap_or_default();
                item.insert("type".into(), "input_file".into());
                Ok(Value::Object(item))
            }
            kind => {
                let why =
                    format!(".content: cannot read a part of the type `{kind}`, or the part is incomplete");
                Err(self.cannot(&why))
            }
        }
    }

    /// The text of a tool's result.
    fn plain(&self, message: &Value) -> Result<String, Error> {
        let parts = self.parts(message)?;
        let text = |part: &Value| part["text"].as_str().map(str::to_owned);
        let texts = parts.iter().map(text).collect::<Option<Vec<_>>>();
        texts.map(|texts| texts.join("\n")).ok_or_else(|| self.cannot(".content: only text is allowed here"))
    }
}

/// A function, with its members in the tool itself. `strict` is false by default here; the API's own default is true.
fn tool(function: &Value) -> Value {
    let mut tool = function.as_object().cloned().unwrap_or_default();
    tool.insert("type".into(), "function".into());
    tool.entry("strict").or_insert(Value::Bool(false));
    tool.entry("parameters").or_insert_with(|| json!({"type": "object", "properties": {}}));
    Value::Object(tool)
}

fn choice(endpoint: &Endpoint, payload: &Value) -> Result<Option<Value>, Error> {
    match payload.get("tool_choice") {
        None | Some(Value::Null) => Ok(None),
        Some(word @ Value::String(_)) => Ok(Some(word.clone())),
        Some(choice) => match choice["function"]["name"].as_str() {
            Some(name) => Ok(Some(json!({"type": "function", "name": name}))),
            None => {
                let known = "`auto`, `none`, `required`, or a function by its name";
                Err(endpoint.cannot(&format!("accepts as `tool_choice` only {known}")))
            }
        },
    }
}

/// The format and verbosity of the answer.
fn text(endpoint: &Endpoint, payload: &Value) -> Result<Option<Value>, Error> {
    let mut text = Map::new();
    if let Some(schema) = question::schema(endpoint, payload)? {
        let mut format = payload["response_format"]["json_schema"].as_object().cloned().unwrap_or_default();
        if schema.is_null() {
            format.insert("type".into(), "json_object".into());
        } else {
            format.insert("type".into(), "json_schema".into());
            format.entry("name").or_insert_with(|| "answer".into());
        }
        text.insert("format".into(), format.into());
    }
    if let Some(verbosity) = payload.get("verbosity").filter(|verbosity| !verbosity.is_null()) {
        text.insert("verbosity".into(), verbosity.clone());
    }
    Ok((!text.is_empty()).then(|| text.into()))
}
