//! Parses the body of a request, key for key. Refuses any other key.

use std::fmt;

use schemas::Error;
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, value::SeqAccessDeserializer},
};
use serde_json::{Map, Value, json};

use super::block::Block;

/// A conversation that the server holds. The SDKs' tool runners ask for it, and go on without it if it is refused.
pub(super) const THREAD: &str = "thread";

/// The body of a request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    pub(super) model: String,
    pub(super) messages: Vec<Turn>,
    /// Required, except to count tokens.
    pub(super) max_tokens: Option<u32>,
    pub(super) system: Option<Content>,
    pub(super) tools: Option<Vec<Value>>,
    pub(super) tool_choice: Option<ToolChoice>,
    pub(super) stop_sequences: Option<Vec<String>>,
    pub(super) stream: Option<bool>,
    pub(super) metadata: Option<Metadata>,
    pub(super) thinking: Option<Thinking>,
    pub(super) output_config: Option<OutputConfig>,
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<u64>,
    /// Dynode's own field.
    pub(super) simulate: Option<Value>,
    // Refused.
    container: Option<Value>,
    inference_geo: Option<Value>,
    user_profile_id: Option<Value>,
    thread: Option<Value>,
    /// A cache mark at the end of the whole prompt.
    pub(super) cache_control: Option<CacheControl>,
    // Dropped.
    #[serde(rename = "service_tier")]
    _service_tier: Option<IgnoredAny>,
    #[serde(rename = "speed")]
    _speed: Option<IgnoredAny>,
    #[serde(rename = "diagnostics")]
    _diagnostics: Option<IgnoredAny>,
}

impl Body {
    /// Refuses fields that only Anthropic's own servers support.
    pub(super) fn check(&self) -> Result<(), Error> {
        let theirs = [
            ("container", &self.container, "there are no containers here"),
            (THREAD, &self.thread, "this server keeps no conversations; send the whole one each time"),
            ("inference_geo", &self.inference_geo, "the place where a model runs cannot be chosen"),
            (
                "user_profile_id",
                &self.user_profile_id,
                "there are no user profiles here; use metadata.user_id",
            ),
        ];
        match theirs.into_iter().find(|(_, asked, _)| asked.is_some()) {
            Some((field, _, why)) => Err(Error::invalid(field, format!("{why}; leave it out"))),
            None => Ok(()),
        }
    }
}

/// A hint to cache the prompt up to here for later requests that begin the same way.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum CacheControl {
    Ephemeral { ttl: Option<Ttl> },
}

/// How long to cache it.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) enum Ttl {
    #[serde(rename = "5m")]
    Minutes5,
    #[serde(rename = "1h")]
    Hour1,
}

impl Ttl {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Minutes5 => "5m",
            Self::Hour1 => "1h",
        }
    }
}

impl CacheControl {
    /// Its value in the payload, under the same name.
    pub(super) fn value(self) -> Value {
        let mut value = json!({"type": "ephemeral"});
        if let Self::Ephemeral { ttl: Some(ttl) } = self {
            value["ttl"] = ttl.as_str().into();
        }
        value
    }

    /// `object` with the mark, if there is one.
    pub(super) fn mark(mut object: Value, mark: Option<Self>) -> Value {
        if let Some(mark) = mark {
            object["cache_control"] = mark.value();
        }
        object
    }
}

/// One message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Turn {
    pub(super) role: Role,
    pub(super) content: Content,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    User,
    Assistant,
    /// Since 2026-10-21.
    System,
}

/// Message content: a text, or blocks.
#[derive(Debug)]
pub(super) enum Content {
    Text(String),
    Blocks(Vec<Block>),
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Content;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of content blocks")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }
            fn visit_string<E: de::Error>(self, text: String) -> Result<Content, E> {
                Ok(Content::Text(text))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Content, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Content::Blocks)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Which tool to call.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum ToolChoice {
    Auto { disable_parallel_tool_use: Option<bool> },
    Any { disable_parallel_tool_use: Option<bool> },
    Tool { name: String, disable_parallel_tool_use: Option<bool> },
    None {},
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Metadata {
    pub(super) user_id: Option<String>,
}

/// How much to think, and whether the client sees it.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Thinking {
    Enabled { budget_tokens: u64, display: Option<Display> },
    Adaptive { display: Option<Display> },
    BetweenTools { display: Option<Display> },
    Disabled {},
}

impl Thinking {
    /// Whether the client wants to see the thinking.
    pub(super) const fn is_shown(&self) -> bool {
        match self {
            Self::Enabled { display, .. } | Self::Adaptive { display } | Self::BetweenTools { display } => {
                !matches!(display, Some(Display::Omitted))
            }
            Self::Disabled {} => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Display {
    Summarized,
    Omitted,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutputConfig {
    pub(super) effort: Option<Effort>,
    pub(super) format: Option<OutputFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Effort {
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

impl Effort {
    /// Its name, the same in both APIs.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum OutputFormat {
    JsonSchema { schema: Map<String, Value> },
}
