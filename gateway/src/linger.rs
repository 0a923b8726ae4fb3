//! What becomes of a chat whose client has gone: it lingers for a while, and is cancelled unless somebody reads it
//! again, here or at another gateway. Work that was handed in to be done anyway is not known here, and runs on.
//!
//! The gateway that accepted a chat is the one that cancels it. Another one at which a client reads the same request says
//! so again and again on `dynode.att.<tenant>.<id>`: what is not repeated is over, so a gateway that dies need not take
//! leave. Where the accepting gateway drains or dies, its chats run on.

mod state;

use std::{sync::Arc, time::Duration};

use broker::{Link, Message};
use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use schemas::Format;
use tokio::{sync::Notify, time::Instant};
use tracing::{debug, info};

use crate::{
    app::{App, Shared},
    cancel,
    record::{self, Key},
};
use state::{Due, State};

/// How long to wait before a cancel is tried again that the broker did not take.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The chats of this gateway, and the requests of others that are read here.
#[derive(Debug)]
pub(crate) struct Lingers {
    state: Mutex<State>,
    /// Something may be due earlier than was known.
    changed: Notify,
    /// Whether a chat ever stops lingering.
    ends: bool,
}

/// Somebody who reads a request. Dropping it says that the client has gone.
#[derive(Debug)]
pub(crate) struct Reader {
    lingers: Arc<Lingers>,
    subject: String,
    number: u64,
    has_all: bool,
}

impl Lingers {
    /// Chats linger for `linger`; `None` is for ever.
    pub(crate) fn new(linger: Option<Duration>) -> Arc<Self> {
        let state = Mutex::new(State::new(linger.unwrap_or_default()));
        Arc::new(Self { state, changed: Notify::new(), ends: linger.is_some() })
    }

    /// The first reader of a chat that was accepted here; `None` where chats linger for ever.
    pub(crate) fn lead(self: &Arc<Self>, key: &Key) -> Option<Reader> {
        self.ends.then(|| self.reader(key, self.state.lock().lead(key, Instant::now())))
    }

    /// One more reader of a request, whoever accepted it.
    pub(crate) fn join(self: &Arc<Self>, key: &Key) -> Option<Reader> {
        self.ends.then(|| {
            let number = self.state.lock().join(key, Instant::now());
            self.changed.notify_one();
            self.reader(key, number)
        })
    }

    /// A service has asked for the same request: it runs on, whoever goes.
    pub(crate) fn keep(&self, key: &Key) {
        self.state.lock().remove(&key.events);
    }

    /// A client has come back for a moment, to ask how far its request is.
    pub(crate) async fn look_in(&self, app: &Shared, key: &Key) {
        if self.ends && !self.state.lock().look_in(&key.events, Instant::now()) {
            announce(app, key).await;
        }
    }

    /// Another gateway says that a client reads this request there.
    pub(crate) fn hear(&self, app: &Shared, message: &Message) {
        let subjects = &app.parts.topology.subjects;
        if let Some((tenant, id)) = subjects.parse_request_key("att", &message.subject) {
            self.state.lock().hear(&subjects.event(&tenant, &id), Instant::now());
        }
    }

    /// What other gateways said may not have been heard until now: everything lingers anew.
    pub(crate) fn begin_anew(&self) {
        self.state.lock().begin_anew(Instant::now());
    }

    fn reader(self: &Arc<Self>, key: &Key, number: u64) -> Reader {
        Reader { lingers: Arc::clone(self), subject: key.events.clone(), number, has_all: false }
    }
}

impl Reader {
    /// The reader has all that it will get: its request has ended, or runs on at the server's own word.
    pub(crate) fn end(mut self) {
        self.has_all = true;
        self.lingers.state.lock().end(&self.subject, self.number);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Its end has been told, and nothing follows from it.
        if self.has_all {
            return;
        }
        self.lingers.state.lock().leave(&self.subject, self.number, Instant::now());
        self.lingers.changed.notify_one();
    }
}

/// Cancels what has lingered for long enough and tells other gateways who reads here, until it is dropped. Once the
/// gateway drains it does nothing more: the clients come back elsewhere. Its death would let chats run on unseen, so the
/// server ends with it.
pub(crate) async fn run(app: App) {
    loop {
        let next = app.lingers.state.lock().next_due();
        tokio::select! {
            biased;
            () = app.draining.cancelled() => return std::future::pending().await,
            () = app.lingers.changed.notified() => {}
            () = until(next) => {
                let due = app.lingers.state.lock().take_due(Instant::now());
                join_all(due.into_iter().map(|due| act(&app, due))).await;
            }
        }
    }
}

async fn until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next).await,
        None => std::future::pending().await,
    }
}

async fn act(app: &App, due: Due) {
    let (key, number) = match due {
        Due::Announce(key) => return announce(app, &key).await,
        Due::Cancel(key, number) => (key, number),
    };
    let over = cancel(app, &key, number).await;
    app.lingers.state.lock().settle(&key.events, number, (!over).then(|| Instant::now() + RETRY_AFTER));
}

/// Whether nothing more is to be done about this request.
async fn cancel(app: &App, key: &Key, number: u64) -> bool {
    if matches!(*app.parts.broker.link().borrow(), Link::Down(_)) {
        return false;
    }
    match record::outcome(app, key).await {
        Ok(Some(_)) => return true,
        Ok(None) => {}
        Err(error) => {
            debug!(%error, id = %key.id, "cannot look for the outcome of a request whose client has gone");
            return false;
        }
    }
    // Somebody may have come back while the broker was asked.
    if app.draining.is_cancelled() || !app.lingers.state.lock().is_alone(&key.events, number) {
        return true;
    }
    match cancel::store(app, key).await {
        Ok(()) => {
            app.meters.deserted();
            info!(id = %key.id, tenant = %key.tenant, "the client has gone and did not come back: cancelled");
            true
        }
        Err(error) => {
            debug!(%error, id = %key.id, "cannot cancel a request whose client has gone");
            false
        }
    }
}

/// Says that a client reads this request here; heard by those who are there, at most once.
async fn announce(app: &Shared, key: &Key) {
    let subject = app.parts.topology.subjects.attendance(&key.tenant, &key.id);
    let message = Message::new(subject, Format::Json, Bytes::from_static(b"{}"));
    if let Err(error) = app.broker().send(message).await {
        debug!(%error, id = %key.id, "cannot tell other gateways of a reader");
    }
}

#[cfg(test)]
mod tests;
