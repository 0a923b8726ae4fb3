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
    door::Entry,
    feed::Feed,
    frame::{Frame, Position},
    record::{self, Key, Record},
    refusal,
    submit::{Accepted, QUEUED, submit},
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

/// Submits `request` and passes its events on.
pub(crate) async fn run(
    app: App,
    entry: Entry,
    request: Request,
    format: Format,
    out: Outgoing,
    ended: Ended,
) -> Result<(), Gone> {
    match submit(&app, DOOR, &entry, request, format).await {
        Ok(accepted) => follow(accepted, format, &out, &ended).await,
        Err(error) => {
            ended.say();
            refuse(&app, Some(entry.fresh.as_str()), &error, format, &out).await
        }
    }
}

/// Passes on the events of a request after `last`. A broker that was restarted has lost its events, not the request: a
/// request that is not known is waited for, as long as its redelivery may take.
pub(crate) async fn resume(
    app: App,
    id: RequestId,
    last: Position,
    format: Format,
    out: Outgoing,
    ended: Ended,
) -> Result<(), Gone> {
    let key = Key::new(&app, id.clone());
    // Before the look, so that nothing falls between the two.
    let mut feed = Feed::open(&app, key.clone(), Some(last));
    let found = match record::find(&app, &key).await {
        Ok(Record::Unknown) if feed.begins_within(app.config.resume_wait()).await => Ok(()),
        Ok(Record::Unknown) => Err(record::unknown(&id)),
        Ok(_) => {
            feed.attach();
            Ok(())
        }
        Err(error) => Err(error),
    };
    if let Err(error) = found {
        ended.say();
        return refuse(&app, Some(id.as_str()), &error, format, &out).await;
    }
    pass_on(feed, None, format, &out, &ended).await
}

/// Asks for a cancel; its effect comes as an event.
pub(crate) async fn cancel(app: &App, id: RequestId, format: Format, out: &Outgoing) -> Result<(), Gone> {
    let key = Key::new(app, id.clone());
    let asked = match record::find(app, &key).await {
        Ok(Record::Unknown) => Err(record::unknown(&id)),
        Ok(Record::Ended(_)) => Ok(()),
        Ok(Record::Running | Record::Queued) => crate::native::send_cancel(app, &key).await,
        Err(error) => Err(error),
    };
    match asked {
        Ok(()) => Ok(()),
        Err(error) => refuse(app, Some(id.as_str()), &error, format, out).await,
    }
}

/// One refused frame; the socket stays open.
pub(crate) async fn refuse(
    app: &App,
    id: Option<&str>,
    error: &Error,
    format: Format,
    out: &Outgoing,
) -> Result<(), Gone> {
    app.meters.refused(DOOR, error.code.as_str());
    tracing::info!(id, tenant = %app.tenant(), door = DOOR, code = error.code.as_str(), "request refused");
    out.send(refusal::frame(id, error, format), format).await
}

async fn follow(accepted: Accepted, format: Format, out: &Outgoing, ended: &Ended) -> Result<(), Gone> {
    let Accepted { id, feed, account, fresh, estimated_wait_ms } = accepted;
    if fresh {
        let body = EventBody::Queued { position: None, estimated_wait_ms };
        let (attempt, seq) = QUEUED;
        if let Ok(frame) = Frame::of(&Event { id, attempt, seq, body }, format) {
            out.frame(&frame, format).await?;
        }
    }
    pass_on(feed, Some(account), format, out, ended).await
}

async fn pass_on(
    mut feed: Feed,
    mut account: Option<Account>,
    format: Format,
    out: &Outgoing,
    ended: &Ended,
) -> Result<(), Gone> {
    while let Some(frame) = feed.next().await {
        if frame.head.event.is_terminal() {
            ended.say();
        }
        out.frame(&frame, format).await?;
        if let Some(account) = &mut account {
            account.end_with(&frame);
        }
    }
    Ok(())
}
