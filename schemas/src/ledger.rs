//! What a request used and cost: one entry per request that called a provider, on `dynode.use.<tenant>`.
//!
//! An entry follows from the recorded outcome alone. So all its writers, however often they write it, write the same
//! under the same message id, and the broker keeps the first.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Action, KeyId, Outcome, RequestId, Status, Tenant, Usage};

/// What one request used, over all its calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerEntry {
    /// The version of the contract; 1.
    pub v: u8,
    /// The request.
    pub id: RequestId,
    /// The tenant whose request it is.
    pub tenant: Tenant,
    /// Its session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<RequestId>,
    /// The lookup id of the API key with which it came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// Its action.
    pub action: Action,
    /// How it ended.
    pub status: Status,
    /// When its last call ended; all of its usage counts towards this time.
    pub at: Timestamp,
    /// One line per call, in order.
    pub lines: Vec<LedgerLine>,
}

/// What one call used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerLine {
    /// The configured name of the provider.
    pub provider: String,
    /// The model that was asked for.
    pub model: String,
    /// What it used.
    #[serde(default, skip_serializing_if = "Usage::is_zero")]
    pub usage: Usage,
    /// What it cost, in US dollars, if the price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
}

impl LedgerEntry {
    /// The entry of a request with this outcome; `None` if no provider was called.
    pub fn of(outcome: &Outcome) -> Option<Self> {
        let at = outcome.attempts.last()?.ended_at;
        let lines = outcome.attempts.iter().map(|call| LedgerLine {
            provider: call.provider.clone(),
            model: call.model.clone(),
            usage: call.usage,
            cost_usd: call.cost_usd,
        });
        Some(Self {
            v: outcome.v,
            id: outcome.id.clone(),
            tenant: outcome.tenant.clone(),
            session: outcome.session.clone(),
            key: outcome.key.clone(),
            action: outcome.action,
            status: outcome.status,
            at,
            lines: lines.collect(),
        })
    }

    /// The id of its message. It contains the time because a request id may be used again once its outcome is
    /// forgotten, long before the ledger is.
    pub fn message_id(&self) -> String {
        format!("{}.{}.{}", self.tenant, self.id, self.at.as_millisecond())
    }
}

impl LedgerLine {
    /// Whether it used something without a known price.
    pub fn is_unpriced(&self) -> bool {
        self.cost_usd.is_none() && !self.usage.is_zero()
    }
}
