//! The errors of provider calls, and what to do about them.

use std::time::Duration;

use schemas::ErrorCode;

/// A failed call: words for the client, the remedy for the worker, the source for the log. Holds no secret.
#[derive(Debug, thiserror::Error)]
#[error("{provider}: {message}")]
pub struct Error {
    /// The configured name of the provider.
    pub provider: String,
    /// The code that the client sees.
    pub code: ErrorCode,
    /// What happened, fit for the client.
    pub message: String,
    /// What to do about it.
    pub remedy: Remedy,
    /// How long the provider asks us to wait.
    pub retry_after: Option<Duration>,
    /// The HTTP status of its reply.
    pub upstream_status: Option<u16>,
    /// What caused it.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What to do about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Remedy {
    /// The provider asks for fewer calls (429, 529): wait, then call the same provider; costs no attempt.
    Throttle,
    /// The same provider may succeed a moment later (5xx, connection, stall).
    Retry,
    /// Our key is at fault, not the request: use another key of this provider if there is one, else another provider.
    DisableKey(KeyFault),
    /// This provider will not do it, but another may (no such model there).
    FallBack,
    /// No provider will do it: the request itself is at fault.
    Fatal,
}

/// What is wrong with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyFault {
    /// Its quota or its budget is spent; either may come back by itself.
    Spent,
    /// The provider does not know it, or no longer does: a person must fix that.
    Rejected,
}

impl Error {
    /// An error of `provider`.
    pub fn new(
        provider: impl Into<String>,
        code: ErrorCode,
        remedy: Remedy,
        message: impl Into<String>,
    ) -> Self {
        Self {
            provider: provider.into(),
            code,
            message: message.into(),
            remedy,
            retry_after: None,
            upstream_status: None,
            source: None,
        }
    }

    /// The same error with what caused it.
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The chain of causes, for the log; none if nothing is known.
    pub fn causes(&self) -> Option<String> {
        let first = self.source.as_deref().map(|source| source as &dyn std::error::Error);
        let chain = std::iter::successors(first, |cause| cause.source()).map(ToString::to_string);
        let causes = chain.collect::<Vec<_>>();
        (!causes.is_empty()).then(|| causes.join(": "))
    }

    /// The form that clients see.
    pub fn to_public(&self) -> schemas::Error {
        let mut public = schemas::Error::new(self.code, self.to_string());
        public.upstream_status = self.upstream_status;
        public.retry_after_ms = self.retry_after.map(|after| after.as_millis() as u64);
        public.retryable = matches!(self.remedy, Remedy::Throttle | Remedy::Retry);
        public
    }
}
