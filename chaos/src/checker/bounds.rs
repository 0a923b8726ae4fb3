//! What the checkers know about a run: its engine's settings and the bounds that follow from them.

use std::collections::BTreeMap;

use serde::Serialize;

/// The settings of a run. The default is `config/default.toml` with room for a slow machine; a run with other settings
/// must repeat them here.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bounds {
    /// How much later than its deadline a request may end while things are broken (I1).
    pub recovery_ms: u64,
    /// How many calls an engine makes to a provider at once: while all are under way, waiting requests are not late
    /// (I1). None if unknown.
    pub slots: Option<usize>,
    /// `streams.queued_max`: with this many queued, work handed back finds no room and costs an attempt (I14).
    pub queued_max: Option<u64>,
    /// `engine.attempts_max`: deliveries that may end in a crash (I4, I14).
    pub attempts_max: u64,
    /// How often work may be delivered if only its providers fail; none: `attempts_max` holds (I4).
    pub attempts_calm: Option<u64>,
    /// How much later than its deadline or its cancel running work may end if only its providers fail; none: only
    /// `recovery_ms` holds (I1).
    pub punctual_ms: Option<u64>,
    /// How long a call may go on after the cancel of its request if only providers fail; none: no bound (I1).
    pub cancel_heard_ms: Option<u64>,
    /// `engine.retries`: further calls within one attempt (I4).
    pub retries: u64,
    /// How late a refusal may come (I8).
    pub refusal_ms: u64,
    /// The limit of each model that has one (I9).
    pub rates: BTreeMap<String, Rate>,
    /// How long a Retry-After may take to reach all workers; none: it binds only the request that got it (I9).
    pub retry_after_spread_ms: Option<u64>,
    /// The caps of gauges whose measurements carry none (I7).
    pub caps: BTreeMap<String, f64>,
    /// The longest silence before a call counts as stalled: `engine.total_ms` if calls are not streamed, else
    /// `engine.between_events_ms` (I12).
    pub silence_ms: u64,
    /// The shortest silence that counts as a stall, if known: it may be shorter for streamed calls than for others
    /// (I16).
    pub silence_min_ms: Option<u64>,
    /// How soon a stopped or spinning process is ended (I12).
    pub stall_kill_ms: u64,
    /// How soon after the end of a stall its request must be tried again or end (I12). Longer than `engine.lease_ms`.
    pub redelivery_ms: u64,
    /// The roles whose processes the engine itself replaces, each by the beginning of its name (I13).
    pub supervised: Vec<String>,
    /// How soon a dead process is replaced (I13).
    pub replace_ms: u64,
    /// How many deaths of one role within [`Bounds::restarts_window_ms`] are too many: the role may then rest (I13).
    pub restarts_max: usize,
    /// See [`Bounds::restarts_max`].
    pub restarts_window_ms: u64,
    /// `engine.drain_ms`, or the gateway's: how long a process may take to exit (I14).
    pub drain_ms: u64,
    /// How long after the end of the load everything must be over (I15).
    pub settle_ms: u64,
    /// How long after healing requests may still be slow (I15).
    pub recovery_after_heal_ms: u64,
    /// The p99 after healing may be at most this many times the quiet p99 (I15).
    pub latency_factor: f64,
    /// A p99 below this always passes (I15).
    pub latency_floor_ms: u64,
    /// How far two clocks, or two lines of one history, may be apart; added to every bound.
    pub skew_ms: u64,
}

/// A limit on calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// At most this many calls …
    pub calls: usize,
    /// … start within any window of this length.
    pub window_ms: u64,
}

impl Rate {
    /// How long one call uses up the limit, which spreads calls over the window; a tenth longer, since workers lease a
    /// part of the limit and give it back.
    pub(crate) fn taken_ms(self) -> u64 {
        self.window_ms * 11 / 10 / (self.calls as u64).max(1)
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            recovery_ms: 60_000,
            slots: None,
            queued_max: None,
            attempts_max: 3,
            attempts_calm: None,
            punctual_ms: None,
            cancel_heard_ms: None,
            retries: 2,
            refusal_ms: 2_000,
            rates: BTreeMap::new(),
            retry_after_spread_ms: None,
            caps: BTreeMap::new(),
            silence_ms: 30_000,
            silence_min_ms: None,
            stall_kill_ms: 15_000,
            redelivery_ms: 25_000,
            supervised: vec!["worker".to_owned()],
            replace_ms: 5_000,
            restarts_max: 5,
            restarts_window_ms: 60_000,
            drain_ms: 10_000,
            settle_ms: 60_000,
            recovery_after_heal_ms: 5_000,
            latency_factor: 2.0,
            latency_floor_ms: 250,
            skew_ms: 500,
        }
    }
}
