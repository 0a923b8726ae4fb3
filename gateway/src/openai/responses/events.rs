//! Converts pieces of a chat answer to the typed events of the Responses API. Pure: no clock, no socket.
//!
//! The same pieces always give the same events under the same numbers, so a client that comes back with the last number
//! it saw gets what follows. Nothing here may depend on when pieces come, or on whether they were joined.

use bytes::Bytes;
use schemas::{ChatDelta, ChatOutput, Error, ErrorCode, Format, RequestId, Usage, chat::ToolCallDelta};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    create::{self, Echo},
    items::{self, Body, COMPLETED, IN_PROGRESS, Item, Part},
    object::Object,
};
use crate::{answer::rest_of, chat_stream::Form, sse};

/// The events of one response. Tracks what was shown, so that the end adds exactly what is missing.
#[derive(Debug)]
pub(super) struct Events {
    id: RequestId,
    created_at: i64,
    echo: Echo,
    /// The number of the next event.
    next: u64,
    /// The client has all events up to this number.
    after: Option<u64>,
    begun: bool,
    items: Vec<Item>,
    /// The reasoning or message that still grows.
    open: Option<usize>,
    /// The items of the tool calls, by the index that pieces carry. They grow until the end.
    calls: Vec<usize>,
    shown: ChatOutput,
    ready: Vec<Bytes>,
}

/// A piece of an item: the body of most events.
#[derive(Serialize)]
struct Piece<'a> {
    item_id: &'a str,
    output_index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary_index: Option<usize>,
    delta: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<[(); 0]>,
}

/// The fields that every event has.
#[derive(Serialize)]
struct Event<'a, T> {
    r#type: &'a str,
    sequence_number: u64,
    #[serde(flatten)]
    body: T,
}

impl Events {
    pub(super) fn new(id: RequestId, created_at: i64, echo: Echo) -> Self {
        Self {
            id,
            created_at,
            echo,
            next: 0,
            after: None,
            begun: false,
            items: Vec::new(),
            open: None,
            calls: Vec::new(),
            shown: ChatOutput::default(),
            ready: Vec::new(),
        }
    }

    /// The same for a client that already has the events up to this number.
    pub(super) fn after(self, number: Option<u64>) -> Self {
        Self { after: number, ..self }
    }

    /// Takes the events that are ready to be sent.
    fn take(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.ready)
    }

    /// Takes the ready events as one text, and only logs an error: strings and numbers always encode.
    fn told(&mut self, written: Result<(), Error>) -> Bytes {
        if let Err(error) = written {
            tracing::debug!(%error, "cannot write an event");
        }
        self.take().concat().into()
    }

    /// Emits the beginning, unless it was emitted before.
    fn begin(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        let first = if self.echo.background { "queued" } else { IN_PROGRESS };
        for (name, status) in [("response.created", first), ("response.in_progress", IN_PROGRESS)] {
            let response = self.encoded(&self.object(status))?;
            self.emit(name, json!({ "response": response }))?;
        }
        Ok(())
    }

    /// Emits one piece.
    fn grow_by(&mut self, delta: &ChatDelta) -> Result<(), Error> {
        // The request asked for only one answer.
        if delta.choice > 0 {
            return Ok(());
        }
        if !delta.reasoning.is_empty() {
            self.think(&delta.reasoning)?;
        }
        if !delta.delta.is_empty() {
            self.say(Part::Text(delta.delta.clone()))?;
        }
        if !delta.refusal.is_empty() {
            self.say(Part::Refusal(delta.refusal.clone()))?;
        }
        for piece in &delta.tool_calls {
            self.call(piece)?;
        }
        self.shown.absorb(delta);
        Ok(())
    }

    /// Emits the end, with what was not shown yet.
    fn complete(&mut self, output: &ChatOutput, usage: &Usage) -> Result<(), Error> {
        self.begin()?;
        self.grow_by(&rest_of(0, &self.shown, output, Self::PLACE)?)?;
        if !self.items.iter().any(|item| !matches!(item.body, Body::Reasoning(_))) {
            self.say(Part::Text(String::new()))?;
        }
        let (status, _) = items::standing(output);
        self.close(status)?;
        for call in self.calls.clone() {
            self.end_call(call, status)?;
        }
        let object = self.object(status).answered(output, &self.items, usage);
        let (response, name) = (self.encoded(&object)?, format!("response.{status}"));
        self.emit(&name, json!({ "response": response }))
    }

    /// Emits the end of a request that failed or was cancelled.
    fn fail(&mut self, error: Error) -> Result<(), Error> {
        self.begin()?;
        let error = create::relative(error);
        let response = self.encoded(&self.object(IN_PROGRESS).failed(&error, &self.items))?;
        self.emit("response.failed", json!({ "response": response }))
    }

    /// Emits the end of a stream whose request goes on, or ended in a way that this stream cannot show.
    fn end_early(&mut self, error: &Error) -> Result<(), Error> {
        // The client may already have events under this number; it must get this one too.
        self.next = self.next.max(self.after.map_or(0, |after| after.saturating_add(1)));
        let (code, message, param) = (error.code, &error.message, &error.param);
        self.emit("error", json!({ "code": code, "message": message, "param": param }))
    }

    fn think(&mut self, text: &str) -> Result<(), Error> {
        let index = match self.open {
            Some(index) if matches!(self.items[index].body, Body::Reasoning(_)) => index,
            _ => {
                let index = self.open_item(Body::Reasoning(String::new()))?;
                let part = json!({ "type": "summary_text", "text": "" });
                self.part("response.reasoning_summary_part.added", index, "summary_index", 0, &part)?;
                index
            }
        };
        if let Body::Reasoning(all) = &mut self.items[index].body {
            all.push_str(text);
        }
        self.piece("response.reasoning_summary_text.delta", index, text, |piece| {
            piece.summary_index = Some(0)
        })
    }

    fn say(&mut self, piece: Part) -> Result<(), Error> {
        let index = match self.open {
            Some(index) if matches!(self.items[index].body, Body::Message(_)) => index,
            _ => self.open_item(Body::Message(Vec::new()))?,
        };
        let (place, is_new) = self.grow(index, &piece);
        if is_new {
            if place > 0 {
                self.close_part(index, place - 1)?;
            }
            let empty = match &piece {
                Part::Text(_) => Part::Text(String::new()),
                Part::Refusal(_) => Part::Refusal(String::new()),
            };
            self.part("response.content_part.added", index, "content_index", place, &empty.json())?;
        }
        match &piece {
            Part::Text(text) if text.is_empty() => Ok(()),
            Part::Text(text) => self.piece("response.output_text.delta", index, text, |piece| {
                piece.content_index = Some(place);
                piece.logprobs = Some([]);
            }),
            Part::Refusal(text) => {
                self.piece("response.refusal.delta", index, text, |piece| piece.content_index = Some(place))
            }
        }
    }

    /// Adds a piece to a message; returns the index of its part, and whether that part is new.
    fn grow(&mut self, index: usize, piece: &Part) -> (usize, bool) {
        let Body::Message(parts) = &mut self.items[index].body else { return (0, false) };
        let is_new = match (parts.last_mut(), piece) {
            (Some(Part::Text(all)), Part::Text(more)) | (Some(Part::Refusal(all)), Part::Refusal(more)) => {
                all.push_str(more);
                false
            }
            _ => {
                parts.push(piece.clone());
                true
            }
        };
        (parts.len().saturating_sub(1), is_new)
    }

    fn call(&mut self, piece: &ToolCallDelta) -> Result<(), Error> {
        let number = piece.index as usize;
        // Calls must come in order.
        if number > self.calls.len() {
            return Err(Error::new(
                ErrorCode::ProviderError,
                "a call of the answer came before the one before it",
            ));
        }
        if number == self.calls.len() {
            let (call_id, name) =
                (piece.id.clone().unwrap_or_default(), piece.name.clone().unwrap_or_default());
            let call = Body::Call { call_id, name, arguments: String::new() };
            let index = self.open_item(call)?;
            self.open = None;
            self.calls.push(index);
        }
        let index = self.calls[number];
        if let Body::Call { arguments, .. } = &mut self.items[index].body {
            arguments.push_str(&piece.arguments);
        }
        if piece.arguments.is_empty() {
            return Ok(());
        }
        self.piece("response.function_call_arguments.delta", index, &piece.arguments, |_| {})
    }

    /// Begins an item, and closes the reasoning or message before it.
    fn open_item(&mut self, body: Body) -> Result<usize, Error> {
        self.begin()?;
        self.close(COMPLETED)?;
        let index = self.items.len();
        let item = Item::new(self.id.as_str(), index, body);
        let added = json!({ "output_index": index, "item": item.json_empty() });
        self.items.push(item);
        self.open = Some(index);
        self.emit("response.output_item.added", added)?;
        Ok(index)
    }

    fn close(&mut self, status: &str) -> Result<(), Error> {
        let Some(index) = self.open.take() else { return Ok(()) };
        match &self.items[index].body {
            Body::Reasoning(text) => {
                let (done, part) = (json!(text), json!({ "type": "summary_text", "text": text }));
                self.done("response.reasoning_summary_text.done", index, ("summary_index", 0), "text", done)?;
                self.part("response.reasoning_summary_part.done", index, "summary_index", 0, &part)?;
            }
            Body::Message(parts) => {
                let last = parts.len().saturating_sub(1);
                self.close_part(index, last)?;
            }
            Body::Call { .. } => {}
        }
        self.end_item(index, status)
    }

    fn close_part(&mut self, index: usize, place: usize) -> Result<(), Error> {
        let Body::Message(parts) = &self.items[index].body else { return Ok(()) };
        let Some(part) = parts.get(place) else { return Ok(()) };
        let whole = part.json();
        let (name, field, text) = match part {
            Part::Text(text) => ("response.output_text.done", "text", json!(text)),
            Part::Refusal(text) => ("response.refusal.done", "refusal", json!(text)),
        };
        self.done(name, index, ("content_index", place), field, text)?;
        self.part("response.content_part.done", index, "content_index", place, &whole)
    }

    fn end_call(&mut self, index: usize, status: &str) -> Result<(), Error> {
        let Body::Call { arguments, name, .. } = &self.items[index].body else { return Ok(()) };
        let done = json!({
            "item_id": self.items[index].id, "output_index": index, "arguments": arguments, "name": name,
        });
        self.emit("response.function_call_arguments.done", done)?;
        self.end_item(index, status)
    }

    fn end_item(&mut self, index: usize, status: &str) -> Result<(), Error> {
        // Only the last item can have been cut off.
        let status = if index + 1 == self.items.len() { status } else { COMPLETED };
        let done = json!({ "output_index": index, "item": self.items[index].json(status) });
        self.emit("response.output_item.done", done)
    }

    fn part(
        &mut self,
        name: &str,
        index: usize,
        kind: &str,
        place: usize,
        part: &Value,
    ) -> Result<(), Error> {
        let mut event = json!({ "item_id": self.items[index].id, "output_index": index, "part": part });
        event[kind] = place.into();
        self.emit(name, event)
    }

    fn done(
        &mut self,
        name: &str,
        index: usize,
        (kind, place): (&str, usize),
        field: &str,
        whole: Value,
    ) -> Result<(), Error> {
        let mut event = json!({ "item_id": self.items[index].id, "output_index": index });
        event[kind] = place.into();
        event[field] = whole;
        if field == "text" && kind == "content_index" {
            event["logprobs"] = json!([]);
        }
        self.emit(name, event)
    }

    fn piece(
        &mut self,
        name: &str,
        index: usize,
        delta: &str,
        place: impl FnOnce(&mut Piece<'_>),
    ) -> Result<(), Error> {
        let item_id = self.items[index].id.clone();
        let mut piece = Piece {
            item_id: &item_id,
            output_index: index,
            content_index: None,
            summary_index: None,
            delta,
            logprobs: None,
        };
        place(&mut piece);
        self.emit(name, piece)
    }

    fn object(&self, status: &'static str) -> Object<'_> {
        Object::begun(&self.id, self.created_at, &self.echo, status)
    }

    fn encoded(&self, object: &Object<'_>) -> Result<Value, Error> {
        serde_json::to_value(object)
            .map_err(|error| Error::new(ErrorCode::Internal, format!("could not encode: {error}")))
    }

    fn emit(&mut self, name: &str, body: impl Serialize) -> Result<(), Error> {
        let number = self.next;
        self.next += 1;
        if self.after.is_some_and(|after| number <= after) {
            return Ok(());
        }
        let event = Event { r#type: name, sequence_number: number, body };
        self.ready.push(sse::named(None, name, &Format::Json.encode(&event)?));
        Ok(())
    }
}

impl Form for Events {
    const PLACE: &'static str = "retrieve the response without `stream`";

    fn has_begun(&self) -> bool {
        !self.items.is_empty() || self.after.is_some()
    }

    fn delta(&mut self, delta: &ChatDelta) -> Result<Vec<Bytes>, Error> {
        self.grow_by(delta)?;
        Ok(self.take())
    }

    fn finish(&mut self, output: &ChatOutput, usage: &Usage) -> Result<Vec<Bytes>, Error> {
        self.complete(output, usage)?;
        Ok(self.take())
    }

    fn alive(&mut self) -> Bytes {
        let begun = self.begin();
        match self.told(begun) {
            nothing if nothing.is_empty() => sse::PING,
            beginning => beginning,
        }
    }

    fn failure(&mut self, error: Error) -> Bytes {
        let failed = self.fail(error);
        self.told(failed)
    }

    fn break_off(&mut self, error: Error) -> Bytes {
        let broken = self.end_early(&error);
        self.told(broken)
    }
}

#[cfg(test)]
mod tests;
