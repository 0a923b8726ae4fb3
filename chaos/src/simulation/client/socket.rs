//! A client of the WebSocket: sends its request in a frame, and reads its events on the same socket.

use futures_util::{SinkExt, StreamExt};
use schemas::{Error, ErrorCode, Event, EventBody, Format};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::DuplexStream,
    time::{sleep, timeout},
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use tokio_util::sync::CancellationToken;

use super::{
    ANSWER_TIMEOUT, Client, TRIES_MAX, pause,
    reader::{COME_BACK, Next, Reader},
};
use crate::{history::Door, simulation::world::Pipe, workload::Bad};

/// How often to ask again for a request that was accepted but is not known.
const UNKNOWN_MAX: u32 = 6;

/// An open socket, and what cuts it.
struct Socket {
    stream: WebSocketStream<DuplexStream>,
    cuts: [CancellationToken; 2],
    format: Format,
}

/// What a socket says.
enum Heard {
    Event(Box<Event>),
    /// The refusal of a frame of ours whose id could not be read.
    Unreadable(Error),
}

/// The form of such a refusal.
#[derive(Deserialize)]
struct Unreadable {
    error: Error,
}

/// How one socket ended, for the request on it.
enum Ended {
    /// The reader has the end, wants no more, or the request was refused.
    Done,
    /// The reader went away on purpose.
    Away(std::time::Duration),
    /// The socket broke off.
    Broken,
    /// The request is not known, or cannot be resumed now.
    Unknown,
}

impl Socket {
    async fn send(&mut self, bytes: Vec<u8>) -> bool {
        let message = match (self.format, String::from_utf8(bytes)) {
            (Format::Json, Ok(text)) => Message::text(text),
            (Format::Json, Err(bytes)) => Message::binary(bytes.into_bytes()),
            (Format::MessagePack, Ok(text)) => Message::binary(text.into_bytes()),
            (Format::MessagePack, Err(bytes)) => Message::binary(bytes.into_bytes()),
        };
        self.stream.send(message).await.is_ok()
    }

    async fn say(&mut self, value: &Value) -> bool {
        let bytes = self.format.encode(value).unwrap_or_default();
        self.send(bytes.to_vec()).await
    }

    /// The next event; `None` at the end of the socket.
    async fn hear(&mut self) -> Option<Heard> {
        loop {
            let message = tokio::select! {
                biased;
                () = Pipe::cut(&self.cuts) => return None,
                message = self.stream.next() => message?.ok()?,
            };
            let (format, bytes) = match message {
                Message::Text(text) => (Format::Json, bytes::Bytes::from(text)),
                Message::Binary(bytes) => (Format::MessagePack, bytes),
                Message::Close(_) => return None,
                _ => continue,
            };
            // Anything else is a signal of the pools.
            if let Ok(event) = format.decode(&bytes) {
                return Some(Heard::Event(Box::new(event)));
            }
            if let Ok(Unreadable { error }) = format.decode(&bytes) {
                return Some(Heard::Unreadable(error));
            }
        }
    }
}

impl Client {
    pub(super) async fn by_socket(&self, other: bool, mut reader: Reader) {
        let (mut accepted, mut tries, mut unknown) = (false, 0, 0);
        loop {
            let ended = match self.open().await {
                Some(mut socket) => {
                    let ended = self.converse(&mut socket, other, &mut accepted, &mut reader).await;
                    reader.leave();
                    Some(ended)
                }
                None => None,
            };
            let wait = match ended {
                Some(Ended::Done) => return,
                Some(Ended::Away(away)) => away,
                Some(Ended::Unknown) => {
                    unknown += 1;
                    if unknown > UNKNOWN_MAX {
                        return;
                    }
                    pause(unknown)
                }
                Some(Ended::Broken) if accepted => COME_BACK,
                Some(Ended::Broken) | None => {
                    tries += 1;
                    if tries >= TRIES_MAX && !accepted {
                        return;
                    }
                    pause(tries)
                }
            };
            sleep(wait).await;
        }
    }

    async fn open(&self) -> Option<Socket> {
        let Pipe { stream, cuts } = self.world.dial(&self.planned.key.tenant, self.number)?;
        let opening = timeout(ANSWER_TIMEOUT, client_async("ws://gateway.test/ws", stream));
        let opened = tokio::select! {
            biased;
            () = Pipe::cut(&cuts) => return None,
            opened = opening => opened.ok()?,
        };
        let (stream, _) = opened.ok()?;
        Some(Socket { stream, cuts, format: Format::from(self.planned.format) })
    }

    /// Sends the request or resumes it, and reads.
    async fn converse(
        &self,
        socket: &mut Socket,
        other: bool,
        accepted: &mut bool,
        reader: &mut Reader,
    ) -> Ended {
        let said = match reader.last {
            // A reader that has seen no attempt yet sends the request again: a resume does not say what was sent, so
            // nobody could tell the reader of a conflict.
            Some((attempt, after)) if attempt > 0 => {
                let id = &self.planned.key.id;
                let resume = json!({"action": "resume", "id": id, "attempt": attempt, "after": after});
                socket.say(&resume).await
            }
            _ => {
                (*accepted, reader.last) = (false, None);
                self.say_sent(Door::Socket, other);
                socket.send(self.bytes(other)).await
            }
        };
        if !said {
            return self.broken(*accepted);
        }
        reader.begin();
        loop {
            let waiting = if *accepted { std::time::Duration::MAX } else { ANSWER_TIMEOUT };
            let event = match timeout(waiting, socket.hear()).await {
                Ok(Some(Heard::Event(event))) => *event,
                Ok(Some(Heard::Unreadable(error))) => {
                    self.say_refused(error.code, error.retry_after_ms);
                    return Ended::Done;
                }
                Ok(None) | Err(_) => return self.broken(*accepted),
            };
            if let EventBody::Fail { error } = &event.body
                && error.code == ErrorCode::Conflict
            {
                // Perhaps after `queued`: of two requests that came at once, the other was first.
                self.say_refused(error.code, None);
                return Ended::Done;
            }
            if let EventBody::Fail { error } = &event.body
                && (event.attempt, event.seq) == (0, 0)
            {
                if *accepted {
                    return Ended::Unknown;
                }
                if error.code == ErrorCode::Internal {
                    // A fault of the server: it says nothing about the request.
                    self.say_unclear("internal");
                    return Ended::Broken;
                }
                self.say_refused(error.code, error.retry_after_ms);
                return Ended::Done;
            }
            if !*accepted {
                *accepted = true;
                self.say_accepted();
            }
            match reader.take(&event) {
                Next::Read => {}
                Next::Pause(pause) => sleep(pause).await,
                Next::Away(away) => return Ended::Away(away),
                Next::Leave => return Ended::Done,
            }
        }
    }

    fn broken(&self, accepted: bool) -> Ended {
        let too_large = matches!(self.planned.bad, Some(Bad::Huge { .. }));
        match (accepted, too_large) {
            (true, _) => Ended::Broken,
            // The gateway refuses a frame that is too large by closing the socket.
            (false, true) => {
                self.say_refused(ErrorCode::TooLarge, None);
                Ended::Done
            }
            (false, false) => {
                self.say_unclear("the socket broke off");
                Ended::Broken
            }
        }
    }

    pub(super) async fn cancel_by_socket(&self) {
        for tries in 0..TRIES_MAX {
            if let Some(mut socket) = self.open().await {
                let cancel = json!({"action": "cancel", "id": self.planned.key.id});
                if socket.say(&cancel).await {
                    // The refusal, if there is one, comes before the close.
                    let _ = timeout(COME_BACK, socket.hear()).await;
                    return;
                }
            }
            sleep(pause(tries)).await;
        }
    }
}
