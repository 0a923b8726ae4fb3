//! Makes the parts of a form: texts, numbers, lists that repeat their name, and files.

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::multipart::{self, Form};
use serde_json::Value;

/// One part of a multipart body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    File { bytes: Vec<u8>, media_type: String, name: String },
}

/// The pairs of a form or of a query: a list repeats its name.
pub(super) fn pairs(value: &Value) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    for (name, value) in members(value) {
        for item in items(value) {
            pairs.push((name.clone(), text(item).map_err(|why| format!("{name}: {why}"))?));
        }
    }
    Ok(pairs)
}

/// The parts of a multipart body: a list repeats its name, `{ file = "base64 or data URI", name?, type? }` is a file.
pub(super) fn parts(value: &Value) -> Result<Vec<(String, Part)>, String> {
    let mut parts = Vec::new();
    for (name, value) in members(value) {
        for item in items(value) {
            if is_missing_file(item) {
                continue;
            }
            let part = match item.get("file") {
                Some(file) => self::file(file, item),
                None => text(item).map(Part::Text),
            };
            parts.push((name.clone(), part.map_err(|why| format!("{name}: {why}"))?));
        }
    }
    Ok(parts)
}

/// The body as the HTTP client sends it.
pub(super) fn form(parts: Vec<(String, Part)>) -> Result<Form, String> {
    parts.into_iter().try_fold(Form::new(), |form, (key, part)| {
        Ok(match part {
            Part::Text(text) => form.text(key, text),
            Part::File { bytes, media_type, name } => {
                let part = multipart::Part::bytes(bytes).file_name(name).mime_str(&media_type);
                form.part(key, part.map_err(|_| format!("`{media_type}` is no media type"))?)
            }
        })
    })
}

/// The bytes of a file in base64, and its type if a data URI names it.
pub(in crate::dynamic) fn bytes(text: &str) -> Result<(Vec<u8>, Option<String>), String> {
    let (media_type, data) = match text.strip_prefix("data:").map(|rest| rest.split_once(";base64,")) {
        Some(Some((media_type, data))) => ((!media_type.is_empty()).then(|| media_type.to_owned()), data),
        Some(None) => return Err("is a data URI without `;base64,`".to_owned()),
        None => (None, text),
    };
    let bytes = STANDARD.decode(data.trim()).map_err(|error| format!("is not base64: {error}"))?;
    Ok((bytes, media_type))
}

fn file(file: &Value, item: &Value) -> Result<Part, String> {
    let text = file.as_str().ok_or("a file is a text: base64 or a data URI")?;
    let (bytes, media_type) = bytes(text)?;
    let given = |key: &str| item.get(key).and_then(Value::as_str).map(str::to_owned);
    let sniffed = || infer::get(&bytes).map(|kind| kind.mime_type().to_owned());
    let media_type = given("type").or(media_type).or_else(sniffed);
    let media_type = media_type.unwrap_or_else(|| "application/octet-stream".to_owned());
    Ok(Part::File { media_type, name: given("name").unwrap_or_else(|| "file".to_owned()), bytes })
}

/// Whether a file has no bytes: then it is left out, as any other empty part would be.
fn is_missing_file(item: &Value) -> bool {
    item.as_object().is_some_and(|keys| keys.keys().all(|key| matches!(key.as_str(), "name" | "type")))
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        other => std::slice::from_ref(other),
    }
}

fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err("is neither text nor number; write it as JSON by `| tojson`".to_owned())
        }
    }
}
