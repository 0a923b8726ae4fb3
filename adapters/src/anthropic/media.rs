//! Translates images and documents inside a message.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::payload::File;

/// The image types that the API takes.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// The block of an image that is in a data URI or at an http(s) URL.
pub(super) fn image(url: &str) -> Result<Value, String> {
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(json!({"type": "image", "source": {"type": "url", "url": url}}));
    }
    let (media_type, data) = data_uri(url)
        .ok_or("an anthropic provider takes images as http(s) URLs or as data URIs in base64")?;
    if !IMAGES.contains(&media_type.as_str()) {
        return Err(format!(
            "an anthropic provider takes images as {}, not as `{media_type}`",
            IMAGES.join(", ")
        ));
    }
    let source = json!({"type": "base64", "media_type": media_type, "data": data});
    Ok(json!({"type": "image", "source": source}))
}

/// The block of a file that is in a data URI.
pub(super) fn document(file: &File) -> Result<Value, String> {
    let data = file.file_data.as_deref().and_then(data_uri);
    let (media_type, data) = data
        .ok_or("an anthropic provider takes files as data URIs in base64 (`file_data`), not by their id")?;
    let source = if media_type == "application/pdf" {
        json!({"type": "base64", "media_type": media_type, "data": data})
    } else if media_type.starts_with("text/") {
        let bytes = BASE64_STANDARD.decode(data).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or("the `file_data` of a text file must be UTF-8 in base64")?;
        json!({"type": "text", "media_type": "text/plain", "data": text})
    } else {
        return Err(format!("an anthropic provider takes files as PDF or text, not as `{media_type}`"));
    };
    let mut block = json!({"type": "document", "source": source});
    if let Some(name) = &file.filename {
        block["title"] = name.as_str().into();
    }
    Ok(block)
}

/// The media type, without its parameters, and the base64 of a data URI.
fn data_uri(uri: &str) -> Option<(String, &str)> {
    let (head, data) = uri.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?.split(';').next()?;
    let media_type = media_type.trim().to_ascii_lowercase();
    Some((if media_type == "image/jpg" { "image/jpeg".to_owned() } else { media_type }, data))
}
