//! A completion as the chunks of a stream, in the API's order: the role, the body token by token, the finish
//! reason and, if asked for, the usage. With several choices, all of them take each step before any takes the
//! next.
//!
//! What all chunks share is written once; a chunk is then copied together without an allocation of its own.
//! The playback decides when chunks go out, and whether all of them do.

use bytes::{BufMut, BytesMut};
use serde_json::json;

use super::completion::Usage;
use super::{FINGERPRINT, Reply};
use crate::provider::exchange::{Ask, Script};
use crate::provider::text;

/// The chunks that are still to come.
pub(super) struct Chunks {
    /// From `data:` to the opening bracket of `choices`.
    head: String,
    /// After the closing bracket of `choices`, in every chunk but the usage chunk.
    tail: &'static str,
    reply: Reply,
    /// The deltas of a tool call, as JSON; empty for words, which need no preparation.
    tool_deltas: Vec<String>,
    choices: u32,
    usage: Option<String>,
    next: u32,
}

impl Chunks {
    pub(super) fn new(ask: &Ask, reply: Reply, choices: u32, usage: Option<Usage>) -> Self {
        let id = format!("chatcmpl-{}", ask.id);
        let head = format!(
            r#"data: {{"id":"{id}","object":"chat.completion.chunk","created":{},"model":{},"service_tier":"default","system_fingerprint":"{FINGERPRINT}","choices":["#,
            ask.created,
            json!(ask.model),
        );
        Self {
            head,
            tail: if usage.is_some() { "],\"usage\":null}\n\n" } else { "]}\n\n" },
            tool_deltas: tool_deltas(&reply),
            reply,
            choices,
            usage: usage.map(|usage| format!("],\"usage\":{}}}\n\n", json!(usage))),
            next: 0,
        }
    }

    fn put_delta(&self, out: &mut BytesMut, step: u32) {
        let body = step.checked_sub(1).filter(|index| *index < self.body_steps());
        match (&self.reply, body) {
            (Reply::Text { opening, .. }, Some(index)) => {
                out.put_slice(b"{\"content\":\"");
                if index == 0 {
                    // A marker needs no escape in JSON.
                    out.put_slice(opening.as_bytes());
                }
                out.put_slice(text::token(index).as_bytes());
                out.put_slice(b"\"}");
            }
            (Reply::Tool(_), Some(index)) => {
                out.put_slice(self.tool_deltas.get(index as usize).map_or("{}", String::as_str).as_bytes());
            }
            (Reply::Text { .. }, None) if step == 0 => {
                out.put_slice(b"{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}");
            }
            (Reply::Tool(_), None) if step == 0 => {
                out.put_slice(b"{\"role\":\"assistant\",\"content\":null,\"refusal\":null}");
            }
            _ => out.put_slice(b"{}"),
        }
    }

    /// Steps between the role and the end.
    fn body_steps(&self) -> u32 {
        match &self.reply {
            Reply::Text { tokens, .. } => *tokens,
            Reply::Tool(_) => u32::try_from(self.tool_deltas.len()).unwrap_or(u32::MAX),
        }
    }
}

impl Script for Chunks {
    fn chunks(&self) -> u32 {
        (self.body_steps() + 2) * self.choices + u32::from(self.usage.is_some())
    }

    fn is_done(&self) -> bool {
        self.next >= self.chunks()
    }

    fn next_is_paced(&self) -> bool {
        let (step, choice) = (self.next / self.choices, self.next % self.choices);
        choice == 0 && (2..=self.body_steps()).contains(&step)
    }

    fn write_next(&mut self, out: &mut BytesMut) {
        let (step, choice) = (self.next / self.choices, self.next % self.choices);
        self.next += 1;
        out.put_slice(self.head.as_bytes());
        if step >= self.body_steps() + 2 {
            out.put_slice(self.usage.as_deref().unwrap_or(self.tail).as_bytes());
            return;
        }
        out.put_slice(b"{\"index\":");
        put_number(out, choice);
        out.put_slice(b",\"delta\":");
        self.put_delta(out, step);
        out.put_slice(b",\"logprobs\":");
        match step
            .checked_sub(1)
            .filter(|index| *index < self.body_steps())
            .and_then(|at| self.reply.logprob(at))
        {
            None => out.put_slice(b"null"),
            Some(token) => out.put_slice(json!({"content": [token], "refusal": null}).to_string().as_bytes()),
        }
        out.put_slice(b",\"finish_reason\":");
        if step == self.body_steps() + 1 {
            out.put_u8(b'"');
            out.put_slice(self.reply.finish().as_bytes());
            out.put_slice(b"\"}");
        } else {
            out.put_slice(b"null}");
        }
        out.put_slice(self.tail.as_bytes());
    }
}

/// The id and the name once, then the arguments piece by piece.
fn tool_deltas(reply: &Reply) -> Vec<String> {
    let Reply::Tool(call) = reply else { return Vec::new() };
    let function = json!({"name": call.name, "arguments": ""});
    let first = json!({"index": 0, "id": call.id, "type": "function", "function": function});
    let pieces = call.pieces.iter().map(|piece| json!({"index": 0, "function": {"arguments": piece}}));
    std::iter::once(first).chain(pieces).map(|call| json!({"tool_calls": [call]}).to_string()).collect()
}

/// Writes a choice's index, which is below 128 and mostly 0.
fn put_number(out: &mut BytesMut, number: u32) {
    if number >= 10 {
        put_number(out, number / 10);
    }
    out.put_u8(b'0' + (number % 10) as u8);
}
