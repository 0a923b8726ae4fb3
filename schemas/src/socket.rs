//! The frames of the WebSocket: what a client may send besides requests, and the server besides their events.

use std::num::NonZeroU64;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Backpressure, Error, Event, Outcome, Request, RequestId, codec};

/// One frame of a client: work to do, or something about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SocketRequest {
    /// Something about work, the server or this socket.
    Control(SocketControl),
    /// Work to do.
    Submit(Box<SocketSubmit>),
}

/// A request, with settings for this socket only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SocketSubmit {
    /// The request. It must name its action here; a chat streams unless its payload says `"stream": false`.
    #[serde(flatten)]
    pub request: Request,
    /// How many bytes of frames the client takes before it gives more credit; no limit if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit: Option<u64>,
}

/// A frame of a client that is not a request, identified by its `action`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action")]
pub enum SocketControl {
    /// Stop a request.
    #[serde(rename = "cancel")]
    Cancel(OfRequest),
    /// Continue the events of a request after the last one seen.
    #[serde(rename = "resume")]
    Resume(Resume),
    /// The client takes this many more bytes of the frames of a request.
    #[serde(rename = "credit")]
    Credit(Grant),
    /// The state of a request, and its outcome once it has one. Answered with `status`.
    #[serde(rename = "status")]
    Status(OfRequest),
    /// Every event of a session, from now on.
    #[serde(rename = "join")]
    Join(OfSession),
    /// No more events of a session.
    #[serde(rename = "leave")]
    Leave(OfSession),
    /// The health of the server. Answered with `complete`, as are all questions below.
    #[serde(rename = "system.health")]
    Health(Question),
    /// The state of every pool, as in `GET /v1/status`.
    #[serde(rename = "system.status")]
    Pools(Question),
    /// What can be asked for, as in `GET /v1/models`.
    #[serde(rename = "models")]
    Models(Question),
    /// What a request would cost, as in `POST /v1/estimate`.
    #[serde(rename = "estimate")]
    Estimate(AskedEstimate),
}

/// Names a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OfRequest {
    /// Its id.
    pub id: RequestId,
}

/// Names a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OfSession {
    /// The `session` of its requests.
    pub session: RequestId,
}

/// Where to continue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resume {
    /// The request.
    pub id: RequestId,
    /// The `attempt` of the last event seen.
    pub attempt: u32,
    /// Its `seq`.
    pub after: u64,
    /// As in a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit: Option<u64>,
}

/// More credit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Grant {
    /// The request.
    pub id: RequestId,
    /// How many more bytes of its frames the client takes.
    pub bytes: NonZeroU64,
}

/// A question to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Question {
    /// Repeated in the answer; the server makes one if absent. It must not be the id of an open request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
}

/// Asks what a request would cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AskedEstimate {
    /// See [`Question::id`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
    /// The request, as it would be sent.
    pub request: Box<Request>,
}

impl SocketControl {
    /// Reads `frame`, which has this `action`; `None` if that is not a control. An error names the field.
    pub fn read(action: &str, frame: &Value) -> Option<Result<Self, Error>> {
        Some(match action {
            "cancel" => codec::view(frame, "").map(Self::Cancel),
            "resume" => codec::view(frame, "").map(Self::Resume),
            "credit" => codec::view(frame, "").map(Self::Credit),
            "status" => codec::view(frame, "").map(Self::Status),
            "join" => codec::view(frame, "").map(Self::Join),
            "leave" => codec::view(frame, "").map(Self::Leave),
            "system.health" => codec::view(frame, "").map(Self::Health),
            "system.status" => codec::view(frame, "").map(Self::Pools),
            "models" => codec::view(frame, "").map(Self::Models),
            "estimate" => codec::view(frame, "").map(Self::Estimate),
            _ => return None,
        })
    }
}

/// One frame of the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SocketEvent {
    /// An event of a request of this socket.
    Event(Box<Event>),
    /// Something about a session that the client joined.
    Session(SessionEvent),
    /// Something about a request or this socket that is not an event of a request.
    Notice(Notice),
}

/// What the server says that is not an event of a request, identified by its `event`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event")]
pub enum Notice {
    /// The server refused a frame, and nothing else: the socket stays open.
    #[serde(rename = "fail")]
    Refused {
        /// The id of the frame, as far as it had one.
        id: Option<String>,
        /// Why.
        error: Error,
    },
    /// The state of a request, as asked.
    #[serde(rename = "status")]
    Status {
        /// The request.
        id: RequestId,
        /// What is known about it.
        status: Standing,
        /// How it ended, if it has.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<Box<Outcome>>,
    },
    /// The next frame of a request does not fit in the credit that is left. Sent once per frame, and not counted.
    #[serde(rename = "blocked")]
    Blocked {
        /// The request.
        id: RequestId,
        /// How many more bytes let the frame through.
        bytes: u64,
    },
    /// A pool asks clients to wait, or lets them continue.
    #[serde(rename = "backpressure")]
    Backpressure(Backpressure),
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It waits.
    Queued,
    /// A worker has it.
    Running,
    /// It has ended: the outcome says how.
    Ended,
}

/// One event of a session that the client joined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionEvent {
    /// The session.
    pub session_id: RequestId,
    /// The `event` of the event; or `joined`, `left`, or `gap` without a request: the client may have missed requests
    /// of the session.
    #[serde(rename = "type")]
    pub kind: String,
    /// When the gateway forwarded it.
    pub ts: Timestamp,
    /// The event, with the `id` of its request; for `joined`, `left` and such a `gap`, an object without one.
    pub data: Value,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn param(frame: Value) -> Option<String> {
        let action = frame["action"].as_str().unwrap().to_owned();
        SocketControl::read(&action, &frame).unwrap().unwrap_err().param
    }

    #[test]
    fn a_control_says_itself_and_what_is_wrong_is_named() {
        for frame in [
            json!({"action": "cancel", "id": "a"}),
            json!({"action": "resume", "id": "a", "attempt": 1, "after": 3}),
            json!({"action": "credit", "id": "a", "bytes": 7}),
            json!({"action": "status", "id": "a"}),
            json!({"action": "join", "session": "s"}),
            json!({"action": "leave", "session": "s"}),
            json!({"action": "system.health"}),
            json!({"action": "system.status"}),
            json!({"action": "models", "id": "q"}),
        ] {
            let control = SocketControl::read(frame["action"].as_str().unwrap(), &frame).unwrap().unwrap();
            assert_eq!(serde_json::to_value(&control).unwrap(), frame);
            assert_eq!(
                serde_json::from_value::<SocketRequest>(frame).unwrap(),
                SocketRequest::Control(control)
            );
        }
        assert!(SocketControl::read("chat.completion", &json!({})).is_none());
        assert_eq!(param(json!({"action": "cancel"})).as_deref(), Some("id"));
        assert_eq!(param(json!({"action": "credit", "id": "a", "bytes": 0})).as_deref(), Some("bytes"));
        assert_eq!(param(json!({"action": "join", "session": "a b"})).as_deref(), Some("session"));
        assert_eq!(
            param(json!({"action": "resume", "id": "a", "attempt": 1, "after": -1})).as_deref(),
            Some("after")
        );
        let nested = json!({"action": "estimate", "request": {"action": "auto", "payload": {}, "deadline_ms": "soon"}});
        assert_eq!(param(nested).as_deref(), Some("request.deadline_ms"));
    }

    #[test]
    fn what_the_server_says_is_one_of_its_frames() {
        let refused = json!({"id": null, "attempt": 0, "seq": 0, "event": "fail",
            "error": {"code": "invalid_request", "message": "no", "retryable": false}});
        assert!(matches!(
            serde_json::from_value(refused).unwrap(),
            SocketEvent::Notice(Notice::Refused { id: None, .. })
        ));
        let blocked = Notice::Blocked { id: RequestId::new("a").unwrap(), bytes: 3 };
        assert_eq!(
            serde_json::to_value(&blocked).unwrap(),
            json!({"event": "blocked", "id": "a", "bytes": 3})
        );
    }
}
