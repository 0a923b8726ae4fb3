//! The trait that every provider fills.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use schemas::{Action, ChatDelta, Output, Usage};
use serde_json::Value;
use tokio::time::Instant;

use crate::{Error, Limits};

/// One call of a provider.
#[derive(Debug, Clone)]
pub struct Call {
    /// What is asked for; decided, never `auto`.
    pub action: Action,
    /// The model, as the provider names it. Takes the place of the payload's `model`.
    pub model: String,
    /// The payload, as the sender wrote it.
    pub payload: Value,
    /// When the sender stops waiting: the call must have ended by then.
    pub deadline: Instant,
    /// The same for every attempt of one request; sent where the provider has a header for it.
    pub idempotency_key: String,
    /// W3C trace context to send along.
    pub traceparent: Option<String>,
    /// By which of the provider's keys, from 0; below [`Adapter::keys`].
    pub key: usize,
    /// Where the provider may tell the end of long work, if it can reach us.
    pub webhook: Option<Arc<dyn Webhook>>,
}

/// A place at which a provider can tell the end of one call. Filled by the engine.
pub trait Webhook: Send + Sync + fmt::Debug {
    /// The URL that the provider is given.
    fn url(&self) -> &str;

    /// What is told there, from the first on, also before this was called; the same may be told twice. Does not end.
    fn told(&self) -> BoxStream<'static, Value>;
}

/// What a provider answers, in order: any number of pieces, then `Finished`, and nothing after it. A stream that ends
/// without `Finished` is broken; an adapter turns that into an error itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// The provider has accepted the call (headers came). Brings nothing to show, but the work moves.
    Started,
    /// What the provider says that is left of the key's limits. Brings nothing to show.
    Limits(Limits),
    /// A piece of a chat answer; never empty.
    Delta(ChatDelta),
    /// How far a long job has come; tells that it moves.
    Moved {
        /// From 0 to 1, where the provider tells it.
        fraction: Option<f64>,
        /// In the provider's words.
        message: Option<String>,
    },
    /// A piece of a file: an image, speech, a video.
    File(FilePiece),
    /// The whole answer.
    Finished(Box<Finished>),
}

/// A piece of a file. Pieces come in order, one file after the other; [`Finished`] speaks of the files in the same order,
/// in the `details` of its [`schemas::MediaOutput`], and leaves `assets` empty: the engine keeps the files and names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePiece {
    /// Which file, from 0.
    pub file: u32,
    /// What the provider says that it is; on its first piece.
    pub media_type: Option<String>,
    /// Its next bytes.
    pub bytes: Bytes,
    /// Whether the file ends here.
    pub is_last: bool,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The answer. Of a streamed chat, the sum of its deltas.
    pub output: Output,
    /// What it used; marked as estimated where the provider reported nothing.
    pub usage: Usage,
    /// The model that answered, in the provider's words.
    pub model: String,
}

/// The answer of a provider, as it comes. Dropping it ends the call.
pub type Progressed = BoxStream<'static, Result<Progress, Error>>;

/// A provider. One value serves all calls; it holds its configuration, its key and its connection pool.
#[async_trait]
pub trait Adapter: Send + Sync + fmt::Debug + 'static {
    /// The configured name of the provider.
    fn name(&self) -> &str;

    /// How many keys it has, each with limits of its own. One that needs none counts as one.
    fn keys(&self) -> usize {
        1
    }

    /// Starts a call. Returns when the provider has accepted it or refused it; never later than the deadline.
    async fn call(&self, call: Call) -> Result<Progressed, Error>;
}
