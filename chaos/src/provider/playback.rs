//! Plays an answer to the client, at the pace of its behaviour and with its fault.
//! It never changes the answer, only how and how far it goes out.

mod stream;

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::unfold;

use super::behaviour::{Behaviour, Fault};
use super::calls::{CallOutcome, OpenCall};
use super::errors::ApiError;
use super::exchange::{Answer, Ask};
use crate::connections::Line;

/// The gap between two bytes of a drip whose behaviour sets none.
const DRIP_GAP: Duration = Duration::from_secs(1);

/// What a gateway in front of a provider sends when it has lost the provider.
pub(super) const BAD_GATEWAY_PAGE: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
    <center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";

/// A body that is not JSON, though it starts like an answer.
const MALFORMED_BODY: &[u8] = br#"{"id":"malformed","choices":[}"#;

/// How a body ends before its end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    /// The connection stays, but nothing more comes.
    Silence,
    /// The connection closes.
    Close,
    /// The connection is reset.
    Reset,
}

/// Answers the call with `answer`, or with what the fault makes of it.
pub(super) async fn play(answer: Answer, ask: &Ask, mut call: OpenCall, line: Line) -> Response {
    let behaviour = &ask.behaviour;
    let streamed = matches!(answer, Answer::Stream { .. });
    if let Some(refusal) = refusal(ask, streamed) {
        pause(behaviour.first_token).await;
        call.retry_after = behaviour.retry_after;
        call.end(CallOutcome::Refused, refusal.status().as_u16());
        return refusal;
    }
    match answer {
        Answer::Whole { body, tokens, billed } => {
            call.billed = billed;
            call.streams = false;
            pause(behaviour.first_token + behaviour.gap * tokens.saturating_sub(1)).await;
            call.answering(StatusCode::OK.as_u16());
            whole(body, behaviour, call, line)
        }
        Answer::Stream { script, billed } => {
            call.billed = billed;
            call.answering(StatusCode::OK.as_u16());
            stream::play(script, ask, call, line)
        }
    }
}

/// What comes instead of an answer, if the fault is of that kind.
fn refusal(ask: &Ask, streamed: bool) -> Option<Response> {
    let error = match ask.behaviour.fault? {
        Fault::Status(status) => StatusCode::from_u16(status).ok().map(ApiError::of_status)?,
        Fault::Quota => ApiError::quota(),
        Fault::ErrorAfter(_) if !streamed => ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR),
        Fault::Html => return Some((StatusCode::BAD_GATEWAY, Html(BAD_GATEWAY_PAGE)).into_response()),
        _ => return None,
    };
    Some(ask.dialect.refuse(&error.retry_after(ask.behaviour.retry_after), &ask.id))
}

fn whole(body: Bytes, behaviour: &Behaviour, mut call: OpenCall, line: Line) -> Response {
    let length = body.len();
    let half = body.slice(..length / 2);
    let body = match behaviour.fault {
        Some(Fault::Stall | Fault::StallAfter(_)) => broken(Bytes::new(), Ending::Silence, call, line),
        Some(Fault::CutAfter(_)) => broken(half, Ending::Close, call, line),
        Some(Fault::ResetAfter(_)) => broken(half, Ending::Reset, call, line),
        Some(Fault::Drip) => drip(body, behaviour.gap, call),
        Some(Fault::Truncate) => return at_once(half, &mut call),
        Some(Fault::Malformed) => return at_once(Bytes::from_static(MALFORMED_BODY), &mut call),
        _ => return at_once(body, &mut call),
    };
    // The length is that of the whole body, so that the client can tell that something is missing.
    let headers =
        [(CONTENT_TYPE, HeaderValue::from_static("application/json")), (CONTENT_LENGTH, length.into())];
    (headers, body).into_response()
}

fn at_once(body: Bytes, call: &mut OpenCall) -> Response {
    call.end(CallOutcome::Answered, StatusCode::OK.as_u16());
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

/// A body of which only `part` comes, and then the ending.
pub(super) fn broken(part: Bytes, ending: Ending, call: OpenCall, line: Line) -> Body {
    let part = Some(part).filter(|part| !part.is_empty());
    Body::from_stream(unfold((part, call), move |(part, mut call)| {
        let line = line.clone();
        async move {
            match part {
                Some(part) => Some((Ok(part), (None, call))),
                None => Some((Err(break_off(ending, &mut call, &line).await), (None, call))),
            }
        }
    }))
}

/// A body that comes byte by byte.
pub(super) fn drip(body: Bytes, gap: Duration, call: OpenCall) -> Body {
    let gap = if gap.is_zero() { DRIP_GAP } else { gap };
    Body::from_stream(unfold((body, call), move |(mut rest, mut call)| async move {
        if rest.is_empty() {
            return None;
        }
        pause(gap).await;
        let byte = rest.split_to(1);
        if rest.is_empty() {
            call.end(CallOutcome::Answered, StatusCode::OK.as_u16());
        }
        Some((Ok::<_, io::Error>(byte), (rest, call)))
    }))
}

/// Ends a body early; the error makes the server give up the connection.
async fn break_off(ending: Ending, call: &mut OpenCall, line: &Line) -> io::Error {
    match ending {
        // The client ends this call, by going away.
        Ending::Silence => {
            call.silent();
            std::future::pending::<()>().await;
        }
        Ending::Close => {}
        Ending::Reset => line.reset_on_close(),
    }
    // If a body fails, the server drops what it has not yet written; if a body makes it wait, it writes first.
    tokio::task::yield_now().await;
    call.end(CallOutcome::Broken, StatusCode::OK.as_u16());
    io::Error::other("the simulator was told to break off here")
}

/// Sleeps, but not for nothing: even a sleep of zero would wait for the timer's next tick.
pub(super) async fn pause(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}
