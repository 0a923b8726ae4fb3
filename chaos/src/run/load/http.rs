//! A client over HTTP in Dynode's own form: submits a request, and reads its events by SSE, resumed by `Last-Event-ID`.

use std::{net::SocketAddr, time::Duration};

use futures_util::StreamExt;
use reqwest::{
    RequestBuilder, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use schemas::{Error, ErrorCode, Event, Format, Outcome};
use serde::Deserialize;
use sse_stream::SseByteStream;
use tokio::time::{Instant, sleep};

use super::{
    Ground,
    client::{Client, RECONNECT, Sending},
    reader::{Next, Reader},
};
use crate::history::Key;

/// Submits the request and reads until its end.
pub(super) async fn send(client: &Client, sending: &Sending, reader: &mut Reader<'_>) {
    let mut tries = 0;
    while Instant::now() < sending.give_up {
        match hand_in(client, sending, tries).await {
            Some(true) => return read(client, sending, reader, tries).await,
            Some(false) => return,
            None => {}
        }
        sleep(RECONNECT).await;
        tries += 1;
    }
}

/// Requests the cancel.
pub(super) async fn cancel(client: &Client) {
    let url = format!("http://{}/v1/requests/{}", client.gateway(0), client.planned.key.id);
    // If it is lost it has no effect: the checkers allow for both.
    let _ = signed(client, client.ground.http.delete(url)).send().await;
}

/// Whether the request was accepted; `None` if that is unknown, or not yet known.
async fn hand_in(client: &Client, sending: &Sending, tries: usize) -> Option<bool> {
    let url = format!("http://{}/v1/requests", client.gateway(tries));
    let format = Format::from(client.planned.format);
    let body = client.planned.bytes(sending.other, &client.ground.callbacks);
    let request = client.ground.http.post(url).header(CONTENT_TYPE, format.content_type()).body(body);
    match signed(client, request).send().await {
        Ok(response) if response.status() == StatusCode::ACCEPTED => {
            client.accepted(sending);
            Some(true)
        }
        Ok(response) => match refusal(response).await {
            Some(error) => client.refused(&error, sending).then_some(false),
            None => {
                client.unclear();
                None
            }
        },
        Err(error) => {
            if !error.is_connect() {
                client.unclear();
            }
            None
        }
    }
}

/// Reads until the end, over as many connections as it takes.
async fn read(client: &Client, sending: &Sending, reader: &mut Reader<'_>, mut tries: usize) {
    while Instant::now() < sending.give_up {
        match read_once(client, reader, tries).await {
            Some(Next::Ended | Next::Gone) => return,
            Some(Next::Cut(away)) => sleep(away).await,
            Some(Next::More) | None => sleep(RECONNECT).await,
        }
        reader.leaves();
        tries += 1;
    }
}

async fn read_once(client: &Client, reader: &mut Reader<'_>, tries: usize) -> Option<Next> {
    let url = format!("http://{}/v1/requests/{}/events", client.gateway(tries), client.planned.key.id);
    let mut request = signed(client, client.ground.http.get(url));
    if let Some((attempt, seq)) = reader.last {
        request = request.header("last-event-id", format!("{attempt}-{seq}"));
    }
    let response = request.send().await.ok()?.error_for_status().ok()?;
    reader.starts();
    let mut events = SseByteStream::new(response.bytes_stream());
    while let Some(Ok(event)) = events.next().await {
        let Some(data) = event.data else { continue };
        let Ok(event) = serde_json::from_str::<Event>(&data) else { continue };
        match reader.sees(&event).await {
            Next::More => {}
            next => return Some(next),
        }
    }
    None
}

/// The recorded outcome from a gateway; `None` while there is none.
pub(super) async fn outcome(client: &Client, tries: usize) -> Option<Outcome> {
    ask_for(&client.ground, client.gateway(tries), &client.planned.key).await
}

/// The same, without a client.
pub(crate) async fn outcome_of(ground: &Ground, key: &Key) -> Option<Outcome> {
    ask_for(ground, *ground.doors.first()?, key).await
}

async fn ask_for(ground: &Ground, at: SocketAddr, key: &Key) -> Option<Outcome> {
    let request = ground.http.get(format!("http://{at}/v1/requests/{}", key.id));
    let response = with_key(ground, request).send().await.ok()?;
    match response.status() {
        StatusCode::OK => response.json().await.ok(),
        _ => None,
    }
}

/// Adds the client's credential.
pub(super) fn signed(client: &Client, request: RequestBuilder) -> RequestBuilder {
    with_key(&client.ground, request)
}

fn with_key(ground: &Ground, request: RequestBuilder) -> RequestBuilder {
    request.header(AUTHORIZATION, format!("Bearer {}", ground.key.expose()))
}

/// The error of a refusal; `None` if the answer is not Dynode's.
pub(super) async fn refusal(response: Response) -> Option<Error> {
    #[derive(Deserialize)]
    struct Refusal {
        error: Said,
    }
    #[derive(Deserialize)]
    struct Said {
        message: String,
        code: String,
    }
    let status = response.status().as_u16();
    let header = |name: &str| response.headers().get(name)?.to_str().ok()?.parse::<u64>().ok();
    let wait = header("retry-after-ms");
    let said = response.json::<Refusal>().await.ok()?.error;
    let named = serde_json::from_value::<ErrorCode>(said.code.into()).ok();
    let by_status = || schemas::error::TABLE.iter().find(|row| row.http_status == status).map(|row| row.code);
    let mut error = Error::new(named.or_else(by_status)?, said.message);
    error.retry_after_ms = wait;
    Some(error)
}

/// How long a client waits after this error.
pub(super) fn wait(error: &Error) -> Duration {
    error.retry_after_ms.map_or(RECONNECT, Duration::from_millis)
}
