//! A response as the events of a stream, in the API's order: created and in progress; the start, the parts, their
//! pieces and the end of each item; and the response as it is then. Every event has its number.

use bytes::BytesMut;
use serde_json::{Map, Value, json};

use super::{End, Reply, failure, item::call_item};
use crate::provider::behaviour::Fault;
use crate::provider::exchange::Script;
use crate::provider::frames::Frames;
use crate::provider::said::{Said, THOUGHTS};
use crate::provider::tool::ToolCall;

/// The padding that hides the lengths of pieces, unless it was switched off.
const OBFUSCATION: &str = "w8f2QzLk";

/// The events that are still to come.
pub(super) struct Events {
    frames: Frames,
    /// The response while it is being made: for the event that says that it failed.
    response: Value,
    /// The number of the next event that goes out.
    number: u32,
}

impl Events {
    pub(super) fn new(reply: &Reply<'_>) -> Self {
        let mut writer =
            Writer { frames: Frames::new(), number: 0, index: 0, obfuscates: reply.request.obfuscates };
        let begun = reply.begun();
        writer.write("response.created", json!({ "response": begun }), false);
        writer.write("response.in_progress", json!({ "response": begun }), false);
        if reply.request.reasons {
            writer.reasoning(reply);
        }
        match &reply.said {
            Said::Text { pieces, .. } => writer.message(reply, pieces),
            Said::Call(call) => writer.call(reply, call),
        }
        // Only its end tells that a stream is whole; there is no other mark.
        if reply.ask.behaviour.fault != Some(Fault::NoDone) {
            let kind = match reply.end {
                End::Completed => "response.completed",
                End::Incomplete(_) => "response.incomplete",
                End::Failed => "response.failed",
            };
            writer.write(kind, json!({"response": reply.ended(reply.items())}), false);
        }
        Self { frames: writer.frames, response: begun, number: 0 }
    }
}

impl Script for Events {
    fn chunks(&self) -> u32 {
        self.frames.chunks()
    }

    fn is_done(&self) -> bool {
        self.frames.is_done()
    }

    fn next_is_paced(&self) -> bool {
        self.frames.next_is_paced()
    }

    fn write_next(&mut self, out: &mut BytesMut) {
        self.number += 1;
        self.frames.write_next(out);
    }

    /// The error, and the response as it is then.
    fn failure(&self) -> Option<String> {
        let said = failure();
        let error = json!({
            "type": "error", "sequence_number": self.number, "code": said["code"], "message": said["message"],
            "param": null,
        });
        let mut response = self.response.clone();
        response["status"] = "failed".into();
        response["error"] = said;
        let failed =
            json!({"type": "response.failed", "sequence_number": self.number + 1, "response": response});
        Some(format!("event: error\ndata: {error}\n\nevent: response.failed\ndata: {failed}\n\n"))
    }
}

/// Writes the events one after the other.
struct Writer {
    frames: Frames,
    number: u32,
    /// The place of the item being written.
    index: u32,
    obfuscates: bool,
}

impl Writer {
    fn write(&mut self, kind: &str, fields: Value, paced: bool) {
        let mut event = Map::new();
        event.insert("type".into(), kind.into());
        event.insert("sequence_number".into(), self.number.into());
        if let Value::Object(fields) = fields {
            event.extend(fields);
        }
        self.frames.push(format!("event: {kind}\ndata: {}\n\n", Value::Object(event)), paced);
        self.number += 1;
    }

    /// An event about the item being written.
    fn about(&mut self, kind: &str, id: &Value, fields: Value, paced: bool) {
        let mut event = json!({"item_id": id, "output_index": self.index});
        for (name, value) in fields.as_object().into_iter().flatten() {
            event[name] = value.clone();
        }
        if self.obfuscates && kind.ends_with(".delta") {
            event["obfuscation"] = OBFUSCATION.into();
        }
        self.write(kind, event, paced);
    }

    fn open(&mut self, item: Value) {
        self.write("response.output_item.added", json!({"output_index": self.index, "item": item}), false);
    }

    fn close(&mut self, item: Value) {
        self.write("response.output_item.done", json!({"output_index": self.index, "item": item}), false);
        self.index += 1;
    }

    fn reasoning(&mut self, reply: &Reply<'_>) {
        let item = reply.reasoning();
        let id = item["id"].clone();
        let mut begun = item.clone();
        begun["summary"] = json!([]);
        self.open(begun);
        if reply.request.summarises {
            let part =
                |text: &str| json!({"summary_index": 0, "part": {"type": "summary_text", "text": text}});
            self.about("response.reasoning_summary_part.added", &id, part(""), false);
            for (at, thought) in THOUGHTS.iter().enumerate() {
                let delta = json!({"summary_index": 0, "delta": thought});
                self.about("response.reasoning_summary_text.delta", &id, delta, at > 0);
            }
            let all = THOUGHTS.concat();
            let done = json!({"summary_index": 0, "text": all});
            self.about("response.reasoning_summary_text.done", &id, done, false);
            self.about("response.reasoning_summary_part.done", &id, part(&all), false);
        }
        self.close(item);
    }

    fn message(&mut self, reply: &Reply<'_>, pieces: &[String]) {
        let begun = reply.message(Vec::new(), "in_progress");
        let id = begun["id"].clone();
        let (kind, whole) =
            if reply.refuses { ("response.refusal", "refusal") } else { ("response.output_text", "text") };
        let text = pieces.concat();
        self.open(begun);
        let part = |text: &str| json!({"content_index": 0, "part": reply.part(text)});
        self.about("response.content_part.added", &id, part(""), false);
        for (at, piece) in pieces.iter().enumerate() {
            let mut delta = json!({"content_index": 0, "delta": piece});
            if !reply.refuses {
                delta["logprobs"] = json!([]);
            }
            self.about(&format!("{kind}.delta"), &id, delta, at > 0);
        }
        let mut done = json!({"content_index": 0, whole: text});
        if !reply.refuses {
            done["logprobs"] = json!([]);
        }
        self.about(&format!("{kind}.done"), &id, done, false);
        self.about("response.content_part.done", &id, part(&text), false);
        self.close(reply.message(vec![reply.part(&text)], reply.status()));
    }

    fn call(&mut self, reply: &Reply<'_>, call: &ToolCall) {
        let begun = call_item(reply.ask, call, "", "in_progress");
        let id = begun["id"].clone();
        self.open(begun);
        for (at, piece) in call.pieces.iter().enumerate() {
            let delta = json!({ "delta": piece });
            self.about("response.function_call_arguments.delta", &id, delta, at > 0);
        }
        let arguments = call.pieces.concat();
        let done = json!({ "arguments": arguments });
        self.about("response.function_call_arguments.done", &id, done, false);
        self.close(call_item(reply.ask, call, &arguments, "completed"));
    }
}
