//! Converts between our messages and those of the NATS client, and hands them to it.

use async_nats::{Client, HeaderMap, HeaderName, PublishErrorKind, Subject, header::HeaderValue};
use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use crate::{Error, ErrorKind, Headers, Message, Stored};

/// The headers that the broker adds to a message read back; the others were published with it.
const ADDED: [&str; 6] = [
    "Nats-Stream",
    "Nats-Subject",
    "Nats-Sequence",
    "Nats-Time-Stamp",
    "Nats-Num-Pending",
    "Nats-Last-Sequence",
];

/// Hands a message to the client. Without a connection the client takes a few and then none, so this has a deadline;
/// what it took goes out when the connection is back.
pub(super) async fn publish(
    client: &Client,
    deadline: Instant,
    subject: &str,
    reply: Option<String>,
    headers: Option<HeaderMap>,
    payload: Bytes,
) -> Result<(), Error> {
    let (subject_sent, reply) = (Subject::from(subject.to_owned()), reply.map(Subject::from));
    let sent = async {
        match (reply, headers) {
            (Some(reply), Some(headers)) => {
                client.publish_with_reply_and_headers(subject_sent, reply, headers, payload).await
            }
            (Some(reply), None) => client.publish_with_reply(subject_sent, reply, payload).await,
            (None, Some(headers)) => client.publish_with_headers(subject_sent, headers, payload).await,
            (None, None) => client.publish(subject_sent, payload).await,
        }
    };
    match timeout_at(deadline, sent).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            let kind = match error.kind() {
                PublishErrorKind::MaxPayloadExceeded => ErrorKind::TooLarge,
                PublishErrorKind::InvalidSubject => ErrorKind::Invalid,
                PublishErrorKind::Send => ErrorKind::Closed,
            };
            Err(Error::new(kind, format!("cannot publish to {subject}")).with_source(error))
        }
        Err(_) => Err(Error::new(
            ErrorKind::Disconnected,
            format!("cannot publish to {subject}: too many messages wait to be sent"),
        )),
    }
}

/// Converts our headers to the client's.
pub(super) fn to_nats(headers: &Headers) -> Result<HeaderMap, Error> {
    let mut map = HeaderMap::new();
    for (name, value) in headers.iter() {
        add(&mut map, name, value)?;
    }
    Ok(map)
}

/// Adds one header, replacing an earlier value.
pub(super) fn add(map: &mut HeaderMap, name: &str, value: &str) -> Result<(), Error> {
    let invalid = || Error::new(ErrorKind::Invalid, format!("header {name:?} cannot be sent"));
    let name: HeaderName = name.parse().map_err(|_| invalid())?;
    let value: HeaderValue = value.parse().map_err(|_| invalid())?;
    map.insert(name, value);
    Ok(())
}

/// A message that was delivered.
pub(super) fn from_nats(message: async_nats::Message) -> Message {
    let headers = message.headers.as_ref().map(|map| from_map(map, &[])).unwrap_or_default();
    Message { subject: message.subject.into_string(), headers, payload: message.payload }
}

/// A message that was read back from a stream.
pub(super) fn stored(message: async_nats::Message) -> Result<Stored, Error> {
    let map = message.headers.unwrap_or_default();
    let told = |name: &str| {
        map.get(name).map(HeaderValue::as_str).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, format!("the broker gave a stored message without {name}"))
        })
    };
    let unreadable =
        |name: &str| Error::new(ErrorKind::Invalid, format!("the broker gave a {name} that is none"));
    let subject = told("Nats-Subject")?.to_owned();
    let sequence = told("Nats-Sequence")?.parse().map_err(|_| unreadable("Nats-Sequence"))?;
    let stored_at: Timestamp = told("Nats-Time-Stamp")?.parse().map_err(|_| unreadable("Nats-Time-Stamp"))?;
    let message = Message { subject, headers: from_map(&map, &ADDED), payload: message.payload };
    Ok(Stored { message, sequence, stored_at })
}

/// Sorted, because the client keeps headers in no order.
fn from_map(map: &HeaderMap, without: &[&str]) -> Headers {
    let mut pairs: Vec<(&str, &str)> = map
        .iter()
        .filter_map(|(name, values)| Some((name.as_ref(), values.first()?.as_str())))
        .filter(|(name, _)| !without.contains(name))
        .collect();
    pairs.sort_unstable();
    Headers::of_distinct(pairs)
}
