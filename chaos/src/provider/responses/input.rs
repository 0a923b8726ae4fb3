//! Reads what a request puts before the model: a text, or items in their order. Each item has only parts that its role
//! may have, and each tool result has the call that it answers.

use serde_json::Value;

use super::item::SEALED;
use crate::provider::errors::ApiError;
use crate::provider::fields::present;

/// Tokens that each item costs besides its text.
const ITEM_OVERHEAD_TOKENS: u32 = 4;

const ROLES: [&str; 4] = ["assistant", "system", "developer", "user"];

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Input<'a> {
    pub(super) texts: Vec<&'a str>,
    /// Tokens besides those of the texts.
    pub(super) overhead: u32,
    /// Whether the last item is a tool's result.
    pub(super) is_answered: bool,
}

/// The input of the request.
pub(super) fn read(body: &Value) -> Result<Input<'_>, ApiError> {
    let items = match present(body, "input") {
        None => return Err(ApiError::missing("input")),
        Some(Value::String(text)) => {
            return Ok(Input { texts: vec![text], overhead: ITEM_OVERHEAD_TOKENS, is_answered: false });
        }
        Some(Value::Array(items)) => items,
        Some(other) => return Err(ApiError::wrong_type("input", "a string or an array of items", other)),
    };
    if items.is_empty() {
        return Err(ApiError::wrong_value("input", "empty array. Expected an array with minimum length 1."));
    }
    let mut input = Input::default();
    let (mut called, mut answered) = (Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        let path = format!("input[{index}]");
        input.overhead = input.overhead.saturating_add(ITEM_OVERHEAD_TOKENS);
        input.is_answered = false;
        match (item.get("type").and_then(Value::as_str), item.get("role").is_some()) {
            (Some("message"), _) | (None, true) => message(item, &path, &mut input.texts)?,
            (Some("function_call"), _) => {
                called.push(text(item, &path, "call_id")?);
                text(item, &path, "name")?;
                input.texts.push(text(item, &path, "arguments")?);
            }
            (Some("function_call_output"), _) => {
                answered.push(text(item, &path, "call_id")?);
                input.texts.push(text(item, &path, "output")?);
                input.is_answered = true;
            }
            (Some("reasoning"), _) => reasoning(item, &path)?,
            _ => {
                let problem =
                    "the simulator knows messages, reasoning, calls of functions and their results.";
                return Err(ApiError::wrong_value(&format!("{path}.type"), problem));
            }
        }
    }
    if let Some(id) = answered.iter().find(|id| !called.contains(id)) {
        let problem = format!("No tool call found for function call output with call_id {id}.");
        return Err(ApiError::wrong_value("input", &problem));
    }
    if let Some(id) = called.iter().find(|id| !answered.contains(id)) {
        return Err(ApiError::wrong_value("input", &format!("No tool output found for function call {id}.")));
    }
    Ok(input)
}

/// Takes thoughts back only sealed as they were: the simulator keeps none.
fn reasoning(item: &Value, path: &str) -> Result<(), ApiError> {
    let id = text(item, path, "id")?;
    match present(item, "encrypted_content") {
        Some(sealed) if *sealed == SEALED => Ok(()),
        Some(_) => {
            let problem = format!("The encrypted content for item {id} could not be verified.");
            Err(ApiError::wrong_value(&format!("{path}.encrypted_content"), &problem))
        }
        None => {
            let problem = format!("Item with id '{id}' not found. Items are not persisted.");
            Err(ApiError::wrong_value("input", &problem))
        }
    }
}

/// A text that must be there.
fn text<'a>(item: &'a Value, path: &str, name: &str) -> Result<&'a str, ApiError> {
    let path = format!("{path}.{name}");
    let value = present(item, name).ok_or_else(|| ApiError::missing(&path))?;
    value.as_str().ok_or_else(|| ApiError::wrong_type(&path, "a string", value))
}

fn message<'a>(item: &'a Value, path: &str, texts: &mut Vec<&'a str>) -> Result<(), ApiError> {
    let role = text(item, path, "role")?;
    if !ROLES.contains(&role) {
        let problem = "Supported values are: 'assistant', 'system', 'developer', and 'user'.";
        return Err(ApiError::wrong_value(&format!("{path}.role"), problem));
    }
    let path = format!("{path}.content");
    let parts = match present(item, "content") {
        None => return Err(ApiError::missing(&path)),
        Some(Value::String(text)) => {
            texts.push(text);
            return Ok(());
        }
        Some(Value::Array(parts)) => parts,
        Some(other) => return Err(ApiError::wrong_type(&path, "a string or an array of parts", other)),
    };
    for (index, part) in parts.iter().enumerate() {
        let path = format!("{path}[{index}]");
        match (text(part, &path, "type")?, role == "assistant") {
            ("input_text", false) | ("output_text", true) => texts.push(text(part, &path, "text")?),
            ("refusal", true) => texts.push(text(part, &path, "refusal")?),
            ("input_image", false) => image(part, &path)?,
            ("input_file", false) => {}
            (_, is_answer) => {
                let known = if is_answer {
                    "'output_text' and 'refusal'"
                } else {
                    "'input_text', 'input_image', and 'input_file'"
                };
                let problem = format!("Supported values are: {known}.");
                return Err(ApiError::wrong_value(&format!("{path}.type"), &problem));
            }
        }
    }
    Ok(())
}

/// A picture's URL stands bare: not in an object as in chats.
fn image(part: &Value, path: &str) -> Result<(), ApiError> {
    if present(part, "file_id").is_some() {
        return Ok(());
    }
    let url = text(part, path, "image_url")?;
    if ["https://", "http://", "data:image/"].iter().any(|scheme| url.starts_with(scheme)) {
        Ok(())
    } else {
        Err(ApiError::wrong_value(
            &format!("{path}.image_url"),
            "Expected a valid URL, but got a value with an invalid format.",
        ))
    }
}
