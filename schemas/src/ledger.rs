//! What a request has used and cost: one entry for each that called a provider, on `dynode.use.<tenant>`.
//!
//! An entry follows from the recorded outcome and from nothing else, so that whoever writes it, and however often, writes
//! the same under the same message id: the broker keeps the first.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Action, KeyId, Outcome, RequestId, Status, Tenant, Usage};

/// What one request has used, over all its calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerEntry {
    /// The version of the contract; 1.
    pub v: u8,
    /// The request.
    pub id: RequestId,
    /// Whose it is.
    pub tenant: Tenant,
    /// Its session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<RequestId>,
    /// The lookup id of the API key by which it came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// What was asked for.
    pub action: Action,
    /// How it ended.
    pub status: Status,
    /// When its last call ended: the time to which all of it is counted.
    pub at: Timestamp,
    /// One line a call, in order.
    pub lines: Vec<LedgerLine>,
}

/// What one call has used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerLine {
    /// The configured name of the provider.
    pub provider: String,
    /// The model that was asked for.
    pub model: String,
    /// What it used.
    #[serde(default, skip_serializing_if = "Usage::is_zero")]
    pub usage: Usage,
    /// What it cost, in US dollars, where the price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
}

impl LedgerEntry {
    /// The entry of a request that ended so; `None` where no provider was called.
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

    /// The id of its message. The time is in it since a request id may be used again once its outcome is forgotten, which
    /// is long before the ledger is.
    pub fn message_id(&self) -> String {
        format!("{}.{}.{}", self.tenant, self.id, self.at.as_millisecond())
    }
}

impl LedgerLine {
    /// Whether it used something of which nobody knows the price.
    pub fn is_unpriced(&self) -> bool {
        self.cost_usd.is_none() && !self.usage.is_zero()
    }
}
