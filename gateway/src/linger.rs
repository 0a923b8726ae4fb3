//! Cancels chats whose client has gone: a chat lingers for a while, and is cancelled unless a client reads it again, at
//! this gateway or another. Lingering does not apply to work that must run in any case.
//!
//! The gateway that accepted a chat cancels it. While a client reads that chat at another gateway, the other gateway
//! announces this repeatedly on `dynode.att.<tenant>.<id>`. Announcements expire, so a gateway may die without notice.
//! If the accepting gateway drains or dies, its chats run on.

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

/// How long to wait before retrying a cancel that the broker did not take.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The chats of this gateway, and the requests of other gateways that clients read here.
#[derive(Debug)]
pub(crate) struct Lingers {
    state: Mutex<State>,
    /// Something may now be due earlier than before.
    changed: Notify,
    /// Whether chats ever stop lingering.
    ends: bool,
}

/// A client that reads a request. Dropping it means that the client has gone.
#[derive(Debug)]
pub(crate) struct Reader {
    lingers: Arc<Lingers>,
    subject: String,
    number: u64,
    has_all: bool,
}

impl Lingers {
    /// Chats linger for `linger`; `None` means for ever.
    pub(crate) fn new(linger: Option<Duration>) -> Arc<Self> {
        let state = Mutex::new(State::new(linger.unwrap_or_default()));
        Arc::new(Self { state, changed: Notify::new(), ends: linger.is_some() })
    }

    /// Adds the first reader of a chat that this gateway accepted; `None` if chats linger for ever.
    pub(crate) fn lead(self: &Arc<Self>, key: &Key) -> Option<Reader> {
        self.ends.then(|| self.reader(key, self.state.lock().lead(key, Instant::now())))
    }

    /// Adds a reader of a request, whichever gateway accepted it.
    pub(crate) fn join(self: &Arc<Self>, key: &Key) -> Option<Reader> {
        self.ends.then(|| {
            let number = self.state.lock().join(key, Instant::now());
            self.changed.notify_one();
            self.reader(key, number)
        })
    }

    /// A service has asked for the same request: it runs on even if all its readers go.
    pub(crate) fn keep(&self, key: &Key) {
        self.state.lock().remove(&key.events);
    }

    /// A client asks how far its request is: the chat lingers anew, here or at the gateway that accepted it.
    pub(crate) async fn look_in(&self, app: &Shared, key: &Key) {
        if self.ends && !self.state.lock().look_in(&key.events, Instant::now()) {
            announce(app, key).await;
        }
    }

    /// Another gateway announces that a client reads this request there.
    pub(crate) fn hear(&self, app: &Shared, message: &Message) {
        let subjects = &app.parts.topology.subjects;
        if let Some((tenant, id)) = subjects.parse_request_key("att", &message.subject) {
            self.state.lock().hear(&subjects.event(&tenant, &id), Instant::now());
        }
    }

    /// Announcements of other gateways may have been missed until now: every chat lingers anew.
    pub(crate) fn begin_anew(&self) {
        self.state.lock().begin_anew(Instant::now());
    }

    fn reader(self: &Arc<Self>, key: &Key, number: u64) -> Reader {
        Reader { lingers: Arc::clone(self), subject: key.events.clone(), number, has_all: false }
    }
}

impl Reader {
    /// The reader needs nothing more: its request has ended, or the gateway has told it that the request runs on.
    pub(crate) fn end(mut self) {
        self.has_all = true;
        self.lingers.state.lock().end(&self.subject, self.number);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Already ended: nothing more to do.
        if self.has_all {
            return;
        }
        self.lingers.state.lock().leave(&self.subject, self.number, Instant::now());
        self.lingers.changed.notify_one();
    }
}

/// Cancels chats that have lingered long enough and announces readers to other gateways, until the future is dropped.
/// Stops acting once the gateway drains: clients then come back elsewhere. If this task died, abandoned chats would run
/// on, so the server ends with it.
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

/// Cancels a chat unless it has ended or a client is back; `false` if this must be tried again.
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
    // A client may have come back meanwhile.
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

/// Announces a reader of this request to the gateways that are connected now, at most once.
async fn announce(app: &Shared, key: &Key) {
    let subject = app.parts.topology.subjects.attendance(&key.tenant, &key.id);
    let message = Message::new(subject, Format::Json, Bytes::from_static(b"{}"));
    if let Err(error) = app.broker().send(message).await {
        debug!(%error, id = %key.id, "cannot tell other gateways of a reader");
    }
}

#[cfg(test)]
mod tests;
