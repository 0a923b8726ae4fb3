//! One request on a socket: accept it, or take it up again, and pass on its events to the end.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use schemas::{Error, Event, EventBody, Format, Request, RequestId};

use super::outgoing::{Gone, Outgoing};
use crate::{
    account::Account,
    app::App,
    caller::{Caller, CallerRef},
    cancel,
    door::Entry,
    feed::Feed,
    frame::{Frame, Position},
    linger::Reader,
    record::{self, Key, Record},
    refusal,
    room::Share,
    submit::{Accepted, QUEUED, Visit, submit},
};

pub(crate) const DOOR: &str = "ws";

/// Whether the last frame of a request is on its way. It is said before that frame is, so that a client that answers it at
/// once by the same id does not find that id taken by a task that has only to return.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ended(Arc<AtomicBool>);

impl Ended {
    pub(crate) fn is_said(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn say(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Who waits for the events of a request on this socket.
enum Waits {
    /// Who has submitted it.
    First(Box<Account>),
    /// Who has come back to it.
    Again(Option<Reader>),
}

impl Waits {
    /// A terminal frame is the last that they waited for.
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

/// Submits `request` and passes its events on.
pub(crate) async fn run(
    app: App,
    entry: Entry,
    (request, share): (Request, Share),
    format: Format,
    out: Outgoing,
    ended: Ended,
) -> Result<(), Gone> {
    let visit = Visit { door: DOOR, entry: &entry, format, share, is_chat: true };
    match submit(&app, visit, request).await {
        Ok(accepted) => follow(accepted, format, &out, &ended).await,
        Err(error) => {
            ended.say();
            refuse(&app, &entry.caller, Some(entry.fresh.as_str()), &error, format, &out).await
        }
    }
}

/// Passes on the events of a request after `last`. A broker that was restarted has lost its events, not the request: a
/// request that is not known is waited for, as long as its redelivery may take.
pub(crate) async fn resume(
    app: App,
    caller: CallerRef,
    (key, reader): (Key, Option<Reader>),
    last: Position,
    format: Format,
    out: Outgoing,
    ended: Ended,
) -> Result<(), Gone> {
    // Before the look, so that nothing falls between the two.
    let mut feed = Feed::open(&app, key.clone(), Some(last));
    let found = match record::find(&app, &key).await {
        Ok(Record::Unknown) if feed.begins_within(app.config.resume_wait()).await => Ok(()),
        Ok(Record::Unknown) => Err(record::unknown(&key.id)),
        Ok(_) => {
            feed.attach();
            Ok(())
        }
        Err(error) => Err(error),
    };
    if let Err(error) = found {
        ended.say();
        return refuse(&app, &caller, Some(key.id.as_str()), &error, format, &out).await;
    }
    pass_on(feed, Waits::Again(reader), format, &out, &ended).await
}

/// Asks for a cancel; its effect comes as an event.
pub(crate) async fn cancel(
    app: &App,
    caller: &Caller,
    id: RequestId,
    format: Format,
    out: &Outgoing,
) -> Result<(), Gone> {
    match cancel::ask(app, &Key::new(app, caller, id.clone())).await {
        Ok(_) => Ok(()),
        Err(error) => refuse(app, caller, Some(id.as_str()), &app.spread(error), format, out).await,
    }
}

/// One refused frame; the socket stays open.
pub(crate) async fn refuse(
    app: &App,
    caller: &Caller,
    id: Option<&str>,
    error: &Error,
    format: Format,
    out: &Outgoing,
) -> Result<(), Gone> {
    app.meters.refused(DOOR, error.code.as_str());
    tracing::info!(id, tenant = %caller.tenant, door = DOOR, code = error.code.as_str(), "request refused");
    out.send(refusal::frame(id, error, format), format).await
}

async fn follow(accepted: Accepted, format: Format, out: &Outgoing, ended: &Ended) -> Result<(), Gone> {
    let Accepted { id, feed, account, fresh, estimated_wait_ms, .. } = accepted;
    if fresh {
        let body = EventBody::Queued { position: None, estimated_wait_ms };
        let (attempt, seq) = QUEUED;
        if let Ok(frame) = Frame::of(&Event { id, attempt, seq, body }, format) {
            out.frame(&frame, format).await?;
        }
    }
    pass_on(feed, Waits::First(Box::new(account)), format, out, ended).await
}

async fn pass_on(
    mut feed: Feed,
    mut waits: Waits,
    format: Format,
    out: &Outgoing,
    ended: &Ended,
) -> Result<(), Gone> {
    while let Some(frame) = feed.next().await {
        if frame.head.event.is_terminal() {
            ended.say();
        }
        out.frame(&frame, format).await?;
        waits.end_with(&frame);
    }
    Ok(())
}
