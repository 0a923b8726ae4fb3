//! Where the pulls of one consumer are answered, and how many messages are still owed on them.

use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    connection::Connection,
    pull::{Heard, Trouble},
};
use crate::{ConsumerSpec, Error};

/// How long a pull stands. Its end costs one message each way.
const PULL_STANDS: Duration = Duration::from_secs(30);
/// How often the server tells of a pull that it still stands.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(2);
/// Two heartbeats and a bit: after this silence the pulls are taken for lost.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// How long the last deliveries may take to come in when pulls are taken back.
const TAKE_BACK_MAX: Duration = Duration::from_secs(1);

/// One inbox; pulls do not outlive its session.
pub(super) struct Inbox {
    subject: String,
    messages: Subscriber,
    session: u64,
    outstanding: usize,
    /// The last sign of life, or the last pull.
    heard_at: Instant,
    /// No more pulls on this one: it is being taken back.
    retired: bool,
}

impl Inbox {
    /// A new one. Its subject is new too, so that no pull that survived an earlier one is answered twice.
    pub(super) async fn open(connection: &Connection, session: u64) -> Result<Self, Error> {
        let subject = connection.client().new_inbox();
        let messages = connection.listen(&subject).await?;
        Ok(Self { subject, messages, session, outstanding: 0, heard_at: Instant::now(), retired: false })
    }

    /// The session in which it was opened.
    pub(super) const fn session(&self) -> u64 {
        self.session
    }

    /// Asked for and not delivered.
    pub(super) const fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Whether it is being taken back.
    pub(super) const fn is_retired(&self) -> bool {
        self.retired
    }

    /// When silence has lasted too long.
    pub(super) fn silent_at(&self) -> Instant {
        self.heard_at + SILENCE_MAX
    }

    /// Asks for `count` messages.
    pub(super) async fn ask(
        &mut self,
        connection: &Connection,
        consumer: &ConsumerSpec,
        count: usize,
    ) -> Result<(), Error> {
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", consumer.stream, consumer.name);
        let question = format!(
            "{{\"batch\":{count},\"expires\":{},\"idle_heartbeat\":{}}}",
            PULL_STANDS.as_nanos(),
            HEARTBEAT_EVERY.as_nanos()
        );
        connection.tell(&subject, Some(self.subject.clone()), None, question.into()).await?;
        // After the await: a call that is dropped there has sent nothing.
        self.outstanding += count;
        self.heard_at = Instant::now();
        Ok(())
    }

    /// The next message; none when the client has closed.
    pub(super) async fn next(&mut self) -> Option<Message> {
        self.messages.next().await
    }

    /// The next message, if it has arrived.
    pub(super) fn arrived(&mut self) -> Option<Option<Message>> {
        self.messages.next().now_or_never()
    }

    /// Keeps the count. Returns the message if it is one of the stream.
    pub(super) fn note(&mut self, message: Message) -> Result<Option<Message>, Trouble> {
        self.heard_at = Instant::now();
        match Heard::of(&message)? {
            Heard::Delivery => {
                self.outstanding = self.outstanding.saturating_sub(1);
                return Ok(Some(message));
            }
            Heard::Heartbeat => {}
            Heard::Ended { unfilled } => self.outstanding = self.outstanding.saturating_sub(unfilled),
        }
        Ok(None)
    }

    /// Ends all pulls and waits for what was still delivered on them; none when that was all. Cancel-safe: call it
    /// again.
    pub(super) async fn take_back(&mut self) -> Option<Message> {
        if !self.retired {
            self.retired = true;
            // It fails only for a client that is closed, whose inbox has ended.
            let _ = timeout(TAKE_BACK_MAX, self.messages.drain()).await;
            self.heard_at = Instant::now();
        }
        timeout_at(self.heard_at + TAKE_BACK_MAX, self.messages.next()).await.ok().flatten()
    }
}
