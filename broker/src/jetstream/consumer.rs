//! A durable consumer: asks only for what its caller can take now, and heals itself if connection, consumer or server
//! go. (The client's own message stream loses count of small batches and then stalls for half a minute.)

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_nats::Message;
use async_trait::async_trait;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    ack, api,
    connection::Connection,
    dial::SUBSCRIPTION_MESSAGES,
    done::Way,
    inbox::Inbox,
    keeper::Keeper,
    leftovers::{self, Leftovers},
    link::Session,
    pull::Trouble,
};
use crate::{Consumer, ConsumerSpec, Error, ErrorKind, Lease};

/// How long creating a consumer waits for a connection, or for a server that is not ready to create it.
const MAKE_MAX: Duration = Duration::from_secs(2);
/// How long to wait before retrying, if the broker could not create the consumer just now.
const MAKE_AGAIN: Duration = Duration::from_millis(20);
/// Half of what the inbox holds: a message that does not fit there is lost until its lease ends.
const PULL_MAX: usize = SUBSCRIPTION_MESSAGES / 2;
/// How long one pull stands at most: a frozen server is noticed this soon, whatever the patience.
const PULL_STANDS: Duration = Duration::from_secs(5);
/// How long the last deliveries may take to arrive when a consumer is closed.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// One of the handles that share a durable consumer.
pub(super) struct PullConsumer {
    connection: Arc<Connection>,
    keeper: Arc<Keeper>,
    spec: ConsumerSpec,
    sessions: watch::Receiver<Session>,
    /// The session in which the broker was last known to have the consumer.
    made_in: Option<u64>,
    /// None before the first pull and after trouble.
    inbox: Option<Inbox>,
    /// Delivered, but not returned to the caller yet: after a dropped pull.
    ready: VecDeque<Lease>,
    leftovers: Leftovers,
    way: Arc<Way>,
    closed: bool,
}

impl PullConsumer {
    /// Opens the consumer `spec`; creates it if it is missing.
    pub(super) async fn open(
        connection: Arc<Connection>,
        keeper: Arc<Keeper>,
        spec: &ConsumerSpec,
    ) -> Result<Self, Error> {
        let made_in = Some(connection.up_within(MAKE_MAX).await?.number);
        let (sessions, spec, ready) = (connection.session(), spec.clone(), VecDeque::new());
        let (inbox, leftovers, way) = (None, Leftovers::new(), connection.ways().of(&spec.stream));
        let closed = false;
        let consumer =
            Self { connection, keeper, spec, sessions, made_in, inbox, ready, leftovers, way, closed };
        consumer.make().await?;
        Ok(consumer)
    }

    /// Makes sure that the broker has the consumer, and its stream if the keeper keeps it.
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

    /// Makes sure that there is an inbox of the current session.
    async fn open_inbox(&mut self, patience: Duration) -> Result<&mut Inbox, Error> {
        let session = self.connection.up_within(patience).await?.number;
        let inbox = match self.inbox.take() {
            Some(inbox) if inbox.session() == session => inbox,
            _ => {
                if self.made_in != Some(session) {
                    self.make().await?;
                    self.made_in = Some(session);
                }
                Inbox::open(&self.connection, session).await?
            }
        };
        Ok(self.inbox.insert(inbox))
    }

    /// Asks, unless messages are still owed on an earlier question.
    async fn ask(&mut self, max: usize, deadline: Instant) -> Result<(), Error> {
        let patience = deadline.saturating_duration_since(Instant::now());
        if self.open_inbox(patience).await?.outstanding() > 0 {
            return Ok(());
        }
        let Self { inbox: Some(inbox), connection, spec, .. } = self else { return Ok(()) };
        inbox.ask(connection, spec, max, patience.min(PULL_STANDS)).await
    }

    /// Waits until the question is answered.
    async fn receive(&mut self) -> Result<(), Trouble> {
        while let Some(inbox) = self.inbox.as_mut().filter(|inbox| inbox.outstanding() > 0) {
            let silent_at = inbox.silent_at();
            tokio::select! {
                // In this order: after a pause of our own process, a waiting message is not silence.
                biased;
                message = inbox.next() => self.take(message)?,
                _ = self.sessions.changed() => return Ok(()),
                () = sleep_until(silent_at) => return Err(Trouble::Silent),
            }
        }
        Ok(())
    }

    /// Takes what has arrived, without waiting.
    fn take_arrived(&mut self) -> Result<(), Trouble> {
        while let Some(message) = self.inbox.as_mut().and_then(Inbox::arrived) {
            self.take(message)?;
        }
        Ok(())
    }

    /// Takes a message of the inbox, or its end.
    fn take(&mut self, message: Option<Message>) -> Result<(), Trouble> {
        let (Some(inbox), Some(message)) = (&mut self.inbox, message) else {
            self.inbox = None;
            return Ok(());
        };
        let session = inbox.session();
        if let Some(delivery) = inbox.note(message)? {
            self.hold(delivery, session);
        }
        Ok(())
    }

    fn hold(&mut self, delivery: Message, session: u64) {
        match ack::lease(&self.connection, session, &self.way, delivery) {
            Some(lease) => self.ready.push_back(lease),
            None => tracing::warn!(consumer = %self.spec.name, "a message that is no delivery was ignored"),
        }
    }

    /// Re-creates the consumer if the stream holds a message that the broker gives to nobody: it then gets everything.
    async fn look_for_leftovers(&mut self) -> Result<(), Error> {
        let Some(sequence) = self.leftovers.found(&self.connection, &self.spec).await? else { return Ok(()) };
        let ConsumerSpec { stream, name, .. } = &self.spec;
        tracing::warn!(%stream, consumer = %name, sequence, "a message that the broker takes for done is delivered again");
        leftovers::forget(&self.connection, &self.spec).await?;
        self.inbox = None;
        self.made_in = None;
        Ok(())
    }

    /// Starts afresh after trouble: mends the first in a call at once, and leaves the next to the caller to wait out.
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
}

#[async_trait]
impl Consumer for PullConsumer {
    async fn pull(&mut self, max: usize, patience: Duration) -> Result<Vec<Lease>, Error> {
        let (max, deadline) = (max.clamp(1, PULL_MAX), Instant::now() + patience);
        let mut mended = false;
        let mut asked = false;
        loop {
            if self.closed {
                return Err(Error::new(ErrorKind::Closed, format!("consumer {} is closed", self.spec.name)));
            }
            if let Err(trouble) = self.take_arrived() {
                self.mend(trouble, &mut mended)?;
            }
            if !self.ready.is_empty() || (asked && Instant::now() >= deadline) {
                let count = self.ready.len().min(max);
                return Ok(self.ready.drain(..count).collect());
            }
            match self.ask(max, deadline).await {
                Ok(()) => asked = true,
                // The connection was lost again: wait for the next one.
                Err(error) if error.kind() == ErrorKind::Disconnected && !mended => {
                    mended = true;
                    continue;
                }
                Err(error) => return Err(error),
            }
            if let Err(trouble) = self.receive().await {
                self.mend(trouble, &mut mended)?;
                asked = false;
            } else if self.ready.is_empty()
                && let Err(error) = self.look_for_leftovers().await
            {
                // Leftovers can wait; if the broker is out of reach, the next question shows it.
                tracing::debug!(consumer = %self.spec.name, %error, "not looked for what is left over");
            }
        }
    }

    async fn close(&mut self) {
        self.closed = true;
        if let Some(inbox) = self.inbox.take().filter(|inbox| inbox.outstanding() > 0)
            && self.connection.must_be_up().is_ok()
        {
            let session = inbox.session();
            let mut last = inbox.take_back().await;
            while let Ok(Some(message)) = timeout(CLOSE_MAX, last.next()).await {
                if message.status.is_none() {
                    self.hold(message, session);
                }
            }
        }
        while let Some(lease) = self.ready.pop_back() {
            if let Err(error) = lease.retry_after(Duration::ZERO).await {
                tracing::debug!(%error, "an unread message will be delivered again when its lease ends");
            }
        }
    }
}

/// Creates the durable consumer, or updates an existing one to `spec`.
async fn make(connection: &Connection, spec: &ConsumerSpec) -> Result<(), Error> {
    let ConsumerSpec { stream, name, filter, ack_wait, ack_pending_max, idle_max } = spec;
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let question = json!({
        "stream_name": stream,
        "config": {
            "name": name,
            "durable_name": name,
            "filter_subject": filter,
            "deliver_policy": "all",
            "replay_policy": "instant",
            "ack_policy": "explicit",
            "ack_wait": nanoseconds(*ack_wait),
            "inactive_threshold": idle_max.map(nanoseconds),
            "max_ack_pending": ack_pending_max,
            // The worker that takes a message for the last time parks it; the broker would only let it lie.
            "max_deliver": -1,
        },
    });
    api::call::<Value>(connection, &format!("CONSUMER.CREATE.{stream}.{name}"), &question).await.map(drop)
}
