//! Writes server-sent events as the tested SDKs read them: every event ends in a blank line, none has empty data.

use std::convert::Infallible;

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::Stream;

/// A sign of life that every reader ignores.
pub(crate) const PING: Bytes = Bytes::from_static(b": ping\n\n");
/// The end of an OpenAI stream.
pub(crate) const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// An unnamed event. `json` is one line.
pub(crate) fn data(json: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(json.len() + 8);
    event.put_slice(b"data: ");
    event.put_slice(json);
    event.put_slice(b"\n\n");
    event.freeze()
}

/// An event with a name and, if a reader can resume from it, an id.
pub(crate) fn named(id: Option<&str>, name: &str, json: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(json.len() + name.len() + 64);
    if let Some(id) = id {
        event.put_slice(format!("id: {id}\n").as_bytes());
    }
    event.put_slice(b"event: ");
    event.extend(name.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')));
    event.put_slice(b"\ndata: ");
    event.put_slice(json);
    event.put_slice(b"\n\n");
    event.freeze()
}

/// The answer whose body is `events`.
pub(crate) fn response(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let body = Body::from_stream(futures_util::StreamExt::map(events, Ok::<_, Infallible>));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies that buffer would delay the deltas.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_name_cannot_add_a_line() {
        assert_eq!(named(Some("1-2"), "a\nb", b"{}"), "id: 1-2\nevent: ab\ndata: {}\n\n");
    }
}
