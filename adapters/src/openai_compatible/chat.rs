//! `POST chat/completions`: makes the body, and reads chunks and whole replies.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use schemas::ChatDelta;
use serde_json::{Map, Value, json};

use super::{outgoing, pieces, wire::ChatReply};
use crate::{
    Error, Finished,
    chat::{Answer, Ask, Decoder},
    endpoint::Endpoint,
    failure,
};

/// The longest tool call id that the API takes.
const TOOL_ID_CHARS_MAX: usize = 40;

/// The body, with the `fields` that it lacks. A stream always asks for usage, even if the client does not.
pub(super) fn body(ask: &Ask, payload: Value, fields: &BTreeMap<String, Value>) -> Map<String, Value> {
    let mut body = outgoing(payload, &ask.model);
    for (field, value) in fields {
        body.entry(field).or_insert_with(|| value.clone());
    }
    if ask.streamed {
        let options = body.entry("stream_options").or_insert(Value::Null);
        match options {
            Value::Object(options) => drop(options.insert("include_usage".into(), true.into())),
            other => *other = json!({"include_usage": true}),
        }
    }
    shorten_ids(&mut body);
    body
}

/// `id`, or a short one in its place if the API would not take it.
pub(super) fn short(id: &str) -> String {
    let mut id = id.to_owned();
    shorten(&mut id);
    id
}

/// Gives tool calls from elsewhere, such as Gemini's with their signatures, ids that the API takes.
fn shorten_ids(body: &mut Map<String, Value>) {
    let messages = body.get_mut("messages").and_then(Value::as_array_mut).into_iter().flatten();
    for message in messages {
        if let Some(Value::String(id)) = message.get_mut("tool_call_id") {
            shorten(id);
        }
        let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten();
        for call in calls {
            if let Some(Value::String(id)) = call.get_mut("id") {
                shorten(id);
            }
        }
    }
}

/// The same long id becomes the same short one.
fn shorten(id: &mut String) {
    if id.chars().count() > TOOL_ID_CHARS_MAX {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        *id = format!("call_{:016x}", hasher.finish());
    }
}

/// Reads chunks and whole replies: they have nearly the same shape.
#[derive(Debug)]
pub(super) struct Chunks {
    endpoint: Arc<Endpoint>,
    answer: Answer,
}

impl Chunks {
    pub(super) fn new(endpoint: &Arc<Endpoint>) -> Self {
        Self { endpoint: Arc::clone(endpoint), answer: Answer::default() }
    }

    fn absorb(&mut self, reply: &[u8]) -> Result<Vec<ChatDelta>, Error> {
        let chunk: ChatReply = serde_json::from_slice(reply)
            .map_err(|error| self.endpoint.nonsense(&format!("sent what is not a chat answer: {error}")))?;
        if chunk.is_error() {
            return Err(failure::in_reply(&self.endpoint, reply));
        }
        pieces::absorb(&mut self.answer, chunk)
            .map_err(|why| self.endpoint.nonsense(&format!("sent a broken answer: {why}")))
    }
}

impl Decoder for Chunks {
    fn frame(&mut self, data: &str) -> Result<Vec<ChatDelta>, Error> {
        self.absorb(data.as_bytes())
    }

    fn whole(&mut self, body: &[u8]) -> Result<Vec<ChatDelta>, Error> {
        self.absorb(body)
    }

    fn is_whole(&self) -> bool {
        self.answer.is_whole()
    }

    fn finish(&mut self, ask: &Ask) -> Finished {
        std::mem::take(&mut self.answer).finish(ask)
    }
}

#[cfg(test)]
mod tests;
