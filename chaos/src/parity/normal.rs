//! Before the comparison, makes alike what cannot be equal; [`RULES`] lists all of it in the report.

use reqwest::header::HeaderMap;
use schemas::{ChatOutput, Error, Outcome, Output, error::TABLE};
use serde_json::{Map, Value, json};

/// What is not compared as it came, and why.
pub(super) const RULES: [(&str, &str); 10] = [
    ("the request's id, wherever it stands", "each request has its own: it reads `<id>`"),
    ("timings, started_at, ended_at, expires_at, created", "clocks differ: they are left out"),
    (
        "ids and addresses of assets",
        "they follow from the request's id: type, length and SHA-256 of the bytes read are compared",
    ),
    (
        "retry_after_ms, Retry-After, estimated_wait_ms",
        "spread at random: that there is one is compared, and that the header is the same rounded up",
    ),
    (
        "an error's status and type",
        "those that the table of errors has for the code: on the socket and the bus, which have no status line, and at the Messages API where its own are those of the table",
    ),
    (
        "the words of a response that failed",
        "the Responses API has few of its own: ours begin its message, and are taken from there",
    ),
    (
        "fields that an API calls otherwise",
        "`input`, `max_output_tokens`, `text.format.schema` and `output_config.format.schema` read as chats call them",
    ),
    ("`payload.` before a parameter", "at the doors whose body is the payload, paths begin there"),
    (
        "neighbouring pieces of a stream",
        "a reader that is behind gets them as one, and is told of how many it is made (not in OpenAI's form): such a piece is equal to those it is made of",
    ),
    ("numbers", "equal within 1e-6"),
];

/// An error, as the WebSocket and the bus tell it.
pub(super) fn error(error: &Error) -> Value {
    let row = error.code.row();
    let (param, message) = relative(error.param.as_deref(), &error.message);
    let mut value = json!({
        "code": row.name, "http": row.http_status, "type": row.openai_type, "param": param, "message": message,
        "retryable": error.retryable, "retry_after": error.retry_after_ms.is_some(),
    });
    if let Some(status) = error.upstream_status {
        value["upstream_status"] = status.into();
    }
    value
}

/// An error, as an HTTP answer tells it, and what is wrong with the answer itself.
pub(super) fn refusal(status: u16, headers: &HeaderMap, body: &Value) -> (Value, Vec<String>) {
    let mut faults = Vec::new();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let number = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
    let (seconds, milliseconds) = (number("retry-after"), number("retry-after-ms"));
    if seconds != milliseconds.map(|milliseconds| milliseconds.div_ceil(1_000).max(1)) {
        faults.push(format!("Retry-After {seconds:?}, but retry-after-ms {milliseconds:?}"));
    }
    let may_retry = matches!(status, 408 | 409 | 429) || status >= 500;
    let retryable = may_retry && text("x-should-retry") != Some("false");
    let mut error = in_stream(body);
    error["http"] = status.into();
    error["retryable"] = retryable.into();
    error["retry_after"] = milliseconds.is_some().into();
    (error, faults)
}

/// An error object inside a stream, which has neither a status nor headers to tell more.
pub(super) fn in_stream(body: &Value) -> Value {
    let error = &body["error"];
    object(&error["code"], &error["type"], &error["param"], &error["message"])
}

/// The same for the Messages API.
pub(super) fn refusal_of_messages(status: u16, headers: &HeaderMap, body: &Value) -> (Value, Vec<String>) {
    let (mut error, faults) = refusal(status, headers, &json!({"error": in_stream_of_messages(body)}));
    if let Some(row) = TABLE.iter().find(|row| error["code"] == row.name) {
        match status {
            of_this_api if of_this_api == row.anthropic_status => error["http"] = row.http_status.into(),
            // The status of the other doors is wrong here.
            of_others if of_others == row.http_status => error["http"] = Value::Null,
            _ => {}
        }
    }
    (error, faults)
}

/// The same for the Messages API.
pub(super) fn in_stream_of_messages(body: &Value) -> Value {
    let (error, details) = (&body["error"], &body["error"]["details"]);
    let row =
        TABLE.iter().find(|row| details["error_code"] == row.name && error["type"] == row.anthropic_type);
    let kind = row.map_or_else(|| error["type"].clone(), |row| row.openai_type.into());
    object(&details["error_code"], &kind, &details["param"], &error["message"])
}

/// An error by its parts.
pub(super) fn object(code: &Value, kind: &Value, param: &Value, message: &Value) -> Value {
    let (param, message) = relative(param.as_str(), message.as_str().unwrap_or_default());
    json!({"code": code, "type": kind, "param": param, "message": message})
}

/// An error about a field that this API names differently from chats: `names` has both.
pub(super) fn renamed(mut error: Value, names: &[(&str, &str)]) -> Value {
    let Some(param) = error["param"].as_str().map(str::to_owned) else { return error };
    let chat = names.iter().find_map(|(name, chat)| {
        let rest = param.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))?;
        Some(format!("{chat}{rest}"))
    });
    let Some(chat) = chat else { return error };
    if let Some(why) = error["message"].as_str().and_then(|message| message.strip_prefix(&param)) {
        error["message"] = format!("{chat}{why}").into();
    }
    error["param"] = chat.into();
    error
}

/// Makes paths relative to the payload.
fn relative(param: Option<&str>, message: &str) -> (Option<String>, String) {
    let short = |path: &str| path.strip_prefix("payload.").unwrap_or(path).to_owned();
    match param {
        Some("payload") => {
            let why = message.strip_prefix("payload: ").unwrap_or(message);
            (None, format!("the body: {why}"))
        }
        Some(path) => match message.strip_prefix(path) {
            Some(why) => (Some(short(path)), format!("{}{why}", short(path))),
            None => (Some(short(path)), message.to_owned()),
        },
        None => (None, message.to_owned()),
    }
}

/// An answer.
pub(super) fn output(output: &Output) -> Value {
    match output {
        Output::Chat(chat) => json!({"choices": chat.choices().map(choice).collect::<Vec<_>>()}),
        Output::Embeddings(vectors) => json!({"embeddings": vectors.embeddings}),
        Output::Media(media) => {
            let file = |asset: &schemas::Asset| json!({"media_type": asset.media_type, "bytes": asset.bytes, "sha256": asset.sha256});
            let files: Vec<_> = media.assets.iter().map(file).collect();
            json!({"files": files, "details": media.details})
        }
        Output::Other(value) => value.clone(),
    }
}

fn choice(answer: &ChatOutput) -> Value {
    json!({
        "text": answer.text, "reasoning": answer.reasoning, "refusal": answer.refusal,
        "tool_calls": answer.tool_calls, "finish_reason": answer.finish_reason,
    })
}

/// The record of a request.
pub(super) fn record(outcome: &Outcome) -> Value {
    let mut value = serde_json::to_value(outcome).unwrap_or_default();
    if let Some(answer) = &outcome.output {
        value["output"] = output(answer);
    }
    if let Some(why) = &outcome.error {
        value["error"] = error(why);
    }
    if let Value::Object(fields) = &mut value {
        fields.remove("timings");
    }
    for attempt in value.get_mut("attempts").and_then(Value::as_array_mut).into_iter().flatten() {
        let why = error_of(attempt);
        if let Value::Object(fields) = attempt {
            fields.extend(why.map(|why| ("error".to_owned(), why)));
            fields.retain(|name, _| !matches!(name.as_str(), "started_at" | "ended_at"));
        }
    }
    value
}

fn error_of(attempt: &Value) -> Option<Value> {
    serde_json::from_value(attempt.get("error")?.clone()).ok().map(|why: Error| error(&why))
}

/// Writes `<id>` in place of the request's id.
pub(super) fn nameless(value: Value, id: &str) -> Value {
    match value {
        Value::String(text) if text.contains(id) => text.replace(id, "<id>").into(),
        Value::Array(items) => items.into_iter().map(|item| nameless(item, id)).collect(),
        Value::Object(fields) => {
            let fields: Map<_, _> =
                fields.into_iter().map(|(name, field)| (name, nameless(field, id))).collect();
            fields.into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_the_same_by_whatever_handle() {
        let told = Error::invalid("payload.messages[0].role", "expected a string");
        let body = json!({"error": {"code": "invalid_request", "type": "invalid_request_error",
            "param": "messages[0].role", "message": "messages[0].role: expected a string"}});
        assert_eq!(refusal(400, &HeaderMap::new(), &body), (error(&told), Vec::new()));
    }

    #[test]
    fn an_error_of_the_messages_api_is_the_same_where_its_words_are_those_of_the_table() {
        let told = Error::new(schemas::ErrorCode::Overloaded, "full");
        let body = |kind: &str| json!({"type": "error", "error": {"type": kind, "message": "full", "details": {"error_code": "overloaded"}}});
        assert_eq!(refusal_of_messages(529, &HeaderMap::new(), &body("overloaded_error")).0, error(&told));
        assert_ne!(refusal_of_messages(429, &HeaderMap::new(), &body("overloaded_error")).0, error(&told));
        assert_ne!(refusal_of_messages(529, &HeaderMap::new(), &body("api_error")).0, error(&told));
    }

    #[test]
    fn fields_are_called_as_chats_call_them() {
        let here = json!({"param": "input[0].role", "message": "input[0].role: is bad"});
        let chat = json!({"param": "messages[0].role", "message": "messages[0].role: is bad"});
        assert_eq!(renamed(here, &[("input", "messages")]), chat);
        let other = json!({"param": "inputs", "message": "inputs: is bad"});
        assert_eq!(renamed(other.clone(), &[("input", "messages")]), other);
    }

    #[test]
    fn a_hint_in_seconds_that_is_not_the_one_in_milliseconds_is_a_fault() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "1".parse().unwrap());
        headers.insert("retry-after-ms", "1200".parse().unwrap());
        assert_eq!(refusal(429, &headers, &json!({})).1.len(), 1);
        headers.insert("retry-after", "2".parse().unwrap());
        assert_eq!(refusal(429, &headers, &json!({})).1, [""; 0]);
    }
}
