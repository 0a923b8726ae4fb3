//! Writes a chat as a request of the Messages API, or says why it has no form there.

use serde_json::{Map, Value, json};

/// The limit of an answer if the chat has none: this API demands one. No answer of the table is as long.
const TOKENS_MAX: u64 = 100_000;

/// The body.
pub(super) fn of(request: &Value) -> Result<Value, String> {
    if request["action"] != "chat.completion" {
        return Err("the Messages API chats, and nothing else".to_owned());
    }
    let options = request.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    if let Some(name) = options.into_iter().find(|name| !matches!(*name, "action" | "payload")) {
        return Err(format!("the Messages API has no `{name}`"));
    }
    let payload = request["payload"].as_object().ok_or("its body is made of the payload")?;
    let mut body = Map::new();
    body.insert("max_tokens".into(), TOKENS_MAX.into());
    for (name, value) in payload {
        let (name, value) = match name.as_str() {
            same @ ("model" | "stream" | "temperature" | "top_p" | "top_k" | "simulate") => {
                (same, value.clone())
            }
            "max_tokens" | "max_completion_tokens" => ("max_tokens", value.clone()),
            "stop" => ("stop_sequences", value.clone()),
            "user" => ("metadata", json!({"user_id": value})),
            "tools" => ("tools", each(value, tool)?),
            "tool_choice" => ("tool_choice", choice(value)),
            // Sent with the choice, below.
            "parallel_tool_calls" => continue,
            "response_format" if value["type"] == "json_schema" => {
                let schema = &value["json_schema"]["schema"];
                ("output_config", json!({"format": {"type": "json_schema", "schema": schema}}))
            }
            "messages" => {
                let (system, turns) = conversation(value)?;
                body.extend(system.map(|system| ("system".to_owned(), system)));
                ("messages", turns)
            }
            other => return Err(format!("the Messages API has no `{other}` as chats have it")),
        };
        body.insert(name.to_owned(), value);
    }
    if payload.get("parallel_tool_calls") == Some(&Value::Bool(false)) {
        let choice = body.entry("tool_choice").or_insert_with(|| json!({"type": "auto"}));
        choice["disable_parallel_tool_use"] = true.into();
    }
    Ok(body.into())
}

/// Passes on what is no list, so that the API refuses it.
fn each(list: &Value, one: impl Fn(&Value) -> Result<Value, String>) -> Result<Value, String> {
    match list.as_array() {
        Some(items) => items.iter().map(one).collect(),
        None => Ok(list.clone()),
    }
}

fn tool(tool: &Value) -> Result<Value, String> {
    let function = &tool["function"];
    Ok(json!({"name": function["name"], "input_schema": function["parameters"]}))
}

fn choice(choice: &Value) -> Value {
    match choice.as_str() {
        Some("required") => json!({"type": "any"}),
        Some(word) => json!({"type": word}),
        None => json!({"type": "tool", "name": choice["function"]["name"]}),
    }
}

/// The instructions before everything else, and the turns.
fn conversation(messages: &Value) -> Result<(Option<Value>, Value), String> {
    let list = messages.as_array().map(Vec::as_slice).unwrap_or_default();
    match list {
        [first, rest @ ..] if first["role"] == "system" => {
            Ok((Some(first["content"].clone()), each(&rest.into(), turn)?))
        }
        _ => Ok((None, each(messages, turn)?)),
    }
}

fn turn(message: &Value) -> Result<Value, String> {
    let content = message.get("content").filter(|content| !content.is_null());
    if message["role"] == "tool" {
        let result =
            json!({"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": content});
        return Ok(json!({"role": "user", "content": [result]}));
    }
    let calls = message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut turn = json!({"role": message["role"]});
    let content = match content {
        Some(parts @ Value::Array(_)) => Some(each(parts, part)?),
        None if !calls.is_empty() => Some(calls.iter().map(call).collect()),
        other => other.cloned(),
    };
    if let Some(content) = content {
        turn["content"] = content;
    }
    Ok(turn)
}

fn part(part: &Value) -> Result<Value, String> {
    let data = |url: &str| {
        let (media_type, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
        Some(json!({"type": "base64", "media_type": media_type, "data": data}))
    };
    match part["type"].as_str() {
        Some("image_url") => {
            let source = part["image_url"]["url"].as_str().and_then(data);
            let source = source.ok_or("images are asked about as they are, not by an address")?;
            Ok(json!({"type": "image", "source": source}))
        }
        _ => Ok(part.clone()),
    }
}

fn call(call: &Value) -> Value {
    let function = &call["function"];
    let input: Value =
        serde_json::from_str(function["arguments"].as_str().unwrap_or_default()).unwrap_or_default();
    json!({"type": "tool_use", "id": call["id"], "name": function["name"], "input": input})
}
