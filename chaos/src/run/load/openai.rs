//! A client over HTTP in OpenAI's form: one answer, or its pieces by SSE. There is no resume: if the connection breaks,
//! the client asks for the outcome by its id.

use futures_util::StreamExt;
use reqwest::{Response, StatusCode};
use schemas::{ErrorCode, Event};
use serde_json::Value;
use sse_stream::SseByteStream;
use tokio::time::{Instant, sleep};

use super::{
    client::{Client, RECONNECT, Sending},
    http::{outcome, refusal, signed, wait},
    reader::Reader,
};

/// The end of a stream.
const DONE: &str = "[DONE]";

/// The result of one try.
enum Came {
    /// The answer has started.
    Answer(Response),
    /// The request was accepted and has ended.
    End,
    /// A final refusal.
    No,
    /// Nothing conclusive.
    Nothing,
}

/// Sends it, and reads until the end.
pub(super) async fn send(client: &Client, sending: &Sending, reader: &mut Reader<'_>) {
    let mut tries = 0;
    while Instant::now() < sending.give_up {
        match ask(client, sending, tries).await {
            Came::Answer(response) => {
                client.accepted(sending);
                let text = text(response, client.planned.ask.stream).await;
                return look_up(client, sending, reader, text).await;
            }
            Came::End => {
                client.accepted(sending);
                return look_up(client, sending, reader, None).await;
            }
            Came::No => return,
            // The request may run; if it does, it will have an outcome.
            Came::Nothing => sleep(RECONNECT).await,
        }
        tries += 1;
    }
}

async fn ask(client: &Client, sending: &Sending, tries: usize) -> Came {
    let url = format!("http://{}/v1/chat/completions", client.gateway(tries));
    let payload = client.planned.request(sending.other, &client.ground.callbacks).payload;
    let request = client.ground.http.post(url).json(&payload);
    let request = request.header("idempotency-key", client.planned.key.id.as_str());
    match signed(client, request).send().await {
        Ok(response) if response.status() == StatusCode::OK => Came::Answer(response),
        Ok(response) => match refusal(response).await {
            // A failed request has the same form as a refusal; an outcome under its id tells them apart.
            Some(error) if !is_of_the_door(error.code) && outcome(client, tries).await.is_some() => Came::End,
            Some(error) if client.refused(&error, sending) => Came::No,
            Some(error) => {
                sleep(wait(&error)).await;
                Came::Nothing
            }
            None => {
                client.unclear();
                Came::Nothing
            }
        },
        Err(error) => {
            if !error.is_connect() {
                client.unclear();
            }
            Came::Nothing
        }
    }
}

/// Whether a code is only ever a refusal, so that no look-up is needed.
const fn is_of_the_door(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::Overloaded | ErrorCode::RateLimited | ErrorCode::TooLarge | ErrorCode::Conflict)
}

/// The text of the answer; `None` if it was cut off.
async fn text(response: Response, streamed: bool) -> Option<String> {
    if !streamed {
        let body: Value = response.json().await.ok()?;
        return body.pointer("/choices/0/message/content").and_then(Value::as_str).map(str::to_owned);
    }
    let mut text = String::new();
    let mut events = SseByteStream::new(response.bytes_stream());
    while let Some(Ok(event)) = events.next().await {
        let Some(data) = event.data else { continue };
        if data == DONE {
            return Some(text);
        }
        let chunk: Value = serde_json::from_str(&data).ok()?;
        text += chunk.pointer("/choices/0/delta/content").and_then(Value::as_str).unwrap_or_default();
    }
    None
}

/// Fetches the outcome, and records it as the reader's one frame, with the text that this door sent, if any.
async fn look_up(client: &Client, sending: &Sending, reader: &mut Reader<'_>, text: Option<String>) {
    let mut tries = 0;
    while Instant::now() < sending.give_up {
        if let Some(outcome) = outcome(client, tries).await {
            let mut end = outcome.terminal_event();
            if let (Some(text), Some(completion)) = (text, completion(&mut end)) {
                *completion = text;
            }
            reader.last = end.seq.checked_sub(1).map(|before| (end.attempt, before));
            reader.starts();
            reader.sees(&end).await;
            return;
        }
        sleep(RECONNECT).await;
        tries += 1;
    }
}

fn completion(end: &mut Event) -> Option<&mut String> {
    match &mut end.body {
        schemas::EventBody::ChatComplete(done) => match &mut done.output {
            schemas::Output::Chat(chat) => Some(&mut chat.text),
            _ => None,
        },
        _ => None,
    }
}
