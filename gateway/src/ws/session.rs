//! One socket: reads frames, runs their requests side by side, ends when the client or the server goes.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use schemas::{Backpressure, Flow, Format, RequestId, socket::Notice};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    client::Client,
    credit::Credit,
    incoming::{self, Unusable},
    outgoing::{self, GOING_AWAY, Gone, Outgoing, POLICY, PROTOCOL_ERROR, TOO_LARGE},
    stream::Ended,
};
use crate::{app::App, caller::CallerRef, flood::Flood, until::REVOKED};

/// How long a client may take to answer the close frame.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why the server closes a socket.
type Close = (u16, &'static str);

/// Serves `socket` to its end. Requests that are still open then run on; the client may resume them on another socket.
pub(crate) async fn run(app: App, caller: CallerRef, socket: WebSocket) {
    app.meters.socket(1);
    let (sink, mut stream) = socket.split();
    let (out, queue) = Outgoing::new(app.config.socket_queue_frames_max);
    let mut writer = JoinSet::new();
    writer.spawn(outgoing::write(sink, queue, Duration::from_millis(app.config.write_timeout_ms)));
    let mut session = Session {
        open: HashMap::new(),
        tasks: JoinSet::new(),
        joined: HashMap::new(),
        members: JoinSet::new(),
        paused: HashSet::new(),
        format: Format::Json,
        heard_at: Instant::now(),
        flood: Flood::new(Instant::now()),
        app: app.clone(),
        caller,
        out,
    };
    if let Some((code, reason)) = session.serve(&mut stream).await {
        debug!(code, reason, "socket closed");
        session.tasks.shutdown().await;
        session.members.shutdown().await;
        session.out.close(code, reason).await;
    }
    drop(session);
    // Ends with the queue, once its last sender is gone.
    writer.join_next().await;
    // Waits for the client to close: unread frames from it would reset the connection before it gets the close frame.
    let goodbye = async { while let Some(Ok(_)) = stream.next().await {} };
    let _ = tokio::time::timeout(GOODBYE_TIMEOUT, goodbye).await;
    app.meters.socket(-1);
}

pub(super) struct Session {
    pub(super) app: App,
    /// Who opened the socket.
    pub(super) caller: CallerRef,
    out: Outgoing,
    /// The requests whose events are passed on.
    pub(super) open: HashMap<RequestId, Open>,
    pub(super) tasks: JoinSet<Result<(), Gone>>,
    /// The joined sessions, each with the token that ends it.
    pub(super) joined: HashMap<RequestId, CancellationToken>,
    pub(super) members: JoinSet<Result<(), Gone>>,
    /// The pools that have asked this client to wait.
    paused: HashSet<String>,
    /// The client's format, for messages that do not answer a frame.
    format: Format,
    heard_at: Instant,
    /// Counts the client's pings and pongs.
    flood: Flood,
}

/// A request whose events are passed on.
pub(super) struct Open {
    pub(super) task: AbortHandle,
    /// The fingerprint of the request; `None` if it was resumed.
    pub(super) fingerprint: Option<String>,
    pub(super) ended: Ended,
    pub(super) credit: Option<Credit>,
}

impl Session {
    /// Serves until the client goes (`None`) or the server closes the socket.
    async fn serve<S>(&mut self, stream: &mut S) -> Option<Close>
    where
        S: Stream<Item = Result<Message, axum::Error>> + Unpin,
    {
        let interval = self.app.config.ping_interval();
        let mut ticks = tokio::time::interval_at(Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut signals = self.app.hub.signals();
        let (draining, cut) = (self.app.draining.clone(), self.app.cut.clone());
        // For a caller without a key, a token that is never cancelled.
        let revoked = self.caller.ended().unwrap_or_default();
        loop {
            if draining.is_cancelled() && self.tasks.is_empty() {
                return Some((GOING_AWAY, "draining"));
            }
            tokio::select! {
                // Always in this order, so that a run can be repeated from its seed. The client's messages come last: a
                // client that never stops sending must not hold back the rest.
                biased;
                () = revoked.cancelled() => return Some((POLICY, REVOKED)),
                () = cut.cancelled() => return Some((GOING_AWAY, "draining")),
                () = self.out.closed() => return None,
                () = draining.cancelled(), if !draining.is_cancelled() => {}
                Some(ended) = self.tasks.join_next_with_id() => {
                    let task = ended.map_or_else(|error| error.id(), |(task, _)| task);
                    self.forget(task);
                }
                // A client that is gone is noticed when something is sent to it.
                Some(_) = self.members.join_next() => {}
                signal = signals.recv() => if let Ok(message) = signal { self.pass_signal(&message) },
                _ = ticks.tick() => {
                    if self.heard_at.elapsed() > Duration::from_millis(self.app.config.socket_idle_timeout_ms) {
                        return Some((GOING_AWAY, "idle"));
                    }
                    self.out.ping();
                }
                message = stream.next() => match message? {
                    Ok(message) => if let Err(close) = self.hear(message).await { return close },
                    Err(error) => return broken(error),
                },
            }
        }
    }

    async fn hear(&mut self, message: Message) -> Result<(), Option<Close>> {
        self.heard_at = Instant::now();
        let (format, bytes) = match message {
            Message::Text(text) => (Format::Json, Bytes::from(text)),
            Message::Binary(bytes) => (Format::MessagePack, bytes),
            Message::Ping(_) | Message::Pong(_) if self.flood.rises(self.heard_at) => {
                self.app.meters.flood("websocket");
                return Err(Some((POLICY, "a flood of pings")));
            }
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Close(_) => return Err(None),
        };
        if bytes.len() > self.app.config.frame_bytes_max {
            return Err(Some((TOO_LARGE, "frame over gateway.frame_bytes_max")));
        }
        self.format = format;
        let client = self.client(format);
        let done = match incoming::parse(format, &bytes) {
            Ok(incoming) => self.act(incoming, client, bytes.len()).await,
            Err(Unusable { id, error }) => client.refuse(id.as_deref(), &error).await,
        };
        done.map_err(|Gone| None)
    }

    fn client(&self, format: Format) -> Client {
        Client { app: self.app.clone(), caller: self.caller.clone(), out: self.out.clone(), format }
    }

    fn pass_signal(&mut self, message: &broker::Message) {
        let signal = match message.format().decode::<Backpressure>(&message.payload) {
            Ok(signal) => signal,
            Err(error) => return debug!(%error, subject = message.subject, "a signal cannot be read"),
        };
        let news = match signal.state {
            Flow::Pause => {
                self.paused.insert(signal.pool.clone());
                true
            }
            // A client that was not asked to wait need not hear that it may go on.
            Flow::Resume => self.paused.remove(&signal.pool),
        };
        // Numbers and strings always encode.
        if let (true, Ok(body)) = (news, self.format.encode(&Notice::Backpressure(signal))) {
            self.out.hint(body, self.format);
        }
    }
}

/// What a read error means: a frame over the hard limit, a breach of the protocol, or a client that is gone.
fn broken(error: axum::Error) -> Option<Close> {
    use tokio_tungstenite::tungstenite::Error as Ws;
    match error.into_inner().downcast_ref::<Ws>() {
        Some(Ws::Capacity(_)) => Some((TOO_LARGE, "frame over gateway.frame_bytes_max")),
        Some(Ws::Protocol(_) | Ws::Utf8(_)) => Some((PROTOCOL_ERROR, "not a WebSocket frame")),
        _ => None,
    }
}
