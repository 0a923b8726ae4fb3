//! Streams a chat answer: turns the events of one request into those of an API. Dropping the stream leaves the request
//! running.

use std::collections::VecDeque;

use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, stream};
use schemas::{
    ChatDelta, ChatOutput, Error, ErrorCode, EventBody, Usage,
    event::{Completion, EventKind},
};
use tokio::time::Instant;

use crate::{
    account::Account,
    answer::{self, Words},
    app::App,
    ending,
    feed::Feed,
    frame::Frame,
    linger::Reader,
    refusal, sse,
};

/// How an API shows an answer piece by piece. Remembers what it has shown, so that the end adds exactly what is
/// missing.
pub(crate) trait Form: Send + 'static {
    /// Where to get the whole answer, for errors that cut a stream short.
    const PLACE: &'static str;

    /// Whether the client has seen anything of the answer.
    fn has_begun(&self) -> bool;

    /// One piece; its `finish_reason` is held back for the end.
    fn delta(&mut self, delta: &ChatDelta) -> Result<Vec<Bytes>, Error>;

    /// The end, with what was not shown yet.
    fn finish(&mut self, output: &ChatOutput, usage: &Usage) -> Result<Vec<Bytes>, Error>;

    /// A keep-alive; before the first piece it may be the start of the stream.
    fn alive(&mut self) -> Bytes;

    /// The last event of a failed request.
    fn failure(&mut self, error: Error) -> Bytes;

    /// The last event of a stream that ends otherwise than its request.
    fn break_off(&mut self, error: Error) -> Bytes {
        self.failure(error)
    }
}

pub(crate) struct ChatStream<F> {
    app: App,
    feed: Feed,
    who: Who,
    form: F,
    ready: VecDeque<Bytes>,
    /// When the door stops waiting, if a client waits for the answer.
    give_up_at: Option<Instant>,
    ended: bool,
}

/// Who reads a stream.
pub(crate) enum Who {
    /// The client that sent the request.
    Sender(Box<Account>),
    /// A client that came back to it.
    Reader(Option<Reader>),
}

/// Why a stream ends without an answer.
enum Halt {
    /// Its request has failed with this error.
    Failed(Error),
    /// Its request goes on, or has ended in a way that this stream cannot show.
    Broken(Error),
}

impl<F: Form> ChatStream<F> {
    pub(crate) fn new(app: &App, feed: Feed, who: Who, form: F, give_up_at: Option<Instant>) -> Self {
        Self { app: app.clone(), feed, who, form, ready: VecDeque::new(), give_up_at, ended: false }
    }

    /// Responds when the first piece is there, so that a failure before it has its own HTTP status and the SDKs retry
    /// it. After a ping interval without one it responds anyway, and pings keep the client waiting.
    pub(crate) async fn answer(mut self, words: Words) -> Response {
        match self.begin().await {
            Ok(()) => self.response(),
            Err(error) => {
                self.end(Some(&error));
                refusal::response(&words(error))
            }
        }
    }

    /// Responds at once, before the first piece.
    pub(crate) fn answer_at_once(mut self) -> Response {
        self.ready.push_back(self.form.alive());
        self.response()
    }

    pub(crate) fn response(self) -> Response {
        sse::response(self.events())
    }

    async fn begin(&mut self) -> Result<(), Error> {
        let patience = Instant::now() + self.app.config.ping_interval();
        while self.ready.is_empty() && !self.ended {
            match tokio::time::timeout_at(self.no_later_than(patience), self.feed.next()).await {
                Ok(frame) => {
                    self.absorb(frame).map_err(|(Halt::Failed(error) | Halt::Broken(error))| error)?
                }
                Err(_) if self.is_late() => return Err(ending::late()),
                Err(_) => self.ready.push_back(self.form.alive()),
            }
        }
        Ok(())
    }

    fn events(self) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::unfold(Box::new(self), |mut stream| async move {
            let event = stream.next().await?;
            Some((event, stream))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            let ping = self.no_later_than(Instant::now() + self.app.config.ping_interval());
            let absorbed = tokio::select! {
                biased;
                frame = self.feed.next() => self.absorb(frame),
                // A client that has come back will come back once more, to another server.
                () = self.app.draining.cancelled(), if matches!(self.who, Who::Reader(_)) => return None,
                () = tokio::time::sleep_until(ping) => match self.is_late() {
                    true => Err(Halt::Broken(ending::late())),
                    false => return Some(self.form.alive()),
                },
            };
            if let Err(halt) = absorbed {
                self.halt(halt);
            }
        }
    }

    fn no_later_than(&self, at: Instant) -> Instant {
        self.give_up_at.map_or(at, |give_up| give_up.min(at))
    }

    fn is_late(&self) -> bool {
        self.give_up_at.is_some_and(|give_up| Instant::now() >= give_up)
    }

    fn absorb(&mut self, frame: Option<Frame>) -> Result<(), Halt> {
        let Some(frame) = frame else {
            let why = "the events of the request stopped before it ended";
            return Err(Halt::Broken(Error::new(ErrorCode::Internal, why)));
        };
        if frame.head.event.is_terminal() {
            let done = ending::read(&frame).map_err(Halt::Failed)?;
            return self.finish(done).map_err(Halt::Broken);
        }
        if frame.head.event == EventKind::ChatDelta {
            if let Ok(delta) = frame.body() {
                self.ready.extend(self.form.delta(&delta).map_err(Halt::Broken)?);
            }
            return Ok(());
        }
        // An event of a later version holds nothing that could be shown.
        let Ok(event) = frame.event() else { return Ok(()) };
        match event.body {
            // What was shown cannot be taken back. Before the first piece, a new attempt does not concern the client.
            EventBody::Restarted { .. } if self.form.has_begun() => {
                let why = "a part of the answer was taken back and it started again";
                return Err(broken::<F>(ErrorCode::ProviderUnavailable, why));
            }
            EventBody::Gap { .. } if self.form.has_begun() => {
                return Err(broken::<F>(ErrorCode::Internal, "a part of the stream was lost"));
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, done: Completion) -> Result<(), Error> {
        let output = answer::chat_output(done.output)?;
        self.ready.extend(self.form.finish(&output, &done.usage)?);
        self.end(None);
        Ok(())
    }

    /// Once the status has gone out, only an event can report the error; no end marker follows it.
    fn halt(&mut self, halt: Halt) {
        let (Halt::Failed(error) | Halt::Broken(error)) = &halt;
        self.end(Some(error));
        self.ready.push_back(match halt {
            Halt::Failed(error) => self.form.failure(error),
            Halt::Broken(error) => self.form.break_off(error),
        });
    }

    fn end(&mut self, error: Option<&Error>) {
        self.ended = true;
        match &mut self.who {
            Who::Sender(account) => account.end(error),
            Who::Reader(reader) => {
                if let Some(reader) = reader.take() {
                    reader.end();
                }
            }
        }
    }
}

fn broken<F: Form>(code: ErrorCode, why: &str) -> Halt {
    Halt::Broken(Error::new(code, format!("{why}; {}", F::PLACE)))
}
