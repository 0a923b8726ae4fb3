//! Counts what the engine does. Instruments are made once.

use std::time::Duration;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram},
};
use schemas::{ErrorCode, Governing, Usage};

use crate::budgets::Owner;

/// Seconds, from a millisecond to ten minutes.
const SECONDS: [f64; 14] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0];

/// The instruments of the engine.
#[derive(Debug)]
pub struct Metrics {
    jobs: Counter<u64>,
    job_seconds: Histogram<f64>,
    parked: Counter<u64>,
    worker_deaths: Counter<u64>,
    child_deaths: Counter<u64>,
    calls: Counter<u64>,
    call_seconds: Histogram<f64>,
    first_event_seconds: Histogram<f64>,
    tokens: Counter<u64>,
    cost_usd: Counter<f64>,
    callbacks: Counter<u64>,
    rejected: Counter<u64>,
    limit: Gauge<u64>,
    waiting: Gauge<u64>,
    rejecting: Gauge<f64>,
    keys_aside: Gauge<u64>,
    budget_spent: Gauge<f64>,
    budget_limit: Gauge<f64>,
    budget_warnings: Counter<u64>,
    budget_refused: Counter<u64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let meter = opentelemetry::global::meter("dynode");
        let counter = |name, what| meter.u64_counter(name).with_description(what).build();
        let gauge = |name, what| meter.u64_gauge(name).with_description(what).build();
        let amount = |name, what| meter.f64_gauge(name).with_description(what).build();
        let seconds = |name, what| {
            let histogram = meter.f64_histogram(name).with_unit("s").with_description(what);
            histogram.with_boundaries(SECONDS.to_vec()).build()
        };
        Self {
            jobs: counter("dynode.stage.jobs", "Messages that left a stage, by how"),
            job_seconds: seconds("dynode.stage.duration", "Time of a message in a stage"),
            parked: counter("dynode.stage.parked", "Messages that were parked"),
            worker_deaths: counter("dynode.worker.deaths", "Workers that died"),
            child_deaths: counter("dynode.supervisor.deaths", "Supervised actors that died"),
            calls: counter("dynode.provider.calls", "Calls of a provider, by result"),
            call_seconds: seconds("dynode.provider.duration", "Time of a provider's call"),
            first_event_seconds: seconds("dynode.provider.first_event", "Time to a provider's first output"),
            tokens: counter("dynode.provider.tokens", "Tokens used"),
            cost_usd: meter
                .f64_counter("dynode.cost_usd")
                .with_description("What calls cost in US dollars, as far as prices are known")
                .build(),
            callbacks: counter("dynode.callback.attempts", "Callback attempts, by result"),
            rejected: counter("dynode.governor.rejected", "Calls that were not made, by the reason"),
            limit: gauge("dynode.governor.limit", "The most calls at once, as far as was found"),
            waiting: gauge("dynode.governor.waiting", "Calls that wait for their turn"),
            rejecting: amount(
                "dynode.governor.rejecting",
                "The share of calls that a breaker rejects, of the worst model and key",
            ),
            keys_aside: gauge("dynode.governor.keys_aside", "Keys that are not used: spent, or rejected"),
            budget_spent: amount("dynode.budget.spent_usd", "What is spent of a budget in this period"),
            budget_limit: amount("dynode.budget.limit_usd", "The most that a budget allows in a period"),
            budget_warnings: counter("dynode.budget.warnings", "Budgets that were nearly spent"),
            budget_refused: counter("dynode.budget.refused", "Calls that a budget did not allow"),
        }
    }
}

impl Metrics {
    /// A message left a stage.
    pub fn job(&self, stage: &str, how: &'static str, took: Duration) {
        let labels = [KeyValue::new("stage", stage.to_owned()), KeyValue::new("how", how)];
        self.jobs.add(1, &labels);
        self.job_seconds.record(took.as_secs_f64(), &labels[..1]);
    }

    /// A message was parked.
    pub fn parked(&self, stage: &str, code: ErrorCode) {
        let labels = [KeyValue::new("stage", stage.to_owned()), KeyValue::new("code", code.as_str())];
        self.parked.add(1, &labels);
    }

    /// A worker died.
    pub fn worker_died(&self, stage: &str) {
        self.worker_deaths.add(1, &[KeyValue::new("stage", stage.to_owned())]);
    }

    /// A supervised actor died.
    pub fn child_died(&self, child: &str) {
        self.child_deaths.add(1, &[KeyValue::new("child", child.to_owned())]);
    }

    /// A provider was called; `result` is `ok` or an error code.
    pub fn call(&self, provider: &str, model: &str, result: &'static str, took: Duration) {
        let labels = [
            KeyValue::new("provider", provider.to_owned()),
            KeyValue::new("model", model.to_owned()),
            KeyValue::new("result", result),
        ];
        self.calls.add(1, &labels);
        self.call_seconds.record(took.as_secs_f64(), &labels[..2]);
    }

    /// A provider gave its first output.
    pub fn first_event(&self, provider: &str, model: &str, took: Duration) {
        let labels =
            [KeyValue::new("provider", provider.to_owned()), KeyValue::new("model", model.to_owned())];
        self.first_event_seconds.record(took.as_secs_f64(), &labels);
    }

    /// A call has used this, and cost this much if that is known.
    pub fn used(&self, provider: &str, model: &str, usage: &Usage, cost_usd: Option<f64>) {
        for (direction, count) in [("input", usage.input_tokens), ("output", usage.output_tokens)] {
            let labels = [
                KeyValue::new("provider", provider.to_owned()),
                KeyValue::new("model", model.to_owned()),
                KeyValue::new("type", direction),
            ];
            self.tokens.add(count, &labels);
        }
        if let Some(cost_usd) = cost_usd {
            let labels =
                [KeyValue::new("provider", provider.to_owned()), KeyValue::new("model", model.to_owned())];
            self.cost_usd.add(cost_usd, &labels);
        }
    }

    /// A call was not made.
    pub fn rejected(&self, provider: &str, reason: &'static str) {
        let labels = [KeyValue::new("provider", provider.to_owned()), KeyValue::new("reason", reason)];
        self.rejected.add(1, &labels);
    }

    /// The state of a provider's governor.
    pub fn governing(&self, provider: &str, look: &Governing) {
        let labels = [KeyValue::new("provider", provider.to_owned())];
        self.limit.record(look.limit.into(), &labels);
        self.waiting.record(look.waiting.into(), &labels);
        self.rejecting.record(look.rejecting, &labels);
        self.keys_aside.record(look.aside.len() as u64, &labels);
    }

    /// The state of a budget, in US dollars.
    pub(crate) fn budget(&self, owner: &Owner, per: &'static str, spent: f64, limit: f64) {
        let labels = budget_labels(owner, per);
        self.budget_spent.record(spent, &labels);
        self.budget_limit.record(limit, &labels);
    }

    /// A budget is nearly spent.
    pub(crate) fn budget_warned(&self, owner: &Owner, per: &'static str) {
        self.budget_warnings.add(1, &budget_labels(owner, per));
    }

    /// A budget did not allow a call.
    pub(crate) fn budget_refused(&self, owner: &Owner, per: &'static str) {
        self.budget_refused.add(1, &budget_labels(owner, per));
    }

    /// A callback was tried.
    pub fn callback(&self, result: &'static str) {
        self.callbacks.add(1, &[KeyValue::new("result", result)]);
    }
}

/// The budget's period and owner: an owner is labelled only with the names it has.
fn budget_labels(owner: &Owner, per: &'static str) -> Vec<KeyValue> {
    let mut labels = vec![KeyValue::new("per", per)];
    match owner {
        Owner::Tenant(tenant) => labels.push(KeyValue::new("tenant", tenant.to_string())),
        Owner::Key(tenant, key) => {
            labels.push(KeyValue::new("tenant", tenant.to_string()));
            labels.push(KeyValue::new("key", key.to_string()));
        }
        Owner::Parents(parents) => {
            let named =
                parents.named().filter_map(|(what, name)| Some(KeyValue::new(what, name?.to_owned())));
            labels.extend(named);
        }
    }
    labels
}
