//! Delivers outcomes: a signed POST to the address that the request named, until the target takes it.
//!
//! Every try carries the same `webhook-id`, its own timestamp and a fresh signature (Standard Webhooks 1.0.0). A
//! callback that the target never takes is parked, and can be replayed from there.

pub mod courier;
mod targets;

use std::{sync::Arc, time::Duration};

use adapters::retry_after;
use async_trait::async_trait;
use reqwest::{StatusCode, Url};
use schemas::{CallbackJob, Error, ErrorCode, signature::SigningKey, target::shown};
use serde_json::json;
use tracing::{debug, warn};

use crate::{
    CallbackConfig, EngineConfig,
    backoff::Backoff,
    metrics::Metrics,
    outbox::{Outbox, Parked},
    queue::Queue,
    stage::{Stage, Task, Verdict},
};
use courier::{CONNECT_TIMEOUT, Courier, Parcel, Reply};
use targets::{Failure, Place, Targets};

/// Deliveries beyond the tries: a callback that uses these up ended its worker each time.
const SPARE_TRIES: u32 = 8;
/// The longest wait that a target may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// The stage.
#[derive(Debug)]
pub struct Delivery {
    config: CallbackConfig,
    courier: Arc<dyn Courier>,
    targets: Targets,
    outbox: Outbox,
    engine: EngineConfig,
    metrics: Arc<Metrics>,
}

/// The result of one try.
enum Try {
    Taken,
    /// Try again, not before this time if the target named one.
    Failed(String, Option<Duration>),
    /// The target wants nothing more.
    Gone(String),
}

/// The keys that sign a callback: the second while one key replaces the other.
struct Keys(SigningKey, Option<SigningKey>);

impl Keys {
    /// The value of `webhook-signature`.
    fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let signatures = [Some(&self.0), self.1.as_ref()];
        let signatures = signatures.into_iter().flatten().map(|key| key.sign(id, seconds, body));
        signatures.collect::<Vec<_>>().join(" ")
    }
}

impl Delivery {
    /// Delivers as `config` says, through `courier`.
    pub fn new(
        config: CallbackConfig,
        courier: Arc<dyn Courier>,
        outbox: Outbox,
        engine: EngineConfig,
        metrics: Arc<Metrics>,
    ) -> Self {
        let targets = Targets::new(outbox.broker(), outbox.topology().targets(), config.disable_after);
        Self { config, courier, targets, outbox, engine, metrics }
    }

    async fn deliver(&self, task: &Task<'_>, job: &CallbackJob, (url, keys): (Url, Keys)) -> Try {
        let outcome = &job.outcome;
        // The time of the event is that of its record, so that every try has the same body.
        let timestamp = task.lease.stored_at.to_string();
        let kind = format!("request.{}", outcome.status.as_str());
        let body = json!({"type": kind, "timestamp": timestamp, "data": outcome}).to_string();
        let id = format!("msg_{}_{}", outcome.tenant, outcome.id);
        let seconds = self.outbox.seams().clock.now().as_second();
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-signature", keys.sign(&id, seconds, body.as_bytes())),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-id", id),
        ];
        match self.courier.post(Parcel { url, headers, body }).await {
            Ok(reply) => judge(&reply, self.outbox.seams().clock.now()),
            Err(why) => Try::Failed(why, None),
        }
    }

    /// Where the callback goes, and the keys that sign it.
    fn target(&self, job: &CallbackJob) -> Result<(Url, Keys), String> {
        let url = Url::parse(&job.callback.url).map_err(|error| format!("callback.url: {error}"))?;
        self.courier.check(&url)?;
        let (secret, second) = match &job.callback.secret {
            Some(secret) => (secret, &job.callback.second_secret),
            None => {
                let secret = self.config.default_secret.as_ref();
                (
                    secret.ok_or("callback.secret: the request has none, and this server has no default (`callbacks.default_secret`)")?,
                    &self.config.default_second_secret,
                )
            }
        };
        let key = SigningKey::parse(secret).map_err(|error| format!("callback.secret: {error}"))?;
        let second = second.as_ref().map(SigningKey::parse).transpose();
        let second = second.map_err(|error| format!("callback.second_secret: {error}"))?;
        Ok((url, Keys(key, second)))
    }

    /// Gives the callback up, and counts that against its target.
    async fn give_up(
        &self,
        task: &Task<'_>,
        job: &CallbackJob,
        place: &Place,
        why: String,
        is_final: bool,
    ) -> Verdict {
        let failure = Failure { why: &why, is_final, at: self.outbox.seams().clock.now() };
        match self.targets.count(place, &failure).await {
            Ok(Some(target)) => {
                self.metrics.callback("target_disabled");
                let (tenant, target) = (&job.outcome.tenant, target.url);
                warn!(%tenant, target, why, "a callback target was disabled; send to it again with `dynode callbacks enable`");
            }
            Ok(None) => {}
            // The callback is parked next, which says the same.
            Err(error) => warn!(%error, "cannot count a failed callback against its target"),
        }
        self.park(task, job, why)
    }

    fn park(&self, task: &Task<'_>, job: &CallbackJob, why: String) -> Verdict {
        let deliveries = task.lease.deliveries;
        let url = Url::parse(&job.callback.url);
        let url = url.map_or_else(|_| "an invalid URL".into(), |url| shown(&url));
        let why = format!("callback to {url} not delivered in {deliveries} tries: {why}");
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
            return Ok(self.park(&task, &job, "each try ended the worker that made it".into()));
        }
        let (url, keys) = match self.target(&job) {
            Ok(target) => target,
            Err(why) => {
                self.metrics.callback("refused");
                return Ok(self.park(&task, &job, why));
            }
        };
        let place = Place::of(&job.outcome.tenant, &url);
        let known = self.targets.find(&place).await?;
        if let Some(since) = known.as_ref().and_then(|target| target.disabled_at) {
            self.metrics.callback("disabled");
            let why = format!(
                "the target has been disabled since {since}; enable it with `dynode callbacks enable`"
            );
            return Ok(self.park(&task, &job, why));
        }
        Ok(match self.deliver(&task, &job, (url, keys)).await {
            Try::Taken => {
                self.metrics.callback("taken");
                // If the record stays, the target is disabled too early at most.
                if known.is_some()
                    && let Err(error) = self.targets.forget(&place).await
                {
                    debug!(%error, "a target that answers again is still counted against");
                }
                Verdict::Done
            }
            Try::Gone(why) => {
                self.metrics.callback("refused");
                self.give_up(&task, &job, &place, why, true).await
            }
            Try::Failed(why, _) if tries >= self.config.attempts_max => {
                self.metrics.callback("exhausted");
                self.give_up(&task, &job, &place, why, false).await
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
        StatusCode::GONE => Try::Gone(why),
        _ => Try::Failed(why, retry_after::read(&reply.headers, now)),
    }
}
