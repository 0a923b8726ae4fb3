//! Converts the body of `POST /v1/responses` to a chat. Pure.
//!
//! Dynode refuses, by name, a field that it cannot honour. It silently drops fields that have no effect here: `include`
//! except for logprobs, `max_tool_calls` (counts only OpenAI's own tools), `truncation: disabled`, `stream_options`.
//! Fields that the Responses API does not define go to the provider unchanged, as for a chat.

use std::collections::BTreeMap;

use schemas::{Action, Error, ErrorCode, Request};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::input;

/// Fields of a chat that have another name in this API.
const RENAMED: [(&str, &str); 9] = [
    ("messages", "input"),
    ("max_tokens", "max_output_tokens"),
    ("max_completion_tokens", "max_output_tokens"),
    ("response_format", "text.format"),
    ("reasoning_effort", "reasoning.effort"),
    ("functions", "tools"),
    ("function_call", "tool_choice"),
    ("verbosity", "text.verbosity"),
    ("n", "input, one request for each answer"),
];
/// Fields that this server does not support, and what to do instead.
const REFUSED: [(&str, &str); 8] = [
    ("access_programs", "no programs are known here: leave it out"),
    ("image", "answers are text here; POST /v1/images/generations makes images"),
    (
        "conversation",
        "no conversations are kept here: name the response to go on from in `previous_response_id`",
    ),
    ("prompt", "no templates are kept here: send the whole text as `input` and `instructions`"),
    ("context_management", "nothing is compacted here: leave it out"),
    ("moderation", "nothing is moderated here: leave it out"),
    ("top_logprobs", "answers have no logprobs here: leave it out"),
    ("logprobs", "answers have no logprobs here: leave it out"),
];
/// Fields that reach the provider under the same name.
const PASSED_ON: [&str; 5] =
    ["safety_identifier", "user", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"];

/// The body of the request.
#[derive(Debug, Deserialize)]
pub(super) struct Create {
    model: String,
    #[serde(default)]
    input: Option<Value>,
    #[serde(default)]
    instructions: Option<String>,
    #[serde(default)]
    tools: Option<Vec<Value>>,
    #[serde(default)]
    tool_choice: Option<Value>,
    #[serde(default)]
    parallel_tool_calls: Option<bool>,
    #[serde(default)]
    text: Option<Text>,
    #[serde(default)]
    reasoning: Option<Reasoning>,
    #[serde(default)]
    max_output_tokens: Option<u32>,
    #[serde(default)]
    temperature: Option<f64>,
    #[serde(default)]
    top_p: Option<f64>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    service_tier: Option<String>,
    #[serde(default)]
    pub(super) previous_response_id: Option<String>,
    #[serde(default)]
    store: Option<bool>,
    #[serde(default)]
    background: Option<bool>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    truncation: Option<String>,
    #[serde(default)]
    include: Option<Vec<String>>,
    #[serde(default, rename = "max_tool_calls")]
    _max_tool_calls: Option<u64>,
    #[serde(default, rename = "stream_options")]
    _stream_options: Option<Value>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    format: Option<Value>,
    #[serde(default)]
    verbosity: Option<String>,
}

/// How hard the model should think, and the kind of summary.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reasoning {
    #[serde(default)]
    effort: Option<String>,
    /// Reasoning that the provider returns is always shown, so this changes nothing.
    #[serde(default)]
    summary: Option<String>,
    /// The older name of `summary`.
    #[serde(default, rename = "generate_summary", skip_serializing)]
    _generate_summary: Option<String>,
}

/// The fields of the question that a response repeats.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Echo {
    pub(super) background: bool,
    instructions: Option<String>,
    max_output_tokens: Option<u32>,
    metadata: BTreeMap<String, String>,
    model: String,
    parallel_tool_calls: bool,
    previous_response_id: Option<String>,
    reasoning: Reasoning,
    service_tier: Option<String>,
    /// Whether the response can be retrieved.
    pub(super) store: bool,
    temperature: Option<f64>,
    text: Value,
    tool_choice: Value,
    tools: Vec<Value>,
    top_p: Option<f64>,
    truncation: String,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// A question, ready to be submitted.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) echo: Echo,
    pub(super) streamed: bool,
    /// The conversation, without instructions.
    pub(super) messages: Vec<Value>,
}

impl Create {
    pub(super) fn parse(body: Value) -> Result<Self, Error> {
        if !body.is_object() {
            return Err(Error::new(ErrorCode::InvalidRequest, "the body: expected an object"));
        }
        let create: Self = schemas::codec::from_value(body, "")?;
        create.check()?;
        Ok(create)
    }

    fn check(&self) -> Result<(), Error> {
        let is_given = |name: &str| self.others.get(name).is_some_and(|value| !value.is_null());
        if let Some((name, why)) = REFUSED.into_iter().find(|(name, _)| is_given(name)) {
            return Err(Error::invalid(name, why));
        }
        if let Some((name, here)) = RENAMED.into_iter().find(|(name, _)| is_given(name)) {
            return Err(Error::invalid(name, format!("is a field of chat completions; here it is `{here}`")));
        }
        if let Some(other) = self.truncation.as_deref().filter(|text| *text != "disabled") {
            let why = format!("expected `disabled`, not `{other}`: input that is too long is always refused");
            return Err(Error::invalid("truncation", why));
        }
        if self.include.iter().flatten().any(|name| name == "message.output_text.logprobs") {
            return Err(Error::invalid("include", "answers have no logprobs here"));
        }
        if self.background == Some(true) && self.store == Some(false) {
            return Err(Error::invalid(
                "background",
                "a response in the background must be stored to be retrieved: set `store` to true",
            ));
        }
        Ok(())
    }

    /// Converts the question to a chat that follows the messages `before`.
    pub(super) fn into_asked(self, before: Vec<Value>) -> Result<Asked, Error> {
        let mut messages = before;
        messages.extend(self.input.as_ref().map(input::messages).transpose()?.unwrap_or_default());
        let instructions = self.instructions.iter().map(|text| json!({ "role": "system", "content": text }));
        let payload = self.payload(instructions.chain(messages.iter().cloned()).collect())?;
        let mut request = Request::new(Action::ChatCompletion, payload);
        request.metadata = self.metadata.clone().unwrap_or_default();
        let streamed = self.stream.unwrap_or(false);
        Ok(Asked { request, echo: self.into_echo(), streamed, messages })
    }

    fn payload(&self, messages: Vec<Value>) -> Result<Value, Error> {
        let mut payload = self.others.clone();
        payload.retain(|_, value| !value.is_null());
        payload.insert("model".into(), self.model.clone().into());
        payload.insert("messages".into(), messages.into());
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                payload.insert(name.to_owned(), value);
            }
        };
        set("stream", self.stream.map(Value::from));
        set("max_completion_tokens", self.max_output_tokens.map(Value::from));
        set("temperature", self.temperature.map(Value::from));
        set("top_p", self.top_p.map(Value::from));
        set("parallel_tool_calls", self.parallel_tool_calls.map(Value::from));
        set("service_tier", self.service_tier.clone().map(Value::from));
        set("reasoning_effort", self.reasoning.as_ref().and_then(|of| of.effort.clone()).map(Value::from));
        set("verbosity", self.text.as_ref().and_then(|text| text.verbosity.clone()).map(Value::from));
        let format = self.text.as_ref().and_then(|text| text.format.as_ref());
        set("response_format", format.map(response_format).transpose()?.flatten());
        let tools = self.tools.as_deref().unwrap_or_default();
        let tools = tools.iter().enumerate().map(|(index, tool)| function(index, tool));
        let tools = tools.collect::<Result<Vec<_>, _>>()?;
        let choice = self.tool_choice.as_ref().map(tool_choice).transpose()?;
        match choice {
            Some(choice) if tools.is_empty() && choice != "auto" && choice != "none" => {
                return Err(Error::invalid("tool_choice", "demands a tool call, but there are no `tools`"));
            }
            _ if tools.is_empty() => {}
            choice => {
                set("tools", Some(tools.into()));
                set("tool_choice", choice);
            }
        }
        Ok(payload.into())
    }

    fn into_echo(mut self) -> Echo {
        let text = self.text.unwrap_or(Text { format: None, verbosity: None });
        let mut told = json!({ "format": text.format.unwrap_or_else(|| json!({ "type": "text" })) });
        if let Some(verbosity) = text.verbosity {
            told["verbosity"] = verbosity.into();
        }
        let others = PASSED_ON.into_iter().filter_map(|name| self.others.remove_entry(name));
        Echo {
            background: self.background.unwrap_or(false),
            instructions: self.instructions,
            max_output_tokens: self.max_output_tokens,
            metadata: self.metadata.unwrap_or_default(),
            model: self.model,
            parallel_tool_calls: self.parallel_tool_calls.unwrap_or(true),
            previous_response_id: self.previous_response_id,
            reasoning: self.reasoning.unwrap_or_default(),
            service_tier: self.service_tier,
            store: self.store.unwrap_or(true),
            temperature: self.temperature,
            text: told,
            tool_choice: self.tool_choice.unwrap_or_else(|| "auto".into()),
            tools: self.tools.unwrap_or_default(),
            top_p: self.top_p,
            truncation: "disabled".into(),
            others: others.collect(),
        }
    }
}

/// Converts `text.format` to that of a chat; `None` for plain text.
fn response_format(format: &Value) -> Result<Option<Value>, Error> {
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(json!({ "type": "json_object" }))),
        Some("json_schema") => {
            let inner = without_type(format);
            if !inner.get("schema").is_some_and(Value::is_object) {
                return Err(Error::invalid("text.format.schema", "expected a JSON Schema"));
            }
            Ok(Some(json!({ "type": "json_schema", "json_schema": inner })))
        }
        _ => Err(Error::invalid("text.format.type", "expected text, json_object or json_schema")),
    }
}

/// Converts a tool to that of a chat.
fn function(index: usize, tool: &Value) -> Result<Value, Error> {
    let kind = tool.get("type").and_then(Value::as_str).unwrap_or_default();
    if kind != "function" {
        let why = format!(
            "`{}` does not run here: only `function` tools, which the client runs, do",
            kind.escape_debug()
        );
        return Err(Error::invalid(format!("tools[{index}].type"), why));
    }
    if !tool.get("name").is_some_and(Value::is_string) {
        return Err(Error::invalid(format!("tools[{index}].name"), "is required, and a string"));
    }
    Ok(json!({ "type": "function", "function": without_type(tool) }))
}

/// Converts the choice of a tool to that of a chat.
fn tool_choice(choice: &Value) -> Result<Value, Error> {
    let text = |name: &str| choice.get(name).and_then(Value::as_str);
    match (choice.as_str(), text("type"), text("name")) {
        (Some("none" | "auto" | "required"), ..) => Ok(choice.clone()),
        (None, Some("function"), Some(name)) => {
            Ok(json!({ "type": "function", "function": { "name": name } }))
        }
        _ => {
            let why = "expected none, auto, required or {\"type\":\"function\",\"name\":…}";
            Err(Error::invalid("tool_choice", why))
        }
    }
}

fn without_type(object: &Value) -> Map<String, Value> {
    let mut fields = object.as_object().cloned().unwrap_or_default();
    fields.retain(|name, value| name != "type" && !value.is_null());
    fields
}

/// Renames the fields in a chat's error to those of this API.
pub(super) fn relative(error: Error) -> Error {
    const NAMES: [(&str, &str); 5] = [
        ("response_format.json_schema", "text.format"),
        ("response_format", "text.format"),
        ("max_completion_tokens", "max_output_tokens"),
        ("reasoning_effort", "reasoning.effort"),
        ("messages", "input"),
    ];
    let mut error = crate::refusal::relative_to_body(error);
    let Some(param) = error.param.clone() else { return error };
    let renamed = NAMES.iter().find_map(|(chat, here)| {
        let rest = param.strip_prefix(chat).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))?;
        Some(format!("{here}{rest}"))
    });
    if let Some(renamed) = renamed {
        if let Some(why) = error.message.strip_prefix(&param) {
            error.message = format!("{renamed}{why}");
        }
        error.param = Some(renamed);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: Value) -> Result<Asked, Error> {
        Create::parse(body)?.into_asked(Vec::new())
    }

    fn with(field: &str, value: Value) -> Value {
        let mut body = json!({ "model": "m", "input": "hi" });
        body[field] = value;
        body
    }

    #[test]
    fn a_question_becomes_a_chat_field_by_field() {
        let function = json!({"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true});
        let schema =
            json!({"type": "json_schema", "name": "n", "strict": true, "schema": {"type": "object"}});
        let body = json!({
            "model": "m", "instructions": "be brief", "input": "hi", "stream": true, "max_output_tokens": 9,
            "temperature": 0.5, "top_p": 0.9, "parallel_tool_calls": false, "service_tier": "flex",
            "reasoning": {"effort": "low", "summary": "auto"}, "text": {"format": schema, "verbosity": "low"},
            "tools": [function], "tool_choice": {"type": "function", "name": "f"}, "metadata": {"k": "v"},
            "user": "u", "top_k": 3, "include": ["reasoning.encrypted_content"], "truncation": "disabled",
        });
        let Asked { request, echo, streamed, .. } = asked(body.clone()).unwrap();
        let expected = json!({
            "model": "m", "stream": true, "max_completion_tokens": 9, "temperature": 0.5, "top_p": 0.9,
            "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
            "parallel_tool_calls": false, "service_tier": "flex", "reasoning_effort": "low", "verbosity": "low",
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": {"type": "object"}}},
            "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "user": "u", "top_k": 3,
        });
        assert_eq!(request.payload, expected);
        assert_eq!((request.metadata["k"].as_str(), streamed), ("v", true));
        let told = serde_json::to_value(&echo).unwrap();
        for field in
            ["tools", "tool_choice", "temperature", "metadata", "text", "instructions", "user", "model"]
        {
            assert_eq!(told[field], body[field], "{field}");
        }
        assert_eq!(told.get("top_k"), None, "it is no field of a response");
        let read: Echo = serde_json::from_value(told.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), told, "what is kept is what was told");
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        let tool = |kind: &str| json!([{"type": "function", "name": "f"}, {"type": kind}]);
        for (field, value, param) in [
            ("tools", tool("web_search"), "tools[1].type"),
            ("tools", tool("mcp"), "tools[1].type"),
            ("tools", json!([{"type": "function"}]), "tools[0].name"),
            ("conversation", json!("conv_1"), "conversation"),
            ("prompt", json!({"id": "p"}), "prompt"),
            ("truncation", json!("auto"), "truncation"),
            ("top_logprobs", json!(3), "top_logprobs"),
            ("include", json!(["message.output_text.logprobs"]), "include"),
            ("messages", json!([]), "messages"),
            ("max_tokens", json!(3), "max_tokens"),
            ("text", json!({"format": {"type": "grammar"}}), "text.format.type"),
            ("text", json!({"format": {"type": "json_schema", "name": "n"}}), "text.format.schema"),
            ("input", json!([{"role": "user", "content": 7}]), "input[0].content"),
            ("model", json!(7), "model"),
            ("stream", json!("yes"), "stream"),
        ] {
            let error = asked(with(field, value)).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param), "{error}");
            assert_eq!(error.code, ErrorCode::InvalidRequest);
        }
        let chosen = json!({"model": "m", "input": "hi", "tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": "web_search"}});
        assert_eq!(asked(chosen).unwrap_err().param.as_deref(), Some("tool_choice"));
        let body = json!({"model": "m", "input": "hi", "background": true, "store": false});
        assert_eq!(asked(body).unwrap_err().param.as_deref(), Some("background"));
    }

    #[test]
    fn null_is_as_good_as_nothing() {
        for field in
            ["instructions", "tools", "text", "reasoning", "conversation", "prompt", "metadata", "store"]
        {
            let asked = asked(with(field, Value::Null)).unwrap();
            assert!(asked.echo.store, "{field}");
        }
    }

    #[test]
    fn errors_of_the_chat_name_the_fields_of_this_api() {
        for (chat, here) in [
            ("payload.messages", "input"),
            ("payload.max_completion_tokens", "max_output_tokens"),
            ("payload.response_format.json_schema.schema.type", "text.format.schema.type"),
            ("payload.temperature", "temperature"),
            ("payload.messagesx", "messagesx"),
        ] {
            let error = relative(Error::invalid(chat, "is bad"));
            assert_eq!((error.param.as_deref(), error.message), (Some(here), format!("{here}: is bad")));
        }
    }
}
