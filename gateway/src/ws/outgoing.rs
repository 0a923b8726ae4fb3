//! The writing half of a socket: a bounded queue and a task that empties it. A client that does not read loses its
//! socket, and nobody else notices.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures_util::{Sink, SinkExt, stream::SplitSink};
use schemas::Format;
use tokio::sync::mpsc;
use tracing::debug;

use crate::frame::Frame;

/// Why a socket is closed.
pub(crate) const GOING_AWAY: u16 = 1001;
pub(crate) const PROTOCOL_ERROR: u16 = 1002;
pub(crate) const POLICY: u16 = 1008;
pub(crate) const TOO_LARGE: u16 = 1009;

/// The socket is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// Puts frames into the queue. Waits while the client does not read: that slows down only this socket's requests, and
/// their feeds recover from the stream what they miss meanwhile.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing(mpsc::Sender<Message>);

impl Outgoing {
    pub(crate) fn new(frames_max: usize) -> (Self, mpsc::Receiver<Message>) {
        let (sender, receiver) = mpsc::channel(frames_max);
        (Self(sender), receiver)
    }

    /// A body in `format`: text or binary.
    pub(crate) async fn send(&self, body: Bytes, format: Format) -> Result<(), Gone> {
        self.0.send(message(body, format)).await.map_err(|_| Gone)
    }

    /// An event, in the client's format.
    pub(crate) async fn frame(&self, frame: &Frame, format: Format) -> Result<(), Gone> {
        match frame.bytes(format) {
            Ok(body) => self.send(body, format).await,
            Err(error) => {
                debug!(%error, "an event cannot be written in the client's format");
                Ok(())
            }
        }
    }

    /// Sends a hint, or drops it if there is no room.
    pub(crate) fn hint(&self, body: Bytes, format: Format) {
        let _ = self.0.try_send(message(body, format));
    }

    /// Sends a ping, likewise.
    pub(crate) fn ping(&self) {
        let _ = self.0.try_send(Message::Ping(Bytes::new()));
    }

    /// The last frame.
    pub(crate) async fn close(&self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        let _ = self.0.send(Message::Close(Some(frame))).await;
    }

    /// Waits until the writer is gone.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }
}

fn message(body: Bytes, format: Format) -> Message {
    match format {
        Format::Json => match Utf8Bytes::try_from(body) {
            Ok(text) => Message::Text(text),
            // JSON that is not UTF-8 came from a broken publisher; a text frame with it would break the connection.
            Err(_) => Message::Text(Utf8Bytes::from_static("null")),
        },
        Format::MessagePack => Message::Binary(body),
    }
}

/// Writes until the queue ends, a close frame is written, or the client leaves a frame unread for `timeout`.
pub(crate) async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut queue: mpsc::Receiver<Message>,
    timeout: Duration,
) {
    while let Some(first) = queue.recv().await {
        match tokio::time::timeout(timeout, write_all(&mut sink, &mut queue, first)).await {
            Ok(Ok(true)) => {}
            Ok(_) => return,
            Err(_) => {
                debug!("a client does not read: its socket is closed");
                return;
            }
        }
    }
}

/// Writes what waits, then flushes once; `false` after a close frame.
async fn write_all<S: Sink<Message> + Unpin>(
    sink: &mut S,
    queue: &mut mpsc::Receiver<Message>,
    first: Message,
) -> Result<bool, S::Error> {
    let mut next = Some(first);
    while let Some(message) = next {
        let last = matches!(message, Message::Close(_));
        sink.feed(message).await?;
        if last {
            sink.flush().await?;
            return Ok(false);
        }
        next = queue.try_recv().ok();
    }
    sink.flush().await?;
    Ok(true)
}
