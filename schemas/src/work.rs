//! Messages between engines: the request with its plan, the job of a callback, and a provider's wish for no calls.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Callback, Format, Outcome, Request, RequestId, Tenant};

/// A classified request on `dynode.work.<pool>.<priority>.<lane>.<tenant>`. Internal: always MessagePack. `R` is the
/// request, or a borrow of it for code that only writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Work<R = Request> {
    /// Names the request within its tenant.
    pub id: RequestId,
    /// The tenant whose work it is.
    pub tenant: Tenant,
    /// The request, with its action decided.
    pub request: R,
    /// Which providers do it.
    pub plan: Plan,
    /// When the request was accepted, by the broker's clock: stored by the broker, or turned into work by a door.
    pub accepted_at: Timestamp,
    /// When the sender stops waiting.
    pub deadline: Timestamp,
    /// The format of the request, and so of its events and its outcome.
    pub format: WireFormat,
    /// Distinguishes a different request under the same id; see [`crate::fingerprint`].
    pub fingerprint: String,
    /// How often the request was delivered in earlier messages: the attempts of this one continue from there.
    #[serde(default)]
    pub delivered_before: u32,
    /// How many of its attempts are forgiven: they ended through no fault of the work (a shutdown).
    #[serde(default)]
    pub forgiven: u32,
}

impl<R> Work<R> {
    /// The attempt number for delivery number `deliveries` of this message: the fence, never the same twice.
    pub const fn attempt(&self, deliveries: u32) -> u32 {
        self.delivered_before.saturating_add(deliveries)
    }

    /// How many attempts count against the work, this one included.
    pub const fn charged(&self, deliveries: u32) -> u32 {
        self.attempt(deliveries).saturating_sub(self.forgiven)
    }

    /// The same work for a new message, with the attempt of delivery number `deliveries` forgiven.
    pub fn handed_back(self, deliveries: u32) -> Self {
        Self { delivered_before: self.attempt(deliveries), forgiven: self.forgiven.saturating_add(1), ..self }
    }
}

/// The providers that do the work, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// The providers to try.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The pool that does the work first: that of the first provider.
    pub fn pool(&self) -> &str {
        self.steps.first().map_or("", |step| &step.provider)
    }
}

/// One provider to try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The configured name of the provider; also the name of its pool.
    pub provider: String,
    /// The model, as the provider names it.
    pub model: String,
}

/// [`Format`] on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WireFormat {
    /// JSON.
    #[default]
    Json,
    /// MessagePack.
    MessagePack,
}

impl From<WireFormat> for Format {
    fn from(format: WireFormat) -> Self {
        match format {
            WireFormat::Json => Self::Json,
            WireFormat::MessagePack => Self::MessagePack,
        }
    }
}

impl From<Format> for WireFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Json => Self::Json,
            Format::MessagePack => Self::MessagePack,
        }
    }
}

/// One outcome to deliver, on `dynode.cb.<tenant>.<id>`. Internal: always MessagePack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallbackJob {
    /// Where to deliver it, and which key signs it.
    pub callback: Callback,
    /// What to deliver.
    pub outcome: Outcome,
}

/// A provider wants no calls for a while; on `dynode.lim.<provider>.<key>`. Internal: always JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// No calls before this time, by the broker's clock.
    pub until: Timestamp,
}
