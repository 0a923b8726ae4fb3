//! Runs one request over as many connections as it takes: each new connection resumes where the last was lost.

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use schemas::{ErrorCode, EventBody, Request, RequestId};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    net::TcpStream,
    time::{self, Instant},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{self, Message, protocol::frame::coding::CloseCode},
};

#[cfg(test)]
mod tests;

use super::{
    Server,
    screen::{Screen, Shown},
};
use crate::{
    command::api,
    signal::{Signal, Signals},
};

/// The first pause before reconnecting; it doubles each time.
const RECONNECT_MIN: Duration = Duration::from_millis(100);
/// The longest pause, short enough to notice soon that the server is back.
const RECONNECT_MAX: Duration = Duration::from_secs(2);
/// After this much silence the client pings the server; after as much again the connection counts as lost.
const SILENCE: Duration = Duration::from_secs(15);
/// How long to wait for the close of the socket when the person wants to leave.
const FAREWELL: Duration = Duration::from_secs(1);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How the session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::command) enum End {
    /// With an answer.
    Succeeded,
    /// Without one.
    Failed,
    /// The first connection failed.
    Unreachable,
    /// The person pressed Ctrl-C: the request is cancelled if the server is connected.
    Interrupted,
    /// The same, but the person pressed Ctrl-C twice, or the program got SIGTERM.
    Left,
}

/// How one connection ended.
enum Parting {
    End(End),
    Lost,
}

/// A frame, as far as this command reads it.
#[derive(Debug, Deserialize)]
struct Frame {
    id: Option<RequestId>,
    attempt: Option<u32>,
    seq: Option<u64>,
    #[serde(flatten)]
    event: EventBody,
}

/// One request, and the position of the last event seen.
#[derive(Debug)]
pub(in crate::command) struct Session<'a, Out, Notes> {
    server: &'a Server,
    request: Request,
    screen: Screen<Out, Notes>,
    signals: &'a mut Signals,
    seen: Option<(u32, u64)>,
}

impl<'a, Out: Write, Notes: Write> Session<'a, Out, Notes> {
    /// A session with `server`. The request must have an id.
    pub(in crate::command) const fn new(
        server: &'a Server,
        request: Request,
        screen: Screen<Out, Notes>,
        signals: &'a mut Signals,
    ) -> Self {
        Self { server, request, screen, signals, seen: None }
    }

    /// Sends the request and shows its events until it has ended or `patience` has run out. Also returns the text of
    /// the answer so far.
    pub(in crate::command) async fn run(mut self, patience: Duration) -> anyhow::Result<(End, String)> {
        let end = self.converse_until_the_end(patience).await?;
        Ok((end, self.screen.text()))
    }

    async fn converse_until_the_end(&mut self, patience: Duration) -> anyhow::Result<End> {
        let give_up = Instant::now() + patience;
        let (mut pause, mut was_connected) = (Duration::ZERO, false);
        loop {
            let connection = tokio::select! {
                connection = connect(self.server, pause) => connection,
                signal = self.signals.next() => return Ok(end_by(signal)),
                () = time::sleep_until(give_up) => return self.late(),
            };
            let parting = match connection {
                Ok(mut socket) => {
                    (pause, was_connected) = (Duration::ZERO, true);
                    tokio::select! {
                        parting = self.converse(&mut socket) => parting?,
                        () = time::sleep_until(give_up) => return self.late(),
                    }
                }
                Err(error) => self.not_connected(&error, was_connected)?,
            };
            match parting {
                Parting::End(end) => return Ok(end),
                Parting::Lost => pause = (pause * 2).clamp(RECONNECT_MIN, RECONNECT_MAX),
            }
        }
    }

    /// `patience` has run out.
    fn late(&mut self) -> anyhow::Result<End> {
        let note = format!("no answer in time; ask for it later with --id {}", self.id());
        self.screen.note(&note)?;
        Ok(End::Failed)
    }

    /// A refusal is final, and so is a server that was never there; a server that went away may come back.
    fn not_connected(&mut self, error: &tungstenite::Error, was_connected: bool) -> io::Result<Parting> {
        if let tungstenite::Error::Http(response) = error
            && response.status().is_client_error()
        {
            let status = response.status();
            let mend =
                if status == StatusCode::UNAUTHORIZED { "; set DYNODE_API_KEY to a key of it" } else { "" };
            let why = response.body().as_deref().and_then(api::reason);
            let why = why.map(|why| format!(": {}", why.escape_debug())).unwrap_or_default();
            self.screen.note(&format!("{} refuses the connection: {status}{why}{mend}", self.server.url))?;
            return Ok(Parting::End(End::Failed));
        }
        if !was_connected {
            let mend = match error {
                tungstenite::Error::Http(_) => "it is starting, or its broker is away: try again in a moment",
                _ => "is `dynode` running there?",
            };
            self.screen.note(&format!("cannot reach {}: {error}; {mend}", self.server.url))?;
            return Ok(Parting::End(End::Unreachable));
        }
        Ok(Parting::Lost)
    }

    async fn converse(&mut self, socket: &mut Socket) -> anyhow::Result<Parting> {
        if self.say(socket, self.opening()?).await.is_err() {
            return Ok(Parting::Lost);
        }
        let mut asked = false;
        loop {
            let message = tokio::select! {
                message = time::timeout(SILENCE, socket.next()) => message,
                signal = self.signals.next() => return self.cancel(socket, signal).await,
            };
            match message {
                Ok(Some(Ok(Message::Text(text)))) => {
                    if let Some(parting) = self.hear(socket, &text).await? {
                        return Ok(parting);
                    }
                }
                Ok(Some(Ok(Message::Close(Some(close)))))
                    if matches!(close.code, CloseCode::Policy | CloseCode::Size) =>
                {
                    self.screen.note(&format!("the server closed the connection: {}", close.reason))?;
                    return Ok(Parting::End(End::Failed));
                }
                Ok(None | Some(Err(_) | Ok(Message::Close(_)))) => return self.lost(),
                Ok(Some(Ok(_))) => {}
                Err(_silence) if asked => return self.lost(),
                Err(_silence) => {
                    asked = true;
                    if socket.send(Message::Ping(bytes::Bytes::new())).await.is_err() {
                        return self.lost();
                    }
                    continue;
                }
            }
            asked = false;
        }
    }

    fn lost(&mut self) -> anyhow::Result<Parting> {
        self.screen.note("the connection was lost; reconnecting")?;
        Ok(Parting::Lost)
    }

    /// The first frame of a connection: the request if none of its events was seen yet (the same id never runs twice),
    /// otherwise a resume after the last event seen.
    fn opening(&self) -> anyhow::Result<String> {
        match self.seen {
            Some((attempt, after)) => {
                let id = self.id();
                Ok(json!({"action": "resume", "id": id, "attempt": attempt, "after": after}).to_string())
            }
            None => serde_json::to_string(&self.request).context("the request cannot be written as JSON"),
        }
    }

    /// Handles one frame; returns how the session or connection ends, if it does.
    async fn hear(&mut self, socket: &mut Socket, text: &str) -> anyhow::Result<Option<Parting>> {
        // Skips what is no event of this version: the signal of a busy pool, an event of a later version.
        let Ok(frame) = serde_json::from_str::<Frame>(text) else { return Ok(None) };
        if frame.id.as_ref().is_some_and(|id| Some(id) != self.request.id.as_ref()) {
            return Ok(None);
        }
        let position = position(&frame);
        if self.seen.is_some() && is_forgotten(&frame, position) {
            self.seen = None;
            self.screen.begin_anew("the server has forgotten it")?;
            let sent = self.say(socket, self.opening()?).await;
            return Ok(sent.is_err().then_some(Parting::Lost));
        }
        if position.is_some() && position <= self.seen {
            return Ok(None);
        }
        self.seen = position.or(self.seen);
        self.screen.raw(text)?;
        Ok(match self.screen.show(frame.attempt.unwrap_or_default(), &frame.event)? {
            Shown::More => None,
            Shown::Succeeded => Some(Parting::End(End::Succeeded)),
            Shown::Failed => Some(Parting::End(End::Failed)),
        })
    }

    async fn cancel(&mut self, socket: &mut Socket, signal: Signal) -> anyhow::Result<Parting> {
        let cancel = json!({"action": "cancel", "id": self.id()}).to_string();
        let farewell = async {
            socket.send(Message::text(cancel)).await?;
            socket.close(None).await?;
            // The server answers the close after it has read the cancel.
            while let Some(Ok(_)) = socket.next().await {}
            Ok::<_, tungstenite::Error>(())
        };
        // The session ends in any case; a second Ctrl-C does not wait.
        let end = tokio::select! {
            _ = time::timeout(FAREWELL, farewell) => end_by(signal),
            _ = self.signals.next() => End::Left,
        };
        self.screen.note("cancelled")?;
        Ok(Parting::End(end))
    }

    async fn say(&self, socket: &mut Socket, text: String) -> Result<(), tungstenite::Error> {
        socket.send(Message::text(text)).await
    }

    fn id(&self) -> &str {
        self.request.id.as_ref().map_or("", RequestId::as_str)
    }
}

/// The position of an event within its request. A refusal has none: it comes in the place of `queued`.
fn position(frame: &Frame) -> Option<(u32, u64)> {
    let position = frame.attempt.zip(frame.seq);
    position.filter(|place| *place != (0, 0) || !matches!(frame.event, EventBody::Fail { .. }))
}

/// Whether the server no longer knows the request: its events are gone, or it was never stored.
fn is_forgotten(frame: &Frame, position: Option<(u32, u64)>) -> bool {
    let not_found = matches!(&frame.event, EventBody::Fail { error } if error.code == ErrorCode::NotFound);
    not_found && position.is_none()
}

const fn end_by(signal: Signal) -> End {
    match signal {
        Signal::Interrupt => End::Interrupted,
        Signal::Terminate => End::Left,
    }
}

async fn connect(server: &Server, pause: Duration) -> Result<Socket, tungstenite::Error> {
    time::sleep(pause).await;
    let without_nagle = true;
    connect_async_with_config(server.opening()?, None, without_nagle).await.map(|(socket, _)| socket)
}
