//! How one call behaves: by the model's settings, and over them by the payload's `simulate`.

use std::time::Duration;

use schemas::{ErrorCode, codec};
use serde::Deserialize;
use serde_json::Value;

use super::settings;
use crate::{Error, ModelConfig, Remedy};

/// See the table in [`super`].
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Directives {
    pub(super) fail: Option<Failure>,
    pub(super) after_tokens: Option<u32>,
    pub(super) times: Option<u32>,
    pub(super) retry_after_ms: Option<u64>,
    pub(super) stall_after_tokens: Option<u32>,
    pub(super) first_token_ms: Option<u64>,
    pub(super) tokens_per_second: Option<f64>,
    pub(super) tokens: Option<u32>,
    pub(super) seed: Option<u64>,
    /// From the model alone: a request must not be able to take a thread from all others.
    #[serde(skip)]
    pub(super) spin_after_tokens: Option<u32>,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Failure {
    RateLimited,
    ProviderError,
    ProviderUnavailable,
    InvalidRequest,
}

impl Directives {
    /// The directives of `payload` over the settings of `model`.
    pub(super) fn read(model: &ModelConfig, payload: &Value) -> Result<Self, schemas::Error> {
        let mut directives = match payload.get("simulate") {
            Some(wishes) => codec::view::<Self>(wishes, "payload.simulate")?,
            None => Self::default(),
        };
        directives.check()?;
        directives.first_token_ms = directives.first_token_ms.or(model.first_token_ms);
        directives.tokens_per_second = directives.tokens_per_second.or(model.tokens_per_second);
        directives.tokens = directives.tokens.or(model.output_tokens);
        directives.spin_after_tokens = model.spin_after_tokens;
        Ok(directives)
    }

    /// The error of a call that is refused at once.
    pub(super) fn refusal(&self, provider: &str) -> Option<Error> {
        self.failure(provider).filter(|_| self.after_tokens.is_none())
    }

    /// The error of a call that fails, now or later.
    pub(super) fn failure(&self, provider: &str) -> Option<Error> {
        let (code, remedy, status) = match self.fail? {
            Failure::RateLimited => (ErrorCode::RateLimited, Remedy::Throttle, 429),
            Failure::ProviderError => (ErrorCode::ProviderError, Remedy::Retry, 500),
            Failure::ProviderUnavailable => (ErrorCode::ProviderUnavailable, Remedy::Retry, 503),
            Failure::InvalidRequest => (ErrorCode::InvalidRequest, Remedy::Fatal, 400),
        };
        Some(Error {
            retry_after: self.retry_after_ms.map(Duration::from_millis),
            upstream_status: Some(status),
            ..Error::new(provider, code, remedy, "failed, as `simulate` asked for")
        })
    }

    fn check(&self) -> Result<(), schemas::Error> {
        let at = |key: &str| {
            let path = format!("payload.simulate.{key}");
            move |why: String| schemas::Error::invalid(path, why)
        };
        let (pace, tokens) = (self.tokens_per_second, self.tokens);
        self.first_token_ms.map_or(Ok(()), settings::check_first_token_ms).map_err(at("first_token_ms"))?;
        pace.map_or(Ok(()), settings::check_tokens_per_second).map_err(at("tokens_per_second"))?;
        tokens.map_or(Ok(()), settings::check_output_tokens).map_err(at("tokens"))
    }
}
