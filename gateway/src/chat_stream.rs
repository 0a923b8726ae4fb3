//! A streamed chat answer: events of one request in, the events of an API out. Its drop leaves the request running.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::{Stream, stream};
use schemas::{
    ChatDelta, ChatOutput, Error, ErrorCode, EventBody, Output, Usage,
    chat::{ToolCall, ToolCallDelta},
    event::Completion,
};
use tokio::time::Instant;

use crate::{app::App, ending, frame::Frame, submit::Accepted};

/// How an API shows an answer piece by piece. Knows what was shown, so that the end adds exactly what is missing.
pub(crate) trait Form: Send + 'static {
    /// Whether the client has seen anything of the answer.
    fn has_begun(&self) -> bool;

    /// One piece; its `finish_reason` waits for the end.
    fn delta(&mut self, delta: &ChatDelta) -> Result<Vec<Bytes>, Error>;

    /// The end, with what was not shown yet.
    fn finish(&mut self, output: &ChatOutput, usage: &Usage) -> Result<Vec<Bytes>, Error>;

    /// A sign of life; before the first piece it may be the beginning of the stream.
    fn alive(&mut self) -> Bytes;

    /// The event of an answer that failed: the last one.
    fn failure(&self, error: Error) -> Bytes;
}

pub(crate) struct ChatStream<F> {
    app: App,
    accepted: Accepted,
    form: F,
    ready: VecDeque<Bytes>,
    give_up_at: Instant,
    ended: bool,
}

impl<F: Form> ChatStream<F> {
    pub(crate) fn new(app: &App, accepted: Accepted, form: F, give_up_at: Instant) -> Self {
        Self { app: app.clone(), accepted, form, ready: VecDeque::new(), give_up_at, ended: false }
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
                    Err(_) => return Some(self.form.alive()),
                };
            if let Err(error) = absorbed {
                self.fail(error);
            }
        }
    }

    /// After the status has gone out only an error event is left; there is no mark of the end after it.
    fn fail(&mut self, error: Error) {
        self.accepted.account.end(Some(&error));
        self.ended = true;
        self.ready.push_back(self.form.failure(error));
    }

    fn absorb(&mut self, frame: Option<Frame>) -> Result<(), Error> {
        let Some(frame) = frame else {
            return Err(Error::new(ErrorCode::Internal, "the events of the request ended without an end"));
        };
        if frame.head.event.is_terminal() {
            return self.finish(ending::read(&frame)?);
        }
        // An event of a later version says nothing that could be shown.
        let Ok(event) = frame.event() else { return Ok(()) };
        match event.body {
            EventBody::ChatDelta(delta) => self.ready.extend(self.form.delta(&delta)?),
            // What was shown cannot be taken back. Before the first piece, a new attempt is nobody's business.
            EventBody::Restarted { .. } if self.form.has_begun() => return Err(restarted()),
            EventBody::Gap { .. } if self.form.has_begun() => return Err(lost()),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, completion: Completion) -> Result<(), Error> {
        let output = chat_output(completion.output)?;
        self.ready.extend(self.form.finish(&output, &completion.usage)?);
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

/// What of the answer `whole` was not shown.
///
/// # Errors
/// Where something else was shown.
pub(crate) fn rest_of(choice: u32, shown: &ChatOutput, whole: &ChatOutput) -> Result<ChatDelta, Error> {
    let rest = |shown: &str, whole: &str| whole.strip_prefix(shown).map(str::to_owned).ok_or_else(differs);
    let mut tool_calls = Vec::new();
    for (index, call) in (0_u32..).zip(&whole.tool_calls) {
        match shown.tool_calls.get(index as usize) {
            Some(have) if have.arguments == call.arguments => {}
            Some(have) => {
                let arguments = rest(&have.arguments, &call.arguments)?;
                tool_calls.push(ToolCallDelta { index, id: None, name: None, arguments });
            }
            None => tool_calls.push(whole_call(index, call)),
        }
    }
    Ok(ChatDelta {
        choice,
        delta: rest(&shown.text, &whole.text)?,
        reasoning: rest(&shown.reasoning, &whole.reasoning)?,
        refusal: rest(&shown.refusal, &whole.refusal)?,
        tool_calls,
        ..ChatDelta::default()
    })
}

fn whole_call(index: u32, call: &ToolCall) -> ToolCallDelta {
    let (id, name) = (Some(call.id.clone()), Some(call.name.clone()));
    ToolCallDelta { index, id, name, arguments: call.arguments.clone() }
}

fn differs() -> Error {
    let why = "the answer was started again and differs from what was streamed; its outcome is at /v1/requests/{id}";
    Error::new(ErrorCode::ProviderError, why)
}

fn restarted() -> Error {
    let why = "a part of the answer was taken back and it started again; its outcome is at /v1/requests/{id}";
    Error::new(ErrorCode::ProviderUnavailable, why)
}

fn lost() -> Error {
    let why = "a part of the stream was lost; the whole answer is at /v1/requests/{id}";
    Error::new(ErrorCode::Internal, why)
}
