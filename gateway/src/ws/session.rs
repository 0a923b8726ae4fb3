//! One socket: reads frames, runs their requests side by side, ends when the client or the server goes.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    time::Duration,
};

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use schemas::{
    Backpressure, Error, ErrorCode, Flow, Format, Request, RequestId, SocketControl, fingerprint,
    socket::{Notice, Resume},
};
use tokio::{
    task::{AbortHandle, Id, JoinSet},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug};

use super::{
    client::{Client, DOOR},
    credit::Credit,
    incoming::{self, Incoming, Unusable},
    membership::Membership,
    outgoing::{self, GOING_AWAY, Gone, Outgoing, POLICY, PROTOCOL_ERROR, TOO_LARGE},
    question::{self, Asked},
    request::{self, Outlet},
    stream::Ended,
};
use crate::{
    app::{App, overloaded},
    caller::CallerRef,
    door::{self, Entry},
    flood::Flood,
    record::Key,
    until::REVOKED,
};

/// How long a client may take to answer the close frame.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why the server closes a socket.
type Close = (u16, &'static str);

/// Serves `socket` to its end. Requests that are still open then run on; the client may take them up on another socket.
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
    // Ends with the queue, whose last sender is gone.
    writer.join_next().await;
    // Until the client has said goodbye: what it sent meanwhile would reset the connection over the close frame.
    let goodbye = async { while let Some(Ok(_)) = stream.next().await {} };
    let _ = tokio::time::timeout(GOODBYE_TIMEOUT, goodbye).await;
    app.meters.socket(-1);
}

struct Session {
    app: App,
    /// Who opened the socket.
    caller: CallerRef,
    out: Outgoing,
    /// The requests whose events are passed on.
    open: HashMap<RequestId, Open>,
    tasks: JoinSet<Result<(), Gone>>,
    /// The sessions whose events are told, each with what ends that.
    joined: HashMap<RequestId, CancellationToken>,
    members: JoinSet<Result<(), Gone>>,
    /// The pools that have asked this client to wait.
    paused: HashSet<String>,
    /// How the client speaks, for what is not the answer to a frame.
    format: Format,
    heard_at: Instant,
    /// The pings of the client, and answers to pings that nobody has sent.
    flood: Flood,
}

struct Open {
    task: AbortHandle,
    fingerprint: Option<String>,
    ended: Ended,
    credit: Option<Credit>,
}

impl Session {
    /// Until the client goes (`None`) or the server closes.
    async fn serve<S>(&mut self, stream: &mut S) -> Option<Close>
    where
        S: Stream<Item = Result<Message, axum::Error>> + Unpin,
    {
        let interval = self.app.config.ping_interval();
        let mut ticks = tokio::time::interval_at(Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut signals = self.app.hub.signals();
        let (draining, cut) = (self.app.draining.clone(), self.app.cut.clone());
        // Of a caller without a key it is one that is never cancelled.
        let revoked = self.caller.ended().unwrap_or_default();
        loop {
            if draining.is_cancelled() && self.tasks.is_empty() {
                return Some((GOING_AWAY, "draining"));
            }
            tokio::select! {
                // Always in this order, so that a run can be repeated from its seed. What the client says comes last:
                // one that never stops sending must not hold back the rest.
                biased;
                () = revoked.cancelled() => return Some((POLICY, REVOKED)),
                () = cut.cancelled() => return Some((GOING_AWAY, "draining")),
                () = self.out.closed() => return None,
                () = draining.cancelled(), if !draining.is_cancelled() => {}
                Some(ended) = self.tasks.join_next_with_id() => {
                    let task = ended.map_or_else(|error| error.id(), |(task, _)| task);
                    self.forget(task);
                }
                // A client that is gone is noticed by what is sent to it.
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

    async fn act(&mut self, incoming: Incoming, client: Client, bytes: usize) -> Result<(), Gone> {
        let control = match incoming {
            Incoming::Submit(request, credit) => return self.submit(*request, credit, client, bytes).await,
            Incoming::Control(control) => control,
        };
        match control {
            SocketControl::Resume(resume) => self.resume(resume, client).await,
            SocketControl::Cancel(of) => request::cancel(&client, of.id).await,
            SocketControl::Credit(grant) => {
                // Of a request that has ended meanwhile, or has no limit, there is nothing to say.
                if let Some(credit) = self.open.get(&grant.id).and_then(|open| open.credit.as_ref()) {
                    credit.grant(grant.bytes.get());
                }
                Ok(())
            }
            SocketControl::Join(of) => self.join(of.session, client).await,
            SocketControl::Leave(of) => self.leave(of.session, client).await,
            SocketControl::Status(of) => self.ask(Some(of.id.clone()), Asked::Status(of), client).await,
            SocketControl::Health(asked) => question::answer(client, Asked::Health(asked)).await,
            SocketControl::Pools(asked) => question::answer(client, Asked::Pools(asked)).await,
            SocketControl::Models(asked) => question::answer(client, Asked::Models(asked)).await,
            SocketControl::Estimate(asked) => question::answer(client, Asked::Estimate(asked)).await,
        }
    }

    async fn submit(
        &mut self,
        request: Request,
        credit: Option<u64>,
        client: Client,
        bytes: usize,
    ) -> Result<(), Gone> {
        let id = request.id.clone().unwrap_or_else(|| self.app.fresh_id());
        let fingerprint = fingerprint::of(&request);
        if let Some(open) = self.open.get(&id).filter(|open| !open.ended.is_said()) {
            if open.fingerprint.as_ref().is_some_and(|have| *have == fingerprint) {
                // It is attached already; nothing would be new.
                return Ok(());
            }
            let error =
                Error::new(ErrorCode::Conflict, format!("the id `{id}` is open on this socket; use another"));
            return client.refuse(Some(id.as_str()), &error).await;
        }
        if let Some(error) = self.full() {
            return client.refuse(Some(id.as_str()), &error).await;
        }
        let mut share = self.app.room.share();
        if !share.grow(bytes) {
            let error = self.app.spread(self.app.crowded(door::NO_ROOM));
            return client.refuse(Some(id.as_str()), &error).await;
        }
        // One that was refused names the id that its sender gave.
        let entry = Entry { fresh: id.clone(), caller: self.caller.clone() };
        let span = tracing::debug_span!("request", door = DOOR, %id);
        let open = |outlet| request::run(entry, (request, share), outlet).instrument(span);
        self.spawn(id, Some(fingerprint), credit, client, open);
        Ok(())
    }

    async fn resume(&mut self, resume: Resume, client: Client) -> Result<(), Gone> {
        let Resume { id, attempt, after, credit } = resume;
        let key = Key::new(&self.app, &self.caller, id.clone());
        // Before the other goes, so that the request is never without a reader.
        let reader = self.app.lingers.join(&key);
        if let Some(open) = self.open.remove(&id) {
            open.task.abort();
        } else if let Some(error) = self.full() {
            return client.refuse(Some(id.as_str()), &error).await;
        }
        self.spawn(id, None, credit, client, |outlet| {
            request::resume((key, reader), (attempt, after), outlet)
        });
        Ok(())
    }

    async fn join(&mut self, session: RequestId, client: Client) -> Result<(), Gone> {
        if self.joined.contains_key(&session) {
            return Membership { client, session }.say("joined", None).await;
        }
        let most = self.app.config.socket_sessions_max;
        if self.joined.len() >= most {
            let why =
                format!("`{session}` is one more than the {most} sessions that a socket may join; leave one");
            let error = Error { param: Some("session".into()), ..overloaded(&why) };
            return client.refuse(None, &self.app.spread(error)).await;
        }
        let leaving = CancellationToken::new();
        self.members.spawn(Membership { client, session: session.clone() }.attend(leaving.clone()));
        self.joined.insert(session, leaving);
        Ok(())
    }

    /// Returns when nothing more of the session comes.
    async fn leave(&mut self, session: RequestId, client: Client) -> Result<(), Gone> {
        let Some(leaving) = self.joined.remove(&session) else {
            return Membership { client, session }.say("left", None).await;
        };
        leaving.cancel();
        while self.members.len() > self.joined.len() {
            self.members.join_next().await;
        }
        Ok(())
    }

    /// For what waits for the broker, as requests do: it counts as one.
    async fn ask(&mut self, id: Option<RequestId>, asked: Asked, client: Client) -> Result<(), Gone> {
        if let Some(error) = self.full() {
            return client.refuse(id.as_ref().map(RequestId::as_str), &error).await;
        }
        self.tasks.spawn(question::answer(client, asked));
        Ok(())
    }

    fn full(&self) -> Option<Error> {
        let most = self.app.config.socket_requests_max;
        (self.tasks.len() >= most).then(|| {
            self.app.spread(overloaded(&format!("{most} requests are open on this socket, its limit")))
        })
    }

    fn spawn<Run: Future<Output = Result<(), Gone>> + Send + 'static>(
        &mut self,
        id: RequestId,
        fingerprint: Option<String>,
        credit: Option<u64>,
        client: Client,
        run: impl FnOnce(Outlet) -> Run,
    ) {
        let (ended, credit) = (Ended::default(), credit.map(Credit::new));
        let outlet = Outlet { client, ended: ended.clone(), credit: credit.clone() };
        let task = self.tasks.spawn(run(outlet));
        self.open.insert(id, Open { task, fingerprint, ended, credit });
    }

    fn forget(&mut self, task: Id) {
        self.open.retain(|_, open| open.task.id() != task);
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
