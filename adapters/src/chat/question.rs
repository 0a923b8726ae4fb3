//! Reads OpenAI's chat body for the adapters that translate it: who says what, its images, the calls it makes and their
//! results.
//!
//! Nothing is dropped silently: a malformed part is the request's fault, an unknown one is refused.

use serde_json::Value;

use crate::{Error, endpoint::Endpoint};

/// Fields about how to account for, cache or send the answer, not about its content. A provider without an equivalent
/// answers the same without them.
const HINTS: [&str; 17] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "simulate",
    "user",
    "safety_identifier",
    "metadata",
    "store",
    "service_tier",
    "moderation",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "cache_control",
    "verbosity",
];

/// One message.
#[derive(Debug, PartialEq)]
pub(crate) enum Message<'a> {
    /// Instructions of the application.
    System(String),
    /// The user.
    User(Vec<Part<'a>>),
    /// The model.
    Assistant {
        /// What it said, with any refusal.
        text: String,
        /// Its reasoning, if the client kept it.
        reasoning: &'a str,
        /// The calls that it made.
        calls: Vec<Called<'a>>,
    },
    /// The result of a call.
    Tool {
        /// The id of the call.
        id: &'a str,
        /// The function that was called.
        name: &'a str,
        /// Its text.
        text: String,
    },
}

/// A part of a user message.
#[derive(Debug, PartialEq)]
pub(crate) enum Part<'a> {
    /// Text.
    Text(&'a str),
    /// A file inside the message.
    Inline {
        /// The kind of part: `image_url`, `input_audio` or `file`.
        kind: &'a str,
        /// Its media type.
        media_type: String,
        /// Its bytes in base64.
        data: &'a str,
    },
}

/// A call that the model made.
#[derive(Debug, PartialEq)]
pub(crate) struct Called<'a> {
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
    /// A JSON object.
    pub(crate) arguments: Value,
}

/// Refuses a field that is neither in `translated` nor a hint, unless it asks for nothing (null, false, empty).
pub(crate) fn check_fields(endpoint: &Endpoint, payload: &Value, translated: &[&str]) -> Result<(), Error> {
    let asks = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    };
    let mut fields = payload.as_object().into_iter().flatten();
    let unknown = |name: &str| !translated.contains(&name) && !HINTS.contains(&name);
    match fields.find(|(name, value)| asks(value) && unknown(name)) {
        None => Ok(()),
        Some((name, _)) => Err(endpoint.cannot(&format!("does not support `{name}`; leave it out"))),
    }
}

/// The conversation.
pub(crate) fn messages<'a>(endpoint: &Endpoint, payload: &'a Value) -> Result<Vec<Message<'a>>, Error> {
    let messages = payload.get("messages").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut read: Vec<Message<'a>> = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let at = At { endpoint, path: format!("messages[{index}]") };
        let next = at.message(message, &read)?;
        read.push(next);
    }
    Ok(read)
}

/// A place in the body, for errors.
struct At<'e> {
    endpoint: &'e Endpoint,
    path: String,
}

impl At<'_> {
    fn wrong(&self, what: &str) -> Error {
        self.endpoint.wrong(&format!("payload.{}{what}", self.path))
    }

    fn cannot(&self, what: &str) -> Error {
        self.endpoint.cannot(&format!("payload.{}{what}", self.path))
    }

    fn message<'a>(&self, message: &'a Value, before: &[Message<'a>]) -> Result<Message<'a>, Error> {
        let text = |field: &str| message.get(field).and_then(Value::as_str).unwrap_or_default();
        match text("role") {
            "system" | "developer" => Ok(Message::System(self.texts(message, "\n")?)),
            "user" => Ok(Message::User(self.parts(message)?)),
            "assistant" => Ok(Message::Assistant {
                text: self.texts(message, "")? + text("refusal"),
                reasoning: Some(text("reasoning_content"))
                    .filter(|it| !it.is_empty())
                    .unwrap_or(text("reasoning")),
                calls: self.calls(message)?,
            }),
            "tool" => {
                let id = text("tool_call_id");
                let name = name_of(before, id).ok_or_else(|| {
                    self.cannot(&format!(".tool_call_id: no earlier message makes the call `{id}`"))
                })?;
                Ok(Message::Tool { id, name, text: self.texts(message, "\n")? })
            }
            "function" => Ok(Message::Tool { id: "", name: text("name"), text: self.texts(message, "\n")? }),
            other => Err(self.wrong(&format!(".role: `{other}` is no role"))),
        }
    }

    /// The texts of a message that may hold only text.
    fn texts(&self, message: &Value, between: &str) -> Result<String, Error> {
        match message.get("content") {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Array(parts)) => {
                let text = |part: &Value| {
                    let text = part.get("text").or_else(|| part.get("refusal")).and_then(Value::as_str);
                    text.map(str::to_owned).ok_or_else(|| self.cannot(".content: only text is allowed here"))
                };
                Ok(parts.iter().map(text).collect::<Result<Vec<_>, _>>()?.join(between))
            }
            Some(_) => Err(self.wrong(".content: expected a string or an array of parts")),
        }
    }

    fn parts<'a>(&self, message: &'a Value) -> Result<Vec<Part<'a>>, Error> {
        match message.get("content") {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![Part::Text(text)]),
            Some(Value::Array(parts)) => parts.iter().map(|part| self.part(part)).collect(),
            Some(_) => Err(self.wrong(".content: expected a string or an array of parts")),
        }
    }

    fn part<'a>(&self, part: &'a Value) -> Result<Part<'a>, Error> {
        let text = |pointer: &str| part.pointer(pointer).and_then(Value::as_str);
        let inline = |kind, uri: &'a str| {
            let (media_type, data) = data_uri(uri).ok_or_else(|| {
                self.cannot(".content: only takes files inside the message: give a `data:` URI in base64")
            })?;
            Ok(Part::Inline { kind, media_type: media_type.to_owned(), data })
        };
        match (text("/type"), text("/text"), text("/image_url/url"), text("/input_audio/data")) {
            (Some("text"), Some(text), _, _) => Ok(Part::Text(text)),
            (Some("image_url"), _, Some(url), _) => inline("image_url", url),
            (Some("input_audio"), _, _, Some(data)) => {
                let format = text("/input_audio/format").unwrap_or("wav");
                Ok(Part::Inline { kind: "input_audio", media_type: format!("audio/{format}"), data })
            }
            (Some("file"), ..) => match text("/file/file_data") {
                Some(uri) => inline("file", uri),
                None => Err(self.cannot(".content: cannot read a file by its id; give its `file_data`")),
            },
            (kind, ..) => {
                let kind = kind.unwrap_or_default();
                Err(self.cannot(&format!(
                    ".content: cannot read a part of the type `{kind}`, or the part is incomplete"
                )))
            }
        }
    }

    fn calls<'a>(&self, message: &'a Value) -> Result<Vec<Called<'a>>, Error> {
        let older = message.get("function_call").filter(|call| call.is_object());
        let calls = message.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
        let functions = calls.map(|call| (call, call.get("function"))).chain(older.map(|it| (it, Some(it))));
        let mut read = Vec::new();
        for (call, function) in functions {
            let text = |value: Option<&'a Value>, field: &str| value.and_then(|it| it.get(field)?.as_str());
            let Some(name) = text(function, "name") else {
                return Err(self.cannot(".tool_calls: only calls of functions can be passed on"));
            };
            let arguments = text(function, "arguments").unwrap_or_default();
            let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
            let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
            if !arguments.is_object() {
                return Err(
                    self.cannot(&format!(".tool_calls: the arguments of `{name}` are no JSON object"))
                );
            }
            read.push(Called { id: text(Some(call), "id").unwrap_or_default(), name, arguments });
        }
        Ok(read)
    }
}

/// The name of the function that the call `id` called.
fn name_of<'a>(messages: &[Message<'a>], id: &str) -> Option<&'a str> {
    messages.iter().rev().find_map(|message| match message {
        Message::Assistant { calls, .. } => calls.iter().find(|call| call.id == id).map(|call| call.name),
        _ => None,
    })
}

/// The media type and the base64 of a `data:` URI.
fn data_uri(uri: &str) -> Option<(&str, &str)> {
    let (head, data) = uri.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    let media_type = media_type.split(';').next().unwrap_or_default();
    (!media_type.is_empty() && !data.is_empty()).then_some((media_type, data))
}

/// The offered tools, each as its `function`.
pub(crate) fn functions<'a>(endpoint: &Endpoint, payload: &'a Value) -> Result<Vec<&'a Value>, Error> {
    let tools = payload.get("tools").and_then(Value::as_array).into_iter().flatten();
    tools
        .map(|tool| match (tool.get("type").and_then(Value::as_str), tool.get("function")) {
            (Some("function"), Some(function)) if function.get("name").is_some_and(Value::is_string) => {
                Ok(function)
            }
            (Some("function") | None, _) => {
                Err(endpoint.wrong("payload.tools: a tool needs a function with a name"))
            }
            (Some(kind), _) => {
                Err(endpoint.cannot(&format!("payload.tools: has no tool of the type `{kind}`")))
            }
        })
        .collect()
}

/// The stop sequences as an array, in whichever form the payload has them.
pub(crate) fn stop(payload: &Value) -> Option<Value> {
    match payload.get("stop") {
        None | Some(Value::Null) => None,
        Some(text @ Value::String(_)) => Some(Value::Array(vec![text.clone()])),
        Some(other) => Some(other.clone()),
    }
}

/// The most tokens of an answer, by the field's newer name or the older one.
pub(crate) fn tokens_max(payload: &Value) -> Option<&Value> {
    let field = |name: &str| payload.get(name).filter(|value| !value.is_null());
    field("max_completion_tokens").or_else(|| field("max_tokens"))
}

/// The schema that the answer must match: `None` if the request asks for none, null if any JSON will do.
pub(crate) fn schema(endpoint: &Endpoint, payload: &Value) -> Result<Option<Value>, Error> {
    let format = payload.get("response_format").unwrap_or(&Value::Null);
    match (format.get("type").and_then(Value::as_str), format.pointer("/json_schema/schema")) {
        (None | Some("text"), _) => Ok(None),
        (Some("json_object"), _) => Ok(Some(Value::Null)),
        (Some("json_schema"), Some(schema)) => Ok(Some(schema.clone())),
        (Some("json_schema"), None) => {
            Err(endpoint.wrong("payload.response_format.json_schema.schema: is missing"))
        }
        (Some(other), _) => Err(endpoint.cannot(&format!("has no response_format `{other}`"))),
    }
}

#[cfg(test)]
mod tests;
