//! All keys of a provider: decides by which of them the next call goes, and what follows from how it ended. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use adapters::{KeyFault, Limits};
use tokio::time::Instant;

use super::{
    End, Need, Refusal,
    lane::{Aside, Lane, Room, Taken},
    ledger::Amount,
    share::{Lease, Wish},
};
use crate::ProviderLimits;

/// How many tokens an answer is expected to have before the first answer has come.
const OUTPUT_AT_FIRST: f64 = 256.0;
/// How much the newest answer counts in the expected length of the next.
const NEWEST_OUTPUT_WEIGHT: f64 = 0.1;
/// How long a caller that a breaker rejected waits on average before asking again, if there is nobody else to ask.
const OPEN_PAUSE: Duration = Duration::from_secs(1);

/// All keys of one provider.
#[derive(Debug)]
pub(super) struct Lanes {
    limits: ProviderLimits,
    lanes: Vec<Lane>,
    /// The average number of tokens of the answers of each model.
    outputs: BTreeMap<String, f64>,
    /// The keys that were asked for a call but had no share of the common limits.
    wanting: BTreeSet<usize>,
}

/// A call that was allowed.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The key, from 0.
    pub(super) key: usize,
    model: String,
    began: Instant,
    taken: Taken,
    /// Its first output has come.
    pub(super) is_heard: bool,
}

/// The answer to a caller.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It may call.
    Granted(Grant),
    /// It waits, and may ask again after this time.
    After(Duration),
    /// It waits until a call has ended, or a share of the limits has come.
    Full,
    /// It may not call.
    Refused(Refusal),
}

/// A key has just been set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SetAside {
    pub(super) key: usize,
    pub(super) fault: KeyFault,
}

impl Lanes {
    /// `is_shared`: other engines use the same keys.
    pub(super) fn new(limits: ProviderLimits, keys: usize, is_shared: bool) -> Self {
        let lanes = (0..keys.max(1)).map(|_| Lane::new(&limits, is_shared)).collect();
        Self { limits, lanes, outputs: BTreeMap::new(), wanting: BTreeSet::new() }
    }

    /// Answers a caller that needs `need`. `fraction` draws a number from 0 to 1 for the breakers.
    pub(super) fn ask(&mut self, need: &Need, now: Instant, mut fraction: impl FnMut() -> f64) -> Verdict {
        if self.lanes.iter().all(|lane| lane.aside(now).is_some()) {
            return Verdict::Refused(Refusal::NoKey(self.aside(now)));
        }
        if self.running() >= self.limits.concurrency.max(1) {
            return Verdict::Full;
        }
        let tokens = self.expected(need);
        let (mut free, mut soonest, mut may_be_sooner) = (Vec::new(), None::<Duration>, false);
        for (key, lane) in self.lanes.iter_mut().enumerate().filter(|(_, lane)| lane.aside(now).is_none()) {
            match lane.room(tokens, now) {
                Room::Free(share) => free.push((key, share)),
                Room::After(wait) => soonest = Some(soonest.map_or(wait, |soonest| soonest.min(wait))),
                Room::Full => may_be_sooner = true,
                Room::Unleased => {
                    self.wanting.insert(key);
                    may_be_sooner = true;
                }
            }
        }
        if free.is_empty() {
            return match soonest {
                Some(wait) if !may_be_sooner && now + wait > need.deadline => {
                    Verdict::Refused(Refusal::Busy { retry_after: wait })
                }
                Some(wait) => Verdict::After(wait),
                None => Verdict::Full,
            };
        }
        // The freest first; among equals, the first.
        free.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        for (key, _) in free {
            let rejection = self.lanes[key].rejection(&need.model, now);
            if rejection <= 0.0 || fraction() >= rejection {
                let taken = self.lanes[key].take(tokens, now);
                let grant = Grant { key, model: need.model.clone(), began: now, taken, is_heard: false };
                return Verdict::Granted(grant);
            }
        }
        Verdict::Refused(Refusal::Open { retry_after: OPEN_PAUSE.mul_f64(0.5 + fraction()) })
    }

    /// The shares to ask for, by each key that lacks one, while these calls wait.
    pub(super) fn wishes<'a>(
        &mut self,
        waiting: impl Iterator<Item = &'a Need>,
        now: Instant,
    ) -> Vec<(usize, Wish)> {
        if self.wanting.is_empty() {
            return Vec::new();
        }
        let expected: Vec<_> = waiting.map(|need| self.expected(need)).collect();
        let tokens = expected.iter().fold(0, |sum: u64, tokens| sum.saturating_add(*tokens));
        let waiting = Amount { requests: expected.len() as u64, tokens };
        let first = expected.first().copied().unwrap_or(0);
        let keys = std::mem::take(&mut self.wanting);
        keys.into_iter().filter_map(|key| Some((key, self.lanes[key].wish(first, waiting, now)?))).collect()
    }

    /// This much of the limits of `key` was given.
    pub(super) fn given(&mut self, key: usize, lease: Option<Lease>, now: Instant) {
        self.lanes[key].given(lease, now);
    }

    /// The first output of a call came after `took`; `None` if that says nothing of the provider's load.
    pub(super) fn heard(&mut self, grant: &Grant, took: Option<Duration>, now: Instant) {
        let lane = &mut self.lanes[grant.key];
        lane.record(&grant.model, true, now);
        if let Some(took) = took {
            lane.first_token(took);
        }
    }

    /// The provider has said what is left of the limits of `key`.
    pub(super) fn hear(&mut self, key: usize, limits: Limits, now: Instant) {
        self.lanes[key].hear(limits, now);
    }

    /// No call may start by `key` before `until`. Another engine may have keys that this one does not.
    pub(super) fn close(&mut self, key: usize, until: Instant) {
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.close(until);
        }
    }

    /// A call has ended.
    pub(super) fn settle(&mut self, grant: &Grant, end: End, now: Instant) -> Option<SetAside> {
        let Grant { key, ref model, began, taken, is_heard } = *grant;
        let lane = &mut self.lanes[key];
        // Before its slot is free: the number of running calls tells whether more would do.
        if matches!(end, End::Answered { .. }) {
            lane.answered();
        }
        let used = match end {
            End::Answered { input, output } => Some(input.saturating_add(output)),
            End::Throttled { .. } | End::Refused | End::KeyFault(_) => Some(0),
            End::Failed | End::Unknown => None,
        };
        lane.ended(taken, used, now);
        match end {
            End::Answered { output, .. } => {
                if !is_heard {
                    lane.record(model, true, now);
                }
                self.learn_output(model, output);
            }
            End::Throttled { pause } => lane.throttled(pause, began, now),
            End::Failed if !is_heard => lane.record(model, false, now),
            End::KeyFault(fault) => {
                let until = (fault == KeyFault::Spent).then(|| now + self.limits.key_rest);
                return lane.set_aside(Aside { fault, until }, now).then_some(SetAside { key, fault });
            }
            End::Failed | End::Refused | End::Unknown => {}
        }
        None
    }

    /// The keys that are set aside, each with the reason.
    pub(super) fn aside(&self, now: Instant) -> Vec<(usize, KeyFault)> {
        let lanes = self.lanes.iter().enumerate();
        lanes.filter_map(|(key, lane)| Some((key, lane.aside(now)?.fault))).collect()
    }

    /// How many keys there are.
    pub(super) const fn len(&self) -> usize {
        self.lanes.len()
    }

    /// The calls under way.
    pub(super) fn running(&self) -> u32 {
        self.lanes.iter().map(Lane::running).sum()
    }

    /// The most calls at once.
    pub(super) fn limit(&self, now: Instant) -> u32 {
        let usable = self.lanes.iter().filter(|lane| lane.aside(now).is_none());
        usable.map(Lane::limit).fold(0, u32::saturating_add).min(self.limits.concurrency)
    }

    /// The greatest share of calls rejected, over all models and keys.
    pub(super) fn rejection(&self, now: Instant) -> f64 {
        self.lanes.iter().map(|lane| lane.rejection_max(now)).fold(0.0, f64::max)
    }

    /// Capped at the highest possible limit: clients say how long an answer may become, and the result goes into sums.
    fn expected(&self, need: &Need) -> u64 {
        let usual = || self.outputs.get(&need.model).copied().unwrap_or(OUTPUT_AT_FIRST) as u64;
        need.input.saturating_add(need.output_max.unwrap_or_else(usual)).min(u64::from(u32::MAX))
    }

    fn learn_output(&mut self, model: &str, tokens: u64) {
        match self.outputs.get_mut(model) {
            Some(average) => *average += (tokens as f64 - *average) * NEWEST_OUTPUT_WEIGHT,
            None => _ = self.outputs.insert(model.to_owned(), tokens as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use adapters::Adaptive;
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const ENDS: [End; 6] = [
        End::Answered { input: 3, output: 4 },
        End::Throttled { pause: Duration::from_millis(700) },
        End::Failed,
        End::Refused,
        End::KeyFault(KeyFault::Spent),
        End::Unknown,
    ];

    proptest! {
        /// Whatever is asked and however it ends: no call beyond the limits, none by a key that is set aside, and every
        /// slot comes back.
        #[test]
        fn the_limits_hold_and_nothing_is_lost(
            keys in 1..4_usize,
            concurrency in 1..6_u32,
            steps in prop::collection::vec((0..ENDS.len() + 3, 0..2_000_u64, 0..40_u64), 1..300),
        ) {
            let limits = ProviderLimits {
                concurrency,
                requests_per_minute: Some(60),
                tokens_per_minute: Some(400),
                adaptive: Adaptive::Aimd,
                key_rest: Duration::from_secs(5),
            };
            let (mut lanes, mut now) = (Lanes::new(limits, keys, false), Instant::now());
            let (mut held, mut started) = (Vec::new(), Vec::new());
            for (step, pause, input) in steps {
                now += Duration::from_millis(pause);
                let need = Need { model: "m".into(), input, output_max: Some(4), deadline: now + HOUR };
                match ENDS.get(step) {
                    Some(end) if !held.is_empty() => _ = lanes.settle(&held.remove(0), *end, now),
                    _ => match lanes.ask(&need, now, || 0.5) {
                        Verdict::Granted(grant) => {
                            prop_assert!(lanes.lanes[grant.key].aside(now).is_none());
                            started.push((grant.key, now));
                            held.push(grant);
                        }
                        Verdict::After(wait) => prop_assert!(!wait.is_zero()),
                        Verdict::Full => prop_assert!(!held.is_empty()),
                        Verdict::Refused(_) => {}
                    },
                }
                prop_assert!(lanes.running() <= concurrency);
                prop_assert_eq!(lanes.running() as usize, held.len());
            }
            for (place, (key, first)) in started.iter().enumerate() {
                let minute = started[place..].iter().take_while(|(_, at)| *at - *first < Duration::from_secs(60));
                prop_assert!(minute.filter(|(other, _)| other == key).count() <= 60);
            }
            held.iter().for_each(|grant| _ = lanes.settle(grant, End::Unknown, now));
            prop_assert_eq!(lanes.running(), 0);
        }
    }

    #[test]
    fn an_answer_is_expected_to_be_as_long_as_those_before_it() {
        let mut lanes = Lanes::new(ProviderLimits::default(), 1, false);
        let need = Need { model: "m".into(), input: 5, output_max: None, deadline: Instant::now() };
        assert_eq!(lanes.expected(&need), 5 + OUTPUT_AT_FIRST as u64);
        (0..200).for_each(|_| lanes.learn_output("m", 40));
        assert_eq!(lanes.expected(&need), 45);
        assert_eq!(lanes.expected(&Need { output_max: Some(7), ..need }), 12);
    }
}
