//! Cancels a request by asking the engine that works on it, or will, to stop. An accepted cancel is stored: an engine
//! that is not running now hears it too.

use broker::{ErrorKind, Message, Publication};
use bytes::Bytes;
use schemas::{Error, Format, Outcome};

use crate::{
    app::{Shared, overloaded},
    record::{self, Key, Record},
    refusal,
};

/// What became of a cancel.
#[derive(Debug)]
pub(crate) enum Asked {
    /// It came too late: the request has ended.
    Ended(Box<Outcome>),
    /// It is stored.
    Stored,
}

/// Cancels a client's request; `not_found` only if there is no such request.
pub(crate) async fn ask(app: &Shared, key: &Key) -> Result<Asked, Error> {
    let mut found = record::find(app, key).await?;
    if matches!(found, Record::Unknown) && !record::may_wait(app, key).await? {
        // It may have ended between the two lookups.
        found = match record::find(app, key).await? {
            Record::Unknown => return Err(record::unknown(&key.id)),
            found => found,
        };
    }
    match found {
        Record::Ended(outcome) => Ok(Asked::Ended(outcome)),
        _ => store(app, key).await.map(|()| Asked::Stored),
    }
}

/// Stores the cancel of a request.
pub(crate) async fn store(app: &Shared, key: &Key) -> Result<(), Error> {
    let subject = app.parts.topology.subjects.control(&key.tenant, &key.id);
    let message = Message::new(subject, Format::Json, Bytes::from_static(b"{}"));
    let id = Some(format!("{}.{}", key.tenant, key.id));
    match app.broker().publish(Publication { message, id }).await {
        // The cancel is stored already; the listeners have heard it again.
        Err(error) if error.kind() == ErrorKind::Exists => Ok(()),
        Err(error) if error.kind() == ErrorKind::Full => Err(overloaded(
            "too many cancels are pending; this one reached only work that is already running",
        )),
        result => result.map(drop).map_err(|error| refusal::of_broker(&error)),
    }
}
