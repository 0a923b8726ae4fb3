//! Turns pieces of a chat answer into message events in the order that the SDKs rely on: the message start; the start,
//! pieces and stop of each block; the message end. Pure: no clock, no socket.

use bytes::Bytes;
use schemas::{ChatDelta, ChatOutput, Error, ErrorCode, Usage, chat::ToolCallDelta};
use serde_json::Map;

use super::{
    refusal,
    wire::{self, Block, Ending, Event, Message, Piece},
};
use crate::{answer::rest_of, chat_stream::Form, sse};

const PING: &[u8] = b"event: ping\ndata: {\"type\":\"ping\"}\n\n";

/// The events of one answer.
#[derive(Debug)]
pub(super) struct Events {
    /// The id of the request.
    request: String,
    /// The first event, until it is sent.
    start: Option<Bytes>,
    shows_thinking: bool,
    shown: ChatOutput,
    /// The kind of the last block, while it is open.
    open: Option<Kind>,
    /// How many blocks have begun.
    blocks: u32,
    /// The indexes of the calls that have begun.
    calls: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Thinking,
    Text,
    Call(u32),
}

impl Events {
    pub(super) fn new(request: &str, id: &str, model: &str, shows_thinking: bool) -> Result<Self, Error> {
        let start = Event::MessageStart { message: Message::beginning(id, model) }.encode()?;
        Ok(Self {
            request: request.to_owned(),
            start: Some(start),
            shows_thinking,
            shown: ChatOutput::default(),
            open: None,
            blocks: 0,
            calls: Vec::new(),
        })
    }

    /// The number of the open block of this `kind`; if there is none, begins one with `block`.
    fn open(&mut self, kind: Kind, block: Block<'_>, events: &mut Vec<Bytes>) -> Result<u32, Error> {
        if self.open != Some(kind) {
            events.extend(self.start.take());
            self.close(events)?;
            events.push(Event::ContentBlockStart { index: self.blocks, content_block: block }.encode()?);
            self.blocks += 1;
            self.open = Some(kind);
        }
        Ok(self.blocks - 1)
    }

    fn close(&mut self, events: &mut Vec<Bytes>) -> Result<(), Error> {
        if self.open.take().is_some() {
            events.push(Event::ContentBlockStop { index: self.blocks - 1 }.encode()?);
        }
        Ok(())
    }

    fn call(&mut self, piece: &ToolCallDelta, events: &mut Vec<Bytes>) -> Result<(), Error> {
        let kind = Kind::Call(piece.index);
        let index = if self.open == Some(kind) {
            self.blocks - 1
        } else if self.calls.contains(&piece.index) {
            return Err(interleaved());
        } else {
            let (Some(id), Some(name)) = (&piece.id, &piece.name) else { return Err(nameless()) };
            self.calls.push(piece.index);
            self.open(kind, Block::ToolUse { id, name, input: Map::new() }, events)?
        };
        if !piece.arguments.is_empty() {
            let delta = Piece::InputJson { partial_json: &piece.arguments };
            events.push(Event::ContentBlockDelta { index, delta }.encode()?);
        }
        Ok(())
    }
}

impl Form for Events {
    const PLACE: &'static str = "its outcome is at /v1/requests/{id}";

    fn has_begun(&self) -> bool {
        self.blocks > 0
    }

    fn delta(&mut self, delta: &ChatDelta) -> Result<Vec<Bytes>, Error> {
        let mut events = Vec::new();
        // A message holds one answer, and the request asks for only one.
        if delta.choice != 0 {
            return Ok(events);
        }
        if self.shows_thinking && !delta.reasoning.is_empty() {
            let index =
                self.open(Kind::Thinking, Block::Thinking { thinking: "", signature: "" }, &mut events)?;
            let delta = Piece::Thinking { thinking: &delta.reasoning };
            events.push(Event::ContentBlockDelta { index, delta }.encode()?);
        }
        if !delta.delta.is_empty() {
            let index = self.open(Kind::Text, Block::Text { text: "", citations: None }, &mut events)?;
            let delta = Piece::Text { text: &delta.delta };
            events.push(Event::ContentBlockDelta { index, delta }.encode()?);
        }
        for piece in &delta.tool_calls {
            self.call(piece, &mut events)?;
        }
        self.shown.absorb(delta);
        Ok(events)
    }

    fn finish(&mut self, output: &ChatOutput, usage: &Usage) -> Result<Vec<Bytes>, Error> {
        let mut events = self.delta(&rest_of(0, &self.shown, output, Self::PLACE)?)?;
        for call in &output.tool_calls {
            wire::input(output, call)?;
        }
        events.extend(self.start.take());
        self.close(&mut events)?;
        events.push(Event::MessageDelta { delta: Ending::of(output), usage: usage.into() }.encode()?);
        events.push(Event::MessageStop.encode()?);
        Ok(events)
    }

    /// The start goes before the first ping: it holds nothing of the answer.
    fn alive(&mut self) -> Bytes {
        match self.start.take() {
            Some(start) => [start.as_ref(), PING].concat().into(),
            None => Bytes::from_static(PING),
        }
    }

    fn failure(&mut self, error: Error) -> Bytes {
        sse::named(None, "error", &refusal::text(&refusal::of_body(error), Some(&self.request)))
    }
}

fn interleaved() -> Error {
    let why = "the provider mixes the pieces of several calls, which this API has no events for; ask without `stream`";
    Error::new(ErrorCode::ProviderError, why)
}

fn nameless() -> Error {
    Error::new(ErrorCode::ProviderError, "the provider calls a tool without its id and name")
}

#[cfg(test)]
mod tests;
