//! What the checkers are told of a run: the settings that its engine had and the bounds that follow from them.

use std::collections::BTreeMap;

use serde::Serialize;

/// The settings of a run. The default is what `config/default.toml` says, with room for a slow machine; a run that sets
/// something else says so here too.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bounds {
    /// How much later than its deadline a request may end while things are broken (I1).
    pub recovery_ms: u64,
    /// So many calls at once are all that an engine makes to a provider: while they are under way, what waits is not late
    /// (I1). None where that is not known.
    pub slots: Option<usize>,
    /// `streams.queued_max`: with as many, what is handed back finds no room and costs an attempt (I14).
    pub queued_max: Option<u64>,
    /// `engine.attempts_max`: deliveries that may end in a crash (I4, I14).
    pub attempts_max: u64,
    /// How often work is delivered while nothing is wrong but with its providers; none: as often as ever (I4).
    pub attempts_calm: Option<u64>,
    /// How much later than its deadline, or than its cancel, work that runs may end while nothing is wrong but with its
    /// providers; none: as late as ever (I1).
    pub punctual_ms: Option<u64>,
    /// How long a call goes on at most whose request was cancelled, while nothing is wrong but with its providers; none: as
    /// long as ever (I1).
    pub cancel_heard_ms: Option<u64>,
    /// `engine.retries`: further calls within one attempt (I4).
    pub retries: u64,
    /// How late a refusal may come (I8).
    pub refusal_ms: u64,
    /// The limit of each model that has one (I9).
    pub rates: BTreeMap<String, Rate>,
    /// How long word of a Retry-After may take to all workers; none: it binds only the request that was told (I9).
    pub retry_after_spread_ms: Option<u64>,
    /// The caps of gauges whose measurements bring none (I7).
    pub caps: BTreeMap<String, f64>,
    /// The longest silence after which a call counts as stalled: `engine.total_ms` where calls are not streamed, else
    /// `engine.between_events_ms` (I12).
    pub silence_ms: u64,
    /// The shortest silence that counts as a stall, where that is known: for a call that is streamed it may be shorter than
    /// for one that is not (I16).
    pub silence_min_ms: Option<u64>,
    /// How soon a stopped or spinning process is ended (I12).
    pub stall_kill_ms: u64,
    /// How soon after the end of a stall its request is called anew, or ends (I12). Longer than `engine.lease_ms`.
    pub redelivery_ms: u64,
    /// The roles whose processes the engine itself replaces, by the beginning of their names (I13).
    pub supervised: Vec<String>,
    /// How soon a dead process is replaced (I13).
    pub replace_ms: u64,
    /// How many deaths of one role within [`Bounds::restarts_window_ms`] are too many: then it may rest (I13).
    pub restarts_max: usize,
    /// See [`Bounds::restarts_max`].
    pub restarts_window_ms: u64,
    /// `engine.drain_ms`, or that of the gateway: how long a process may take to go (I14).
    pub drain_ms: u64,
    /// How long after the last fault everything is over (I15).
    pub settle_ms: u64,
    /// How long after healing requests may still be slow (I15).
    pub recovery_after_heal_ms: u64,
    /// How many times the quiet p99 the p99 after healing may be (I15).
    pub latency_factor: f64,
    /// A p99 below this is good in any case (I15).
    pub latency_floor_ms: u64,
    /// How far two clocks, or two lines of one history, may be apart; added to every bound.
    pub skew_ms: u64,
}

/// A limit on calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// So many calls at most …
    pub calls: usize,
    /// … start within any window of this length.
    pub window_ms: u64,
}

impl Rate {
    /// For so long a call takes up the limit, which spreads calls over the window; and a tenth longer, since a part of what
    /// is allowed is leased and given back.
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
