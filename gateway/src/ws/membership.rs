//! A session that a socket has joined: reads its requests side by side, each in order from its first event, and sends
//! them to the socket as events of the session.

use std::collections::{HashMap, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};
use jiff::Timestamp;
use schemas::{Error, Format, RequestId};
use serde::Serialize;
use tokio::{
    sync::mpsc,
    task::{Id, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{client::Client, outgoing::Gone};
use crate::{app::App, feed::Feed, frame::Frame, record::Key, sessions};

/// How many ended requests are remembered, so that a late event does not make the socket hear them again.
const ENDED_MAX: usize = 1_024;

/// One session and the client that listens to it.
#[derive(Clone)]
pub(crate) struct Membership {
    pub(crate) client: Client,
    pub(crate) session: RequestId,
}

/// What the hub tells of a session; dropping this makes the hub forget the member.
struct News {
    app: App,
    key: String,
    requests: mpsc::Receiver<RequestId>,
}

impl News {
    fn of(member: &Membership) -> Self {
        let Client { app, caller, .. } = &member.client;
        let key = sessions::key(&app.parts.topology.subjects, &caller.tenant, &member.session);
        let requests = app.hub.sessions.join(&key);
        app.meters.member(1);
        Self { app: app.clone(), key, requests }
    }
}

impl Drop for News {
    fn drop(&mut self) {
        self.requests.close();
        self.app.meters.member(-1);
        self.app.hub.sessions.prune(&self.key);
    }
}

impl Membership {
    /// Sends every event of the session until the client leaves it or goes.
    pub(crate) async fn attend(self, leaving: CancellationToken) -> Result<(), Gone> {
        let mut news = News::of(&self);
        self.say("joined", None).await?;
        let (mut readers, most) = (Readers::default(), self.client.app.config.socket_requests_max);
        loop {
            tokio::select! {
                biased;
                () = leaving.cancelled() => break,
                Some(ended) = readers.tasks.join_next_with_id() => {
                    let task = ended.map_or_else(|error| error.id(), |(task, _)| task);
                    readers.forget(task);
                }
                // A request without a place waits; once there is one, the stream is read from its first event.
                request = news.requests.recv(), if readers.tasks.len() < most => {
                    match request {
                        Some(id) => readers.begin(&self, id),
                        None => {
                            news = News::of(&self);
                            self.say("gap", Some("requests of this session may have been missed")).await?;
                        }
                    }
                }
            }
        }
        readers.tasks.shutdown().await;
        self.say("left", None).await
    }

    /// Reads one request to its end. The listener counts as a reader: while there is one, the request does not linger.
    async fn follow(self, id: RequestId) -> Result<(), Gone> {
        let Client { app, caller, .. } = &self.client;
        let key = Key::new(app, caller, id);
        let mut feed = Feed::open(app, key.clone(), None);
        feed.attach();
        let mut reader = app.lingers.join(&key);
        while let Some(frame) = feed.next().await {
            self.tell(&frame).await?;
            if let Some(reader) = reader.take_if(|_| frame.head.event.is_terminal()) {
                reader.end();
            }
        }
        Ok(())
    }

    async fn tell(&self, frame: &Frame) -> Result<(), Gone> {
        let Client { out, format, .. } = &self.client;
        match frame.bytes(*format).and_then(|event| self.wrap(&frame.name(), &event)) {
            Ok(body) => out.send(body, *format).await,
            Err(error) => {
                debug!(%error, "an event cannot be written in the client's format");
                Ok(())
            }
        }
    }

    /// Sends something about the session itself.
    pub(crate) async fn say(&self, kind: &str, reason: Option<&str>) -> Result<(), Gone> {
        let data = reason.map_or_else(HashMap::new, |reason| HashMap::from([("reason", reason)]));
        let Client { out, format, .. } = &self.client;
        // Strings always encode.
        match format.encode(&data).and_then(|data| self.wrap(kind, &data)) {
            Ok(body) => out.send(body, *format).await,
            Err(_) => Ok(()),
        }
    }

    fn wrap(&self, kind: &str, data: &[u8]) -> Result<Bytes, Error> {
        let ts = self.client.app.parts.seams.clock.now();
        wrapped(&Head { session_id: &self.session, kind, ts }, self.client.format, data)
    }
}

/// The requests that are being read.
#[derive(Default)]
struct Readers {
    tasks: JoinSet<Result<(), Gone>>,
    open: HashMap<Id, RequestId>,
    ended: VecDeque<RequestId>,
}

impl Readers {
    fn begin(&mut self, member: &Membership, id: RequestId) {
        if self.ended.contains(&id) || self.open.values().any(|open| *open == id) {
            return;
        }
        let task = self.tasks.spawn(member.clone().follow(id.clone()));
        self.open.insert(task.id(), id);
    }

    fn forget(&mut self, task: Id) {
        let Some(id) = self.open.remove(&task) else { return };
        if self.ended.len() >= ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back(id);
    }
}

#[derive(Serialize)]
struct Head<'a> {
    session_id: &'a RequestId,
    #[serde(rename = "type")]
    kind: &'a str,
    ts: Timestamp,
}

/// Appends `data`, already encoded in `format`, to `head` as one object; its bytes are not decoded.
fn wrapped(head: &Head<'_>, format: Format, data: &[u8]) -> Result<Bytes, Error> {
    let mut body = BytesMut::from(&*format.encode(head)?);
    match format {
        Format::Json => {
            body.truncate(body.len() - 1);
            body.put_slice(b",\"data\":");
            body.put_slice(data);
            body.put_u8(b'}');
        }
        Format::MessagePack => {
            // The first byte of a map of up to 15 fields holds their number.
            body[0] += 1;
            body.put_slice(b"\xa4data");
            body.put_slice(data);
        }
    }
    Ok(body.freeze())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_event_is_wrapped_in_either_format() {
        let session = RequestId::new("s").unwrap();
        let head = Head { session_id: &session, kind: "running", ts: Timestamp::UNIX_EPOCH };
        let event = json!({"id": "r", "attempt": 1, "seq": 0, "event": "running"});
        for format in [Format::Json, Format::MessagePack] {
            let body = wrapped(&head, format, &format.encode(&event).unwrap()).unwrap();
            let expected = json!({
                "session_id": "s", "type": "running", "ts": "1970-01-01T00:00:00Z", "data": event,
            });
            assert_eq!(format.decode::<Value>(&body).unwrap(), expected);
        }
    }
}
