//! A streamed chat answer: events of one request in, chunks out. Its drop leaves the request running.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::{Stream, stream};
use schemas::{ChatOutput, Error, ErrorCode, EventBody, Output, event::Completion};
use tokio::time::Instant;

use super::chunks::Chunks;
use crate::{app::App, ending, frame::Frame, refusal, sse, submit::Accepted};

pub(crate) struct ChatStream {
    app: App,
    accepted: Accepted,
    chunks: Chunks,
    ready: VecDeque<Bytes>,
    give_up_at: Instant,
    ended: bool,
}

impl ChatStream {
    pub(crate) fn new(app: &App, accepted: Accepted, chunks: Chunks, give_up_at: Instant) -> Self {
        Self { app: app.clone(), accepted, chunks, ready: VecDeque::new(), give_up_at, ended: false }
    }

    /// Waits for the first piece, so that a failure before it has its own HTTP status and the SDKs retry it. A client
    /// that waits long is answered anyway, to be kept awake with pings.
    pub(crate) async fn begin(&mut self) -> Result<(), Error> {
        let patience = Instant::now() + self.app.config.ping_interval();
        while self.ready.is_empty() && !self.ended {
            match tokio::time::timeout_at(patience.min(self.give_up_at), self.accepted.feed.next()).await {
                Ok(frame) => self.absorb(frame)?,
                Err(_) if Instant::now() >= self.give_up_at => return Err(ending::late()),
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// The request, for an answer that is no stream.
    pub(crate) const fn accepted(&mut self) -> &mut Accepted {
        &mut self.accepted
    }

    pub(crate) fn events(self) -> impl Stream<Item = Bytes> + Send + 'static {
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
            let absorbed =
                match tokio::time::timeout_at(ping.min(self.give_up_at), self.accepted.feed.next()).await {
                    Ok(frame) => self.absorb(frame),
                    Err(_) if Instant::now() >= self.give_up_at => Err(ending::late()),
                    Err(_) => return Some(sse::PING),
                };
            if let Err(error) = absorbed {
                self.fail(error);
            }
        }
    }

    /// After the status has gone out only an error event is left; there is no `[DONE]` after it.
    fn fail(&mut self, error: Error) {
        self.accepted.account.end(Some(&error));
        self.ended = true;
        self.ready.push_back(sse::data(&refusal::text(&refusal::relative_to_body(error))));
    }

    fn absorb(&mut self, frame: Option<Frame>) -> Result<(), Error> {
        let Some(frame) = frame else {
            return Err(Error::new(ErrorCode::Internal, "the events of the request ended without an end"));
        };
        if frame.head.event.is_terminal() {
            return self.finish(ending::read(&frame)?);
        }
        // An event of a later version says nothing that a chunk could show.
        let Ok(event) = frame.event() else { return Ok(()) };
        match event.body {
            EventBody::ChatDelta(delta) => self.ready.extend(self.chunks.delta(&delta)?),
            // Chunks cannot be taken back. Before the first, a new attempt is nobody's business.
            EventBody::Restarted { .. } if self.chunks.has_begun() => return Err(restarted()),
            EventBody::Gap { .. } if self.chunks.has_begun() => return Err(lost()),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, completion: Completion) -> Result<(), Error> {
        let output = chat_output(completion.output)?;
        self.ready.extend(self.chunks.finish(&output, &completion.usage)?);
        self.accepted.account.end(None);
        self.ended = true;
        Ok(())
    }
}

/// The answer of a chat; anything else is a fault of whoever answered.
pub(crate) fn chat_output(output: Output) -> Result<ChatOutput, Error> {
    match output {
        Output::Chat(output) => Ok(output),
        _ => Err(Error::new(ErrorCode::Internal, "the answer is not that of a chat")),
    }
}

fn restarted() -> Error {
    let why = "a part of the answer was taken back and it started again; its outcome is at /v1/requests/{id}";
    Error::new(ErrorCode::ProviderUnavailable, why)
}

fn lost() -> Error {
    let why = "a part of the stream was lost; the whole answer is at /v1/requests/{id}";
    Error::new(ErrorCode::Internal, why)
}
