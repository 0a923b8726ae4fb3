//! HTTP in Dynode's own form: submits a request, reads its events by SSE and asks for its outcome by its id.

use std::io;

use futures_util::{StreamExt, future::try_join_all};
use reqwest::{
    RequestBuilder, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use schemas::{Event, Format, Outcome};
use serde_json::{Value, json};
use sse_stream::SseByteStream;
use tokio::time::sleep;

use super::{Asked, Who};
use crate::parity::{ground::Ground, normal, shown::Shown};

/// See [`super::Handle::converse`].
pub(super) async fn converse(ground: &Ground, format: Format, asked: &[Asked]) -> io::Result<Vec<Shown>> {
    try_join_all(asked.iter().map(|one| ask(ground, format, one))).await
}

async fn ask(ground: &Ground, format: Format, asked: &Asked) -> io::Result<Shown> {
    let mut shown = Shown::default();
    let request = ground.http.post(ground.url("/v1/requests")).header(CONTENT_TYPE, format.content_type());
    let response = signed(request, &asked.who).body(asked.bytes(format)).send().await;
    let response = response.map_err(io::Error::other)?;
    check_id(&mut shown, &response, asked);
    if response.status() != StatusCode::ACCEPTED {
        refuse(&mut shown, "refused", response).await?;
        return Ok(shown);
    }
    let mut plan = asked.plan;
    while !shown.has_ended() {
        let request = ground.http.get(ground.url(&format!("/v1/requests/{}/events", asked.id)));
        let request = match shown.last() {
            Some((attempt, seq)) => request.header("last-event-id", format!("{attempt}-{seq}")),
            None => request,
        };
        let response = signed(request, &asked.who).send().await.map_err(io::Error::other)?;
        if response.status() != StatusCode::OK {
            refuse(&mut shown, "failed", response).await?;
            return Ok(shown);
        }
        let mut events = SseByteStream::new(response.bytes_stream());
        while let Some(Ok(sse)) = events.next().await {
            let Some(data) = sse.data else { continue };
            let event: Event = serde_json::from_str(&data).map_err(io::Error::other)?;
            if sse.id != Some(format!("{}-{}", event.attempt, event.seq)) {
                shown.fault(format!("an event {}-{} with the id {:?}", event.attempt, event.seq, sse.id));
            }
            shown.hears(&event);
            sleep(plan.pause).await;
            if plan.cancels(&shown) {
                let request = ground.http.delete(ground.url(&format!("/v1/requests/{}", asked.id)));
                signed(request, &asked.who).send().await.map_err(io::Error::other)?;
            }
            if shown.has_ended() || plan.cuts(&shown) {
                break;
            }
        }
    }
    Ok(shown)
}

/// Every answer names its request: by the sender's id if Dynode could read it.
pub(super) fn check_id(shown: &mut Shown, response: &Response, asked: &Asked) {
    let told = response.headers().get("x-request-id").and_then(|value| value.to_str().ok());
    match told {
        None => shown.fault("an answer without x-request-id".to_owned()),
        Some(told) if response.status().is_success() && told != asked.id.as_str() => {
            shown.fault("an answer with the x-request-id of another".to_owned());
        }
        Some(_) => {}
    }
}

/// Whether an answer is a stream of events.
pub(super) fn is_stream(response: &Response) -> bool {
    response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// The answer is an error.
pub(super) async fn refuse(shown: &mut Shown, end: &str, response: Response) -> io::Result<()> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.map_err(io::Error::other)?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (error, faults) = normal::refusal(status, &headers, &body);
    faults.into_iter().for_each(|fault| shown.fault(fault));
    shown.fails(end, error);
    Ok(())
}

/// See [`super::Handle::record`].
pub(super) async fn record(ground: &Ground, format: Format, asked: &Asked) -> io::Result<Value> {
    let request = ground.http.get(ground.url(&format!("/v1/requests/{}", asked.id)));
    let request = signed(request, &asked.who).header(ACCEPT, format.content_type());
    let response = request.send().await.map_err(io::Error::other)?;
    if response.status() != StatusCode::OK {
        return Ok(Value::Null);
    }
    let body = response.bytes().await.map_err(io::Error::other)?;
    let outcome: Outcome = format.decode(&body).map_err(io::Error::other)?;
    let mut record = normal::record(&outcome);
    if let Some(schemas::Output::Media(media)) = &outcome.output {
        for (place, asset) in media.assets.iter().enumerate() {
            let request = signed(ground.http.get(ground.url(&asset.url)), &asked.who);
            let response = request.send().await.map_err(io::Error::other)?;
            let bytes = response.bytes().await.map_err(io::Error::other)?;
            record["output"]["files"][place]["read"] = json!(crate::parity::sha256(&bytes));
        }
    }
    Ok(record)
}

/// See [`super::Handle::health`].
pub(super) async fn health(ground: &Ground, asked: &Asked) -> io::Result<Value> {
    let request = signed(ground.http.get(ground.url("/health/ready")), &asked.who);
    let response = request.send().await.map_err(io::Error::other)?;
    response.json().await.map_err(io::Error::other)
}

/// Adds the asker's key, if there is one.
pub(in crate::parity) fn signed(request: RequestBuilder, who: &Who) -> RequestBuilder {
    match &who.key {
        Some(key) => request.header(AUTHORIZATION, format!("Bearer {}", key.expose())),
        None => request,
    }
}
