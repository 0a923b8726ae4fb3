//! Errors of broker operations, by kind.

use std::fmt;

/// A failed broker operation: a `kind` from a closed set to branch on, a message for people, the source for the log.
#[derive(Debug, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kinds of failure that callers distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No connection. The result of operations in flight is unknown.
    Disconnected,
    /// No answer in time. The broker may have carried out the operation: repeat it with the same id.
    Timeout,
    /// The stream is at a limit; nothing was stored.
    Full,
    /// The subject already holds its one message; nothing was stored. The first write stands.
    Exists,
    /// The expected revision is not the current one; nothing was stored.
    WrongRevision,
    /// No such stream, consumer, message or key.
    NotFound,
    /// The message is larger than the broker accepts.
    TooLarge,
    /// The broker's permissions forbid it.
    Denied,
    /// The request makes no sense to the broker: a bad subject, a stream that is configured differently.
    Invalid,
    /// This handle is closed.
    Closed,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disconnected => "broker not connected",
            Self::Timeout => "broker did not answer in time",
            Self::Full => "stream is full",
            Self::Exists => "already there",
            Self::WrongRevision => "changed by somebody else",
            Self::NotFound => "not found",
            Self::TooLarge => "message too large",
            Self::Denied => "not permitted",
            Self::Invalid => "invalid",
            Self::Closed => "closed",
        })
    }
}

impl Error {
    /// An error of `kind`; `message` says what was being done, and to what.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same error with its cause.
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind to branch on.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same operation, with the same id, may succeed later.
    pub const fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::Disconnected | ErrorKind::Timeout | ErrorKind::Full)
    }
}
