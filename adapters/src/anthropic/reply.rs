//! Reads the events of a stream, and whole replies.

use std::{collections::BTreeMap, sync::Arc};

use schemas::{ChatDelta, chat::FinishReason};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    usage::UsageReply,
    wire::{Block, Ending, Event, Message, Piece, Reply},
};
use crate::{
    Error, Finished,
    chat::{Answer, Ask, Decoder, Origin, of_call},
    endpoint::Endpoint,
    failure,
};

/// The most tool calls in one answer.
const TOOL_CALLS_MAX: u32 = 128;

/// Reads an answer: its beginning, its blocks piece by piece, its end.
#[derive(Debug)]
pub(super) struct Events {
    endpoint: Arc<Endpoint>,
    answer: Answer,
    usage: UsageReply,
    /// Maps the number of a block to the number of its tool call.
    calls: BTreeMap<u32, u32>,
    origin: Origin,
    /// The thoughts since the last call, in the form in which the API wants them back with the next one.
    thoughts: Vec<Thought>,
    over: bool,
}

/// A block of thinking.
#[derive(Debug)]
enum Thought {
    /// The visible thinking, and the signature that vouches for it.
    Shown { thinking: String, signature: String },
    /// Thinking that only the API can read.
    Redacted(String),
}

impl Thought {
    /// The block; none if nothing vouches for it.
    fn block(self) -> Option<Value> {
        match self {
            Self::Shown { signature, .. } if signature.is_empty() => None,
            Self::Shown { thinking, signature } => {
                Some(json!({"type": "thinking", "thinking": thinking, "signature": signature}))
            }
            Self::Redacted(data) => Some(json!({"type": "redacted_thinking", "data": data})),
        }
    }
}

impl Events {
    pub(super) fn new(endpoint: &Arc<Endpoint>, origin: Origin) -> Self {
        Self {
            endpoint: Arc::clone(endpoint),
            answer: Answer::default(),
            usage: UsageReply::default(),
            calls: BTreeMap::new(),
            origin,
            thoughts: Vec::new(),
            over: false,
        }
    }

    /// Reads one JSON text; one that reports an error becomes that error.
    fn read<T: DeserializeOwned>(&self, text: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(text).map_err(|error| match serde_json::from_slice::<Value>(text) {
            Ok(value) if value.get("error").is_some_and(|error| !error.is_null()) => self.failed(text),
            _ => self.endpoint.nonsense(&format!("sent what is not a message: {error}")),
        })
    }

    fn failed(&self, text: &[u8]) -> Error {
        failure::in_reply(&self.endpoint, text)
    }

    fn begin(&mut self, message: &mut Message) {
        self.answer.by(message.model.take().unwrap_or_default());
        self.usage.update(message.usage.unwrap_or_default());
    }

    /// What a block adds at its start.
    fn open(&mut self, index: u32, block: Block) -> Result<ChatDelta, Error> {
        Ok(match block {
            Block::Text { text } => ChatDelta::text(text),
            Block::Thinking { thinking, signature } => {
                self.thoughts.push(Thought::Shown { thinking: thinking.clone(), signature });
                ChatDelta { reasoning: thinking, ..ChatDelta::default() }
            }
            Block::RedactedThinking { data } => {
                self.thoughts.push(Thought::Redacted(data));
                ChatDelta::default()
            }
            Block::Other => ChatDelta::default(),
            Block::ToolUse { id, name, input } => {
                let call = self.calls.len() as u32;
                if call >= TOOL_CALLS_MAX || self.calls.insert(index, call).is_some() {
                    let why = format!("calls more than {TOOL_CALLS_MAX} tools, or two in block {index}");
                    return Err(self.endpoint.nonsense(&format!("sent a broken answer: it {why}")));
                }
                // In a stream the input comes in pieces, after an empty object that says nothing.
                let input = input.filter(|input| input.as_object().is_none_or(|input| !input.is_empty()));
                let arguments = input.filter(|input| !input.is_null()).map(|input| input.to_string());
                let thoughts: Vec<_> = self.thoughts.drain(..).filter_map(Thought::block).collect();
                let id = self.origin.join(&id, &thoughts);
                of_call(call, Some((id, name)), arguments.unwrap_or_default())
            }
        })
    }

    /// What a piece adds to its block.
    fn add(&mut self, index: u32, piece: Piece) -> ChatDelta {
        match (piece, self.calls.get(&index)) {
            (Piece::TextDelta { text }, _) => ChatDelta::text(text),
            (Piece::ThinkingDelta { thinking: piece }, _) => {
                if let Some(Thought::Shown { thinking, .. }) = self.thoughts.last_mut() {
                    thinking.push_str(&piece);
                }
                ChatDelta { reasoning: piece, ..ChatDelta::default() }
            }
            (Piece::SignatureDelta { signature: piece }, _) => {
                if let Some(Thought::Shown { signature, .. }) = self.thoughts.last_mut() {
                    signature.push_str(&piece);
                }
                ChatDelta::default()
            }
            (Piece::InputJsonDelta { partial_json }, Some(call)) if !partial_json.is_empty() => {
                of_call(*call, None, partial_json)
            }
            _ => ChatDelta::default(),
        }
    }

    /// What a block adds at its end: a call without arguments gets an empty object.
    fn close(&self, index: u32) -> ChatDelta {
        let Some(call) = self.calls.get(&index) else { return ChatDelta::default() };
        let known = self.answer.output().tool_calls.get(*call as usize);
        if known.is_some_and(|known| known.arguments.is_empty()) {
            of_call(*call, None, "{}".to_owned())
        } else {
            ChatDelta::default()
        }
    }

    fn end(&mut self, ending: Ending, usage: Option<UsageReply>) -> ChatDelta {
        if let Some(usage) = usage {
            self.usage.update(usage);
            if self.usage.is_told() {
                self.answer.used(self.usage.into());
            }
        }
        let explanation = ending.stop_details.and_then(|details| details.explanation);
        ChatDelta {
            refusal: explanation.unwrap_or_default(),
            finish_reason: ending.stop_reason.as_deref().map(finish_reason),
            stop_sequence: ending.stop_sequence,
            ..ChatDelta::default()
        }
    }
}

impl Decoder for Events {
    fn frame(&mut self, data: &str) -> Result<Vec<ChatDelta>, Error> {
        let delta = match self.read(data.as_bytes())? {
            Event::MessageStart { mut message } => {
                self.begin(&mut message);
                ChatDelta::default()
            }
            Event::ContentBlockStart { index, content_block } => self.open(index, content_block)?,
            Event::ContentBlockDelta { index, delta } => self.add(index, delta),
            Event::ContentBlockStop { index } => self.close(index),
            Event::MessageDelta { delta, usage } => self.end(delta, usage),
            Event::MessageStop => {
                self.over = true;
                ChatDelta::default()
            }
            Event::Error => return Err(self.failed(data.as_bytes())),
            Event::Other => ChatDelta::default(),
        };
        Ok(self.answer.take(delta).into_iter().collect())
    }

    fn whole(&mut self, body: &[u8]) -> Result<Vec<ChatDelta>, Error> {
        let mut message = match self.read(body)? {
            Reply::Message(message) => message,
            Reply::Error => return Err(self.failed(body)),
        };
        self.begin(&mut message);
        let mut deltas = Vec::new();
        for (index, block) in (0..).zip(message.content) {
            let delta = self.open(index, block)?;
            deltas.extend(self.answer.take(delta));
            deltas.extend(self.answer.take(self.close(index)));
        }
        let delta = self.end(message.ending, message.usage);
        deltas.extend(self.answer.take(delta));
        self.over = true;
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

/// An unknown word is a normal end.
fn finish_reason(word: &str) -> FinishReason {
    match word {
        // A paused turn is not complete; the client can ask the model to continue.
        "max_tokens" | "model_context_window_exceeded" | "pause_turn" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "refusal" => FinishReason::ContentFilter,
        _ => FinishReason::Stop,
    }
}

#[cfg(test)]
mod tests;
