//! Parses the blocks of messages, and turns content blocks into the parts of an OpenAI message.

use base64::{Engine, prelude::BASE64_STANDARD};
use schemas::Error;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value, json};

use super::body::{CacheControl, Content};

/// The image types that the API accepts.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// One block. `conversation` decides which block may stand where.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Block {
    Text {
        text: String,
        citations: Option<Vec<IgnoredAny>>,
        cache_control: Option<CacheControl>,
    },
    Image {
        source: Source,
        cache_control: Option<CacheControl>,
    },
    Document {
        source: Source,
        title: Option<String>,
        context: Option<String>,
        citations: Option<Citations>,
        cache_control: Option<CacheControl>,
    },
    ToolUse {
        id: String,
        name: String,
        input: Map<String, Value>,
        /// Who made the call: the model, the only caller offered here.
        #[serde(rename = "caller")]
        _caller: Option<IgnoredAny>,
        toolset_name: Option<String>,
        cache_control: Option<CacheControl>,
    },
    ToolResult {
        tool_use_id: String,
        content: Option<Content>,
        is_error: Option<bool>,
        toolset_name: Option<String>,
        cache_control: Option<CacheControl>,
    },
    Thinking {
        thinking: String,
        #[serde(rename = "signature")]
        _signature: Option<IgnoredAny>,
    },
    RedactedThinking {
        #[serde(rename = "data")]
        _data: Option<IgnoredAny>,
    },
}

/// Where the data of an image or a document is.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Source {
    Base64 {
        media_type: String,
        data: String,
    },
    Text {
        #[serde(rename = "media_type")]
        _media_type: Option<IgnoredAny>,
        data: String,
    },
    Url {
        url: String,
    },
    File {
        #[serde(rename = "file_id")]
        _file_id: IgnoredAny,
    },
    Content {
        #[serde(rename = "content")]
        _content: IgnoredAny,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Citations {
    pub(super) enabled: Option<bool>,
}

impl Block {
    /// The name of the block's type.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Image { .. } => "image",
            Self::Document { .. } => "document",
            Self::ToolUse { .. } => "tool_use",
            Self::ToolResult { .. } => "tool_result",
            Self::Thinking { .. } => "thinking",
            Self::RedactedThinking { .. } => "redacted_thinking",
        }
    }

    /// The message part for a content block; `at` is the block's path.
    pub(super) fn into_part(self, at: &str) -> Result<Value, Error> {
        let (part, cache_control) = match self {
            Self::Text { text, cache_control, .. } => (text_part(&text), cache_control),
            Self::Image { source, cache_control } => (image(source, at)?, cache_control),
            Self::Document { source, title, context, citations, cache_control } => {
                if context.is_some() {
                    return Err(Error::invalid(
                        format!("{at}.context"),
                        "is not supported; put it into a text block",
                    ));
                }
                if citations.is_some_and(|citations| citations.enabled == Some(true)) {
                    return Err(Error::invalid(format!("{at}.citations"), "citations are not supported"));
                }
                (document(source, title, at)?, cache_control)
            }
            other => {
                return Err(Error::invalid(
                    at.to_owned(),
                    format!("a `{}` block is not allowed here", other.kind()),
                ));
            }
        };
        Ok(CacheControl::mark(part, cache_control))
    }
}

/// A text part.
pub(super) fn text_part(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn image(source: Source, at: &str) -> Result<Value, Error> {
    let wrong = |field: &str, why: &str| Err(Error::invalid(format!("{at}.source{field}"), why));
    let url = match source {
        Source::Base64 { data, .. } if data.is_empty() => return wrong(".data", "must not be empty"),
        Source::Base64 { media_type, data } if IMAGES.contains(&media_type.as_str()) => {
            format!("data:{media_type};base64,{data}")
        }
        Source::Base64 { .. } => {
            return wrong(".media_type", &format!("expected one of {}", IMAGES.join(", ")));
        }
        Source::Url { url } if is_http(&url) => url,
        Source::Url { .. } => return wrong(".url", "expected an http:// or https:// URL"),
        Source::File { .. } => {
            return wrong("", "no files are kept here; give the image as base64 or by its URL");
        }
        Source::Text { .. } | Source::Content { .. } => return wrong(".type", "expected base64 or url"),
    };
    Ok(json!({"type": "image_url", "image_url": {"url": url}}))
}

fn document(source: Source, title: Option<String>, at: &str) -> Result<Value, Error> {
    let wrong = |field: &str, why: &str| Err(Error::invalid(format!("{at}.source{field}"), why));
    let data = match source {
        Source::Base64 { data, .. } | Source::Text { data, .. } if data.is_empty() => {
            return wrong(".data", "must not be empty");
        }
        Source::Base64 { media_type, data } if media_type == "application/pdf" => {
            format!("data:application/pdf;base64,{data}")
        }
        Source::Base64 { .. } => return wrong(".media_type", "expected application/pdf"),
        Source::Text { data, .. } => format!("data:text/plain;base64,{}", BASE64_STANDARD.encode(data)),
        Source::Url { .. } => {
            return wrong("", "this server fetches no documents; give the document as base64");
        }
        Source::File { .. } => return wrong("", "no files are kept here; give the document as base64"),
        Source::Content { .. } => return wrong(".type", "expected base64 or text"),
    };
    let mut file = json!({"file_data": data});
    if let Some(title) = title {
        file["filename"] = title.into();
    }
    Ok(json!({"type": "file", "file": file}))
}

fn is_http(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}
