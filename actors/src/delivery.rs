//! Outcomes out: a signed POST to the address that the request named, until somebody there takes it.
//!
//! Every try carries the same `webhook-id`, its own time stamp and a fresh signature (Standard Webhooks 1.0.0). What
//! nobody takes is parked, from where it can be sent again.

mod egress;
mod signature;

use std::{sync::Arc, time::Duration};

use adapters::retry_after;
use async_trait::async_trait;
use broker::ConsumerSpec;
use reqwest::{Client, StatusCode};
use schemas::{CallbackJob, Error, ErrorCode, Secret};
use serde_json::json;
use tracing::debug;

use crate::{
    CallbackConfig, EngineConfig,
    backoff::Backoff,
    metrics::Metrics,
    outbox::{Outbox, Parked},
    stage::{ACK_PENDING_MAX, Stage, Task, Verdict},
};
use egress::Guard;
use signature::Key;

/// How long a connection to a target may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A callback that is delivered more often than tried ended its worker each time.
const SPARE_TRIES: u32 = 8;
/// The longest wait that a target may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// The stage.
#[derive(Debug)]
pub struct Delivery {
    config: CallbackConfig,
    client: Client,
    guard: Arc<Guard>,
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
    /// Delivers as `config` says.
    pub fn new(
        config: CallbackConfig,
        outbox: Outbox,
        engine: EngineConfig,
        metrics: Arc<Metrics>,
    ) -> Result<Self, reqwest::Error> {
        let guard = Arc::new(Guard::new(config.allow_networks.clone()));
        let client = adapters::http::client_builder()
            .dns_resolver(Arc::clone(&guard))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(Duration::from_millis(config.timeout_ms))
            .build()?;
        Ok(Self { config, client, guard, outbox, engine, metrics })
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
        let request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", key.sign(&id, seconds, body.as_bytes()))
            .body(body);
        match request.send().await {
            Ok(response) => judge(&response, self.outbox.seams().clock.now()),
            Err(error) => Try::Failed(reason(&error), None),
        }
    }

    fn target(&self, job: &CallbackJob) -> Result<(reqwest::Url, Key), String> {
        let url = reqwest::Url::parse(&job.callback.url).map_err(|error| format!("callback.url: {error}"))?;
        self.guard.check_literal(&url)?;
        let secret = job.callback.secret.as_ref().or(self.config.default_secret.as_ref());
        let secret: &Secret = secret.ok_or("callback.secret: there is none, and no default key")?;
        Ok((url, Key::parse(secret)?))
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

    fn consumer(&self) -> ConsumerSpec {
        let topology = self.outbox.topology();
        ConsumerSpec {
            stream: topology.callbacks.clone(),
            name: "delivery".into(),
            filter: topology.subjects.all("cb"),
            ack_wait: self.engine.lease(),
            ack_pending_max: ACK_PENDING_MAX,
        }
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

fn judge(response: &reqwest::Response, now: jiff::Timestamp) -> Try {
    let status = response.status();
    let why = format!("the target answered {status}");
    match status {
        status if status.is_success() => Try::Taken,
        StatusCode::GONE => Try::Refused(why),
        _ => Try::Failed(why, retry_after::read(response.headers(), now)),
    }
}

/// What went wrong, without the URL and what may stand in it.
fn reason(error: &reqwest::Error) -> String {
    let mut chain: &dyn std::error::Error = error;
    while let Some(source) = chain.source() {
        chain = source;
    }
    match (error.is_timeout(), error.is_connect()) {
        (true, _) => "the target did not answer in time".into(),
        (_, true) => format!("no connection to the target: {chain}"),
        _ => format!("the request failed: {chain}"),
    }
}

/// A URL without what may be secret in it.
fn shown(url: &str) -> String {
    reqwest::Url::parse(url).map_or_else(
        |_| "an invalid URL".into(),
        |url| format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path()),
    )
}
