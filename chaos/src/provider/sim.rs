//! What the calls of one simulated provider share: its configuration and its counts.
//! It decides whether to admit a call and which fault hits it; it never answers one.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::Config;
use super::behaviour::{Behaviour, Fault};
use super::calls::Call;
use super::errors::ApiError;
use super::limits::{Named, SlidingWindow, Standing};
use super::vendors::Job;
use crate::journal::Journal;
use crate::scribe::Scribe;

/// The shared state of one simulated provider.
#[derive(Debug)]
pub(super) struct Sim {
    behaviour: Mutex<Behaviour>,
    pub(super) models: Vec<String>,
    pub(super) dimensions: u32,
    pub(super) calls: Journal<Call>,
    pub(super) history: Option<Scribe>,
    /// The hash of the `authorization` that calls must carry.
    authorization: Option<[u8; 32]>,
    windows: Mutex<Named<SlidingWindow>>,
    hits: Mutex<Named<u32>>,
    /// Long work of the vendors, by its id.
    pub(super) jobs: Mutex<Named<Job>>,
    run: u32,
    last_id: AtomicU64,
    arrived: AtomicU64,
    struck: AtomicU64,
    /// How many calls a fault with a share could have hit.
    exposed: AtomicU64,
}

impl Sim {
    pub(super) fn new(config: Config) -> Self {
        let bearer = |key: &str| Sha256::digest(format!("Bearer {key}")).into();
        Self {
            behaviour: Mutex::new(config.behaviour),
            models: config.models,
            dimensions: config.dimensions,
            calls: Journal::new(config.calls_kept),
            history: config.history,
            authorization: config.api_key.map(|key| bearer(key.expose_secret())),
            windows: Mutex::default(),
            hits: Mutex::default(),
            jobs: Mutex::default(),
            run: rand::random(),
            last_id: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            struck: AtomicU64::new(0),
            exposed: AtomicU64::new(0),
        }
    }

    /// An id that no other call has, in this run or another.
    pub(super) fn next_id(&self) -> String {
        format!("{:08x}{:016x}", self.run, self.last_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Checks that this is the `authorization` that calls must carry.
    pub(super) fn authorise(&self, credential: Option<Cow<'_, [u8]>>) -> Result<(), ApiError> {
        let Some(expected) = &self.authorization else { return Ok(()) };
        let Some(sent) = credential else { return Err(ApiError::key(false)) };
        let sent: [u8; 32] = Sha256::digest(sent).into();
        if bool::from(sent.ct_eq(expected)) { Ok(()) } else { Err(ApiError::key(true)) }
    }

    /// How to answer calls to `model`, or that there is no such model.
    pub(super) fn behaviour_of(&self, model: &str) -> Result<Behaviour, ApiError> {
        let usual = self.behaviour.lock().clone();
        let named = usual.clone().of_model(model);
        match named.map_err(|error| ApiError::grammar("model", &error))? {
            Some(behaviour) => Ok(behaviour),
            None if self.models.iter().any(|listed| listed == model) => Ok(usual),
            None => Err(ApiError::unknown_model(model)),
        }
    }

    /// Admits a call, or says how long it has to wait.
    pub(super) fn admit(&self, model: &str, rpm: Option<u32>) -> Result<Option<Standing>, Duration> {
        let Some(rpm) = rpm else { return Ok(None) };
        self.windows.lock().of(model).admit(rpm, Instant::now()).map(Some)
    }

    /// The fault that hits this call: its behaviour's, unless it spares this call or has hit often enough.
    pub(super) fn fault(&self, behaviour: &Behaviour, model: &str, key: &str) -> Option<Fault> {
        let fault = behaviour.fault?;
        if !self.is_its_turn(behaviour.share) {
            return None;
        }
        if let Some(times) = behaviour.times {
            let mut hits = self.hits.lock();
            let hits = hits.of(&format!("{model}\n{key}"));
            if *hits >= times {
                return None;
            }
            *hits += 1;
        }
        self.struck.fetch_add(1, Ordering::Relaxed);
        Some(fault)
    }

    /// Whether the next call belongs to the share, in percent, that a fault hits: spread evenly, not drawn, so that a
    /// short run has its faults too.
    fn is_its_turn(&self, share: Option<u32>) -> bool {
        let Some(share) = share else { return true };
        let before = self.exposed.fetch_add(1, Ordering::Relaxed);
        let hits = |calls: u64| calls * u64::from(share) / 100;
        hits(before + 1) > hits(before)
    }

    /// The number of a call that has arrived, from 1.
    pub(super) fn count(&self) -> u64 {
        self.arrived.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Answers like this from the next call on.
    pub(super) fn turn(&self, behaviour: Behaviour) {
        *self.behaviour.lock() = behaviour;
    }

    /// How many calls a fault has hit.
    pub(super) fn struck(&self) -> u64 {
        self.struck.load(Ordering::Relaxed)
    }
}
