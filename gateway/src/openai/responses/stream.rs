//! A streamed response: events of one request in, typed events out. Its drop leaves the request running.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::{Stream, stream};
use schemas::{Error, ErrorCode, EventBody};
use tokio::time::Instant;

use super::events::Events;
use crate::{
    account::Account, app::App, chat_stream::chat_output, ending, feed::Feed, frame::Frame, linger::Reader,
    sse,
};

pub(super) struct ResponseStream {
    app: App,
    feed: Feed,
    events: Events,
    ready: VecDeque<Bytes>,
    /// When the door stops waiting, where somebody waits for the answer.
    give_up_at: Option<Instant>,
    who: Who,
    ended: bool,
}

/// Who reads the stream.
pub(super) enum Who {
    /// Whoever has sent the request.
    Sender(Box<Account>),
    /// Whoever has come back to it.
    Reader(Option<Reader>),
}

impl ResponseStream {
    pub(super) fn new(
        app: &App,
        mut feed: Feed,
        events: Events,
        who: Who,
        give_up_at: Option<Instant>,
    ) -> Self {
        // Events are numbered: a joined piece would be one number where another reader has several.
        feed.keep_pieces();
        Self { app: app.clone(), feed, events, ready: VecDeque::new(), give_up_at, who, ended: false }
    }

    /// Waits for the first piece, so that a failure before it has its own HTTP status and the SDKs retry it. A client
    /// that waits long is answered anyway, to be kept awake with pings.
    pub(super) async fn begin(&mut self) -> Result<(), Error> {
        let patience = Instant::now() + self.app.config.ping_interval();
        while self.ready.is_empty() && !self.ended {
            let until = self.give_up_at.map_or(patience, |give_up| give_up.min(patience));
            match tokio::time::timeout_at(until, self.feed.next()).await {
                Ok(frame) => self.absorb(frame)?,
                Err(_) if self.is_late() => return Err(ending::late()),
                Err(_) => return self.open(),
            }
        }
        Ok(())
    }

    /// Says at once that the response has begun.
    pub(super) fn open(&mut self) -> Result<(), Error> {
        self.events.begin()?;
        self.collect();
        Ok(())
    }

    /// The one who waits for the answer, where it is no stream after all.
    pub(super) fn account(&mut self) -> Option<&mut Account> {
        match &mut self.who {
            Who::Sender(account) => Some(account),
            Who::Reader(_) => None,
        }
    }

    pub(super) fn bytes(self) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::unfold(self, |mut stream| async move {
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
            let ping = Instant::now() + self.app.config.ping_interval();
            let until = self.give_up_at.map_or(ping, |give_up| give_up.min(ping));
            let draining = self.app.draining.clone();
            let absorbed = tokio::select! {
                biased;
                frame = self.feed.next() => self.absorb(frame),
                // Whoever has come back comes back once more, to another server.
                () = draining.cancelled(), if matches!(self.who, Who::Reader(_)) => return None,
                () = tokio::time::sleep_until(until) => match self.is_late() {
                    true => Err(ending::late()),
                    false => return Some(sse::PING),
                },
            };
            if let Err(error) = absorbed {
                self.break_off(&error);
            }
        }
    }

    fn is_late(&self) -> bool {
        self.give_up_at.is_some_and(|give_up| Instant::now() >= give_up)
    }

    fn absorb(&mut self, frame: Option<Frame>) -> Result<(), Error> {
        let Some(frame) = frame else {
            return Err(Error::new(ErrorCode::Internal, "the events of the request ended without an end"));
        };
        if frame.head.event.is_terminal() {
            return self.finish(&frame);
        }
        // An event of a later version says nothing that could be shown.
        let Ok(event) = frame.event() else { return Ok(()) };
        match event.body {
            EventBody::ChatDelta(delta) => self.events.delta(&delta)?,
            // What was shown cannot be taken back. Before the first piece, a new attempt is nobody's business.
            EventBody::Restarted { .. } if self.events.has_shown() => return Err(restarted()),
            EventBody::Gap { .. } if self.events.has_shown() => return Err(lost()),
            _ => {}
        }
        self.collect();
        Ok(())
    }

    fn finish(&mut self, frame: &Frame) -> Result<(), Error> {
        let ended = ending::read(frame).and_then(|done| Ok((chat_output(done.output)?, done.usage)));
        let failure = match ended {
            Ok((output, usage)) => {
                self.events.finish(&output, &usage)?;
                None
            }
            // Nothing was sent yet: the sender gets it as the answer.
            Err(error) if !self.events.has_begun() && matches!(self.who, Who::Sender(_)) => {
                return Err(error);
            }
            Err(error) => {
                self.events.fail(error.clone())?;
                Some(error)
            }
        };
        self.collect();
        self.end(failure.as_ref());
        Ok(())
    }

    /// The stream ends, and not as its request does.
    fn break_off(&mut self, error: &Error) {
        if let Err(error) = self.events.break_off(error) {
            tracing::debug!(%error, "cannot write the end of a stream");
        }
        self.collect();
        self.end(Some(error));
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

    fn collect(&mut self) {
        self.ready.extend(self.events.take());
    }
}

fn restarted() -> Error {
    let why =
        "a part of the answer was taken back and it started again; retrieve the response without `stream`";
    Error::new(ErrorCode::ProviderUnavailable, why)
}

fn lost() -> Error {
    let why = "a part of the stream is not there any more; retrieve the response without `stream`";
    Error::new(ErrorCode::Internal, why)
}
