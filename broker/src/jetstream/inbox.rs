//! Where the pulls of one consumer are answered, and how many messages the last of them is still owed.

use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, timeout};

use super::{
    api::ANSWER_MAX,
    connection::Connection,
    pull::{Heard, Trouble},
};
use crate::{ConsumerSpec, Error};

/// How long the last deliveries may take to arrive when a pull is taken back.
const TAKE_BACK_MAX: Duration = Duration::from_secs(1);

/// One inbox; a pull does not outlive its session.
pub(super) struct Inbox {
    subject: String,
    messages: Subscriber,
    session: u64,
    outstanding: usize,
    silent_at: Instant,
}

impl Inbox {
    /// Opens a new inbox. Its subject is new too, so that no pull that survived an earlier inbox is answered twice.
    pub(super) async fn open(connection: &Connection, session: u64) -> Result<Self, Error> {
        let subject = connection.client().new_inbox();
        let messages = connection.listen(&subject).await?;
        Ok(Self { subject, messages, session, outstanding: 0, silent_at: Instant::now() })
    }

    /// The session in which it was opened.
    pub(super) const fn session(&self) -> u64 {
        self.session
    }

    /// Messages asked for that are neither delivered nor refused yet.
    pub(super) const fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// When the server has been silent for too long.
    pub(super) const fn silent_at(&self) -> Instant {
        self.silent_at
    }

    /// Asks for up to `max` of the messages that are there, or for the first that comes within `patience`.
    pub(super) async fn ask(
        &mut self,
        connection: &Connection,
        consumer: &ConsumerSpec,
        max: usize,
        patience: Duration,
    ) -> Result<(), Error> {
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", consumer.stream, consumer.name);
        let question = match patience.as_nanos() {
            0 => format!("{{\"batch\":{max},\"no_wait\":true}}"),
            expires => format!("{{\"batch\":{max},\"no_wait\":true,\"expires\":{expires}}}"),
        };
        connection.tell(&subject, Some(self.subject.clone()), None, question.into()).await?;
        // After the await: a call that is dropped there has sent nothing.
        self.outstanding = max;
        self.silent_at = Instant::now() + patience + ANSWER_MAX;
        Ok(())
    }

    /// The next message; none if the client has closed.
    pub(super) async fn next(&mut self) -> Option<Message> {
        self.messages.next().await
    }

    /// The next message, if it has arrived.
    pub(super) fn arrived(&mut self) -> Option<Option<Message>> {
        self.messages.next().now_or_never()
    }

    /// Keeps the count. Returns the message if it came from the stream.
    pub(super) fn note(&mut self, message: Message) -> Result<Option<Message>, Trouble> {
        match Heard::of(&message)? {
            Heard::Delivery => {
                self.outstanding = self.outstanding.saturating_sub(1);
                return Ok(Some(message));
            }
            Heard::Heartbeat => {}
            Heard::Ended => self.outstanding = 0,
        }
        Ok(None)
    }

    /// Ends the pull. The returned stream yields what was still delivered on it, and then ends.
    pub(super) async fn take_back(mut self) -> Subscriber {
        // It fails only if the client is closed, and then its inbox has ended.
        let _ = timeout(TAKE_BACK_MAX, self.messages.drain()).await;
        self.messages
    }
}
