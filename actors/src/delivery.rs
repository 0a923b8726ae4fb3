//! Outcomes out: a signed POST to the address that the request named, until somebody there takes it.
//!
//! Every try carries the same `webhook-id`, its own time stamp and a fresh signature (Standard Webhooks 1.0.0). What
//! nobody takes is parked, from where it can be sent again.

pub mod courier;
mod egress;

use std::{sync::Arc, time::Duration};

use adapters::retry_after;
use async_trait::async_trait;
use reqwest::{StatusCode, Url};
use schemas::{CallbackJob, Error, ErrorCode, Secret, signature::SigningKey};
use serde_json::json;
use tracing::debug;

use crate::{
    CallbackConfig, EngineConfig,
    backoff::Backoff,
    metrics::Metrics,
    outbox::{Outbox, Parked},
    queue::Queue,
    stage::{Stage, Task, Verdict},
};
use courier::{CONNECT_TIMEOUT, Courier, Parcel, Reply};

/// A callback that is delivered more often than tried ended its worker each time.
const SPARE_TRIES: u32 = 8;
/// The longest wait that a target may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// The stage.
#[derive(Debug)]
pub struct Delivery {
    config: CallbackConfig,
    courier: Arc<dyn Courier>,
    outbox: Outbox,
    engine: EngineConfig,
    metrics: Arc<Metrics>,
}

/// What came of one try.
enum Try {
    Taken,
    /// Try again, not before this, if the target said so.
    Failed(String, Option<Duration>),
    /// The target wants nothing more, or can never be reached.
    Refused(String),
}

impl Delivery {
    /// Delivers as `config` says, by `courier`.
    pub fn new(
        config: CallbackConfig,
        courier: Arc<dyn Courier>,
        outbox: Outbox,
        engine: EngineConfig,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { config, courier, outbox, engine, metrics }
    }

    async fn deliver(&self, task: &Task<'_>, job: &CallbackJob) -> Try {
        let (url, key) = match self.target(job) {
            Ok(target) => target,
            Err(why) => return Try::Refused(why),
        };
        let outcome = &job.outcome;
        // The time of the event is that of its record, so that every try has the same body.
        let timestamp = task.lease.stored_at.to_string();
        let kind = format!("request.{}", outcome.status.as_str());
        let body = json!({"type": kind, "timestamp": timestamp, "data": outcome}).to_string();
        let id = format!("msg_{}_{}", outcome.tenant, outcome.id);
        let seconds = self.outbox.seams().clock.now().as_second();
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-signature", key.sign(&id, seconds, body.as_bytes())),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-id", id),
        ];
        match self.courier.post(Parcel { url, headers, body }).await {
            Ok(reply) => judge(&reply, self.outbox.seams().clock.now()),
            Err(why) => Try::Failed(why, None),
        }
    }

    fn target(&self, job: &CallbackJob) -> Result<(Url, SigningKey), String> {
        let url = Url::parse(&job.callback.url).map_err(|error| format!("callback.url: {error}"))?;
        self.courier.check(&url)?;
        let secret = job.callback.secret.as_ref().or(self.config.default_secret.as_ref());
        let secret: &Secret = secret.ok_or("callback.secret: there is none, and no default key")?;
        let key = SigningKey::parse(secret).map_err(|error| format!("callback.secret: {error}"))?;
        Ok((url, key))
    }

    fn park(&self, task: &Task<'_>, job: &CallbackJob, why: String) -> Verdict {
        let deliveries = task.lease.deliveries;
        let why =
            format!("callback to {} not delivered in {deliveries} tries: {why}", shown(&job.callback.url));
        let reason = Error::new(ErrorCode::ProviderUnavailable, why);
        let (tenant, id) = (job.outcome.tenant.to_string(), job.outcome.id.to_string());
        Verdict::Park(Box::new(Parked { tenant, id, reason, conclusion: None }))
    }
}

#[async_trait]
impl Stage for Delivery {
    fn name(&self) -> &str {
        "delivery"
    }

    fn queue(&self) -> Queue {
        let topology = self.outbox.topology();
        Queue::of_tenants(&topology.subjects, &topology.callbacks, "cb", "delivery", self.engine.lease())
    }

    fn first_silence(&self) -> Duration {
        Duration::from_millis(self.config.timeout_ms) + CONNECT_TIMEOUT
    }

    async fn decide(&self, task: Task<'_>) -> Result<Verdict, broker::Error> {
        let job: CallbackJob = match task.lease.message.format().decode(&task.lease.message.payload) {
            Ok(job) => job,
            Err(reason) => {
                let id = format!("seq-{}", task.lease.sequence);
                let parked = Parked { tenant: "unknown".into(), id, reason, conclusion: None };
                return Ok(Verdict::Park(Box::new(parked)));
            }
        };
        let tries = task.lease.deliveries;
        if tries > self.config.attempts_max.saturating_add(SPARE_TRIES) {
            return Ok(self.park(&task, &job, "each try ended its worker".into()));
        }
        Ok(match self.deliver(&task, &job).await {
            Try::Taken => {
                self.metrics.callback("taken");
                Verdict::Done
            }
            Try::Refused(why) => {
                self.metrics.callback("refused");
                self.park(&task, &job, why)
            }
            Try::Failed(why, _) if tries >= self.config.attempts_max => {
                self.metrics.callback("exhausted");
                self.park(&task, &job, why)
            }
            Try::Failed(why, after) => {
                self.metrics.callback("failed");
                debug!(why, tries, id = %job.outcome.id, "callback failed");
                let first = Duration::from_millis(self.config.retry_first_ms);
                let longest = Duration::from_millis(self.config.retry_longest_ms);
                let delay = Backoff::new(first, longest).delay(tries, self.outbox.seams().fraction());
                Verdict::RetryAfter(after.map_or(delay, |after| after.min(RETRY_AFTER_MAX).max(delay)))
            }
        })
    }
}

fn judge(reply: &Reply, now: jiff::Timestamp) -> Try {
    let why = format!("the target answered {}", reply.status);
    match reply.status {
        status if status.is_success() => Try::Taken,
        StatusCode::GONE => Try::Refused(why),
        _ => Try::Failed(why, retry_after::read(&reply.headers, now)),
    }
}

/// A URL without what may be secret in it.
fn shown(url: &str) -> String {
    Url::parse(url).map_or_else(
        |_| "an invalid URL".into(),
        |url| format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path()),
    )
}
