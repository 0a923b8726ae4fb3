//! A message as the events of a stream, in the API's order: the start; the start, the pieces and the stop of each
//! block; and the delta with the stop reason. The dialect adds the event of the end itself.

use std::collections::VecDeque;

use bytes::{BufMut, BytesMut};
use serde_json::{Value, json};

use super::message::{Reply, SIGNATURE, Said, shell, usage, used};
use crate::provider::exchange::{Ask, Script};
use crate::provider::text;

/// The events that are still to come.
pub(super) struct Events {
    chunks: u32,
    rest: VecDeque<Item>,
    /// The number of the block being written.
    block: u32,
}

enum Item {
    Event {
        text: String,
        /// Whether it comes one gap after the event before it.
        paced: bool,
    },
    /// The words from one token up to another, which need no preparation.
    Words { block: u32, opening: String, from: u32, to: u32 },
}

impl Events {
    /// Without `prompt_tokens` it tells no usage.
    pub(super) fn new(ask: &Ask, reply: Reply, prompt_tokens: Option<u32>) -> Self {
        let mut events = Self { chunks: 0, rest: VecDeque::new(), block: 0 };
        let mut message = shell(ask);
        let mut end = json!({"type": "message_delta", "delta": {
            "stop_reason": reply.stop_reason, "stop_sequence": null, "stop_details": null,
        }});
        if let Some(prompt) = prompt_tokens {
            message["usage"] = usage(prompt, 1);
            end["usage"] = used(&reply, prompt);
        }
        events.push(&json!({"type": "message_start", "message": message}), false);
        if let Some(pieces) = reply.thinking {
            events.open(&json!({"type": "thinking", "thinking": "", "signature": ""}));
            events.pieces(pieces.iter().map(|piece| json!({"type": "thinking_delta", "thinking": piece})));
            events.piece(&json!({"type": "signature_delta", "signature": SIGNATURE}), false);
            events.close();
        }
        match reply.said {
            Said::Words { tokens: 0, .. } => {}
            Said::Words { opening, tokens } => {
                events.open(&json!({"type": "text", "text": "", "citations": null}));
                events.chunks += tokens;
                events.rest.push_back(Item::Words { block: events.block, opening, from: 0, to: tokens });
                events.close();
            }
            Said::Call(call) => {
                events.open(&json!({"type": "tool_use", "id": call.id, "name": call.name, "input": {}}));
                let pieces = std::iter::once("").chain(call.pieces.iter().map(String::as_str));
                events.pieces(pieces.map(|piece| json!({"type": "input_json_delta", "partial_json": piece})));
                events.close();
            }
        }
        events.push(&end, false);
        events
    }

    fn push(&mut self, event: &Value, paced: bool) {
        let kind = event["type"].as_str().unwrap_or_default();
        self.rest.push_back(Item::Event { text: format!("event: {kind}\ndata: {event}\n\n"), paced });
        self.chunks += 1;
    }

    /// The start of a block; after that of the first one the API sends a ping.
    fn open(&mut self, block: &Value) {
        self.push(
            &json!({"type": "content_block_start", "index": self.block, "content_block": block}),
            false,
        );
        if self.block == 0 {
            self.push(&json!({"type": "ping"}), false);
        }
    }

    fn pieces(&mut self, deltas: impl Iterator<Item = Value>) {
        for (position, delta) in deltas.enumerate() {
            self.piece(&delta, position > 0);
        }
    }

    fn piece(&mut self, delta: &Value, paced: bool) {
        self.push(&json!({"type": "content_block_delta", "index": self.block, "delta": delta}), paced);
    }

    fn close(&mut self) {
        self.push(&json!({"type": "content_block_stop", "index": self.block}), false);
        self.block += 1;
    }
}

impl Script for Events {
    fn chunks(&self) -> u32 {
        self.chunks
    }

    fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    fn next_is_paced(&self) -> bool {
        match self.rest.front() {
            Some(Item::Event { paced, .. }) => *paced,
            Some(Item::Words { from, .. }) => *from > 0,
            None => false,
        }
    }

    fn write_next(&mut self, out: &mut BytesMut) {
        match self.rest.front_mut() {
            Some(Item::Words { block, opening, from, to }) => {
                let head = format!(
                    "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":{block},\
                     \"delta\":{{\"type\":\"text_delta\",\"text\":\""
                );
                out.put_slice(head.as_bytes());
                // Neither a marker nor a token needs an escape in JSON.
                out.put_slice(std::mem::take(opening).as_bytes());
                out.put_slice(text::token(*from).as_bytes());
                out.put_slice(b"\"}}\n\n");
                *from += 1;
                if from < to {
                    return;
                }
            }
            Some(Item::Event { text, .. }) => out.put_slice(text.as_bytes()),
            None => return,
        }
        self.rest.pop_front();
    }
}
