//! The target of all callbacks, and the courier that brings them there without a network.

use std::{sync::Arc, time::Duration};

use actors::delivery::courier::{Courier, Parcel, Reply};
use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use schemas::{Outcome, RequestId, Secret, Tenant};
use serde::Deserialize;
use tokio::time::sleep;

use super::{
    clock::NodeClock,
    plan::{Fault, TargetMood},
    recorder::Recorder,
};
use crate::{
    fingerprint,
    history::{Fact, Key},
    receiver,
    workload::{self, mix},
};

/// The longest that a callback is on its way while all is well.
const WAY_MS_MAX: u64 = 200;
/// The longest wait that a throttling target asks for.
const RETRY_AFTER_S_MAX: u64 = 5;
/// The key of all callbacks, in the form of the contract.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// Where callbacks go.
#[derive(Debug)]
pub(super) struct Targets {
    recorder: Recorder,
    clock: Arc<NodeClock>,
    secret: Option<receiver::Secret>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    random: StdRng,
    moods: Vec<(usize, TargetMood, f64)>,
}

/// The body of a callback.
#[derive(Deserialize)]
struct Body {
    data: Outcome,
}

impl Targets {
    /// In a good mood.
    pub(super) fn new(recorder: Recorder, clock: Arc<NodeClock>, seed: u64) -> Arc<Self> {
        let inner = Inner { random: StdRng::seed_from_u64(mix(seed, 3)), moods: Vec::new() };
        Arc::new(Self { recorder, clock, secret: SECRET.parse().ok(), inner: Mutex::new(inner) })
    }

    /// The target that requests name.
    pub(super) fn address() -> workload::Target {
        workload::Target { url: "http://hooks.test".into(), secret: Secret::new(SECRET) }
    }

    /// Puts the targets into this mood from now on.
    pub(super) fn upset(&self, strike: usize, mood: TargetMood, probability: f64) {
        self.inner.lock().moods.push((strike, mood, probability));
    }

    /// Ends a strike.
    pub(super) fn calm(&self, strike: usize) {
        self.inner.lock().moods.retain(|(number, ..)| *number != strike);
    }

    /// The mood that meets this callback, how long it is on its way, and the wait that a throttling target asks for.
    fn meet(&self) -> (Option<TargetMood>, Duration, u64) {
        let mut inner = self.inner.lock();
        let Inner { random, moods } = &mut *inner;
        let mood = moods.iter().find(|(_, _, probability)| random.random_bool(*probability)).map(|met| met.1);
        let way = Duration::from_millis(random.random_range(0..WAY_MS_MAX));
        (mood, way, random.random_range(1..=RETRY_AFTER_S_MAX))
    }

    fn take(&self, parcel: &Parcel, replied: u16) {
        let Some(request) = addressee(parcel) else { return };
        let mut headers = HeaderMap::new();
        for (name, value) in &parcel.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let now = broker::Clock::now(&*self.clock);
        let valid = self
            .secret
            .as_ref()
            .is_some_and(|secret| secret.verify(&headers, parcel.body.as_bytes(), now).is_ok());
        let outcome = serde_json::from_str::<Body>(&parcel.body).ok().map(|body| body.data);
        let webhook =
            headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
        self.recorder.write(
            "receiver",
            Fact::CalledBack {
                request,
                webhook,
                valid,
                replied,
                status: outcome.as_ref().map(|outcome| outcome.status),
                digest: outcome.as_ref().map(fingerprint::of_outcome).unwrap_or_default(),
            },
        );
    }
}

/// The request that the path of a callback names.
fn addressee(parcel: &Parcel) -> Option<Key> {
    let mut path = parcel.url.path_segments()?;
    Some(Key { tenant: Tenant::new(path.next()?).ok()?, id: RequestId::new(path.next()?).ok()? })
}

/// Brings callbacks to the targets of a simulation.
#[derive(Debug)]
pub(super) struct Messenger {
    /// Where it brings them.
    pub(super) targets: Arc<Targets>,
    /// How long a target may take to answer.
    pub(super) patience: Duration,
}

#[async_trait]
impl Courier for Messenger {
    fn check(&self, _: &reqwest::Url) -> Result<(), String> {
        Ok(())
    }

    async fn post(&self, parcel: Parcel) -> Result<Reply, String> {
        let (mood, way, after) = self.targets.meet();
        if let Some(mood) = mood {
            let class = Fault::Target { mood, probability: 1.0 }.class();
            self.targets.recorder.fired(&class, 1);
        }
        sleep(way).await;
        let status = match mood {
            Some(TargetMood::Down) => return Err("no connection to the target".into()),
            Some(TargetMood::Fails) => StatusCode::INTERNAL_SERVER_ERROR,
            Some(TargetMood::Throttles) => StatusCode::SERVICE_UNAVAILABLE,
            Some(TargetMood::Gone) => StatusCode::GONE,
            Some(TargetMood::Slow) | None => StatusCode::OK,
        };
        self.targets.take(&parcel, status.as_u16());
        if mood == Some(TargetMood::Slow) {
            sleep(self.patience.saturating_sub(way)).await;
            return Err("the target did not answer in time".into());
        }
        let mut headers = HeaderMap::new();
        if mood == Some(TargetMood::Throttles) {
            headers.insert("retry-after", HeaderValue::from(after));
        }
        sleep(way).await;
        Ok(Reply { status, headers })
    }
}
