//! Converts the `input` of the Responses API to chat messages. Pure. Refuses what a chat cannot carry, by the path of
//! its field.

use schemas::Error;
use serde_json::{Map, Value, json};

/// The messages of an `input`: a text, or a list of items.
pub(super) fn messages(input: &Value) -> Result<Vec<Value>, Error> {
    match input {
        Value::String(text) => Ok(vec![json!({ "role": "user", "content": text })]),
        Value::Array(items) => {
            let mut messages = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                add(&mut messages, &Field::new(item, format!("input[{index}]")))?;
            }
            Ok(messages)
        }
        _ => Err(Error::invalid("input", "expected a text or a list of items")),
    }
}

/// Part of a body, and the path that names it in an error.
struct Field<'a> {
    value: &'a Value,
    path: String,
}

impl<'a> Field<'a> {
    const fn new(value: &'a Value, path: String) -> Self {
        Self { value, path }
    }

    fn invalid(&self, why: &str) -> Error {
        Error::invalid(self.path.clone(), why)
    }

    /// The field `name`; `null` counts as absent.
    fn get(&self, name: &str) -> Option<Self> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        Some(Field::new(value, format!("{}.{name}", self.path)))
    }

    fn need(&self, name: &str) -> Result<Self, Error> {
        self.get(name).ok_or_else(|| Error::invalid(format!("{}.{name}", self.path), "is required"))
    }

    fn text(&self) -> Result<&'a str, Error> {
        self.value.as_str().ok_or_else(|| self.invalid("expected a string"))
    }

    fn parts(&self) -> Result<impl Iterator<Item = Field<'a>>, Error> {
        let parts =
            self.value.as_array().ok_or_else(|| self.invalid("expected a text or a list of parts"))?;
        let path = self.path.clone();
        Ok(parts.iter().enumerate().map(move |(index, part)| Field::new(part, format!("{path}[{index}]"))))
    }
}

fn add(messages: &mut Vec<Value>, item: &Field<'_>) -> Result<(), Error> {
    let kind = match item.get("type") {
        Some(kind) => kind.text()?,
        // A message may leave its type out.
        None => "message",
    };
    match kind {
        "message" => messages.push(message(item)?),
        "function_call" => call(messages, item)?,
        "function_call_output" => messages.push(result(item)?),
        // One model's reasoning is not passed to another: no provider accepts it in a chat.
        "reasoning" => {}
        "item_reference" => {
            return Err(item.invalid("items are not kept by their ids here: send the item itself, or name the response in `previous_response_id`"));
        }
        other => {
            let why = format!(
                "`{other}` is not known here; the items are message, function_call, function_call_output and reasoning"
            );
            return Err(Error::invalid(format!("{}.type", item.path), why));
        }
    }
    Ok(())
}

fn message(item: &Field<'_>) -> Result<Value, Error> {
    let role = item.need("role")?;
    let (said, content) = (role.text()?, item.need("content")?);
    match said {
        "assistant" => answer(&content),
        // Every provider knows `system`; few know the newer name.
        "system" | "developer" => Ok(json!({ "role": "system", "content": question(&content)? })),
        "user" => Ok(json!({ "role": "user", "content": question(&content)? })),
        _ => Err(role.invalid("expected user, assistant, system or developer")),
    }
}

/// Converts an earlier answer of a model.
fn answer(content: &Field<'_>) -> Result<Value, Error> {
    if let Some(text) = content.value.as_str() {
        return Ok(json!({ "role": "assistant", "content": text }));
    }
    let (mut text, mut refusal) = (String::new(), String::new());
    for part in content.parts()? {
        let kind = part.need("type")?;
        match kind.text()? {
            "output_text" | "input_text" => text.push_str(part.need("text")?.text()?),
            "refusal" => refusal.push_str(part.need("refusal")?.text()?),
            _ => return Err(kind.invalid("expected output_text or refusal in what an assistant said")),
        }
    }
    Ok(said(&text, &refusal))
}

/// A message from the model.
pub(super) fn said(text: &str, refusal: &str) -> Value {
    let mut message = json!({ "role": "assistant", "content": text });
    if !refusal.is_empty() {
        message["refusal"] = refusal.into();
        if text.is_empty() {
            message["content"] = Value::Null;
        }
    }
    message
}

/// Converts content for the model. A lone text part becomes a string: not every provider accepts parts.
fn question(content: &Field<'_>) -> Result<Value, Error> {
    if let Some(text) = content.value.as_str() {
        return Ok(text.into());
    }
    let parts = content.parts()?.map(|part| question_part(&part)).collect::<Result<Vec<_>, _>>()?;
    match parts.as_slice() {
        [only] if only["type"] == "text" => Ok(only["text"].clone()),
        _ => Ok(Value::Array(parts)),
    }
}

fn question_part(part: &Field<'_>) -> Result<Value, Error> {
    let kind = part.need("type")?;
    match kind.text()? {
        "input_text" | "output_text" => Ok(json!({ "type": "text", "text": part.need("text")?.text()? })),
        "input_image" => image(part),
        "input_file" => file(part),
        "input_audio" => Ok(json!({ "type": "input_audio", "input_audio": part.need("input_audio")?.value })),
        _ => Err(kind.invalid("expected input_text, input_image, input_file or input_audio")),
    }
}

fn image(part: &Field<'_>) -> Result<Value, Error> {
    if let Some(id) = part.get("file_id") {
        return Err(id.invalid(NO_FILES));
    }
    let mut image = Map::new();
    image.insert("url".into(), part.need("image_url")?.text()?.into());
    if let Some(detail) = part.get("detail") {
        image.insert("detail".into(), detail.text()?.into());
    }
    Ok(json!({ "type": "image_url", "image_url": image }))
}

fn file(part: &Field<'_>) -> Result<Value, Error> {
    if let Some(place) = part.get("file_id").or_else(|| part.get("file_url")) {
        return Err(place.invalid(NO_FILES));
    }
    let mut file = Map::new();
    file.insert("file_data".into(), part.need("file_data")?.text()?.into());
    if let Some(name) = part.get("filename") {
        file.insert("filename".into(), name.text()?.into());
    }
    Ok(json!({ "type": "file", "file": file }))
}

const NO_FILES: &str = "no files are kept or fetched here: send what is in it, as a data: URI";

/// Adds a tool call to the message of the model just before it.
fn call(messages: &mut Vec<Value>, item: &Field<'_>) -> Result<(), Error> {
    let (id, name) = (item.need("call_id")?.text()?, item.need("name")?.text()?);
    called(messages, id, name, item.need("arguments")?.text()?);
    Ok(())
}

/// Adds a tool call to the last message if that is the model's, or to a new one.
pub(super) fn called(messages: &mut Vec<Value>, id: &str, name: &str, arguments: &str) {
    let call = json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } });
    match messages.last_mut().and_then(Value::as_object_mut) {
        Some(last) if last.get("role").is_some_and(|role| role == "assistant") => {
            let calls = last.entry("tool_calls").or_insert_with(|| json!([]));
            if let Some(calls) = calls.as_array_mut() {
                calls.push(call);
            }
        }
        _ => messages.push(json!({ "role": "assistant", "content": null, "tool_calls": [call] })),
    }
}

/// Converts the result of a tool call.
fn result(item: &Field<'_>) -> Result<Value, Error> {
    let (id, output) = (item.need("call_id")?.text()?, item.need("output")?);
    let text = match output.value.as_str() {
        Some(text) => text.to_owned(),
        None => output.parts()?.map(|part| result_text(&part)).collect::<Result<String, _>>()?,
    };
    Ok(json!({ "role": "tool", "tool_call_id": id, "content": text }))
}

fn result_text<'a>(part: &Field<'a>) -> Result<&'a str, Error> {
    let kind = part.need("type")?;
    match kind.text()? {
        "input_text" | "output_text" => part.need("text")?.text(),
        _ => Err(kind.invalid("expected input_text: the output of a call is passed on only as text")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(input: Value) -> String {
        messages(&input).unwrap_err().param.unwrap()
    }

    #[test]
    fn a_text_is_what_a_user_says() {
        assert_eq!(messages(&json!("hi")).unwrap(), [json!({"role": "user", "content": "hi"})]);
    }

    #[test]
    fn messages_keep_who_said_them_and_a_lone_text_stays_one() {
        let input = json!([
            {"role": "developer", "content": "be brief"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "see"}]},
            {"role": "user", "content": [
                {"type": "input_text", "text": "this"},
                {"type": "input_image", "image_url": "https://x/cat.png", "detail": "low"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
            ]},
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
             "content": [{"type": "output_text", "text": "a ", "annotations": []}, {"type": "output_text", "text": "cat"}]},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        ]);
        let expected = json!([
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "see"},
            {"role": "user", "content": [
                {"type": "text", "text": "this"},
                {"type": "image_url", "image_url": {"url": "https://x/cat.png", "detail": "low"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
            ]},
            {"role": "assistant", "content": "a cat"},
            {"role": "assistant", "content": null, "refusal": "no"},
        ]);
        assert_eq!(Value::Array(messages(&input).unwrap()), expected);
    }

    #[test]
    fn calls_belong_to_what_was_said_before_them_and_reasoning_is_left_out() {
        let call = |id: &str| json!({"type": "function_call", "id": "fc", "call_id": id, "name": "f", "arguments": "{}"});
        let input = json!([
            call("c0"),
            {"role": "user", "content": "go"},
            {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x"},
            {"role": "assistant", "content": "I look"},
            call("c1"), call("c2"),
            {"type": "function_call_output", "call_id": "c1", "output": "sun"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "rain"}]},
        ]);
        let made =
            |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let expected = json!([
            {"role": "assistant", "content": null, "tool_calls": [made("c0")]},
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": "I look", "tool_calls": [made("c1"), made("c2")]},
            {"role": "tool", "tool_call_id": "c1", "content": "sun"},
            {"role": "tool", "tool_call_id": "c2", "content": "rain"},
        ]);
        assert_eq!(Value::Array(messages(&input).unwrap()), expected);
    }

    #[test]
    fn what_cannot_be_passed_on_is_refused_by_its_path() {
        assert_eq!(at(json!(7)), "input");
        assert_eq!(at(json!([{"type": "web_search_call"}])), "input[0].type");
        assert_eq!(at(json!([{"type": "item_reference", "id": "msg_1"}])), "input[0]");
        assert_eq!(at(json!([{"content": "x"}])), "input[0].role");
        assert_eq!(at(json!([{"role": "bard", "content": "x"}])), "input[0].role");
        let part = |part: Value| json!([{"role": "user", "content": [part]}]);
        assert_eq!(at(part(json!({"type": "input_image", "file_id": "f"}))), "input[0].content[0].file_id");
        assert_eq!(at(part(json!({"type": "input_file", "file_url": "u"}))), "input[0].content[0].file_url");
        assert_eq!(at(part(json!({"type": "input_text"}))), "input[0].content[0].text");
        assert_eq!(at(part(json!({"type": "video"}))), "input[0].content[0].type");
        assert_eq!(
            at(json!([{"type": "function_call", "name": "f", "arguments": "{}"}])),
            "input[0].call_id"
        );
        let image =
            json!([{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image"}]}]);
        assert_eq!(at(image), "input[0].output[0].type");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let word = prop::sample::select(vec![
            "message",
            "function_call",
            "function_call_output",
            "user",
            "assistant",
            "input_text",
            "refusal",
            "x",
        ]);
        let leaf =
            prop_oneof![Just(Value::Null), any::<i32>().prop_map(Value::from), word.prop_map(Value::from)];
        let names =
            vec!["type", "role", "content", "text", "refusal", "call_id", "name", "arguments", "output"];
        leaf.prop_recursive(4, 48, 6, move |inner| {
            let name = prop::sample::select(names.clone());
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::vec((name, inner), 0..7).prop_map(|fields| fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_chat_or_is_refused_by_a_path(input in any_json()) {
            match messages(&input) {
                Ok(messages) => for message in messages {
                    let message: schemas::chat::ChatMessage = serde_json::from_value(message).unwrap();
                    prop_assert!(message.content.is_some() || message.role == schemas::chat::Role::Assistant);
                },
                Err(error) => prop_assert!(error.param.unwrap().starts_with("input")),
            }
        }
    }
}
