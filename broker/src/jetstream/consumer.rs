//! A durable consumer with its own credit: never asks for more than its caller can take, asks again before it runs dry,
//! and heals itself when connection, consumer or server go. (The client's own message stream loses count of small
//! batches and then stands still for half a minute.)

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_nats::Subscriber;
use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{ack, api, connection::Connection, link::Session, pull::Heard};
use crate::{Consumer, ConsumerSpec, Error, ErrorKind, Lease};

/// How long a pull stands. Its end costs one message each way.
const PULL_STANDS: Duration = Duration::from_secs(30);
/// How often the server tells of a pull that it still stands.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(2);
/// Two heartbeats and a bit: after this silence the pulls are taken for lost.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// How long opening a consumer waits for a connection; later it waits for as long as it takes.
const MAKE_MAX: Duration = Duration::from_secs(2);
/// How long the last deliveries may take to come in when pulls are taken back.
const TAKE_BACK_MAX: Duration = Duration::from_secs(1);

/// One of those who share a durable consumer.
pub(super) struct PullConsumer {
    connection: Arc<Connection>,
    spec: ConsumerSpec,
    sessions: watch::Receiver<Session>,
    /// The session in which the broker was last seen to have the consumer.
    made_in: Option<u64>,
    /// Where pulls are answered; none before the first pull and after trouble.
    inbox: Option<Inbox>,
    /// Delivered, and not returned to the caller yet.
    ready: VecDeque<Lease>,
    closed: bool,
}

struct Inbox {
    subject: String,
    messages: Subscriber,
    /// The session in which it was opened: pulls do not outlive it.
    session: u64,
    /// Asked for and not delivered.
    outstanding: usize,
    /// The last sign of life while something was outstanding.
    heard_at: Instant,
    /// No more pulls on this one: it is being taken back.
    retired: bool,
}

impl PullConsumer {
    /// Opens the consumer `spec`; makes it where it is missing.
    pub(super) async fn open(connection: Arc<Connection>, spec: &ConsumerSpec) -> Result<Self, Error> {
        let made_in = Some(connection.up_within(MAKE_MAX).await?.number);
        make(&connection, spec).await?;
        let (sessions, spec) = (connection.session(), spec.clone());
        Ok(Self { connection, spec, sessions, made_in, inbox: None, ready: VecDeque::new(), closed: false })
    }

    fn held(&self) -> usize {
        self.ready.len() + self.inbox.as_ref().map_or(0, |inbox| inbox.outstanding)
    }

    /// Makes sure that there is an inbox of this session. What an earlier one holds is kept.
    async fn open_inbox(&mut self) -> Result<(), Error> {
        let session = self.connection.up().await?;
        if self.inbox.as_ref().is_some_and(|inbox| inbox.session == session.number) {
            return Ok(());
        }
        // Its pulls went with the connection. A new subject, so that none that survived is answered twice.
        // What it says of itself does not matter any more.
        let _ = self.take_arrived();
        self.inbox = None;
        if self.made_in != Some(session.number) {
            make(&self.connection, &self.spec).await?;
            self.made_in = Some(session.number);
        }
        let subject = self.connection.client().new_inbox();
        let messages = self.connection.listen(&subject).await?;
        self.inbox = Some(Inbox {
            subject,
            messages,
            session: session.number,
            outstanding: 0,
            heard_at: Instant::now(),
            retired: false,
        });
        Ok(())
    }

    /// Asks for more when less than half of the credit is outstanding, so that a busy consumer does not ask one by one.
    async fn top_up(&mut self, credit: usize) -> Result<(), Error> {
        let room = credit.saturating_sub(self.held());
        let Some(inbox) = &mut self.inbox else { return Ok(()) };
        if inbox.outstanding >= (credit / 2).max(1) || room == 0 {
            return Ok(());
        }
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", self.spec.stream, self.spec.name);
        let question = format!(
            "{{\"batch\":{room},\"expires\":{},\"idle_heartbeat\":{}}}",
            PULL_STANDS.as_nanos(),
            HEARTBEAT_EVERY.as_nanos()
        );
        self.connection.tell(&subject, Some(inbox.subject.clone()), None, question.into()).await?;
        inbox.outstanding += room;
        inbox.heard_at = Instant::now();
        Ok(())
    }

    /// Takes what has arrived, without waiting.
    fn take_arrived(&mut self) -> Result<(), Trouble> {
        while let Some(inbox) = &mut self.inbox {
            match inbox.messages.next().now_or_never() {
                Some(Some(message)) => self.take(message)?,
                Some(None) => self.inbox = None,
                None => break,
            }
        }
        Ok(())
    }

    /// Waits for one message, for a change of the connection, or for the end of patience.
    async fn wait(&mut self) -> Result<(), Trouble> {
        let Some(inbox) = &mut self.inbox else { return Ok(()) };
        let silent_at = inbox.heard_at + SILENCE_MAX;
        tokio::select! {
            message = inbox.messages.next() => match message {
                Some(message) => self.take(message),
                None => {
                    self.inbox = None;
                    Ok(())
                }
            },
            // Its end is seen by `open_inbox`.
            _ = self.sessions.changed() => Ok(()),
            () = sleep_until(silent_at) => Err(Trouble::Silent),
        }
    }

    fn take(&mut self, message: async_nats::Message) -> Result<(), Trouble> {
        let Some(inbox) = &mut self.inbox else { return Ok(()) };
        inbox.heard_at = Instant::now();
        match Heard::of(&message) {
            Heard::Message => {
                inbox.outstanding = inbox.outstanding.saturating_sub(1);
                match ack::lease(&self.connection, message) {
                    Some(lease) => self.ready.push_back(lease),
                    None => {
                        tracing::warn!(consumer = %self.spec.name, "a message that is no delivery was ignored")
                    }
                }
                Ok(())
            }
            Heard::Heartbeat => Ok(()),
            Heard::Ended { unfilled } => {
                inbox.outstanding = inbox.outstanding.saturating_sub(unfilled);
                Ok(())
            }
            Heard::Gone => Err(Trouble::Gone),
            Heard::Lost => Err(Trouble::Lost),
            Heard::Refused(words) => Err(Trouble::Refused(words)),
        }
    }

    /// Starts afresh after trouble: the first in a call is mended at once, the next is the caller's to wait out.
    fn mend(&mut self, trouble: Trouble, earlier: &mut bool) -> Result<(), Error> {
        let ConsumerSpec { stream, name, .. } = &self.spec;
        self.inbox = None;
        self.made_in = None;
        if let (Trouble::Gone | Trouble::Lost | Trouble::Silent, false) = (&trouble, *earlier) {
            *earlier = true;
            tracing::warn!(%stream, consumer = %name, %trouble, "asking the broker anew for messages");
            return Ok(());
        }
        let kind = match trouble {
            Trouble::Gone => ErrorKind::NotFound,
            Trouble::Lost => ErrorKind::Disconnected,
            Trouble::Silent => ErrorKind::Timeout,
            Trouble::Refused(_) => ErrorKind::Full,
        };
        Err(Error::new(kind, format!("cannot pull from consumer {name} of stream {stream}: {trouble}")))
    }

    /// Ends all pulls and waits for what was delivered on them. Cancel-safe: a retired inbox stays until it is empty.
    async fn take_back(&mut self) {
        let Some(inbox) = &mut self.inbox else { return };
        if !inbox.retired {
            inbox.retired = true;
            // It fails only for a client that is closed, whose inbox has ended.
            let _ = timeout(TAKE_BACK_MAX, inbox.messages.drain()).await;
        }
        let deadline = Instant::now() + TAKE_BACK_MAX;
        while let Some(inbox) = &mut self.inbox {
            match tokio::time::timeout_at(deadline, inbox.messages.next()).await {
                // A status, of whatever kind, says no more than that the pulls end.
                Ok(Some(message)) => drop(self.take(message)),
                Ok(None) | Err(_) => self.inbox = None,
            }
        }
    }

    /// Gives all but `kept` of what is ready back, for anybody.
    async fn give_back(&mut self, kept: usize) {
        while self.ready.len() > kept {
            let Some(lease) = self.ready.pop_back() else { return };
            if let Err(error) = lease.retry_after(Duration::ZERO).await {
                tracing::debug!(%error, "an unread message will be delivered again when its lease ends");
            }
        }
    }
}

#[async_trait]
impl Consumer for PullConsumer {
    async fn pull(&mut self, credit: usize) -> Result<Vec<Lease>, Error> {
        let credit = credit.max(1);
        let mut mended = false;
        loop {
            if self.closed {
                return Err(Error::new(ErrorKind::Closed, format!("consumer {} is closed", self.spec.name)));
            }
            if let Err(trouble) = self.take_arrived() {
                self.mend(trouble, &mut mended)?;
            }
            if self.held() > credit || self.inbox.as_ref().is_some_and(|inbox| inbox.retired) {
                self.take_back().await;
                self.give_back(credit).await;
            }
            if !self.ready.is_empty() {
                let count = self.ready.len().min(credit);
                return Ok(self.ready.drain(..count).collect());
            }
            match self.open_inbox().await {
                // The connection was lost again meanwhile: wait for the next one.
                Err(error) if error.kind() == ErrorKind::Disconnected && !mended => {
                    mended = true;
                    continue;
                }
                opened => opened?,
            }
            self.top_up(credit).await?;
            if let Err(trouble) = self.wait().await {
                self.mend(trouble, &mut mended)?;
            }
        }
    }

    async fn close(&mut self) {
        self.closed = true;
        self.take_back().await;
        self.give_back(0).await;
    }
}

/// Why pulls must be started afresh.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the consumer is gone")]
    Gone,
    #[error("the server dropped the pulls")]
    Lost,
    #[error("the server gave no sign of life for {SILENCE_MAX:?}")]
    Silent,
    #[error("the server will not have it: {0}")]
    Refused(String),
}

/// Makes the durable consumer, or brings an existing one to `spec`.
async fn make(connection: &Connection, spec: &ConsumerSpec) -> Result<(), Error> {
    let ConsumerSpec { stream, name, filter, ack_wait, ack_pending_max } = spec;
    let question = json!({
        "stream_name": stream,
        "config": {
            "name": name,
            "durable_name": name,
            "filter_subject": filter,
            "deliver_policy": "all",
            "replay_policy": "instant",
            "ack_policy": "explicit",
            "ack_wait": u64::try_from(ack_wait.as_nanos()).unwrap_or(u64::MAX),
            "max_ack_pending": ack_pending_max,
            // Whoever takes a message for the last time parks it; the broker would only let it lie.
            "max_deliver": -1,
        },
    });
    api::call::<Value>(connection, &format!("CONSUMER.CREATE.{stream}.{name}"), &question).await.map(drop)
}
