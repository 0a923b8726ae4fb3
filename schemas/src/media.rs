//! Payloads and outputs of the actions that make or find media: images, speech, videos, stock photos.
//!
//! A payload reaches the provider's adapter as it came; the types here are the part of it that the engine checks. Each
//! file that is made becomes an [`Asset`]: its bytes are kept beside the outcome, never inside it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, RequestId, Tenant};

/// The most images in one request, as in the OpenAI API.
pub const IMAGES_MAX: u32 = 10;
/// The longest text to speak in one request, in bytes: a long chapter.
pub const SPEECH_BYTES_MAX: usize = 64 * 1024;
/// The most results on one page.
pub const RESULTS_MAX: u32 = 80;

/// Payload of `image.generate`: the OpenAI images body, as far as the engine reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImageRequest {
    /// What the image shows.
    pub prompt: String,
    /// The model; if absent, the first that the configuration has for this action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How many images; 1 if absent.
    #[schemars(range(min = 1, max = IMAGES_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
    /// `WIDTHxHEIGHT` in pixels, or `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
}

/// Payload of `audio.synthesize`: the OpenAI speech body, as far as the engine reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SpeechRequest {
    /// The text to speak.
    pub input: String,
    /// The voice, in the provider's terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<String>,
    /// The model; if absent, the first that the configuration has for this action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// `mp3`, `opus`, `aac`, `flac`, `wav` or `pcm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_format: Option<String>,
    /// The speed of speech: from 0.25 to 4.
    #[schemars(range(min = 0.25, max = 4.0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
}

/// Payload of `video.render`: a timeline of tracks and clips, and how it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VideoRequest {
    /// What is shown when, in the provider's terms.
    pub timeline: Value,
    /// Format and size, in the provider's terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The model; if absent, the first that the configuration has for this action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// Payload of `media.search`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchRequest {
    /// What to look for.
    pub query: String,
    /// The kind of media; photos if absent.
    #[serde(default)]
    pub kind: MediaKind,
    /// Which page, from 1.
    #[schemars(range(min = 1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// How many results a page has.
    #[schemars(range(min = 1, max = RESULTS_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_page: Option<u32>,
    /// `landscape`, `portrait` or `square`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orientation: Option<String>,
    /// The model; if absent, the first that the configuration has for this action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// The kind of media to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    /// Photos.
    #[default]
    Photo,
    /// Videos.
    Video,
}

/// The answer of an action that makes files.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct MediaOutput {
    /// What was made, in the provider's order.
    pub assets: Vec<Asset>,
    /// What the provider says beside the files: seeds, revised prompts, durations.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub details: Value,
}

/// A file that was made, kept for a while under an id of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Asset {
    /// Identifies it within its tenant; derived from its content and its request.
    pub id: String,
    /// Where it can be read: a path of the gateway.
    pub url: String,
    /// Its media type, by its first bytes.
    pub media_type: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// What is noted beside the bytes of an asset: whose it is, and what it came from. Never leaves the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetRecord {
    /// The asset.
    pub asset: Asset,
    /// The tenant whose asset it is: nobody else learns that it exists.
    pub tenant: Tenant,
    /// The request that made it.
    pub request: RequestId,
    /// The configured name of the provider.
    pub provider: String,
    /// The model.
    pub model: String,
    /// The SHA-256 of the prompt or of the spoken text, in hexadecimal; empty if the payload has neither.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prompt_sha256: String,
}

impl Asset {
    /// The path of the asset `id` at the gateway.
    pub fn path(id: &str) -> String {
        format!("/v1/assets/{id}")
    }
}

impl ImageRequest {
    /// Checks what the types do not express.
    pub fn check(&self) -> Result<(), Error> {
        not_empty("payload.prompt", &self.prompt)?;
        within("payload.n", self.n, 1..=IMAGES_MAX)?;
        match self.size.as_deref() {
            None | Some("auto") => Ok(()),
            Some(size) if is_size(size) => Ok(()),
            Some(size) => {
                let why = format!("`{size}` is neither `auto` nor a size in pixels, as in `1024x1024`");
                Err(Error::invalid("payload.size", why))
            }
        }
    }
}

impl SpeechRequest {
    /// Checks what the types do not express.
    pub fn check(&self) -> Result<(), Error> {
        not_empty("payload.input", &self.input)?;
        if self.input.len() > SPEECH_BYTES_MAX {
            let why = format!("{} bytes are over the limit of {SPEECH_BYTES_MAX}", self.input.len());
            return Err(Error::invalid("payload.input", why));
        }
        match self.speed.filter(|speed| !(0.25..=4.0).contains(speed)) {
            None => Ok(()),
            Some(speed) => Err(Error::invalid("payload.speed", format!("{speed} is not between 0.25 and 4"))),
        }
    }
}

impl VideoRequest {
    /// Checks what the types do not express.
    pub fn check(&self) -> Result<(), Error> {
        match self.timeline.get("tracks").and_then(Value::as_array) {
            Some(tracks) if !tracks.is_empty() => Ok(()),
            _ => Err(Error::invalid("payload.timeline.tracks", "must hold at least one track")),
        }
    }
}

impl SearchRequest {
    /// Checks what the types do not express.
    pub fn check(&self) -> Result<(), Error> {
        not_empty("payload.query", &self.query)?;
        within("payload.page", self.page, 1..=u32::MAX)?;
        within("payload.per_page", self.per_page, 1..=RESULTS_MAX)
    }
}

fn not_empty(path: &'static str, text: &str) -> Result<(), Error> {
    if text.trim().is_empty() { Err(Error::invalid(path, "must not be empty")) } else { Ok(()) }
}

fn within(
    path: &'static str,
    number: Option<u32>,
    range: std::ops::RangeInclusive<u32>,
) -> Result<(), Error> {
    match number.filter(|number| !range.contains(number)) {
        None => Ok(()),
        Some(number) => {
            let why = format!("{number} is not between {} and {}", range.start(), range.end());
            Err(Error::invalid(path, why))
        }
    }
}

fn is_size(text: &str) -> bool {
    let side = |side: &str| side.parse::<u32>().is_ok_and(|pixels| pixels > 0);
    text.split_once('x').is_some_and(|(width, height)| side(width) && side(height))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Action;

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        let rows = [
            (Action::ImageGenerate, json!({"prompt": " "}), "payload.prompt"),
            (Action::ImageGenerate, json!({"prompt": "a cat", "n": 11}), "payload.n"),
            (Action::ImageGenerate, json!({"prompt": "a cat", "size": "big"}), "payload.size"),
            (Action::ImageGenerate, json!({"prompt": "a cat", "size": "0x10"}), "payload.size"),
            (Action::AudioSynthesize, json!({"input": ""}), "payload.input"),
            (Action::AudioSynthesize, json!({"input": "x".repeat(70_000)}), "payload.input"),
            (Action::AudioSynthesize, json!({"input": "hi", "speed": 9}), "payload.speed"),
            (Action::VideoRender, json!({"timeline": {"tracks": []}}), "payload.timeline.tracks"),
            (Action::VideoRender, json!({"timeline": 7}), "payload.timeline.tracks"),
            (Action::MediaSearch, json!({"query": "cats", "per_page": 81}), "payload.per_page"),
            (Action::MediaSearch, json!({"query": "cats", "kind": "song"}), "payload.kind"),
        ];
        for (action, payload, path) in rows {
            let error = action.check_payload(&payload).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(path), "{payload}: {error:?}");
        }
    }

    #[test]
    fn the_least_that_is_needed_passes() {
        let rows = [
            (Action::ImageGenerate, json!({"prompt": "a cat", "size": "1024x1024", "style": "vivid"})),
            (Action::AudioSynthesize, json!({"input": "hello"})),
            (Action::VideoRender, json!({"timeline": {"tracks": [{"clips": []}]}})),
            (Action::MediaSearch, json!({"query": "cats", "kind": "video"})),
        ];
        for (action, payload) in rows {
            action.check_payload(&payload).unwrap();
        }
    }
}
