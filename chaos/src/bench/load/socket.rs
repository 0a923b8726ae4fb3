//! A caller on a WebSocket: one chat after the other on one connection; it scans events instead of parsing them.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::HeaderValue;
use memchr::memmem::Finder;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use super::{
    Caller, Failure,
    marks::{self, Marks},
    tally::Notes,
};

/// The connect timeout.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The longest silence allowed.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A connection.
pub(crate) type Socket = WebSocketStream<TcpStream>;

/// Connects to `authority`, a `HOST:PORT`.
pub(crate) async fn connect(authority: &str, key: Option<&HeaderValue>) -> Result<Socket, Failure> {
    let connecting = async {
        let stream =
            TcpStream::connect(authority).await.map_err(|error| format!("no connection: {error}"))?;
        stream.set_nodelay(true).map_err(|error| format!("no connection: {error}"))?;
        let request = format!("ws://{authority}/ws").into_client_request();
        let mut request = request.map_err(|error| format!("no connection: {error}"))?;
        if let Some(key) = key {
            request.headers_mut().insert(http::header::AUTHORIZATION, key.clone());
        }
        let shaken = client_async(request, stream).await;
        shaken.map(|(socket, _)| socket).map_err(|error| format!("no WebSocket: {error}"))
    };
    timeout(CONNECT_MAX, connecting).await.map_err(|_| "no connection in time".to_owned())?
}

/// One connection, and its request.
#[derive(Debug)]
pub(crate) struct SocketCaller {
    socket: Socket,
    frame: (String, String),
    /// The prefix of this connection's ids; no other connection has it.
    run: String,
    next: u64,
    chunks: u32,
    ends: Ends,
}

/// Finds the last event of a request.
#[derive(Debug)]
struct Ends {
    complete: Finder<'static>,
    fail: Finder<'static>,
    cancelled: Finder<'static>,
}

impl SocketCaller {
    /// Connects.
    pub(crate) async fn connect(
        authority: &str,
        key: Option<&HeaderValue>,
        frame: (String, String),
        chunks: u32,
    ) -> Result<Self, Failure> {
        let ends = Ends {
            complete: Finder::new(br#""event":"chat.complete""#),
            fail: Finder::new(br#""event":"fail""#),
            cancelled: Finder::new(br#""event":"cancelled""#),
        };
        let socket = connect(authority, key).await?;
        let run = format!("{:016x}", rand::random::<u64>());
        Ok(Self { socket, frame, run, next: 0, chunks, ends })
    }

    async fn heard(&mut self) -> Result<Bytes, Failure> {
        loop {
            match timeout(SILENCE_MAX, self.socket.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => return Ok(text.into()),
                Ok(Some(Ok(Message::Binary(bytes)))) => return Ok(bytes),
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => {}
                Ok(None | Some(Ok(Message::Close(_)) | Err(_))) => return Err("socket closed".to_owned()),
                Err(_) => return Err("silence".to_owned()),
            }
        }
    }
}

impl Caller for SocketCaller {
    async fn call(&mut self, notes: &mut Notes) -> Result<(), Failure> {
        self.next += 1;
        let (head, tail) = &self.frame;
        let frame = format!("{head}b{}-{}{tail}", self.run, self.next);
        self.socket.send(Message::text(frame)).await.map_err(|_| "socket closed".to_owned())?;
        let (mut marks, mut seen, mut last) = (Marks::default(), 0, None::<Instant>);
        loop {
            let event = self.heard().await?;
            if self.ends.complete.find(&event).is_some() {
                // The last event repeats the whole answer, whose marks were seen already.
                return match seen {
                    seen if seen == self.chunks => Ok(()),
                    _ => Err("chunks missing from a stream".to_owned()),
                };
            }
            if self.ends.fail.find(&event).is_some() {
                return Err("event: fail".to_owned());
            }
            if self.ends.cancelled.find(&event).is_some() {
                return Err("event: cancelled".to_owned());
            }
            let (before, now_us) = (seen, marks::now_us());
            marks.read(&event, |sent_us| {
                seen += 1;
                notes.chunks_us.push(now_us.saturating_sub(sent_us));
            });
            if seen > before {
                let now = Instant::now();
                notes.first.get_or_insert(now);
                if let Some(last) = last.replace(now) {
                    notes.gaps_us.push(u64::try_from((now - last).as_micros()).unwrap_or(u64::MAX));
                }
            }
        }
    }
}
