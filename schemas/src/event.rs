//! The events of a request on its way, on `dynode.evt.<tenant>.<id>`.
//!
//! `(attempt, seq)` orders the events of one request: `seq` counts from 0 within an attempt, without a gap; an event of
//! an older attempt never follows one of a newer attempt. Exactly one terminal event ends the request.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Asset, ChatDelta, Error, Output, RequestId, Usage};

/// One event of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// The request.
    pub id: RequestId,
    /// Which attempt sent it; 0 before the first.
    pub attempt: u32,
    /// Its number within the attempt, from 0.
    pub seq: u64,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

impl Event {
    /// The first `seq` that it stands for: adjacent pieces of a chat may be joined for a reader that is behind.
    pub fn first_seq(&self) -> u64 {
        match &self.body {
            EventBody::ChatDelta(delta) => delta.first_seq.unwrap_or(self.seq),
            _ => self.seq,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event")]
pub enum EventBody {
    /// The request is stored and waits.
    #[serde(rename = "queued")]
    Queued {
        /// How many requests are ahead of it, if known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        position: Option<u64>,
        /// How long they are expected to take, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        estimated_wait_ms: Option<u64>,
    },
    /// A worker has taken it.
    #[serde(rename = "running")]
    Running {
        /// The configured name of the provider.
        provider: String,
        /// The model.
        model: String,
    },
    /// A piece of a chat answer.
    #[serde(rename = "chat.delta")]
    ChatDelta(ChatDelta),
    /// The engine calls a tool.
    #[serde(rename = "tool.call")]
    ToolCall {
        /// The call.
        data: Value,
    },
    /// What the tool answered.
    #[serde(rename = "tool.result")]
    ToolResult {
        /// The answer.
        data: Value,
    },
    /// The progress of long work.
    #[serde(rename = "progress")]
    Progress {
        /// From 0 to 1, if known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fraction: Option<f64>,
        /// In words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// A judgement on an answer.
    #[serde(rename = "judge")]
    Judge {
        /// The judgement.
        data: Value,
    },
    /// An asset was made.
    #[serde(rename = "artifact")]
    Artifact {
        /// The asset.
        data: Asset,
    },
    /// Whatever an earlier attempt showed is void.
    #[serde(rename = "restarted")]
    Restarted {
        /// Why, for people.
        reason: String,
    },
    /// This reader lost events; the next one is whole.
    #[serde(rename = "gap")]
    Gap {
        /// The last `seq` seen before the gap.
        from: u64,
        /// The first `seq` after it.
        to: u64,
    },
    /// The end: done.
    #[serde(rename = "complete")]
    Complete(Completion),
    /// The end of a chat: done.
    #[serde(rename = "chat.complete")]
    ChatComplete(Completion),
    /// The end: failed or expired.
    #[serde(rename = "fail")]
    Fail {
        /// Why.
        error: Error,
    },
    /// The end: cancelled.
    #[serde(rename = "cancelled")]
    Cancelled {
        /// What was used until then.
        #[serde(default)]
        usage: Usage,
    },
}

/// The result of a request that succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Completion {
    /// The answer.
    pub output: Output,
    /// What it used.
    #[serde(default)]
    pub usage: Usage,
    /// What it cost, in US dollars, if a price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// The provider that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// What a router needs to know about an event, read without the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct EventHead {
    /// Which attempt sent it.
    pub attempt: u32,
    /// Its number within the attempt.
    pub seq: u64,
    /// Its kind, as far as routing distinguishes kinds.
    pub event: EventKind,
}

/// The kinds of events that routing distinguishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum EventKind {
    /// See [`EventBody::Queued`].
    #[serde(rename = "queued")]
    Queued,
    /// See [`EventBody::ChatDelta`].
    #[serde(rename = "chat.delta")]
    ChatDelta,
    /// See [`EventBody::Complete`].
    #[serde(rename = "complete")]
    Complete,
    /// See [`EventBody::ChatComplete`].
    #[serde(rename = "chat.complete")]
    ChatComplete,
    /// See [`EventBody::Fail`].
    #[serde(rename = "fail")]
    Fail,
    /// See [`EventBody::Cancelled`].
    #[serde(rename = "cancelled")]
    Cancelled,
    /// Any other.
    #[serde(other)]
    Other,
}

impl EventKind {
    /// Whether this event ends its request.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Complete | Self::ChatComplete | Self::Fail | Self::Cancelled)
    }
}

impl EventBody {
    /// The kind of this event.
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Queued { .. } => EventKind::Queued,
            Self::ChatDelta(_) => EventKind::ChatDelta,
            Self::Complete(_) => EventKind::Complete,
            Self::ChatComplete(_) => EventKind::ChatComplete,
            Self::Fail { .. } => EventKind::Fail,
            Self::Cancelled { .. } => EventKind::Cancelled,
            _ => EventKind::Other,
        }
    }

    /// The name on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::Running { .. } => "running",
            Self::ChatDelta(_) => "chat.delta",
            Self::ToolCall { .. } => "tool.call",
            Self::ToolResult { .. } => "tool.result",
            Self::Progress { .. } => "progress",
            Self::Judge { .. } => "judge",
            Self::Artifact { .. } => "artifact",
            Self::Restarted { .. } => "restarted",
            Self::Gap { .. } => "gap",
            Self::Complete(_) => "complete",
            Self::ChatComplete(_) => "chat.complete",
            Self::Fail { .. } => "fail",
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChatOutput, Format};

    fn delta() -> Event {
        let body = EventBody::ChatDelta(ChatDelta::text("Hi"));
        Event { id: RequestId::new("r").unwrap(), attempt: 2, seq: 7, body }
    }

    #[test]
    fn the_body_is_flat_on_the_wire() {
        let json = serde_json::to_value(delta()).unwrap();
        let expected = serde_json::json!({"id":"r","attempt":2,"seq":7,"event":"chat.delta","delta":"Hi"});
        assert_eq!(json, expected);
    }

    #[test]
    fn events_and_heads_round_trip_in_both_formats() {
        let output = Output::Chat(ChatOutput { text: "Hi".into(), ..ChatOutput::default() });
        let completion =
            Completion { output, usage: Usage::default(), cost_usd: None, provider: None, model: None };
        let done = Event { body: EventBody::ChatComplete(completion), ..delta() };
        for event in [delta(), done] {
            for format in [Format::Json, Format::MessagePack] {
                let bytes = format.encode(&event).unwrap();
                assert_eq!(format.decode::<Event>(&bytes).unwrap(), event);
                let head = format.decode::<EventHead>(&bytes).unwrap();
                assert_eq!((head.attempt, head.seq, head.event), (2, 7, event.body.kind()));
            }
        }
    }

    #[test]
    fn an_unknown_event_has_a_head() {
        let head: EventHead =
            serde_json::from_str(r#"{"id":"r","attempt":1,"seq":0,"event":"someday"}"#).unwrap();
        assert_eq!(head.event, EventKind::Other);
    }
}
