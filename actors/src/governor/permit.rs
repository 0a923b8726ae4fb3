//! The right to make one call, the need that asks for it, and how the call ends.

use std::time::Duration;

use adapters::{Error, KeyFault, Limits, Remedy, estimate};
use ractor::ActorRef;
use schemas::{ErrorCode, Step, Usage};
use serde_json::Value;
use tokio::time::Instant;

use super::{Message, Retries, lanes::Grant};

/// The pause after a provider asked for fewer calls without saying when to return.
const THROTTLED_PAUSE: Duration = Duration::from_secs(1);

/// The needs of a call.
#[derive(Debug, Clone)]
pub struct Need {
    /// The model, as the provider names it.
    pub model: String,
    /// The tokens of its input, estimated.
    pub input: u64,
    /// The most tokens of its answer, if the request limits them.
    pub output_max: Option<u64>,
    /// When it is too late.
    pub deadline: Instant,
}

/// Why a call may not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The governor is gone, or has been replaced: ask again.
    Gone,
    /// The provider fails so often that this call is not made: ask another one, or this one again later.
    Open {
        /// How much later.
        retry_after: Duration,
    },
    /// No call may start in time for this one: ask another provider.
    Busy {
        /// How long until one may start.
        retry_after: Duration,
    },
    /// All keys are set aside: each key, from 0, with the reason.
    NoKey(Vec<(usize, KeyFault)>),
}

/// How a call ended, as far as it matters to later calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With an answer, and the tokens that it used.
    Answered {
        /// Tokens read.
        input: u64,
        /// Tokens written.
        output: u64,
    },
    /// The provider wants no call for a while.
    Throttled {
        /// How long.
        pause: Duration,
    },
    /// The provider failed (5xx, no connection, silence).
    Failed,
    /// The provider is well, but refused this call.
    Refused,
    /// The key can no longer be used.
    KeyFault(KeyFault),
    /// Nobody waited for its end.
    Unknown,
}

/// The right to make one call by one key. Dropping it returns it and reports how the call ended.
#[derive(Debug)]
pub struct Permit {
    governor: ActorRef<Message>,
    retries: Retries,
    grant: Grant,
    end: End,
}

impl Need {
    /// What a call of `step` with `payload` needs; the call must be over by `deadline`.
    pub fn of(step: &Step, payload: &Value, deadline: Instant) -> Self {
        Self {
            model: step.model.clone(),
            input: estimate::input(payload),
            output_max: estimate::output_max(payload),
            deadline,
        }
    }
}

impl Refusal {
    /// Its name in metrics.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Open { .. } => "breaker",
            Self::Busy { .. } => "too_late",
            Self::NoKey(_) => "no_key",
        }
    }

    /// The error of work if no other provider is asked, or if all others failed too.
    pub fn to_error(&self, provider: &str) -> Error {
        let code = match self {
            Self::Busy { .. } => ErrorCode::RateLimited,
            _ => ErrorCode::ProviderUnavailable,
        };
        let why = match self {
            Self::Busy { .. } => "takes no more calls before the deadline: its rate limit is met".to_owned(),
            Self::Gone => "its governor is being restarted".to_owned(),
            Self::Open { .. } => "fails too often at the moment, so it is not called for a while".to_owned(),
            Self::NoKey(keys) => {
                let said: Vec<_> =
                    keys.iter().map(|(key, fault)| format!("key {}: {}", key + 1, reason(*fault))).collect();
                format!("no key of it can be used ({})", said.join("; "))
            }
        };
        let mut error = Error::new(provider, code, Remedy::FallBack, why);
        if let Self::Open { retry_after } | Self::Busy { retry_after } = self {
            error.retry_after = Some(*retry_after);
        }
        error
    }
}

/// The fault of a key, in words.
pub(super) const fn reason(fault: KeyFault) -> &'static str {
    match fault {
        KeyFault::Spent => "its quota or budget is spent",
        KeyFault::Rejected => "the provider rejects it",
    }
}

impl End {
    /// The end of a call that was answered with this usage.
    pub const fn answered(usage: &Usage) -> Self {
        Self::Answered { input: usage.input_tokens, output: usage.output_tokens }
    }

    /// The end of a call that failed.
    pub fn failed(error: &Error) -> Self {
        match error.remedy {
            Remedy::Throttle => Self::Throttled { pause: error.retry_after.unwrap_or(THROTTLED_PAUSE) },
            Remedy::Retry => Self::Failed,
            Remedy::DisableKey(fault) => Self::KeyFault(fault),
            // The call reached its own deadline, whatever the provider did.
            Remedy::Fatal if error.code == ErrorCode::DeadlineExceeded => Self::Unknown,
            Remedy::FallBack | Remedy::Fatal => Self::Refused,
        }
    }
}

impl Permit {
    pub(super) const fn new(governor: ActorRef<Message>, retries: Retries, grant: Grant) -> Self {
        Self { governor, retries, grant, end: End::Unknown }
    }

    /// The key to call by, from 0.
    pub const fn key(&self) -> usize {
        self.grant.key
    }

    /// The first output came after `took`; `None` if that says nothing of how busy the provider is. Later outputs tell
    /// nothing new.
    pub fn heard(&mut self, took: Option<Duration>) {
        if !std::mem::replace(&mut self.grant.is_heard, true) {
            self.tell(Message::Heard(self.grant.clone(), took));
        }
    }

    /// The provider has said what is left of the key's limits.
    pub fn limits(&self, limits: Limits) {
        self.tell(Message::Limits(self.grant.key, limits));
    }

    /// The call has ended.
    pub fn settle(mut self, end: End) {
        self.end = end;
    }

    fn tell(&self, message: Message) {
        // A governor that is gone has nobody waiting; its successor starts with all permits.
        let _ = self.governor.cast(message);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // At once, not through the actor: whoever next asks whether to retry must know of this call.
        match self.end {
            End::Answered { .. } => self.retries.record(true),
            End::Failed => self.retries.record(false),
            End::Throttled { .. } | End::Refused | End::KeyFault(_) | End::Unknown => {}
        }
        self.tell(Message::Settle(self.grant.clone(), self.end));
    }
}
