//! Serves events as SSE: those of one request, resumable, and the live events of everything the tenant runs.

use std::sync::Arc;

use axum::{Extension, extract::State, http::HeaderMap, response::Response};
use broker::Message;
use bytes::Bytes;
use futures_util::stream;
use schemars::JsonSchema;
use schemas::{Error, Format};
use serde::Deserialize;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::{
    answer,
    app::App,
    door::{self, Entry, Path, Query},
    feed::Feed,
    frame::{Frame, Position},
    native,
    record::{self, Key, Record},
    refusal::Refusal,
    sse,
};

/// Tells a reader of all events that it was too slow.
const MISSED: &[u8] = br#"{"event":"gap","message":"this reader is too slow: events may have been missed"}"#;

/// `?after=<attempt>-<seq>`, for readers that cannot set `Last-Event-ID`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct After {
    /// Resume after this event, `<attempt>-<seq>`; for readers that cannot set `Last-Event-ID`.
    after: Option<String>,
}

/// `GET /v1/requests/{id}/events`.
pub(crate) async fn of_request(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Path(id): Path<String>,
    Query(After { after }): Query<After>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let id = native::parse_id(&id)?;
    let last =
        door::text(&headers, "last-event-id").or(after).map(|text| parse_position(&text)).transpose()?;
    let key = Key::new(&app, &entry.caller, id.clone());
    let mut feed = Feed::open(&app, key.clone(), last);
    let reader = app.lingers.join(&key);
    match record::find(&app, &key).await? {
        // As on the WebSocket: a client that has seen events of it comes back to a request that was accepted.
        Record::Unknown if last.is_some() && feed.begins_within(app.config.resume_wait()).await => {}
        Record::Unknown => return Err(record::unknown(&id).into()),
        _ => feed.attach(),
    }
    let events = stream::unfold((app, feed, reader), |(app, mut feed, mut reader)| async move {
        let event = tokio::select! {
            biased;
            frame = feed.next() => {
                let frame = frame?;
                if let Some(reader) = reader.take_if(|_| frame.head.event.is_terminal()) {
                    reader.end();
                }
                encode(&frame)
            }
            () = app.draining.cancelled() => return None,
            () = tokio::time::sleep(app.config.ping_interval()) => sse::PING,
        };
        Some((event, (app, feed, reader)))
    });
    Ok(answer::named(id, sse::response(events)))
}

/// `GET /v1/events`: every live event of the tenant, at most once.
pub(crate) async fn of_tenant(State(app): State<App>, Extension(entry): Extension<Entry>) -> Response {
    let any_id = app.parts.topology.subjects.event(&entry.caller.tenant, &entry.fresh);
    let prefix = any_id.strip_suffix(entry.fresh.as_str()).unwrap_or(&any_id).to_owned();
    let live = app.hub.watch();
    let events = stream::unfold((app, live, prefix), |(app, mut live, prefix)| async move {
        let event = tokio::select! {
            biased;
            event = next_of(&mut live, &prefix) => event?,
            () = app.draining.cancelled() => return None,
            () = tokio::time::sleep(app.config.ping_interval()) => sse::PING,
        };
        Some((event, (app, live, prefix)))
    });
    sse::response(events)
}

async fn next_of(live: &mut broadcast::Receiver<Arc<Message>>, prefix: &str) -> Option<Bytes> {
    loop {
        match live.recv().await {
            Ok(message) if message.subject.starts_with(prefix) => {
                if let Some(frame) = Frame::read(&message) {
                    return Some(encode(&frame));
                }
            }
            Ok(_) => {}
            // How many, and whose, is unknown: the channel carries the events of all tenants.
            Err(RecvError::Lagged(_)) => return Some(sse::named(None, "gap", MISSED)),
            Err(RecvError::Closed) => return None,
        }
    }
}

fn encode(frame: &Frame) -> Bytes {
    let (attempt, seq) = frame.position();
    match frame.bytes(Format::Json) {
        Ok(json) => sse::named(Some(&format!("{attempt}-{seq}")), &frame.name(), &json),
        Err(error) => sse::named(None, "gap", crate::refusal::text(&error).as_ref()),
    }
}

/// `<attempt>-<seq>`, as in the `id` of every event.
fn parse_position(text: &str) -> Result<Position, Error> {
    let parts =
        text.split_once('-').and_then(|(attempt, seq)| Some((attempt.parse().ok()?, seq.parse().ok()?)));
    parts.ok_or_else(|| Error::invalid("after", "expected <attempt>-<seq>, as in the id of an event"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_that_was_too_slow_is_told_so() {
        let (sender, mut live) = broadcast::channel(1);
        for index in 0..3 {
            let event = format!(
                r#"{{"id":"r{index}","attempt":1,"seq":0,"event":"running","provider":"p","model":"m"}}"#
            );
            let subject = format!("dynode.evt.acme.r{index}");
            sender.send(Arc::new(Message::new(subject, Format::Json, Bytes::from(event)))).unwrap();
        }
        let missed = next_of(&mut live, "dynode.evt.acme.").await.unwrap();
        assert!(missed.starts_with(b"event: gap\ndata: {"), "{missed:?}");
        let next = next_of(&mut live, "dynode.evt.acme.").await.unwrap();
        assert!(String::from_utf8_lossy(&next).contains("r2"), "{next:?}");
    }
}
