//! The client to which an answer goes: who opened the socket, and the format of the frame that is answered.

use schemas::{Error, ErrorCode, Event, EventBody, Format, Output, RequestId, Usage, event::Completion};
use serde::Serialize;

use super::outgoing::{Gone, Outgoing};
use crate::{app::App, caller::CallerRef, frame::Frame, refusal};

/// The name of this door.
pub(crate) const DOOR: &str = "ws";

/// The client of a socket, in the format of one of its frames.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) app: App,
    pub(crate) caller: CallerRef,
    pub(crate) out: Outgoing,
    pub(crate) format: Format,
}

impl Client {
    /// Refuses one frame; the socket stays open.
    pub(crate) async fn refuse(&self, id: Option<&str>, error: &Error) -> Result<(), Gone> {
        let (tenant, code) = (&self.caller.tenant, error.code.as_str());
        self.app.meters.refused(DOOR, code);
        tracing::info!(id, %tenant, door = DOOR, code, "request refused");
        self.out.send(refusal::frame(id, error, self.format), self.format).await
    }

    /// Passes on an event that came from the feed.
    pub(crate) async fn pass(&self, frame: &Frame) -> Result<(), Gone> {
        self.out.frame(frame, self.format).await
    }

    /// Sends an event of this server.
    pub(crate) async fn event(&self, event: &Event) -> Result<(), Gone> {
        match Frame::of(event, self.format) {
            Ok(frame) => self.pass(&frame).await,
            Err(error) => self.refuse(Some(event.id.as_str()), &error).await,
        }
    }

    /// Sends anything else.
    pub(crate) async fn say(&self, what: &impl Serialize) -> Result<(), Gone> {
        match self.format.encode(what) {
            Ok(body) => self.out.send(body, self.format).await,
            Err(error) => self.refuse(None, &error).await,
        }
    }

    /// Sends the answer to a question.
    pub(crate) async fn answer<T: Serialize>(&self, id: RequestId, answer: &T) -> Result<(), Gone> {
        let output = match serde_json::to_value(answer) {
            Ok(output) => Output::Other(output),
            Err(error) => {
                let error = Error::new(ErrorCode::Internal, format!("could not encode: {error}"));
                return self.refuse(Some(id.as_str()), &error).await;
            }
        };
        let usage = Usage::default();
        let done = Completion { output, usage, cost_usd: None, provider: None, model: None };
        self.event(&Event { id, attempt: 0, seq: 0, body: EventBody::Complete(done) }).await
    }
}
