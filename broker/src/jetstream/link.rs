//! Whether we are connected, and what else the client's events say: lost messages, missing permissions.

use std::sync::{Arc, OnceLock, Weak};

use async_nats::{Client, Event, connection::State};
use opentelemetry::metrics::Counter;
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Duration, Instant},
};

use super::request::Waiting;
use crate::Link;

/// One log line for all messages dropped in this time: the client reports each one.
const DROP_LOG_EVERY: Duration = Duration::from_secs(10);

/// One connection after the other, numbered: a question on an earlier one is not answered on this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Session {
    /// How many connections have been made.
    pub(super) number: u64,
    /// Whether the connection is up.
    pub(super) link: Link,
    /// The handle is closed: there will be no other connection.
    pub(super) closed: bool,
}

/// Follows the events of one client.
#[derive(Debug)]
pub(super) struct Follower {
    session: watch::Sender<Session>,
    link: watch::Sender<Link>,
    waiting: Arc<Waiting>,
    // Weak, because the client holds the callback that holds this.
    client: OnceLock<Weak<Client>>,
    dropped: Counter<u64>,
    drops: Mutex<Drops>,
}

#[derive(Debug)]
struct Drops {
    since_log: u64,
    logged_at: Option<Instant>,
}

impl Follower {
    /// Follows a client that is yet to connect.
    pub(super) fn new(waiting: Arc<Waiting>) -> Self {
        let link = Link::Down(Instant::now());
        let dropped = opentelemetry::global::meter("dynode")
            .u64_counter("dynode_broker_messages_dropped")
            .with_description("messages that a subscription of this process was too slow for")
            .build();
        Self {
            session: watch::Sender::new(Session { number: 0, link, closed: false }),
            link: watch::Sender::new(link),
            waiting,
            client: OnceLock::new(),
            dropped,
            drops: Mutex::new(Drops { since_log: 0, logged_at: None }),
        }
    }

    /// Sets the client, once it exists.
    pub(super) fn follow(&self, client: &Arc<Client>) {
        // Called once; a second client would be ignored.
        let _ = self.client.set(Arc::downgrade(client));
    }

    /// How many connections have been made.
    pub(super) fn number(&self) -> u64 {
        self.session.borrow().number
    }

    /// The state of the connection, and every change.
    pub(super) fn session(&self) -> watch::Receiver<Session> {
        self.session.subscribe()
    }

    /// The state of the connection.
    pub(super) fn current(&self) -> Session {
        *self.session.borrow()
    }

    /// The public part of that state.
    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// The handle is closed.
    pub(super) fn close(&self) {
        self.session.send_modify(|session| session.closed = true);
        self.down();
    }

    /// Handles an event.
    pub(super) fn on(&self, event: &Event) {
        match event {
            Event::Connected => self.up(),
            Event::Disconnected => self.down(),
            Event::Closed => self.close(),
            Event::SlowConsumer(_) => self.count_drop(),
            Event::ServerError(error) => self.refused(&error.to_string()),
            Event::LameDuckMode | Event::Draining | Event::ClientError(_) => {}
        }
        if matches!(event, Event::SlowConsumer(_)) {
            self.catch_up();
        }
    }

    /// The client drops events if many wait, as after many lost messages; its state shows what was missed.
    fn catch_up(&self) {
        let Some(client) = self.client.get().and_then(Weak::upgrade) else { return };
        let is_up = self.session.borrow().link == Link::Up;
        match client.connection_state() {
            State::Connected if !is_up => self.up(),
            State::Disconnected if is_up => self.down(),
            _ => {}
        }
    }

    fn up(&self) {
        self.session.send_modify(|session| {
            session.number += 1;
            session.link = Link::Up;
        });
        self.link.send_replace(Link::Up);
    }

    fn down(&self) {
        let since = Link::Down(Instant::now());
        let fell = self.session.send_if_modified(|session| {
            let was_up = session.link == Link::Up;
            if was_up {
                session.link = since;
            }
            was_up || session.closed
        });
        if fell {
            self.link.send_replace(since);
        }
        // The answers to open questions went with the connection.
        self.waiting.forget_all();
    }

    fn count_drop(&self) {
        self.dropped.add(1, &[]);
        let mut drops = self.drops.lock();
        drops.since_log += 1;
        if drops.logged_at.is_none_or(|at| at.elapsed() >= DROP_LOG_EVERY) {
            tracing::warn!(messages = drops.since_log, "a slow reader of a live subscription lost messages");
            *drops = Drops { since_log: 0, logged_at: Some(Instant::now()) };
        }
    }

    /// The server reports a forbidden publish by an event only: without this the publisher would wait for its timeout.
    fn refused(&self, words: &str) {
        tracing::warn!(error = %words, "the broker refused");
        let publish = words.split_once("Permissions Violation for Publish to \"");
        if let Some((subject, _)) = publish.and_then(|(_, rest)| rest.split_once('"')) {
            self.waiting.deny(subject);
        }
    }
}
