//! The [`Adapter`] trait that every provider implements, its calls and its events.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use schemas::{Action, ChatDelta, Output, Usage};
use serde_json::Value;
use tokio::time::Instant;

use crate::{Error, Limits};

/// One call to a provider.
#[derive(Debug, Clone)]
pub struct Call {
    /// The action; decided, never `auto`.
    pub action: Action,
    /// The provider's name for the model. Replaces the payload's `model`.
    pub model: String,
    /// The payload, as the sender wrote it.
    pub payload: Value,
    /// When the sender stops waiting: the call must have ended by then.
    pub deadline: Instant,
    /// The same for every attempt of one request; HTTP providers get it as the `idempotency-key` header.
    pub idempotency_key: String,
    /// W3C trace context to send along.
    pub traceparent: Option<String>,
    /// The index of the provider's key to use, from 0; below [`Adapter::keys`].
    pub key: usize,
    /// Where the provider may report the end of long work, if it can reach us.
    pub webhook: Option<Arc<dyn Webhook>>,
}

/// The place at which a provider can report the end of one call. The engine implements it.
pub trait Webhook: Send + Sync + fmt::Debug {
    /// The URL to give to the provider.
    fn url(&self) -> &str;

    /// All that the provider reports there, even before this call; the same report may come twice. Never ends.
    fn told(&self) -> BoxStream<'static, Value>;
}

/// The events of an answer, in order: any number of pieces, then `Finished`, and nothing after it. A stream that ends
/// without `Finished` is broken; the adapter itself turns that into an error.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// The provider has accepted the call (its headers arrived). Nothing to show, but the work moves.
    Started,
    /// What the provider reports as left of the key's limits. Nothing to show.
    Limits(Limits),
    /// A piece of a chat answer; never empty.
    Delta(ChatDelta),
    /// How far a long job has come; shows that it moves.
    Moved {
        /// From 0 to 1, if the provider reports it.
        fraction: Option<f64>,
        /// In the provider's words.
        message: Option<String>,
    },
    /// A piece of a file: an image, speech, a video.
    File(FilePiece),
    /// The whole answer.
    Finished(Box<Finished>),
}

/// A piece of a file; pieces come in order, file by file. [`Finished`] describes the files in the same order in the
/// `details` of its [`schemas::MediaOutput`], and leaves `assets` empty: the engine stores and names the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePiece {
    /// Which file, from 0.
    pub file: u32,
    /// The file's media type, if known; on its first piece.
    pub media_type: Option<String>,
    /// Its next bytes.
    pub bytes: Bytes,
    /// Whether the file ends here.
    pub is_last: bool,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The answer; for a streamed chat, the sum of its deltas.
    pub output: Output,
    /// The usage; marked as estimated if the provider reported none.
    pub usage: Usage,
    /// The provider's name for the model that answered.
    pub model: String,
}

/// A provider's answer, as it arrives. Dropping it ends the call.
pub type Progressed = BoxStream<'static, Result<Progress, Error>>;

/// A provider. One value serves all calls; it holds its configuration, its key and its connection pool.
#[async_trait]
pub trait Adapter: Send + Sync + fmt::Debug + 'static {
    /// The configured name of the provider.
    fn name(&self) -> &str;

    /// How many keys it has, each with its own limits; 1 if it needs none.
    fn keys(&self) -> usize {
        1
    }

    /// Starts a call. Returns when the provider has accepted it or refused it; never later than the deadline.
    async fn call(&self, call: Call) -> Result<Progressed, Error>;
}
