//! Records which slot is filled and how, for probes and metrics. The keepers write it; it decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use gateway::Standing;
use schemas::Heartbeat;

use super::report::Reporter;

/// The metric that says for each slot whether its process just answered.
const UP: &str = "dynode_fleet_worker_up";

/// Every slot by its number.
#[derive(Debug)]
pub(crate) struct Roster(Mutex<BTreeMap<u32, Post>>);

/// One slot.
#[derive(Debug, Default)]
struct Post {
    state: State,
    /// What needs a person's attention, by the pool that reports it.
    alarms: BTreeMap<String, Vec<String>>,
    reporter: Option<Reporter>,
}

/// How the slot is filled.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Empty, or its process has not been heard yet.
    #[default]
    Waiting,
    /// Its process has been heard.
    Ready,
    /// Empty for this long, after repeated deaths; the last one had this reason.
    Resting(Duration, &'static str),
}

impl Roster {
    /// This many slots, all waiting for their processes.
    pub(super) fn new(slots: u32) -> Self {
        Self(Mutex::new((1..=slots).map(|slot| (slot, Post::default())).collect()))
    }

    /// A process has been started in `slot`.
    pub(super) fn started(&self, slot: u32, reporter: Reporter) {
        self.posts().insert(slot, Post { reporter: Some(reporter), ..Post::default() });
    }

    /// The process in `slot` sent a heartbeat.
    pub(super) fn ready(&self, slot: u32) {
        self.posts().entry(slot).or_default().state = State::Ready;
    }

    /// The process in `slot` reported on one of its pools.
    pub(super) fn told(&self, slot: u32, beat: &Heartbeat) {
        let mut posts = self.posts();
        posts.entry(slot).or_default().alarms.insert(beat.worker.clone(), beat.alarms());
    }

    /// `slot` is empty again.
    pub(super) fn ended(&self, slot: u32) {
        self.posts().insert(slot, Post::default());
    }

    /// `slot` stays empty for this long: its processes died again and again, the last one for `reason`.
    pub(super) fn rests(&self, slot: u32, rest: Duration, reason: &'static str) {
        self.posts().insert(slot, Post { state: State::Resting(rest, reason), ..Post::default() });
    }

    /// The standing that probes get.
    pub(crate) fn standing(&self) -> Standing {
        let posts = self.posts();
        let ready = posts.values().any(|post| post.state == State::Ready);
        let alarm = |(slot, post): (&u32, &Post)| match post.state {
            State::Resting(rest, reason) => Some(format!(
                "worker {slot} died again and again (the last time: {reason}) and rests for {rest:?}; see the log"
            )),
            State::Waiting | State::Ready => None,
        };
        let unready = if ready { Vec::new() } else { vec!["no worker process is ready".to_owned()] };
        // All processes have the same keys, so an alarm that several report is shown once.
        let said: BTreeSet<_> =
            posts.values().flat_map(|post| post.alarms.values().flatten().cloned()).collect();
        Standing { unready, alarms: posts.iter().filter_map(alarm).chain(said).collect() }
    }

    /// The metrics of every process that answers in time, and one sample per slot that says whether it did.
    pub(crate) async fn metrics(&self) -> Vec<String> {
        let reporters: Vec<_> =
            self.posts().iter().map(|(slot, post)| (*slot, post.reporter.clone())).collect();
        let ask = |(slot, reporter): (u32, Option<Reporter>)| async move {
            (
                slot,
                match reporter {
                    Some(reporter) => reporter.ask().await,
                    None => None,
                },
            )
        };
        let answers = join_all(reporters.into_iter().map(ask)).await;
        let mut up =
            format!("# HELP {UP} Whether the worker process has told its metrics\n# TYPE {UP} gauge\n");
        for (slot, answer) in &answers {
            // Writing to a string cannot fail.
            let _ = writeln!(up, "{UP}{{worker=\"{slot}\"}} {}", u8::from(answer.is_some()));
        }
        std::iter::once(up).chain(answers.into_iter().filter_map(|(_, answer)| answer)).collect()
    }

    fn posts(&self) -> MutexGuard<'_, BTreeMap<u32, Post>> {
        // Each change is a single step, so the roster behind a poisoned lock is sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_ready_is_enough_and_one_that_rests_is_told_until_it_begins_anew() {
        let roster = Roster::new(2);
        let nobody = vec!["no worker process is ready".to_owned()];
        assert_eq!(roster.standing().unready, nobody, "a start is no readiness");
        roster.ready(2);
        assert_eq!(roster.standing(), Standing::default());
        roster.rests(1, Duration::from_secs(60), "killed");
        let standing = roster.standing();
        assert_eq!((standing.unready.len(), standing.alarms.len()), (0, 1), "the other works on");
        assert!(standing.alarms[0].starts_with("worker 1 died again and again (the last time: killed)"));
        roster.ended(2);
        assert_eq!(roster.standing().unready, nobody);
        roster.ready(1);
        assert_eq!(roster.standing(), Standing::default());
    }

    #[tokio::test]
    async fn a_slot_without_a_process_is_down_in_the_metrics() {
        let text = Roster::new(2).metrics().await.concat();
        assert!(
            text.ends_with(
                "dynode_fleet_worker_up{worker=\"1\"} 0\ndynode_fleet_worker_up{worker=\"2\"} 0\n"
            ),
            "{text}"
        );
    }
}
