//! Who may call a provider, and when: one actor a provider, asked before each call.
//!
//! It bounds the calls at once, the calls that start in any minute, and holds everybody back until the time that a
//! throttled provider named. Callers wait in line, first come first served; one that stops waiting loses nothing.

mod rate;

use std::{collections::VecDeque, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::{sync::oneshot, time::Instant};

use crate::ProviderLimits;
use rate::Rate;

/// The right to make one call. Dropping it returns it.
#[derive(Debug)]
pub struct Permit {
    governor: ActorRef<Message>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        // A governor that is gone has nobody waiting; its successor starts with all permits.
        let _ = self.governor.cast(Message::Return);
    }
}

/// Asks a governor. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    governor: ActorRef<Message>,
}

impl Handle {
    /// Waits in line for the right to make one call. `None`: the governor is gone or has been replaced; ask again.
    pub async fn permit(&self) -> Option<Permit> {
        let (reply, granted) = oneshot::channel();
        self.governor.cast(Message::Acquire(reply)).ok()?;
        granted.await.ok()
    }

    /// The provider asked for fewer calls: none starts before `until`.
    pub fn closed_until(&self, until: Instant) {
        // To a governor that is gone nothing can be told; whoever takes its place is.
        let _ = self.governor.cast(Message::ClosedUntil(until));
    }
}

/// What a governor is told.
#[derive(Debug)]
pub enum Message {
    /// Somebody wants to call.
    Acquire(oneshot::Sender<Permit>),
    /// A call has ended.
    Return,
    /// The provider wants no call before this instant.
    ClosedUntil(Instant),
    /// A time that was waited for has come.
    Tick,
}

/// The actor.
#[derive(Debug)]
pub struct Governor;

/// What it knows.
#[derive(Debug)]
pub struct State {
    concurrency: u32,
    running: u32,
    rate: Option<Rate>,
    paused_until: Option<Instant>,
    waiting: VecDeque<oneshot::Sender<Permit>>,
    tick_due: Option<Instant>,
}

impl Governor {
    /// A handle to the actor `governor`.
    pub const fn handle(governor: ActorRef<Message>) -> Handle {
        Handle { governor }
    }
}

impl Actor for Governor {
    type Msg = Message;
    type State = State;
    type Arguments = ProviderLimits;

    async fn pre_start(
        &self,
        _: ActorRef<Message>,
        limits: ProviderLimits,
    ) -> Result<State, ActorProcessingErr> {
        Ok(State {
            concurrency: limits.concurrency.max(1),
            running: 0,
            rate: limits.requests_per_minute.map(Rate::per_minute),
            paused_until: None,
            waiting: VecDeque::new(),
            tick_due: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Acquire(reply) => state.waiting.push_back(reply),
            Message::Return => state.running = state.running.saturating_sub(1),
            Message::ClosedUntil(until) => state.paused_until = state.paused_until.max(Some(until)),
            Message::Tick => state.tick_due = None,
        }
        if let Some(wait) = state.serve(&myself, Instant::now()) {
            state.wake_after(&myself, wait);
        }
        Ok(())
    }
}

impl State {
    /// Serves those who wait, as far as it may. `Some(wait)`: the next may be served after that.
    fn serve(&mut self, myself: &ActorRef<Message>, now: Instant) -> Option<Duration> {
        while self.running < self.concurrency {
            self.waiting.front()?;
            if let Some(until) = self.paused_until.filter(|until| *until > now) {
                return Some(until - now);
            }
            self.paused_until = None;
            // Only those who still wait may use up the rate.
            let reply = self.next_waiting()?;
            if let Some(wait) = self.rate.as_mut().and_then(|rate| rate.take().err()) {
                self.waiting.push_front(reply);
                return Some(wait);
            }
            self.running += 1;
            // A permit that nobody takes comes back by itself.
            let _ = reply.send(Permit { governor: myself.clone() });
        }
        None
    }

    fn next_waiting(&mut self) -> Option<oneshot::Sender<Permit>> {
        loop {
            match self.waiting.pop_front()? {
                gone if gone.is_closed() => {}
                reply => return Some(reply),
            }
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
