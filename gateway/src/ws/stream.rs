//! Sends the events of one request to one socket: as they come, or as far as the client's credit goes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use schemas::{Event, EventBody, RequestId, event::EventKind, socket::Notice};
use tracing::debug;

use super::{client::Client, credit::Credit, outgoing::Gone};
use crate::{
    account::Account,
    feed::Feed,
    frame::{Frame, Position},
    linger::Reader,
};

/// Whether the last frame of a request is on its way. It is set before that frame is sent: a client that answers at
/// once under the same id must not find the id taken by a task that has only to return.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ended(Arc<AtomicBool>);

impl Ended {
    pub(crate) fn is_said(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn say(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Who waits for the events of a request on this socket.
pub(crate) enum Waits {
    /// The client that submitted it.
    First(Box<Account>),
    /// A client that has come back to it.
    Again(Option<Reader>),
}

impl Waits {
    /// A terminal frame ends the wait.
    fn end_with(&mut self, frame: &Frame) {
        match self {
            Self::First(account) => account.end_with(frame),
            Self::Again(reader) => {
                if let Some(reader) = reader.take_if(|_| frame.head.event.is_terminal()) {
                    reader.end();
                }
            }
        }
    }
}

/// Where the events of one request go.
pub(crate) struct Stream {
    pub(crate) id: RequestId,
    pub(crate) client: Client,
    pub(crate) ended: Ended,
    /// How much the client accepts, if it has said so.
    pub(crate) credit: Option<Credit>,
    /// The last frame that was passed on, or that the client already had.
    pub(crate) last: Option<Position>,
}

impl Stream {
    /// Passes on all frames, to the end.
    pub(crate) async fn run(mut self, mut feed: Feed, mut waits: Waits) -> Result<(), Gone> {
        while let Some(frame) = feed.next().await {
            self.pass(&mut feed, frame, &mut waits).await?;
        }
        Ok(())
    }

    /// Passes on one frame, once there is credit for it. The terminal frame needs none.
    async fn pass(&mut self, feed: &mut Feed, frame: Frame, waits: &mut Waits) -> Result<(), Gone> {
        if frame.head.event.is_terminal() {
            return self.end_with(&frame, waits).await;
        }
        let body = match frame.bytes(self.client.format) {
            Ok(body) => body,
            Err(error) => {
                debug!(%error, id = %self.id, "an event cannot be written in the client's format");
                return Ok(());
            }
        };
        if !self.has_credit_for(&body, feed).await? {
            return self.skip_to_end(feed, frame, waits).await;
        }
        self.last = Some(frame.position());
        self.client.out.send(body, self.client.format).await
    }

    async fn end_with(&self, frame: &Frame, waits: &mut Waits) -> Result<(), Gone> {
        self.ended.say();
        self.client.pass(frame).await?;
        waits.end_with(frame);
        Ok(())
    }

    /// Waits for credit; `false` if the request ends first.
    async fn has_credit_for(&self, body: &Bytes, feed: &mut Feed) -> Result<bool, Gone> {
        let Some(credit) = &self.credit else { return Ok(true) };
        let needed = body.len() as u64;
        let Err(bytes) = credit.try_take(needed) else { return Ok(true) };
        self.client.say(&Notice::Blocked { id: self.id.clone(), bytes }).await?;
        Ok(tokio::select! {
            biased;
            () = credit.take(needed) => true,
            () = feed.until_ended() => false,
        })
    }

    /// The request has ended while `held` waited for credit. The output of the end contains what waits, so the waiting
    /// frames are skipped: the client is told of the gap, and whether what it has is void.
    async fn skip_to_end(&self, feed: &mut Feed, held: Frame, waits: &mut Waits) -> Result<(), Gone> {
        let mut voided = is_restart(&held).then_some(held);
        while let Some(frame) = feed.next().await {
            if frame.head.event.is_terminal() {
                if let Some(voided) = voided {
                    self.client.pass(&voided).await?;
                }
                self.client.event(&self.gap_before(&frame)).await?;
                return self.end_with(&frame, waits).await;
            }
            if is_restart(&frame) {
                voided = Some(frame);
            }
        }
        Ok(())
    }

    fn gap_before(&self, end: &Frame) -> Event {
        let (attempt, to) = end.position();
        let from = self.last.filter(|last| last.0 == attempt).map_or(0, |last| last.1);
        Event { id: self.id.clone(), attempt, seq: to.saturating_sub(1), body: EventBody::Gap { from, to } }
    }
}

fn is_restart(frame: &Frame) -> bool {
    frame.head.event == EventKind::Other && frame.name() == "restarted"
}
