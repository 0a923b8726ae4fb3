//! A client on a WebSocket: each request has its own connection, and resumes on a new one after any failure.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use schemas::{Error, ErrorCode, Event, EventBody, Format, RequestId};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Message, client::IntoClientRequest, http::HeaderValue, protocol::frame::coding::CloseCode,
    },
};

use super::{
    CONNECT_MAX, SILENCE_MAX,
    client::{Client, RECONNECT, Sending},
    reader::{Next, Reader},
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How a connection ended.
enum Parting {
    /// The client is done.
    Done,
    /// It was lost or given up; the reader comes back after this long.
    Back(Duration),
}

/// Sends the request and reads until its end.
pub(super) async fn send(client: &Client, sending: &Sending, reader: &mut Reader<'_>) {
    let mut tries = 0;
    while Instant::now() < sending.give_up {
        let parting = match connect(client, client.gateway(tries)).await {
            Some(socket) => converse(client, sending, reader, socket).await,
            None => Parting::Back(RECONNECT),
        };
        reader.leaves();
        match parting {
            Parting::Done => return,
            Parting::Back(pause) => sleep(pause).await,
        }
        tries += 1;
    }
}

/// Requests the cancel on a separate connection.
pub(super) async fn cancel(client: &Client) {
    let Some(mut socket) = connect(client, client.gateway(0)).await else { return };
    let ask = json!({"action": "cancel", "id": client.planned.key.id}).to_string();
    let goodbye = async {
        socket.send(Message::text(ask)).await?;
        socket.close(None).await?;
        // The server answers the close after it has read the cancel.
        while let Some(Ok(_)) = socket.next().await {}
        Ok::<_, tokio_tungstenite::tungstenite::Error>(())
    };
    // If it is lost it has no effect: the checkers allow for both.
    let _ = timeout(CONNECT_MAX, goodbye).await;
}

async fn connect(client: &Client, at: SocketAddr) -> Option<Socket> {
    let mut request = format!("ws://{at}/ws").into_client_request().ok()?;
    let key = HeaderValue::from_str(&format!("Bearer {}", client.ground.key.expose())).ok()?;
    request.headers_mut().insert("authorization", key);
    let connected = timeout(CONNECT_MAX, connect_async(request)).await;
    connected.ok()?.ok().map(|(socket, _)| socket)
}

async fn converse(
    client: &Client,
    sending: &Sending,
    reader: &mut Reader<'_>,
    mut socket: Socket,
) -> Parting {
    let resumes = reader.last.is_some();
    reader.starts();
    if socket.send(opening(client, sending, reader)).await.is_err() {
        client.unclear();
        return Parting::Back(RECONNECT);
    }
    loop {
        let (format, bytes) = match timeout(SILENCE_MAX, socket.next()).await {
            Ok(Some(Ok(Message::Text(text)))) => (Format::Json, Bytes::from(text)),
            Ok(Some(Ok(Message::Binary(bytes)))) => (Format::MessagePack, bytes),
            Ok(Some(Ok(Message::Close(Some(close))))) if close.code == CloseCode::Size => {
                let error = Error::new(ErrorCode::TooLarge, close.reason.as_str());
                client.refused(&error, sending);
                return Parting::Done;
            }
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => continue,
            // Silence, a close or an error: it is lost.
            Err(_) | Ok(None | Some(Ok(Message::Close(_)) | Err(_))) => {
                client.unclear();
                return Parting::Back(RECONNECT);
            }
        };
        let event = format.decode::<Event>(&bytes);
        if let Some(error) = refusal(event.as_ref().ok(), format, &bytes) {
            if resumes || !client.refused(&error, sending) {
                return Parting::Back(Duration::from_millis(error.retry_after_ms.unwrap_or(500)));
            }
            return Parting::Done;
        }
        // Skips what is no event of this version (the signal of a busy pool).
        let Ok(event) = event else { continue };
        client.accepted(sending);
        match reader.sees(&event).await {
            Next::More => {}
            Next::Ended | Next::Gone => return Parting::Done,
            Next::Cut(away) => return Parting::Back(away),
        }
    }
}

/// The request if nothing of it was seen yet (the same id never runs twice); otherwise a resume.
fn opening(client: &Client, sending: &Sending, reader: &Reader<'_>) -> Message {
    let format = Format::from(client.planned.format);
    let bytes = match reader.last {
        Some((attempt, after)) => {
            let id = &client.planned.key.id;
            let resume = json!({"action": "resume", "id": id, "attempt": attempt, "after": after});
            format.encode(&resume).unwrap_or_default().to_vec()
        }
        None => client.planned.bytes(sending.other, &client.ground.callbacks),
    };
    match (format, String::from_utf8(bytes)) {
        (Format::Json, Ok(text)) => Message::text(text),
        (_, Ok(text)) => Message::binary(text.into_bytes()),
        (_, Err(bytes)) => Message::binary(bytes.into_bytes()),
    }
}

/// The refusal, if any: it comes in the place of `queued`, or without an id if the frame was unreadable.
fn refusal(event: Option<&Event>, format: Format, bytes: &[u8]) -> Option<Error> {
    #[derive(Deserialize)]
    struct Nameless {
        id: Option<RequestId>,
        error: Error,
    }
    match event.map(|event| (event.attempt, event.seq, &event.body)) {
        Some((0, 0, EventBody::Fail { error })) => Some(error.clone()),
        Some(_) => None,
        None => {
            let nameless = format.decode::<Nameless>(bytes).ok()?;
            nameless.id.is_none().then_some(nameless.error)
        }
    }
}
