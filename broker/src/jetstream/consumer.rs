//! A durable consumer with its own credit: never asks for more than its caller can take, asks again before it runs dry,
//! and heals itself when connection, consumer or server go. (The client's own message stream loses count of small
//! batches and then stands still for half a minute.)

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_nats::Message;
use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    ack, api, connection::Connection, dial::SUBSCRIPTION_MESSAGES, inbox::Inbox, keeper::Keeper,
    link::Session, pull::Trouble,
};
use crate::{Consumer, ConsumerSpec, Error, ErrorKind, Lease};

/// How long opening a consumer waits for a connection; later it waits for as long as it takes.
const MAKE_MAX: Duration = Duration::from_secs(2);

/// How long to wait before a consumer is made again that the broker could not make just now.
const MAKE_AGAIN: Duration = Duration::from_millis(20);

/// Half of what the inbox holds: what does not fit there is lost until its lease ends.
const CREDIT_MAX: usize = SUBSCRIPTION_MESSAGES / 2;

/// One of those who share a durable consumer.
pub(super) struct PullConsumer {
    connection: Arc<Connection>,
    keeper: Arc<Keeper>,
    spec: ConsumerSpec,
    sessions: watch::Receiver<Session>,
    /// The session in which the broker was last seen to have the consumer.
    made_in: Option<u64>,
    /// None before the first pull and after trouble.
    inbox: Option<Inbox>,
    /// Delivered, and not returned to the caller yet.
    ready: VecDeque<Lease>,
    closed: bool,
}

impl PullConsumer {
    /// Opens the consumer `spec`; makes it where it is missing.
    pub(super) async fn open(
        connection: Arc<Connection>,
        keeper: Arc<Keeper>,
        spec: &ConsumerSpec,
    ) -> Result<Self, Error> {
        let made_in = Some(connection.up_within(MAKE_MAX).await?.number);
        let (sessions, spec, ready) = (connection.session(), spec.clone(), VecDeque::new());
        let consumer =
            Self { connection, keeper, spec, sessions, made_in, inbox: None, ready, closed: false };
        consumer.make().await?;
        Ok(consumer)
    }

    /// Makes sure that the broker has the consumer, and the stream under it where that is ours.
    async fn make(&self) -> Result<(), Error> {
        let deadline = Instant::now() + MAKE_MAX;
        loop {
            let made = self.keeper.healing(&self.spec.stream, || make(&self.connection, &self.spec)).await;
            match made {
                Err(error) if error.kind() == ErrorKind::Disconnected && Instant::now() < deadline => {
                    self.connection.must_be_up()?;
                    sleep(MAKE_AGAIN).await;
                }
                made => return made,
            }
        }
    }

    fn held(&self) -> usize {
        self.ready.len() + self.inbox.as_ref().map_or(0, Inbox::outstanding)
    }

    /// Makes sure that there is an inbox of this session. What an earlier one holds is kept.
    async fn open_inbox(&mut self) -> Result<(), Error> {
        let session = self.connection.up().await?.number;
        if self.inbox.as_ref().is_some_and(|inbox| inbox.session() == session) {
            return Ok(());
        }
        self.leave_inbox();
        if self.made_in != Some(session) {
            self.make().await?;
            self.made_in = Some(session);
        }
        self.inbox = Some(Inbox::open(&self.connection, session).await?);
        Ok(())
    }

    /// Asks for more when less than half of the credit is outstanding, so that a busy consumer does not ask one by one.
    async fn top_up(&mut self, credit: usize) -> Result<(), Error> {
        let room = credit.saturating_sub(self.held());
        match &mut self.inbox {
            Some(inbox) if room > 0 && inbox.outstanding() < (credit / 2).max(1) => {
                inbox.ask(&self.connection, &self.spec, room).await
            }
            _ => Ok(()),
        }
    }

    /// Takes what has arrived, without waiting.
    fn take_arrived(&mut self) -> Result<(), Trouble> {
        while let Some(message) = self.inbox.as_mut().and_then(Inbox::arrived) {
            self.take(message)?;
        }
        Ok(())
    }

    /// Waits for one message, for a change of the connection, or for the end of patience.
    async fn wait(&mut self) -> Result<(), Trouble> {
        let Some(inbox) = &mut self.inbox else { return Ok(()) };
        let silent_at = inbox.silent_at();
        tokio::select! {
            // In this order: after a pause of our own process a message that waits is no silence.
            biased;
            message = inbox.next() => self.take(message),
            // What it changed to is seen by `open_inbox`.
            _ = self.sessions.changed() => Ok(()),
            () = sleep_until(silent_at) => Err(Trouble::Silent),
        }
    }

    /// Takes a message of the inbox, or its end.
    fn take(&mut self, message: Option<Message>) -> Result<(), Trouble> {
        let (Some(inbox), Some(message)) = (&mut self.inbox, message) else {
            self.inbox = None;
            return Ok(());
        };
        if let Some(delivery) = inbox.note(message)? {
            match ack::lease(&self.connection, delivery) {
                Some(lease) => self.ready.push_back(lease),
                None => {
                    tracing::warn!(consumer = %self.spec.name, "a message that is no delivery was ignored")
                }
            }
        }
        Ok(())
    }

    /// Keeps what has arrived and drops the rest: its pulls went with the connection.
    fn leave_inbox(&mut self) {
        // What it says of itself does not matter any more.
        let _ = self.take_arrived();
        self.inbox = None;
    }

    /// Starts afresh after trouble: the first in a call is mended at once, the next is the caller's to wait out.
    fn mend(&mut self, trouble: Trouble, earlier: &mut bool) -> Result<(), Error> {
        let ConsumerSpec { stream, name, .. } = &self.spec;
        self.inbox = None;
        self.made_in = None;
        let kind = match trouble {
            Trouble::Gone => ErrorKind::NotFound,
            Trouble::Lost => ErrorKind::Disconnected,
            Trouble::Silent => ErrorKind::Timeout,
            Trouble::Refused(_) => ErrorKind::Full,
        };
        if *earlier || kind == ErrorKind::Full {
            return Err(Error::new(
                kind,
                format!("cannot pull from consumer {name} of stream {stream}: {trouble}"),
            ));
        }
        *earlier = true;
        tracing::warn!(%stream, consumer = %name, %trouble, "asking the broker anew for messages");
        Ok(())
    }

    /// Ends all pulls, and gives all but `kept` of what came on them back, for anybody.
    async fn give_back(&mut self, kept: usize) {
        if self.connection.must_be_up().is_err() {
            self.leave_inbox();
        }
        while let Some(inbox) = &mut self.inbox {
            let message = inbox.take_back().await;
            // A status, of whatever kind, says no more than that the pulls end.
            let _ = self.take(message);
        }
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
        let credit = credit.clamp(1, CREDIT_MAX);
        let mut mended = false;
        loop {
            if self.closed {
                return Err(Error::new(ErrorKind::Closed, format!("consumer {} is closed", self.spec.name)));
            }
            if let Err(trouble) = self.take_arrived() {
                self.mend(trouble, &mut mended)?;
            }
            if self.held() > credit || self.inbox.as_ref().is_some_and(Inbox::is_retired) {
                self.give_back(credit).await;
            }
            if !self.ready.is_empty() {
                let count = self.ready.len().min(credit);
                return Ok(self.ready.drain(..count).collect());
            }
            match self.open_inbox().await {
                Ok(()) if self.ready.is_empty() => {}
                Ok(()) => continue,
                // The connection was lost again meanwhile: wait for the next one.
                Err(error) if error.kind() == ErrorKind::Disconnected && !mended => {
                    mended = true;
                    continue;
                }
                Err(error) => return Err(error),
            }
            self.top_up(credit).await?;
            if let Err(trouble) = self.wait().await {
                self.mend(trouble, &mut mended)?;
            }
        }
    }

    async fn close(&mut self) {
        self.closed = true;
        self.give_back(0).await;
    }
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
