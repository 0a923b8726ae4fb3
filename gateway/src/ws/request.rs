//! One request on a socket: accepts it, resumes it, or asks for its cancellation.

use schemas::{Event, EventBody, Request, RequestId};

use super::{
    client::{Client, DOOR},
    credit::Credit,
    outgoing::Gone,
    stream::{Ended, Stream, Waits},
};
use crate::{
    cancel,
    door::Entry,
    feed::Feed,
    frame::Position,
    linger::Reader,
    record::{self, Key, Record},
    room::Share,
    submit::{Accepted, QUEUED, Visit, submit},
};

/// Where the events of a request go, and the client's credit for them.
pub(crate) struct Outlet {
    pub(crate) client: Client,
    pub(crate) ended: Ended,
    pub(crate) credit: Option<Credit>,
}

impl Outlet {
    /// Refuses the request, which goes no further.
    async fn refuse(&self, id: &RequestId, error: &schemas::Error) -> Result<(), Gone> {
        self.ended.say();
        self.client.refuse(Some(id.as_str()), error).await
    }

    fn stream(self, id: RequestId, last: Option<Position>) -> Stream {
        let Self { client, ended, credit } = self;
        Stream { id, client, ended, credit, last }
    }
}

/// Submits `request` and passes its events on.
pub(crate) async fn run(
    entry: Entry,
    (mut request, share): (Request, Share),
    outlet: Outlet,
) -> Result<(), Gone> {
    let format = outlet.client.format;
    let visit = Visit { door: DOOR, entry: &entry, format, share, is_chat: true, tells_id: true };
    let accepted = submit(&outlet.client.app, visit, &mut request).await;
    // The broker has it, and its stream may be long.
    drop(request);
    let accepted = match accepted {
        Ok(accepted) => accepted,
        Err(error) => return outlet.refuse(&entry.fresh, &error).await,
    };
    let Accepted { id, feed, account, fresh, estimated_wait_ms, .. } = accepted;
    let last = fresh.then_some(QUEUED);
    if fresh {
        // The client is told that its request was accepted, whatever its credit.
        let body = EventBody::Queued { position: None, estimated_wait_ms };
        let (attempt, seq) = QUEUED;
        outlet.client.event(&Event { id: id.clone(), attempt, seq, body }).await?;
    }
    outlet.stream(id, last).run(feed, Waits::First(Box::new(account))).await
}

/// Passes on the events of a request after `last`. A broker that was restarted has lost its events, not the request:
/// the gateway waits for an unknown request as long as its redelivery may take.
pub(crate) async fn resume(
    (key, reader): (Key, Option<Reader>),
    last: Position,
    outlet: Outlet,
) -> Result<(), Gone> {
    let app = &outlet.client.app;
    // Before the lookup, so that no event is missed between the two.
    let mut feed = Feed::open(app, key.clone(), Some(last));
    let found = match record::find(app, &key).await {
        Ok(Record::Unknown) if feed.begins_within(app.config.resume_wait()).await => Ok(()),
        Ok(Record::Unknown) => Err(record::unknown(&key.id)),
        Ok(_) => {
            feed.attach();
            Ok(())
        }
        Err(error) => Err(error),
    };
    if let Err(error) = found {
        return outlet.refuse(&key.id, &error).await;
    }
    outlet.stream(key.id, Some(last)).run(feed, Waits::Again(reader)).await
}

/// Asks for a cancellation, whose effect comes as an event.
pub(crate) async fn cancel(client: &Client, id: RequestId) -> Result<(), Gone> {
    match cancel::ask(&client.app, &Key::new(&client.app, &client.caller, id.clone())).await {
        Ok(_) => Ok(()),
        Err(error) => client.refuse(Some(id.as_str()), &client.app.spread(error)).await,
    }
}
