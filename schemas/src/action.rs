//! The kinds of work, and the check of a payload against its action.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ChatRequest, EmbeddingRequest, Error, ImageRequest, SearchRequest, SpeechRequest, VideoRequest, codec,
};

/// The kind of work that a request asks for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
pub enum Action {
    /// The classifier decides from the input.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// A chat completion; the payload is the OpenAI chat-completions body.
    #[serde(rename = "chat.completion")]
    ChatCompletion,
    /// Embedding vectors; the payload is the OpenAI embeddings body.
    #[serde(rename = "embedding.query")]
    EmbeddingQuery,
    /// An image from a prompt.
    #[serde(rename = "image.generate")]
    ImageGenerate,
    /// Speech from text.
    #[serde(rename = "audio.synthesize")]
    AudioSynthesize,
    /// A video from a timeline.
    #[serde(rename = "video.render")]
    VideoRender,
    /// Photos and videos that match a query.
    #[serde(rename = "media.search")]
    MediaSearch,
    /// Run code.
    #[serde(rename = "code.execute")]
    CodeExecute,
    /// Call a tool.
    #[serde(rename = "tool.invoke")]
    ToolInvoke,
    /// Run a workflow.
    #[serde(rename = "workflow.run")]
    WorkflowRun,
    /// Ask for the health of the engine.
    #[serde(rename = "system.health")]
    SystemHealth,
}

impl Action {
    /// Every action, in the order of the contract.
    pub const ALL: [Self; 11] = [
        Self::ChatCompletion,
        Self::EmbeddingQuery,
        Self::ImageGenerate,
        Self::AudioSynthesize,
        Self::VideoRender,
        Self::MediaSearch,
        Self::CodeExecute,
        Self::ToolInvoke,
        Self::WorkflowRun,
        Self::SystemHealth,
        Self::Auto,
    ];

    /// The name on the wire and in subjects.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::ChatCompletion => "chat.completion",
            Self::EmbeddingQuery => "embedding.query",
            Self::ImageGenerate => "image.generate",
            Self::AudioSynthesize => "audio.synthesize",
            Self::VideoRender => "video.render",
            Self::MediaSearch => "media.search",
            Self::CodeExecute => "code.execute",
            Self::ToolInvoke => "tool.invoke",
            Self::WorkflowRun => "workflow.run",
            Self::SystemHealth => "system.health",
        }
    }

    /// Checks a payload against this action; the error names the field by its path.
    pub fn check_payload(self, payload: &Value) -> Result<(), Error> {
        if !payload.is_object() {
            // serde would read a list as the fields in their order.
            return Err(Error::invalid("payload", "expected an object"));
        }
        match self {
            Self::ChatCompletion => codec::view::<ChatRequest>(payload, "payload")?.check(),
            Self::EmbeddingQuery => codec::view::<EmbeddingRequest>(payload, "payload")?.check(),
            Self::ImageGenerate => codec::view::<ImageRequest>(payload, "payload")?.check(),
            Self::AudioSynthesize => codec::view::<SpeechRequest>(payload, "payload")?.check(),
            Self::VideoRender => codec::view::<VideoRequest>(payload, "payload")?.check(),
            Self::MediaSearch => codec::view::<SearchRequest>(payload, "payload")?.check(),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Action {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|action| action.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            Error::invalid("action", format!("`{text}` is not an action; the actions are {known}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_agree_with_serde() {
        for action in Action::ALL {
            assert_eq!(action.as_str().parse::<Action>().unwrap(), action);
            assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
        }
    }

    #[test]
    fn an_unknown_action_is_told_the_known_ones() {
        let error = "chat.complete".parse::<Action>().unwrap_err();
        assert!(error.message.contains("chat.completion"), "{}", error.message);
    }

    #[test]
    fn a_mistyped_field_is_named_by_its_path() {
        let payload = serde_json::json!({"model": "m", "messages": [{"role": 7, "content": "hi"}]});
        let error = Action::ChatCompletion.check_payload(&payload).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("payload.messages[0].role"), "{error:?}");
    }

    #[test]
    fn a_payload_of_the_wrong_type_is_refused() {
        for action in [Action::ChatCompletion, Action::EmbeddingQuery, Action::ImageGenerate] {
            for payload in [serde_json::json!("hello"), serde_json::json!(["m", [], null])] {
                let error = action.check_payload(&payload).unwrap_err();
                assert_eq!(error.param.as_deref(), Some("payload"), "{error:?}");
            }
        }
    }
}
