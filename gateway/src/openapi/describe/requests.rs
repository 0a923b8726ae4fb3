//! Describes native requests, their events, and the WebSocket.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use schemas::{ErrorCode, Event, Outcome, Request, RequestId};
use serde_json::{Value, json};

use crate::{
    events::After,
    feedback::{Rating, Said},
    openapi::{
        Operation,
        headers::{IDEMPOTENCY_KEY, LAST_EVENT_ID, LOCATION},
        operation::Tag,
    },
};

const STREAM: &str = r#"id: 1-0
event: running
data: {"id":"req-123","attempt":1,"seq":0,"event":"running","provider":"sim","model":"sim-fast"}

"#;

/// A request at a door. It must name the action, which only a subject could do instead.
pub(super) struct Submission;

impl JsonSchema for Submission {
    fn schema_name() -> Cow<'static, str> {
        "Submission".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A request whose `action` is said. `auto` lets the server decide.",
            "allOf": [generator.subschema_for::<Request>()],
            "required": ["action"],
        })
    }
}

/// Where a request stands.
#[derive(JsonSchema)]
#[schemars(rename = "RequestStatus")]
#[expect(dead_code, reason = "only its schema is used")]
struct Standing {
    /// The id of the request.
    id: RequestId,
    /// How far it has come.
    status: Progress,
}

/// How far a request has come.
#[derive(JsonSchema)]
#[schemars(rename = "RequestProgress", rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
enum Progress {
    /// It is stored, and waits.
    Queued,
    /// A provider works on it.
    Running,
    /// Its cancel is stored.
    Cancelling,
}

fn submission() -> Value {
    json!({
        "action": "chat.completion",
        "payload": { "model": "sim-fast", "messages": [{ "role": "user", "content": "Say hello." }] },
        "deadline_ms": 60_000,
    })
}

fn standing(status: &str) -> Value {
    json!({ "id": "req-123", "status": status })
}

fn outcome() -> Value {
    json!({
        "v": 1, "id": "req-123", "tenant": "default", "action": "chat.completion", "status": "succeeded",
        "output": { "text": "Hello.", "finish_reason": "stop" },
        "usage": { "input_tokens": 9, "output_tokens": 2 },
        "provider": "sim", "model": "sim-fast",
        "timings": { "queued_ms": 1, "first_event_ms": 2, "total_ms": 3 },
        "ended": [1, 3],
    })
}

fn of_request(operation: Operation) -> Operation {
    operation.path::<RequestId>("id", "The id of the request.", "req-123")
}

pub(crate) fn submit_request() -> Operation {
    Operation::new(
        Tag::Requests,
        "submit_request",
        "Hand in a request",
        "Hand work in without waiting for it: the answer is its id. Read how it ended with `get_request`, follow it \
         with `stream_request_events`, or name a `callback`. It runs whether or not anybody reads it. Once it is \
         accepted it ends in exactly one outcome.",
    )
    .header(IDEMPOTENCY_KEY)
    .takes_either::<Submission>(submission())
    .answers(202, "Accepted: it is stored.")
    .json::<Standing>(standing("queued"))
    .message_pack::<Standing>()
    .with(LOCATION)
    .refuses(&[ErrorCode::NotFound, ErrorCode::Conflict])
}

pub(crate) fn get_request() -> Operation {
    let operation = Operation::new(
        Tag::Requests,
        "get_request",
        "Read how a request ended",
        "Get the outcome of a request, or learn that it is still under way. To wait for it, read its events instead of asking \
         again and again.",
    );
    of_request(operation)
        .answers(200, "It has ended: the outcome.")
        .json::<Outcome>(outcome())
        .message_pack::<Outcome>()
        .answers(202, "It is under way.")
        .json::<Standing>(standing("running"))
        .message_pack::<Standing>()
        .refuses(&[ErrorCode::NotFound])
}

pub(crate) fn cancel_request() -> Operation {
    let operation = Operation::new(
        Tag::Requests,
        "cancel_request",
        "Cancel a request",
        "Stop a request that is no longer wanted. What its provider has done by then is paid for.",
    );
    of_request(operation)
        .answers(200, "It has ended before: the outcome.")
        .json::<Outcome>(outcome())
        .message_pack::<Outcome>()
        .answers(202, "The cancel is stored and will reach the request.")
        .json::<Standing>(standing("cancelling"))
        .message_pack::<Standing>()
        .refuses(&[ErrorCode::NotFound])
}

pub(crate) fn stream_request_events() -> Operation {
    let operation = Operation::new(
        Tag::Requests,
        "stream_request_events",
        "Follow a request",
        "Get the events of a request as server-sent events, from the first, or after the last that you have. The stream ends \
         after `complete`, `chat.complete`, `fail` or `cancelled`.",
    );
    of_request(operation)
        .query::<After>()
        .header(LAST_EVENT_ID)
        .answers(200, "The events.")
        .events::<Event>(STREAM)
        .refuses(&[ErrorCode::NotFound])
}

pub(crate) fn stream_events() -> Operation {
    Operation::new(
        Tag::Requests,
        "stream_events",
        "Follow all requests",
        "Get every event of the tenant as it happens, as server-sent events. The stream has no end, and events that \
         you miss are not repeated: to miss nothing of a request, follow that request.",
    )
    .answers(200, "The events.")
    .events::<Event>(STREAM)
}

pub(crate) fn open_websocket() -> Operation {
    Operation::new(
        Tag::Requests,
        "open_websocket",
        "Open a WebSocket",
        "Open the canonical API: many requests at once on one socket, each `{\"id\",\"action\",\"payload\",…}`, answered by \
         its events with the same `id`. `{\"action\":\"cancel\",\"id\"}` cancels, `{\"action\":\"resume\",\"id\",\
         \"attempt\",\"after\"}` goes on after a break. Text frames are JSON, binary frames MessagePack. See \
         `/docs/contract` for every message.",
    )
    .answers(101, "The socket is open.")
}

pub(crate) fn rate_answer() -> Operation {
    Operation::new(
        Tag::Requests,
        "rate_answer",
        "Rate an answer",
        "Say how good the answer to a request was. It is kept beside the outcome; a second rating takes the place of the first.",
    )
    .takes::<Said>(json!({ "id": "req-123", "rating": "up", "comment": "just right" }))
    .answers(200, "The rating as it is kept.")
    .json::<Rating>(rating())
    .refuses(&[ErrorCode::NotFound, ErrorCode::Conflict])
}

pub(crate) fn get_rating() -> Operation {
    Operation::new(Tag::Requests, "get_rating", "Read a rating", "Get the rating that is kept of a request.")
        .path::<String>("id", "The id of the request, or of its answer.", "req-123")
        .answers(200, "The rating.")
        .json::<Rating>(rating())
        .refuses(&[ErrorCode::NotFound])
}

fn rating() -> Value {
    json!({
        "id": "req-123", "rating": 1.0, "comment": "just right", "at": "2026-11-28T00:00:00Z", "action": "chat.completion",
        "provider": "sim", "model": "sim-chat",
    })
}
