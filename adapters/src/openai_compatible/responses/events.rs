//! Reads the events of a stream, and whole replies.

use std::{collections::BTreeMap, sync::Arc};

use schemas::{ChatDelta, chat::FinishReason};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::wire::{Event, Item, Piece, Response};
use crate::{
    Error, Finished,
    chat::{Answer, Ask, Decoder, Origin, of_call},
    endpoint::Endpoint,
    failure,
};

/// The most tool calls in one answer.
const TOOL_CALLS_MAX: u32 = 128;

/// Reads an answer: its items piece by piece, its end.
#[derive(Debug)]
pub(in super::super) struct Events {
    endpoint: Arc<Endpoint>,
    answer: Answer,
    /// Maps the number of an item to the number of its tool call.
    calls: BTreeMap<u32, u32>,
    origin: Origin,
    /// The reasoning since the last call, in the form in which the API takes it back with the next one.
    thoughts: Vec<Value>,
    over: bool,
}

impl Events {
    pub(in super::super) fn new(endpoint: &Arc<Endpoint>, origin: Origin) -> Self {
        let (endpoint, answer) = (Arc::clone(endpoint), Answer::default());
        Self { endpoint, answer, calls: BTreeMap::new(), origin, thoughts: Vec::new(), over: false }
    }

    /// Reads one JSON text; one that reports an error becomes that error.
    fn read<T: DeserializeOwned>(&self, text: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(text).map_err(|error| match serde_json::from_slice::<Value>(text) {
            Ok(value) if value.get("error").is_some_and(|error| !error.is_null()) => {
                failure::in_reply(&self.endpoint, text)
            }
            _ => self.endpoint.nonsense(&format!("sent what is no response: {error}")),
        })
    }

    /// The error in `said`, which other APIs have in `error`.
    fn failed(&self, said: Value) -> Error {
        failure::in_reply(&self.endpoint, json!({ "error": said }).to_string().as_bytes())
    }

    /// What an item adds at its start; the rest comes in pieces.
    fn open(&mut self, index: u32, item: Item) -> Result<ChatDelta, Error> {
        let Item::FunctionCall { call_id, name, arguments } = item else { return Ok(ChatDelta::default()) };
        let call = self.calls.len() as u32;
        if call >= TOOL_CALLS_MAX || self.calls.insert(index, call).is_some() {
            let why = format!("calls more than {TOOL_CALLS_MAX} tools, or two in item {index}");
            return Err(self.endpoint.nonsense(&format!("sent a broken answer: it {why}")));
        }
        let call_id = self.origin.join(&call_id, &std::mem::take(&mut self.thoughts));
        Ok(of_call(call, Some((call_id, name)), arguments))
    }

    /// What an item adds at its end: the arguments of a call, if they did not come in pieces.
    fn close(&mut self, index: u32, item: Item) -> ChatDelta {
        let (call, arguments) = match (self.calls.get(&index), item) {
            (Some(call), Item::FunctionCall { arguments, .. }) => (call, arguments),
            (_, item) => {
                self.keep(&item);
                return ChatDelta::default();
            }
        };
        let known = self.answer.output().tool_calls.get(*call as usize);
        match known.is_some_and(|known| known.arguments.is_empty()) {
            true if arguments.is_empty() => of_call(*call, None, "{}".to_owned()),
            true => of_call(*call, None, arguments),
            false => ChatDelta::default(),
        }
    }

    /// Keeps reasoning that the API sealed.
    fn keep(&mut self, item: &Item) {
        if let Item::Reasoning { id, summary, encrypted_content: Some(sealed) } = item {
            let summary: Vec<_> =
                summary.iter().map(|it| json!({"type": "summary_text", "text": it.text})).collect();
            let item =
                json!({"type": "reasoning", "id": id, "summary": summary, "encrypted_content": sealed});
            self.thoughts.push(item);
        }
    }

    fn end(&mut self, response: Response) -> Result<ChatDelta, Error> {
        let status = response.status.as_deref().unwrap_or("completed");
        if let Some(error) = response.error.filter(|error| !error.is_null()) {
            return Err(self.failed(error));
        }
        let finish_reason = match (status, response.incomplete_details.and_then(|details| details.reason)) {
            ("completed", _) if !self.calls.is_empty() => FinishReason::ToolCalls,
            ("completed", _) => FinishReason::Stop,
            ("incomplete", Some(reason)) if reason == "content_filter" => FinishReason::ContentFilter,
            ("incomplete", _) => FinishReason::Length,
            (other, _) => {
                return Err(self.endpoint.nonsense(&format!("ended its answer with the status `{other}`")));
            }
        };
        self.answer.by(response.model.unwrap_or_default());
        if let Some(usage) = response.usage.and_then(|usage| usage.read()) {
            self.answer.used(usage);
        }
        self.over = true;
        Ok(ChatDelta { finish_reason: Some(finish_reason), ..ChatDelta::default() })
    }
}

impl Decoder for Events {
    fn frame(&mut self, data: &str) -> Result<Vec<ChatDelta>, Error> {
        let delta = match self.read(data.as_bytes())? {
            Event::Created { response } => {
                self.answer.by(response.model.unwrap_or_default());
                ChatDelta::default()
            }
            Event::ItemAdded { output_index, item } => self.open(output_index, item)?,
            Event::ItemDone { output_index, item } => self.close(output_index, item),
            Event::Text { delta } => ChatDelta::text(delta),
            Event::Refusal { delta } => ChatDelta { refusal: delta, ..ChatDelta::default() },
            Event::Reasoning { delta } => ChatDelta { reasoning: delta, ..ChatDelta::default() },
            Event::Arguments { output_index, delta } => match self.calls.get(&output_index) {
                Some(call) => of_call(*call, None, delta),
                None => ChatDelta::default(),
            },
            Event::End { response } => self.end(response)?,
            // Documented with its members beside the type, but also seen with them inside `error`.
            Event::Error { error: Some(error) } => return Err(self.failed(error)),
            Event::Error { error: None } => return Err(self.failed(self.read(data.as_bytes())?)),
            Event::Other => ChatDelta::default(),
        };
        Ok(self.answer.take(delta).into_iter().collect())
    }

    fn whole(&mut self, body: &[u8]) -> Result<Vec<ChatDelta>, Error> {
        let mut response: Response = self.read(body)?;
        let mut deltas = Vec::new();
        for (index, item) in (0..).zip(std::mem::take(&mut response.output)) {
            for delta in self.item(index, item)? {
                deltas.extend(self.answer.take(delta));
            }
        }
        let end = self.end(response)?;
        deltas.extend(self.answer.take(end));
        Ok(deltas)
    }

    fn is_whole(&self) -> bool {
        self.over && self.answer.is_whole()
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn finish(&mut self, ask: &Ask) -> Finished {
        std::mem::take(&mut self.answer).finish(ask)
    }
}

impl Events {
    /// What an item in one piece adds.
    fn item(&mut self, index: u32, item: Item) -> Result<Vec<ChatDelta>, Error> {
        self.keep(&item);
        Ok(match item {
            Item::Message { content } => content.into_iter().map(piece).collect(),
            Item::Reasoning { summary, .. } => {
                let thought =
                    |it: super::wire::Thought| ChatDelta { reasoning: it.text, ..ChatDelta::default() };
                summary.into_iter().map(thought).collect()
            }
            Item::FunctionCall { call_id, name, arguments } => {
                let arguments = if arguments.is_empty() { "{}".to_owned() } else { arguments };
                vec![self.open(index, Item::FunctionCall { call_id, name, arguments })?]
            }
            Item::Other => Vec::new(),
        })
    }
}

fn piece(piece: Piece) -> ChatDelta {
    match piece {
        Piece::OutputText { text } => ChatDelta::text(text),
        Piece::Refusal { refusal } => ChatDelta { refusal, ..ChatDelta::default() },
        Piece::Other => ChatDelta::default(),
    }
}

#[cfg(test)]
mod tests;
