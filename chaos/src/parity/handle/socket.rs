//! The WebSocket: all requests on one connection, told apart by their ids.

use std::{collections::HashMap, io};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use schemas::{Error, Event, Format, RequestId};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::sleep};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue},
};

use super::{Asked, Plan, Who};
use crate::parity::{
    ground::Ground,
    normal,
    shown::{self, Shown},
};

/// One connection.
#[derive(Debug)]
pub(in crate::parity) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    format: Format,
}

/// What arrives on it.
#[derive(Debug)]
pub(in crate::parity) enum Heard {
    /// An event of a request.
    Event(Box<Event>),
    /// The refusal of a frame without an id.
    Nameless(Error),
    /// The signal of a pool, which belongs to no request.
    Signal(Value),
    /// The end of the connection, with its code if there was one.
    Closed(Option<u16>),
}

impl Socket {
    /// Opens a connection; or returns the refusal, which comes over HTTP before the upgrade.
    pub(in crate::parity) async fn open(
        ground: &Ground,
        who: &Who,
        format: Format,
    ) -> io::Result<Result<Self, Shown>> {
        let url = format!("ws://{}/ws", ground.at);
        let mut request = url.into_client_request().map_err(io::Error::other)?;
        if let Some(key) = &who.key {
            let key = HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(io::Error::other)?;
            request.headers_mut().insert("authorization", key);
        }
        match connect_async(request).await {
            Ok((stream, _)) => Ok(Ok(Self { stream, format })),
            Err(tungstenite::Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                let body = serde_json::from_slice(body).unwrap_or_default();
                let (error, faults) = normal::refusal(response.status().as_u16(), response.headers(), &body);
                let mut shown = Shown::default();
                faults.into_iter().for_each(|fault| shown.fault(fault));
                shown.fails("refused", error);
                Ok(Err(shown))
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }

    pub(in crate::parity) async fn say(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        let message = match self.format {
            Format::Json => Message::text(String::from_utf8(bytes).map_err(io::Error::other)?),
            Format::MessagePack => Message::binary(bytes),
        };
        self.stream.send(message).await.map_err(io::Error::other)
    }

    async fn say_value(&mut self, value: &Value) -> io::Result<()> {
        let bytes = self.format.encode(value).map_err(io::Error::other)?;
        self.say(bytes.to_vec()).await
    }

    /// The next frame that is not about the connection itself.
    pub(in crate::parity) async fn hear(&mut self) -> Heard {
        loop {
            let (format, bytes) = match self.stream.next().await {
                Some(Ok(Message::Text(text))) => (Format::Json, Bytes::from(text)),
                Some(Ok(Message::Binary(bytes))) => (Format::MessagePack, bytes),
                Some(Ok(Message::Close(close))) => {
                    return Heard::Closed(close.map(|close| close.code.into()));
                }
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return Heard::Closed(None),
            };
            if let Ok(event) = format.decode::<Event>(&bytes) {
                return Heard::Event(Box::new(event));
            }
            return match format.decode::<Nameless>(&bytes) {
                Ok(nameless) => Heard::Nameless(nameless.error),
                Err(_) => Heard::Signal(format.decode(&bytes).unwrap_or_default()),
            };
        }
    }
}

#[derive(Deserialize)]
struct Nameless {
    error: Error,
}

/// The open requests of a connection, by their ids.
type Open = HashMap<RequestId, (Shown, Plan)>;

/// See [`super::Handle::converse`].
pub(super) async fn converse(ground: &Ground, format: Format, asked: &[Asked]) -> io::Result<Vec<Shown>> {
    let Some(first) = asked.first() else { return Ok(Vec::new()) };
    let mut socket = match Socket::open(ground, &first.who, format).await? {
        Ok(socket) => socket,
        Err(refused) => return Ok(vec![refused]),
    };
    let mut open: Open = asked.iter().map(|one| (one.id.clone(), (Shown::default(), one.plan))).collect();
    for one in asked {
        // If the server has closed already, the loop below hears it.
        if let Err(error) = socket.say(one.bytes(format)).await {
            tracing::debug!(%error, "a frame was not sent");
        }
    }
    while open.values().any(|(shown, _)| !shown.has_ended()) {
        match socket.hear().await {
            Heard::Event(event) => {
                let Some((shown, plan)) = open.get_mut(&event.id) else { continue };
                shown.hears(&event);
                sleep(plan.pause).await;
                if plan.leaves(shown) {
                    continue;
                }
                if plan.cancels(shown) {
                    socket.say_value(&json!({"action": "cancel", "id": event.id})).await?;
                }
                if plan.cuts(shown) && !shown.has_ended() {
                    // Dropped without a close frame: a network does not say goodbye.
                    let again = Socket::open(ground, &first.who, format).await?;
                    socket = again.map_err(|_| io::Error::other("whoever comes back is refused"))?;
                    let (attempt, after) = shown.last().unwrap_or_default();
                    let resume =
                        json!({"action": "resume", "id": event.id, "attempt": attempt, "after": after});
                    socket.say_value(&resume).await?;
                }
            }
            Heard::Nameless(error) => return Ok(vec![shown::refused(&error)]),
            Heard::Signal(_) => {}
            Heard::Closed(code) => {
                for (shown, _) in open.values_mut().filter(|(shown, _)| !shown.has_ended()) {
                    shown.ends(json!({"end": "closed", "close_code": code}));
                }
            }
        }
    }
    Ok(asked.iter().filter_map(|one| open.remove(&one.id).map(|(shown, _)| shown)).collect())
}
