//! The content of a provider file: its TOML as it is written. `docs/providers.md` explains every key.

use std::collections::BTreeMap;

use schemas::{Action, ErrorCode};
use serde::Deserialize;
use serde_json::Value;

use crate::{KeyFault, Remedy};

mod place;

pub(super) use place::Places;

/// A provider file is wrong: where, and how to fix it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {key}{why}", key = if key.is_empty() { String::new() } else { format!("{key}: ") })]
pub struct FileError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// The path of the key; empty if the file as a whole is wrong.
    pub key: String,
    /// What is wrong and how to fix it.
    pub why: String,
}

/// A provider file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// The API's base URL; the configuration may override it.
    pub(super) base_url: Option<String>,
    pub(super) key: Option<Key>,
    /// The secret with which the provider signs its webhooks, as Standard Webhooks says; none if it does not.
    pub(super) webhook_secret: Option<WebhookSecret>,
    /// Headers of every call.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// What templates see as `variables`: tables of names, defaults.
    #[serde(default)]
    pub(super) variables: Value,
    pub(super) models: BTreeMap<String, Model>,
    pub(super) calls: BTreeMap<String, CallFile>,
    /// Where a refusal holds its message and its code.
    #[serde(default)]
    pub(super) refusal: Refusal,
    /// What error replies mean: the first row that matches, else the table of all providers.
    #[serde(default)]
    pub(super) errors: Vec<Row>,
    #[serde(default)]
    pub(super) limits: Limits,
}

/// The key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    /// The header that carries the key and nothing else; without one the key goes as `authorization: Bearer KEY`.
    pub(super) header: Option<String>,
    /// The environment variable that holds the key, if the configuration names none.
    pub(super) variable: String,
}

/// The secret of a provider's webhooks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookSecret {
    /// The environment variable that holds the secret, if the configuration names none.
    pub(super) variable: String,
}

/// A model.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Model {
    /// The call that serves it.
    pub(super) call: String,
    /// Its name at the provider, if that differs.
    pub(super) upstream: Option<String>,
}

/// How one kind of work is done.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallFile {
    pub(super) action: Action,
    pub(super) request: Request,
    /// How to poll the work, if the first reply only says that it has begun.
    pub(super) poll: Option<Poll>,
    /// The request once the work is done, if the reply to the poll does not hold the result.
    pub(super) result: Option<Request>,
    /// The webhook, if the provider reports the end of the work itself.
    pub(super) webhook: Option<Webhook>,
    #[serde(default)]
    pub(super) reply: Reply,
    pub(super) stream: Option<Stream>,
}

/// A request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// `POST` if not set.
    pub(super) method: Option<String>,
    /// The path below the base URL, without a slash at its beginning.
    pub(super) path: String,
    #[serde(default)]
    pub(super) query: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// A JSON body.
    pub(super) json: Option<Value>,
    /// A body as HTML forms send it.
    pub(super) form: Option<BTreeMap<String, Value>>,
    /// A body of parts; a part is a text, or a file.
    pub(super) multipart: Option<BTreeMap<String, Value>>,
}

/// How to wait for the end of work.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Poll {
    /// The path that is polled, by `GET`.
    pub(super) path: String,
    #[serde(default)]
    pub(super) query: BTreeMap<String, Value>,
    /// The state of the work, a text. If the first reply already has one, it counts.
    pub(super) state: String,
    /// States in which the work goes on.
    pub(super) pending: Vec<String>,
    /// States in which the work is done.
    pub(super) done: Vec<String>,
    /// States in which the work has failed.
    #[serde(default)]
    pub(super) failed: Vec<String>,
    /// How far the work is, from 0 to 1.
    pub(super) fraction: Option<String>,
    /// How far the work is, in words; the state if not set.
    pub(super) message: Option<String>,
    /// Milliseconds from one poll to the next.
    #[serde(default = "default_every_ms")]
    pub(super) every_ms: u64,
}

const fn default_every_ms() -> u64 {
    1_000
}

/// A webhook. Beside a poll it only says that it is time to poll; without one it is the reply.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Webhook {
    /// The state of the work; without it the first webhook says that the work is done.
    pub(super) state: Option<String>,
    /// States in which the work goes on.
    #[serde(default)]
    pub(super) pending: Vec<String>,
    /// States in which the work is done.
    #[serde(default)]
    pub(super) done: Vec<String>,
    /// States in which the work has failed.
    #[serde(default)]
    pub(super) failed: Vec<String>,
    /// Milliseconds from one poll to the next all the same, since a webhook can get lost.
    #[serde(default = "default_webhook_every_ms")]
    pub(super) every_ms: u64,
}

const fn default_webhook_every_ms() -> u64 {
    15_000
}

/// Where the reply holds the answer. One of `files`, `bytes`, `text`, `vectors` and `output`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reply {
    pub(super) files: Option<Files>,
    /// The body is the file.
    #[serde(default)]
    pub(super) bytes: bool,
    /// The text of a chat answer.
    pub(super) text: Option<String>,
    /// Why a chat answer ended; `stop` if not set.
    pub(super) finish_reason: Option<String>,
    /// The vectors of an embedding, in the order of the inputs.
    pub(super) vectors: Option<String>,
    /// An answer to pass on.
    pub(super) output: Option<Value>,
    /// Details beside the files.
    pub(super) details: Option<Value>,
    /// The model that answered.
    pub(super) model: Option<String>,
    #[serde(default)]
    pub(super) usage: BTreeMap<String, String>,
}

/// Files in a reply.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Files {
    /// A URL, or a list of them. Dynode fetches them at once.
    pub(super) urls: Option<String>,
    /// Base64 or a data URI, or a list of them.
    pub(super) base64: Option<String>,
    /// Hosts beside the API's own, with their subdomains, from which Dynode may fetch files; without the key.
    #[serde(default)]
    pub(super) hosts: Vec<String>,
}

/// A chat answer that comes in frames.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stream {
    /// For polled work: where its answer streams while it is made, as the first reply says.
    pub(super) url: Option<String>,
    /// Hosts beside the API's own, with their subdomains, that may serve the stream; without the key.
    #[serde(default)]
    pub(super) hosts: Vec<String>,
    pub(super) framing: Framing,
    /// The text that a frame adds.
    pub(super) text: String,
    /// The reasoning that a frame adds.
    pub(super) reasoning: Option<String>,
    /// Why the answer ended, in the frame that says so: a stream without one is broken.
    pub(super) finish_reason: String,
    #[serde(default)]
    pub(super) usage: BTreeMap<String, String>,
}

/// How a stream is cut into frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Framing {
    /// Server-sent events whose data is JSON.
    Events,
    /// Server-sent events whose data is text, told apart by their names.
    TextEvents,
    /// One JSON text per line.
    Lines,
}

/// Where a refusal holds its message and its code.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refusal {
    /// The message.
    pub(super) message: Option<String>,
    /// The word that names the error.
    pub(super) code: Option<String>,
}

/// What an error reply means.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    /// The status or statuses; a row without one matches every status that says that the call was refused.
    pub(super) status: Option<Statuses>,
    /// A condition.
    pub(super) when: Option<String>,
    pub(super) code: ErrorCode,
    pub(super) remedy: RemedyName,
    /// What happened, with the provider as the subject.
    pub(super) says: String,
    /// Whether the provider's own words may be shown.
    #[serde(default = "yes")]
    pub(super) quote: bool,
}

const fn yes() -> bool {
    true
}

/// One status or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Statuses {
    One(u16),
    Several(Vec<u16>),
}

/// What to do about an error.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RemedyName {
    Throttle,
    Retry,
    /// The key cannot be used at present: use another one, or another provider.
    DisableKey,
    FallBack,
    Fatal,
}

impl From<RemedyName> for Remedy {
    fn from(name: RemedyName) -> Self {
        match name {
            RemedyName::Throttle => Self::Throttle,
            RemedyName::Retry => Self::Retry,
            RemedyName::DisableKey => Self::DisableKey(KeyFault::Spent),
            RemedyName::FallBack => Self::FallBack,
            RemedyName::Fatal => Self::Fatal,
        }
    }
}

/// How much Dynode accepts.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    /// The largest file, in bytes.
    pub(super) file_bytes: u64,
    /// The most files of one call.
    pub(super) files: u32,
    /// The largest reply that is no file, in bytes.
    pub(super) reply_bytes: u64,
}

/// A short video in good quality.
const FILE_BYTES: u64 = 256 * 1024 * 1024;
/// More than any provider makes at once.
const FILES: u32 = 16;

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: FILE_BYTES, files: FILES, reply_bytes: crate::http::REPLY_BYTES_MAX as u64 }
    }
}

impl File {
    /// Reads `text`, the content of the file `name`, and finds where each of its keys is.
    pub(super) fn read(name: &str, text: &str) -> Result<(Self, Places), FileError> {
        let places = Places::read(name, text)?;
        let file = toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            places.at(offset, error.message())
        })?;
        Ok((file, places))
    }
}
