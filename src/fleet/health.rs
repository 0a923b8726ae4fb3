//! Judges whether a worker process is well, by its heartbeats alone. Pure: beats and looks go in, a verdict comes out.
//!
//! Stalled work is not judged here: a heartbeat cannot tell a slow call from a stalled one. Each call has its own
//! timeouts; if those fail, the watchdog of the process ends it (exit code 71).
//!
//! Silence is summed from look to look, not read from a clock, so that a parent that was itself stopped, or that had
//! lost its own connection, does not blame a worker for it.

use std::time::Duration;

use schemas::Heartbeat;
use tokio::time::Instant;

/// The longest time that one look may add. Looks come several times a second; a later one means that the parent
/// itself stood still.
const LOOK_LONGEST: Duration = Duration::from_secs(1);
/// How long the first heartbeat may take: a start connects to the broker, for up to ten seconds, and creates a dozen
/// consumers. Also applies after the parent could not hear, since the worker may have to reconnect as well.
const FIRST_BEAT: Duration = Duration::from_secs(30);

/// When to end a worker process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// After this long without a heartbeat.
    pub(crate) silence: Duration,
    /// After it has reported no broker for this long.
    pub(crate) disconnect: Duration,
}

/// Why a worker process is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Illness {
    /// It sends no heartbeats.
    Silent,
    /// It has lost the broker.
    Disconnected,
}

/// The state of one process.
#[derive(Debug)]
pub(crate) struct Health {
    pid: u32,
    looked: Instant,
    silent: Duration,
    may_be_silent: Duration,
    heard: bool,
    disconnected_since: Option<Instant>,
}

impl Health {
    /// The process `pid`, started at `now`.
    pub(crate) fn new(pid: u32, limits: &Limits, now: Instant) -> Self {
        Self {
            pid,
            looked: now,
            silent: Duration::ZERO,
            may_be_silent: limits.silence.max(FIRST_BEAT),
            heard: false,
            disconnected_since: None,
        }
    }

    /// Records a heartbeat; returns whether it is the first. Ignores a heartbeat from another process, such as the
    /// slot's previous one.
    pub(crate) fn beat(&mut self, beat: &Heartbeat, limits: &Limits, now: Instant) -> bool {
        if beat.pid != self.pid {
            return false;
        }
        (self.looked, self.silent) = (now, Duration::ZERO);
        self.may_be_silent = limits.silence;
        self.disconnected_since = if beat.connected { None } else { self.disconnected_since.or(Some(now)) };
        !std::mem::replace(&mut self.heard, true)
    }

    /// The verdict at `now`; `hearing` says whether a heartbeat since the last look would have been received.
    pub(crate) fn look(&mut self, hearing: bool, limits: &Limits, now: Instant) -> Option<Illness> {
        let passed = now.duration_since(self.looked).min(LOOK_LONGEST);
        self.looked = now;
        if !hearing {
            self.silent = Duration::ZERO;
            self.may_be_silent = limits.silence.max(FIRST_BEAT);
            self.disconnected_since = None;
            return None;
        }
        self.silent += passed;
        if self.silent > self.may_be_silent {
            return Some(Illness::Silent);
        }
        let lost = self.disconnected_since.map(|since| now.duration_since(since));
        lost.is_some_and(|lost| lost > limits.disconnect).then_some(Illness::Disconnected)
    }
}

impl Illness {
    /// Its name in logs and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Disconnected => "disconnected",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { silence: Duration::from_secs(10), disconnect: Duration::from_secs(20) };
    const PID: u32 = 7;
    const LOOK_EVERY: Duration = Duration::from_millis(250);

    fn beat() -> Heartbeat {
        Heartbeat {
            v: 1,
            node: "n-1".into(),
            worker: "sim".into(),
            pid: PID,
            connected: true,
            every_ms: 2_000,
            slots: 8,
            queue: None,
            inflight: 0,
            last_progress_ms: 0,
            average_job_ms: 0.0,
            governing: None,
            at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    /// A process and a clock of its own.
    struct Ward {
        health: Health,
        now: Instant,
    }

    impl Ward {
        fn new() -> Self {
            let now = Instant::now();
            Self { health: Health::new(PID, &LIMITS, now), now }
        }

        fn beat(&mut self, beat: Heartbeat) -> bool {
            self.health.beat(&beat, &LIMITS, self.now)
        }

        /// Looks for `time`, with `said` every two seconds; the time until it is ill.
        fn watch(
            &mut self,
            time: Duration,
            hearing: bool,
            said: Option<Heartbeat>,
        ) -> Option<(Duration, Illness)> {
            let began = self.now;
            for look in 1.. {
                if self.now - began >= time {
                    break;
                }
                self.now += LOOK_EVERY;
                if let (Some(said), 0) = (&said, look % 8) {
                    self.beat(said.clone());
                }
                if let Some(illness) = self.health.look(hearing, &LIMITS, self.now) {
                    return Some((self.now - began, illness));
                }
            }
            None
        }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn one_that_beats_lives_and_one_that_stops_is_silent_in_time_and_not_before() {
        let mut ward = Ward::new();
        assert!(ward.beat(beat()), "the first");
        assert!(!ward.beat(beat()), "the second");
        assert_eq!(ward.watch(HOUR, true, Some(beat())), None);
        assert_eq!(ward.watch(HOUR, true, None), Some((LIMITS.silence + LOOK_EVERY, Illness::Silent)));
    }

    #[test]
    fn a_start_may_take_longer_but_not_for_ever() {
        let mut ward = Ward::new();
        assert_eq!(ward.watch(HOUR, true, None), Some((FIRST_BEAT + LOOK_EVERY, Illness::Silent)));
    }

    #[test]
    fn nobody_is_blamed_while_the_parent_does_not_hear_or_stands_still() {
        let mut ward = Ward::new();
        ward.beat(beat());
        assert_eq!(ward.watch(HOUR, false, None), None);
        assert_eq!(ward.watch(FIRST_BEAT, true, None), None, "it may have to connect again");
        ward.beat(beat());
        ward.now += HOUR;
        assert_eq!(ward.health.look(true, &LIMITS, ward.now), None, "the parent was stopped for an hour");
        assert_eq!(ward.watch(LIMITS.silence - LOOK_LONGEST, true, None), None);
    }

    #[test]
    fn beats_of_the_process_before_are_not_its_own() {
        let mut ward = Ward::new();
        let other = Heartbeat { pid: PID + 1, connected: false, ..beat() };
        assert!(!ward.beat(other.clone()));
        assert_eq!(ward.watch(HOUR, true, Some(other)), Some((FIRST_BEAT + LOOK_EVERY, Illness::Silent)));
    }

    #[test]
    fn one_that_says_it_has_no_broker_is_ended_unless_that_passes() {
        let mut ward = Ward::new();
        let lost = Heartbeat { connected: false, ..beat() };
        assert_eq!(ward.watch(LIMITS.disconnect, true, Some(lost.clone())), None);
        ward.beat(beat());
        assert_eq!(ward.watch(LIMITS.disconnect, true, Some(lost.clone())), None);
        let ended = ward.watch(HOUR, true, Some(lost)).map(|(_, illness)| illness);
        assert_eq!(ended, Some(Illness::Disconnected));
    }
}
