//! Outages of the whole broker: out of reach, down, frozen, switched off; and what is left of it afterwards.

use tokio::time::Instant;

use super::{class::FaultClass, state::State};
use crate::{Error, ErrorKind, subject::Pattern};

/// Why the link is down: it comes up when no reason is left.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Down {
    pub(super) cut: bool,
    pub(super) killed: bool,
    pub(super) powerless: bool,
}

impl Down {
    /// Whether there is a reason.
    pub(super) const fn any(self) -> bool {
        self.cut || self.killed || self.powerless
    }
}

impl State {
    /// Cuts the connections.
    pub(super) fn cut(&mut self) {
        if !self.down.any() {
            self.effects.faults.struck(FaultClass::Disconnect);
        }
        self.down.cut = true;
    }

    /// Kills the broker's process.
    pub(super) fn kill(&mut self, now: Instant) {
        self.down.killed = true;
        self.effects.undone.clear();
        self.effects.faults.struck(FaultClass::Restart);
        self.crash(now);
    }

    /// Fails the power: each stream and bucket of `pattern` loses what is not on the disk, with this probability.
    pub(super) fn fail_power(&mut self, pattern: &Pattern, probability: f64, now: Instant) {
        self.down.powerless = true;
        self.settle_due(now);
        self.effects.undone.clear();
        let mut changed = 0;
        for stream in &mut self.streams {
            if stream.takes(pattern) && self.effects.faults.chance(probability) {
                changed += stream.lose_tail(now, &mut self.effects);
            }
        }
        for values in self.buckets.values_mut() {
            if self.effects.faults.chance(probability) {
                changed += values.lose_tail(now);
            }
        }
        self.effects.faults.struck_by(FaultClass::PowerFailure, changed);
        self.crash(now);
    }

    /// Freezes the broker.
    pub(super) fn freeze(&mut self) {
        self.frozen.get_or_insert_default();
    }

    /// Ends the leases on messages of `pattern`.
    pub(super) fn end_leases(&mut self, pattern: &Pattern, now: Instant) {
        for stream in &mut self.streams {
            let count = stream.end_leases(pattern, now, &mut self.effects);
            self.effects.faults.struck_by(FaultClass::Lapse, count);
        }
    }

    /// Makes the streams that may take a message of `pattern` forget their ids.
    pub(super) fn forget_ids(&mut self, pattern: &Pattern, now: Instant) {
        for stream in self.streams.iter_mut().filter(|stream| stream.takes(pattern)) {
            let count = stream.forget_ids(now, &mut self.effects);
            self.effects.faults.struck_by(FaultClass::ForgetIds, count);
        }
    }

    /// Deletes the consumers that may take a message of `pattern`; while streams are off, nobody can.
    pub(super) fn delete_consumers(&mut self, pattern: &Pattern, now: Instant) {
        if self.disabled {
            return;
        }
        for stream in &mut self.streams {
            let count = stream.delete_consumers(pattern, now, &mut self.effects);
            self.effects.faults.struck_by(FaultClass::DeleteConsumer, count);
        }
    }

    /// Deletes the streams that may take a message of `pattern`.
    pub(super) fn delete_streams(&mut self, pattern: &Pattern, now: Instant) {
        for stream in self.streams.iter_mut().filter(|stream| !stream.is_gone() && stream.takes(pattern)) {
            stream.delete(now, &mut self.effects);
            self.effects.faults.struck(FaultClass::DeleteStream);
        }
    }

    /// Fails while streams and buckets are off.
    pub(super) fn must_be_enabled(&mut self, doing: impl FnOnce() -> String) -> Result<(), Error> {
        if !self.disabled {
            return Ok(());
        }
        self.effects.faults.struck(FaultClass::Disable);
        Err(Error::new(ErrorKind::Disconnected, format!("{}: its streams are off", doing())))
    }

    /// The process has ended: messages on their way are lost, and so is everything in memory.
    fn crash(&mut self, now: Instant) {
        if self.frozen.take().is_some() {
            // A killed broker is not frozen when it starts again.
            self.switched.remove(&FaultClass::Freeze);
        }
        self.late.clear();
        self.subscribers.crash();
        for stream in &mut self.streams {
            stream.crash(now, &mut self.effects);
        }
        for values in self.buckets.values_mut() {
            values.crash();
        }
    }
}
