//! Decides who may call a provider, when, and by which of its keys: one actor per provider, asked before each call.
//!
//! | file | what it holds |
//! |---|---|
//! | `permit` | the right to make one call, the need that asks for it, and how the call ends |
//! | `lanes` | all keys, and by which of them the next call goes |
//! | `lane` | one key: everything that holds back the calls by it |
//! | `rate`, `window` | the calls and the tokens of a minute |
//! | `concurrency` | how many calls at once a key bears, found by trying |
//! | `share`, `ledger`, `clerk` | this engine's part of the limits that the engines on one broker share |
//! | `learned` | what the provider says is left |
//! | `breaker` | how many calls of a failing model are not worth making |
//! | `budget` | how many failed calls are worth a second try |
//!
//! Callers wait in line, first come first served; one that stops waiting loses nothing. All but the line is pure.

mod breaker;
mod budget;
mod clerk;
mod concurrency;
mod lane;
mod lanes;
mod learned;
mod ledger;
mod permit;
mod rate;
mod share;
mod window;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use adapters::Limits;
use broker::Seams;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use schemas::{AsideKey, Governing};
use tokio::{sync::oneshot, time::Instant};
use tracing::warn;

use crate::{ProviderLimits, metrics::Metrics};
pub use budget::Retries;
pub use clerk::Clerk;
use lanes::{Grant, Lanes, SetAside, Verdict};
pub use permit::{End, Need, Permit, Refusal};
use share::Lease;

/// Asks a governor. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    governor: ActorRef<Message>,
    retries: Retries,
}

impl Handle {
    /// Waits in line for the right to make one call.
    pub async fn permit(&self, need: Need) -> Result<Permit, Refusal> {
        let (reply, granted) = oneshot::channel();
        self.governor.cast(Message::Acquire(Asker { need, reply })).map_err(|_| Refusal::Gone)?;
        granted.await.unwrap_or(Err(Refusal::Gone))
    }

    /// Whether a call that failed may be tried again.
    pub fn may_retry(&self) -> bool {
        self.retries.may_retry()
    }

    /// Takes one of the tries left, for a call of another provider beside a call of this one that has not failed.
    pub fn spend_retry(&self) -> bool {
        self.retries.spend()
    }

    /// The provider wants no call by `key` before `until`, as another engine has heard.
    pub fn close(&self, key: usize, until: Instant) {
        // A governor that is gone hears nothing; its successor is told.
        let _ = self.governor.cast(Message::Closed(key, until));
    }

    /// How it is now; `None` if the governor is gone.
    pub async fn look(&self) -> Option<Governing> {
        let (reply, look) = oneshot::channel();
        self.governor.cast(Message::Look(reply)).ok()?;
        look.await.ok()
    }
}

/// A message to a governor.
#[derive(Debug)]
pub enum Message {
    /// A caller asks for a permit.
    Acquire(Asker),
    /// The first output of a call has come, after this time.
    Heard(Grant, Option<Duration>),
    /// A provider has said what is left of the limits of this key.
    Limits(usize, Limits),
    /// A call has ended.
    Settle(Grant, End),
    /// The provider wants no call by this key before this instant.
    Closed(usize, Instant),
    /// Somebody asks how the governor is.
    Look(oneshot::Sender<Governing>),
    /// A share of the limits of this key was given, or refused.
    Leased(usize, Option<Lease>),
    /// A scheduled wake-up.
    Tick,
}

/// A caller that waits in line.
#[derive(Debug)]
pub struct Asker {
    need: Need,
    reply: oneshot::Sender<Result<Permit, Refusal>>,
}

/// The actor.
#[derive(Debug)]
pub struct Governor;

/// The parts of a governor.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// The configured name of the provider.
    pub provider: String,
    /// Its limits.
    pub limits: ProviderLimits,
    /// How many keys it has; the limits of calls and tokens a minute hold for each key.
    pub keys: usize,
    /// Randomness.
    pub seams: Seams,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Shared with the handle.
    pub retries: Retries,
    /// Shares the limits with the other engines; `None` if there are no others.
    pub clerk: Option<Clerk>,
}

/// The state of a governor.
#[derive(Debug)]
pub struct State {
    provider: String,
    lanes: Lanes,
    seams: Seams,
    metrics: Arc<Metrics>,
    retries: Retries,
    clerk: Option<Clerk>,
    waiting: VecDeque<Asker>,
    tick_due: Option<Instant>,
}

impl Governor {
    /// A handle to the actor `governor`, which was started with `retries`.
    pub const fn handle(governor: ActorRef<Message>, retries: Retries) -> Handle {
        Handle { governor, retries }
    }
}

impl Actor for Governor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        _: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let Arguments { provider, limits, keys, seams, metrics, retries, clerk } = arguments;
        let clerk = clerk.map(|clerk| clerk.anew(seams.random.next_u64()));
        let (lanes, waiting) = (Lanes::new(limits, keys, clerk.is_some()), VecDeque::new());
        Ok(State { provider, lanes, seams, metrics, retries, clerk, waiting, tick_due: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let now = Instant::now();
        match message {
            Message::Acquire(asker) => state.waiting.push_back(asker),
            Message::Heard(grant, took) => state.lanes.heard(&grant, took, now),
            Message::Limits(key, limits) => state.lanes.hear(key, limits, now),
            Message::Settle(grant, end) => state.settle(&grant, end, now),
            Message::Closed(key, until) => state.lanes.close(key, until),
            // Whoever asked may be gone.
            Message::Look(reply) => drop(reply.send(state.look(now))),
            Message::Leased(key, lease) => state.lanes.given(key, lease, now),
            Message::Tick => state.tick_due = None,
        }
        if let Some(wait) = state.serve(&myself, now) {
            state.wake_after(&myself, wait);
        }
        state.ask_for_shares(&myself, now);
        Ok(())
    }
}

impl State {
    /// Serves those in line as far as possible. `Some(wait)`: the next may be served after that.
    fn serve(&mut self, myself: &ActorRef<Message>, now: Instant) -> Option<Duration> {
        loop {
            // Only those who still wait may use up the limits.
            while self.waiting.front()?.reply.is_closed() {
                self.waiting.pop_front();
            }
            let need = &self.waiting.front()?.need;
            let answer = match self.lanes.ask(need, now, || self.seams.fraction()) {
                Verdict::Granted(grant) => Ok(Permit::new(myself.clone(), self.retries.clone(), grant)),
                Verdict::After(wait) => return Some(wait),
                Verdict::Full => return None,
                Verdict::Refused(refusal) => Err(refusal),
            };
            if let Err(refusal) = &answer {
                self.metrics.rejected(&self.provider, refusal.as_str());
            }
            let asker = self.waiting.pop_front()?;
            // A permit that nobody takes returns by itself.
            let _ = asker.reply.send(answer);
        }
    }

    /// Asks for what is missing of the shared limits. If no answer comes (its task has died), it asks again.
    fn ask_for_shares(&mut self, myself: &ActorRef<Message>, now: Instant) {
        let Some(clerk) = self.clerk.clone() else { return };
        let wishes = self.lanes.wishes(self.waiting.iter().map(|asker| &asker.need), now);
        for (key, wish) in wishes {
            let (clerk, governor) = (clerk.clone(), myself.clone());
            tokio::spawn(async move {
                let lease = clerk.lease(key, &wish).await;
                // A governor that is gone has nobody waiting; what it was given counts as used.
                let _ = governor.cast(Message::Leased(key, lease));
            });
            self.wake_after(myself, share::ASKING_MAX);
        }
    }

    fn settle(&mut self, grant: &Grant, end: End, now: Instant) {
        let Some(SetAside { key, fault }) = self.lanes.settle(grant, end, now) else { return };
        let (provider, key, why) = (&self.provider, key + 1, permit::reason(fault));
        let left = self.lanes.len() - self.lanes.aside(now).len();
        warn!(provider, key, why, left, "alarm: a key is set aside; check the key and its account");
    }

    fn look(&self, now: Instant) -> Governing {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let aside =
            |(key, fault)| AsideKey { key: number(key + 1), reason: permit::reason(fault).to_owned() };
        Governing {
            limit: self.lanes.limit(now),
            inflight: self.lanes.running(),
            waiting: number(self.waiting.len()),
            rejecting: self.lanes.rejection(now),
            keys: number(self.lanes.len()),
            aside: self.lanes.aside(now).into_iter().map(aside).collect(),
        }
    }

    fn wake_after(&mut self, myself: &ActorRef<Message>, wait: Duration) {
        let due = Instant::now() + wait;
        if self.tick_due.is_none_or(|earlier| due < earlier) {
            self.tick_due = Some(due);
            myself.send_after(wait, || Message::Tick);
        }
    }
}

#[cfg(test)]
mod tests;
