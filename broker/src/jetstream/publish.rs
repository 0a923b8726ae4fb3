//! Stores a message: sends it with its id, waits for the ack, and repeats it if the result is unknown.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use serde::Deserialize;

use super::{
    api::{ApiError, unreadable},
    connection::Connection,
    wire::{add, to_nats},
};
use crate::{Error, ErrorKind, Publication, Receipt, message::MESSAGE_ID};

/// An ack takes a millisecond, a second under a flood; after this it was lost.
const ACK_MAX: Duration = Duration::from_secs(2);
/// How often a message with an id is sent in all. A restart of the server costs one attempt.
const ATTEMPTS: u32 = 3;

#[derive(Deserialize)]
struct Ack {
    error: Option<ApiError>,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
}

/// Publishes, and retries a message that has an id.
pub(super) async fn publish(connection: &Connection, publication: &Publication) -> Result<Receipt, Error> {
    let Publication { message, id } = publication;
    let headers = || {
        let mut headers = to_nats(&message.headers)?;
        if let Some(id) = id {
            add(&mut headers, MESSAGE_ID, id)?;
        }
        Ok(headers)
    };
    store(connection, &message.subject, headers, &message.payload, id.is_some()).await
}

/// Sends a message. `repeatable` says that the broker recognises a repeat by these headers.
pub(super) async fn store(
    connection: &Connection,
    subject: &str,
    headers: impl Fn() -> Result<HeaderMap, Error>,
    payload: &Bytes,
    repeatable: bool,
) -> Result<Receipt, Error> {
    let mut attempt = 1;
    loop {
        // If this fails, nothing was sent; whether to wait longer is for the caller to decide.
        connection.up_within(ACK_MAX).await?;
        let error = match attempt_once(connection, subject, headers()?, payload.clone()).await {
            Ok(receipt) => return Ok(receipt),
            Err(error) => error,
        };
        let unknown = matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Disconnected);
        if !(unknown && repeatable && attempt < ATTEMPTS) {
            return Err(error);
        }
        tracing::debug!(subject, attempt, %error, "publishing again");
        attempt += 1;
    }
}

async fn attempt_once(
    connection: &Connection,
    subject: &str,
    headers: HeaderMap,
    payload: Bytes,
) -> Result<Receipt, Error> {
    let headers = (!headers.is_empty()).then_some(headers);
    let answer = connection.requests().ask(subject, headers, payload, ACK_MAX).await.map_err(|error| {
        match error.kind() {
            ErrorKind::NotFound => Error::new(ErrorKind::NotFound, format!("no stream takes {subject}")),
            _ => error,
        }
    })?;
    let ack: Ack = serde_json::from_slice(&answer.payload).map_err(|error| unreadable(subject, error))?;
    match ack.error {
        Some(error) => Err(error.into_error(subject)),
        None => Ok(Receipt { sequence: ack.seq, duplicate: ack.duplicate }),
    }
}
