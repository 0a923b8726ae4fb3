//! Plays a vendor's answer to its client, at its pace and with its fault.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::unfold;

use super::visit::Reply;
use crate::connections::Line;
use crate::provider::behaviour::{Behaviour, Fault};
use crate::provider::calls::{CallOutcome, OpenCall};
use crate::provider::playback::{Ending, broken, drip, pause};

/// The members of JSON that breaks off.
const MALFORMED: &[u8] = br#"{"id":"malformed","data":[}"#;

/// The answer at its pace, with its fault.
pub(super) fn play(reply: Reply, behaviour: &Behaviour, mut call: OpenCall, line: Line) -> Response {
    let Reply { status, headers, content_type, pieces } = reply;
    let all = || Bytes::from(pieces.concat());
    let until = |count: u32| match pieces.len() {
        1 => all().slice(..pieces[0].len() / 2),
        _ => Bytes::from(pieces[..pieces.len().min(count as usize)].concat()),
    };
    call.streams = pieces.len() > 1;
    call.answering(status.as_u16());
    let body = match behaviour.fault {
        Some(Fault::Stall) => broken(Bytes::new(), Ending::Silence, call, line),
        Some(Fault::StallAfter(count)) => broken(until(count), Ending::Silence, call, line),
        Some(Fault::CutAfter(count)) => broken(until(count), Ending::Close, call, line),
        Some(Fault::ResetAfter(count)) => broken(until(count), Ending::Reset, call, line),
        Some(Fault::Drip) => drip(all(), behaviour.gap, call),
        Some(Fault::Truncate) => ended(all().slice(..all().len() / 2), &mut call, status),
        Some(Fault::Malformed) => ended(Bytes::from_static(MALFORMED), &mut call, status),
        _ if pieces.len() == 1 => ended(all(), &mut call, status),
        _ => paced(pieces, behaviour.gap, call, status),
    };
    let mut response = (status, [(CONTENT_TYPE, content_type)], body).into_response();
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn ended(body: Bytes, call: &mut OpenCall, status: StatusCode) -> Body {
    call.end(CallOutcome::Answered, status.as_u16());
    body.into()
}

fn paced(pieces: Vec<Bytes>, gap: Duration, call: OpenCall, status: StatusCode) -> Body {
    let state = (pieces.into_iter(), call);
    Body::from_stream(unfold(state, move |(mut pieces, mut call)| async move {
        let Some(piece) = pieces.next() else {
            call.end(CallOutcome::Answered, status.as_u16());
            return None;
        };
        pause(gap).await;
        call.chunks += 1;
        Some((Ok::<_, std::io::Error>(piece), (pieces, call)))
    }))
}
