//! Questions to the broker and their answers. The client's own requests leak an entry for each question that is never
//! answered; these do not, and they end at once when the connection does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_nats::{Client, HeaderMap, Message, StatusCode, Subscriber};
use bytes::Bytes;
use dashmap::DashMap;
use futures_util::StreamExt;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

use super::wire::publish;
use crate::{Error, ErrorKind};

/// The askers that wait for answers.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    next: AtomicU64,
    askers: DashMap<u64, Asker>,
}

#[derive(Debug)]
struct Asker {
    subject: String,
    answer: oneshot::Sender<Result<Message, Error>>,
}

/// One inbox for the answers to all questions of a client.
#[derive(Debug)]
pub(super) struct Requests {
    client: Arc<Client>,
    inbox: String,
    waiting: Arc<Waiting>,
    // Without this task no question is answered; it ends only with the client.
    _reader: AbortOnDropHandle<()>,
}

/// Removes an asker from the list, however its wait ends.
struct Place<'a> {
    waiting: &'a Waiting,
    number: u64,
}

impl Requests {
    /// Opens the inbox.
    pub(super) async fn open(client: Arc<Client>, waiting: Arc<Waiting>) -> Result<Self, Error> {
        let inbox = client.new_inbox();
        let answers = client.subscribe(format!("{inbox}.*")).await.map_err(|error| {
            Error::new(ErrorKind::Closed, "cannot open an inbox at the broker").with_source(error)
        })?;
        let reader = AbortOnDropHandle::new(tokio::spawn(hand_out(answers, Arc::clone(&waiting))));
        Ok(Self { client, inbox, waiting, _reader: reader })
    }

    /// Sends a question and waits for its answer. If nobody is there, the error is `NotFound`; if no answer comes in
    /// time, the question may or may not have arrived.
    pub(super) async fn ask(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
        within: Duration,
    ) -> Result<Message, Error> {
        let deadline = Instant::now() + within;
        let (sender, answer) = oneshot::channel();
        let place = self.waiting.enter(subject, sender);
        let reply = format!("{}.{}", self.inbox, place.number);
        publish(&self.client, deadline, subject, Some(reply), headers, payload).await?;
        let message = match timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => answer?,
            Ok(Err(_)) => {
                let what = format!("the connection was lost while {subject} was waiting for an answer");
                return Err(Error::new(ErrorKind::Disconnected, what));
            }
            Err(_) => {
                return Err(Error::new(ErrorKind::Timeout, format!("no answer on {subject} in {within:?}")));
            }
        };
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(Error::new(ErrorKind::NotFound, format!("nobody answers on {subject}")));
        }
        Ok(message)
    }
}

impl Waiting {
    /// Ends all waits: the answers were lost with the connection.
    pub(super) fn forget_all(&self) {
        self.askers.clear();
    }

    /// Ends the waits for answers on `subject`, to which we may not publish.
    pub(super) fn deny(&self, subject: &str) {
        let denied: Vec<u64> =
            self.askers.iter().filter(|asker| asker.subject == subject).map(|asker| *asker.key()).collect();
        for number in denied {
            if let Some((_, asker)) = self.askers.remove(&number) {
                let what = format!("the broker's permissions forbid us to publish to {subject}");
                // It fails only if the asker has gone.
                let _ = asker.answer.send(Err(Error::new(ErrorKind::Denied, what)));
            }
        }
    }

    fn enter(&self, subject: &str, answer: oneshot::Sender<Result<Message, Error>>) -> Place<'_> {
        let number = self.next.fetch_add(1, Relaxed);
        self.askers.insert(number, Asker { subject: subject.to_owned(), answer });
        Place { waiting: self, number }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.askers.remove(&self.number);
    }
}

async fn hand_out(mut answers: Subscriber, waiting: Arc<Waiting>) {
    while let Some(message) = answers.next().await {
        let number = message.subject.rsplit_once('.').and_then(|(_, number)| number.parse::<u64>().ok());
        if let Some((_, asker)) = number.and_then(|number| waiting.askers.remove(&number)) {
            // It fails only if the asker has gone.
            let _ = asker.answer.send(Ok(message));
        }
    }
    waiting.forget_all();
}
