//! Settlements on their way to the broker: carried out at once, late, or never.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, sleep_until},
};

use super::{
    effects::Effects,
    faults::{Fault, Place},
    freeze::{self, Late},
    handle::Handle,
    log::{Event, Name},
    state::State,
};
use crate::{Error, ErrorKind, Message, Settle, Settlement};

/// How long a renewal or a rejection waits for its confirmation.
const CONFIRM_MAX: Duration = Duration::from_secs(2);

/// One settlement.
#[derive(Debug, Clone)]
pub(super) struct Settling {
    /// The numbers of the stream and of the consumer in it.
    pub(super) place: (usize, usize),
    pub(super) message: Message,
    pub(super) sequence: u64,
    pub(super) settlement: Settlement,
}

/// What the settler hears, if it waits for that.
#[derive(Debug)]
pub(super) enum Heard {
    Now(Result<(), Error>),
    At(Instant),
    Never,
    Thawed(oneshot::Receiver<Result<(), Error>>),
}

impl Settling {
    /// Whether the settler waits for a confirmation.
    const fn is_confirmed(&self) -> bool {
        matches!(self.settlement, Settlement::Renew | Settlement::Reject)
    }
}

impl State {
    /// Settles a lease of a consumer, unless a fault loses or delays the settlement.
    pub(super) fn settle(&mut self, settling: Settling, now: Instant) -> Result<Heard, Error> {
        let (answer, thawed) = oneshot::channel();
        let Some(settling) = self.hold_back(settling, |settling| Late::Settle(settling, answer))? else {
            return Ok(Heard::Thawed(thawed));
        };
        let Settling { place: (stream, consumer), message, sequence, settlement } = &settling;
        let reader = &self.streams[*stream].consumers[*consumer].reader;
        let name = || Name::of(message, Some(*sequence));
        let Effects { faults, counters, log, .. } = &mut self.effects;
        let delay = match faults.strike(Place::Settlement, message, Some(reader)) {
            Some(Fault::LateSettlement(delay)) => {
                counters.settlements_late += 1;
                log.record(now, || Event::SettlementLate(name(), reader.clone(), *settlement, delay));
                delay
            }
            Some(_) => {
                counters.settlements_lost += 1;
                log.record(now, || Event::SettlementLost(name(), reader.clone(), *settlement));
                return Ok(Heard::Never);
            }
            // A settlement does not overtake a late one on its subject.
            None if self.late.holds(&message.subject) => Duration::ZERO,
            None => return Ok(Heard::Now(self.carry_out(&settling, now))),
        };
        let bell = Arc::clone(&self.streams[*stream].consumers[*consumer].bell);
        let due = self.late.push(now + delay, &message.subject.clone(), settling);
        // Waiting pulls have to learn of a new, perhaps earlier, time to look.
        bell.notify_waiters();
        Ok(Heard::At(due))
    }

    /// Carries out the late settlements that have arrived by now.
    pub(super) fn settle_due(&mut self, now: Instant) {
        while let Some(settling) = self.late.pop_due(now) {
            // Nobody reads the result: the settler waits only until this time, and has no use for an error.
            let _ = self.carry_out(&settling, now);
        }
    }

    /// Carries out a settlement that has arrived.
    pub(super) fn carry_out(&mut self, settling: &Settling, now: Instant) -> Result<(), Error> {
        let Settling { place: (stream, consumer), message, sequence, settlement } = settling;
        let is_off = self.disabled;
        let stream = &mut self.streams[*stream];
        if is_off || stream.consumers[*consumer].is_gone() {
            let gone = || Error::new(ErrorKind::NotFound, "the consumer of this lease is gone");
            return if settling.is_confirmed() { Err(gone()) } else { Ok(()) };
        }
        let Effects { counters, log, .. } = &mut self.effects;
        *match settlement {
            Settlement::Ack => &mut counters.acked,
            Settlement::RetryAfter(_) => &mut counters.retried,
            Settlement::Reject => &mut counters.rejected,
            Settlement::Renew => &mut counters.renewed,
        } += 1;
        let reader = &stream.consumers[*consumer].reader;
        log.record(now, || Event::Settled(Name::of(message, Some(*sequence)), reader.clone(), *settlement));
        stream.settle(*consumer, *sequence, *settlement, now, &mut self.effects);
        Ok(())
    }
}

/// Settles one lease.
pub(super) struct Settler {
    handle: Handle,
    place: (usize, usize),
    sequence: u64,
    message: Message,
}

impl Settler {
    /// Settles the lease of the consumer at `place` on a message.
    pub(super) const fn new(handle: Handle, place: (usize, usize), sequence: u64, message: Message) -> Self {
        Self { handle, place, sequence, message }
    }
}

#[async_trait]
impl Settle for Settler {
    async fn settle(&self, settlement: Settlement) -> Result<(), Error> {
        let doing = || format!("settle a lease on {}", self.message.subject);
        let settling = Settling {
            place: self.place,
            message: self.message.clone(),
            sequence: self.sequence,
            settlement,
        };
        let is_confirmed = settling.is_confirmed();
        let heard = self.handle.enter(doing)?.settle(settling, Instant::now())?;
        match heard {
            Heard::Now(result) => result,
            // Nobody waits for the other settlements: if one is lost, the message is redelivered.
            _ if !is_confirmed => Ok(()),
            Heard::Thawed(answer) => freeze::answer(answer, CONFIRM_MAX, doing).await,
            Heard::At(due) if due <= Instant::now() + CONFIRM_MAX => {
                sleep_until(due).await;
                Ok(())
            }
            Heard::At(_) | Heard::Never => {
                sleep(CONFIRM_MAX).await;
                Err(Error::new(ErrorKind::Timeout, doing()))
            }
        }
    }
}
