//! A frozen broker: what is sent to it waits, in order, and arrives when it is thawed.

use std::{collections::VecDeque, time::Duration};

use tokio::{sync::oneshot, time::timeout};

use super::{class::FaultClass, settle::Settling, state::State, stream::Moment};
use crate::{Error, ErrorKind, Message, Publication, Receipt};

/// About as many small messages as the sockets to a frozen server take.
const LATE_MAX: usize = 65_536;
/// How long a publish waits for its ack, each time it is sent.
const ACK_MAX: Duration = Duration::from_secs(2);
/// How often a publish with an id is sent in all.
const ATTEMPTS: u32 = 3;

/// What was sent to a frozen broker.
#[derive(Debug, Default)]
pub(super) struct Frozen {
    late: VecDeque<Late>,
}

/// What arrives late, and the caller that waits for the answer, if it still does.
#[derive(Debug)]
pub(super) enum Late {
    Publish(Publication, oneshot::Sender<Result<Receipt, Error>>),
    Send(Message),
    Settle(Settling, oneshot::Sender<Result<(), Error>>),
}

impl Frozen {
    /// Keeps `late` for later.
    pub(super) fn keep(&mut self, late: Late) -> Result<(), Error> {
        if self.late.len() >= LATE_MAX {
            return Err(Error::new(ErrorKind::Timeout, "the broker reads nothing, and no more can be sent"));
        }
        self.late.push_back(late);
        Ok(())
    }
}

impl State {
    /// Keeps what is sent while the broker is frozen; otherwise gives it back.
    pub(super) fn hold_back<T>(&mut self, sent: T, late: impl FnOnce(T) -> Late) -> Result<Option<T>, Error> {
        let Some(frozen) = &mut self.frozen else { return Ok(Some(sent)) };
        self.effects.faults.struck(FaultClass::Freeze);
        frozen.keep(late(sent)).map(|()| None)
    }

    /// Thaws the broker: everything that was sent arrives now.
    pub(super) fn thaw(&mut self, at: Moment) {
        let Some(Frozen { late }) = self.frozen.take() else { return };
        for late in late {
            // An answer fails only if the caller has gone.
            match late {
                Late::Publish(publication, answer) => {
                    let _ = answer.send(self.publish(publication, at).map(|(receipt, _)| receipt));
                }
                Late::Send(message) => self.send(message, at),
                Late::Settle(settling, answer) => {
                    let _ = answer.send(self.carry_out(&settling, at.now));
                }
            }
        }
    }
}

/// How long a publish waits for its ack in all.
pub(super) fn patience(publication: &Publication) -> Duration {
    if publication.id.is_some() { ACK_MAX * ATTEMPTS } else { ACK_MAX }
}

/// Waits for a frozen broker's answer. What was sent arrives whether or not anybody waits.
pub(super) async fn answer<T>(
    answer: oneshot::Receiver<Result<T, Error>>,
    within: Duration,
    doing: impl FnOnce() -> String,
) -> Result<T, Error> {
    match timeout(within, answer).await {
        Ok(Ok(answer)) => answer,
        // The broker was killed with everything that waited for it.
        Ok(Err(_)) => Err(Error::new(ErrorKind::Disconnected, doing())),
        Err(_) => Err(Error::new(ErrorKind::Timeout, doing())),
    }
}
