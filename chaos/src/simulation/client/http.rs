//! A client of the native HTTP door: submits its request, and reads its events as SSE.

use std::time::Duration;

use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use schemas::{ErrorCode, Event, Format};
use serde::Deserialize;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    ANSWER_TIMEOUT, Answer, Client, TRIES_MAX, pause,
    reader::{COME_BACK, Next, Reader},
};
use crate::{history::Door, simulation::world::Pipe};

/// The gateway sends a sign of life on a quiet stream long before this.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How often to ask again for a request that was accepted but is not known.
const UNKNOWN_MAX: u32 = 6;

/// An answer; the connection lasts as long as this.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Incoming,
    _connection: JoinSet<()>,
}

#[derive(Deserialize)]
struct Refusal {
    error: Reason,
}

#[derive(Deserialize)]
struct Reason {
    code: String,
}

impl Client {
    pub(super) async fn by_http(&self, other: bool, mut reader: Reader) {
        if self.post(other).await == Answer::Accepted {
            self.read_events(&mut reader).await;
            reader.leave();
        }
    }

    async fn post(&self, other: bool) -> Answer {
        let kind = Format::from(self.planned.format).content_type();
        for tries in 0..TRIES_MAX {
            let request = Request::post("/v1/requests")
                .header("content-type", kind)
                .body(Full::new(Bytes::from(self.bytes(other))));
            match self.exchange(request, || self.say_sent(Door::Http, other)).await {
                Some(Ok(reply)) if reply.status == StatusCode::ACCEPTED => {
                    self.say_accepted();
                    return Answer::Accepted;
                }
                Some(Ok(reply)) => {
                    let retry_after_ms = reply
                        .headers
                        .get("retry-after-ms")
                        .and_then(|value| value.to_str().ok()?.parse().ok());
                    match code(reply).await {
                        // A fault of the server: it says nothing about the request.
                        ErrorCode::Internal => self.say_unclear("internal"),
                        code => {
                            self.say_refused(code, retry_after_ms);
                            return Answer::Refused;
                        }
                    }
                }
                Some(Err(why)) => self.say_unclear(why),
                None => {}
            }
            sleep(pause(tries)).await;
        }
        Answer::Unclear
    }

    /// `None` if there is nobody to connect to. `sent` is called when the request goes out.
    async fn exchange(
        &self,
        request: Result<Request<Full<Bytes>>, axum::http::Error>,
        sent: impl FnOnce(),
    ) -> Option<Result<Reply, String>> {
        let mut request = request.ok()?;
        request.headers_mut().insert("host", axum::http::HeaderValue::from_static("gateway.test"));
        let Pipe { stream, cuts } = self.world.dial(&self.planned.key.tenant, self.number)?;
        sent();
        let exchanged = async {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|_| "no handshake")?;
            let mut task = JoinSet::new();
            task.spawn(async move {
                tokio::select! {
                    biased;
                    () = Pipe::cut(&cuts) => {}
                    // A connection that breaks off shows in the answer.
                    _ = connection => {}
                }
            });
            let response: Response<Incoming> =
                sender.send_request(request).await.map_err(|_| "the connection broke off")?;
            let (head, body) = response.into_parts();
            Ok(Reply { status: head.status, headers: head.headers, body, _connection: task })
        };
        Some(
            timeout(ANSWER_TIMEOUT, exchanged)
                .await
                .unwrap_or(Err("no answer in time"))
                .map_err(str::to_owned),
        )
    }

    async fn read_events(&self, reader: &mut Reader) {
        let path = format!("/v1/requests/{}/events", self.planned.key.id);
        let (mut unknown, mut tries) = (0, 0);
        loop {
            let mut request = Request::get(&path);
            if let Some((attempt, seq)) = reader.last {
                request = request.header("last-event-id", format!("{attempt}-{seq}"));
            }
            let reply = self.exchange(request.body(Full::default()), || {}).await;
            let away = match reply {
                Some(Ok(reply)) if reply.status == StatusCode::OK => {
                    (unknown, tries) = (0, 0);
                    reader.begin();
                    match read_stream(reply, reader).await {
                        Some(away) => away,
                        None => return,
                    }
                }
                Some(Ok(reply)) if reply.status == StatusCode::NOT_FOUND => {
                    unknown += 1;
                    if unknown > UNKNOWN_MAX {
                        return;
                    }
                    pause(unknown)
                }
                _ => {
                    tries += 1;
                    pause(tries)
                }
            };
            reader.leave();
            sleep(away).await;
        }
    }

    pub(super) async fn cancel_by_http(&self) {
        let path = format!("/v1/requests/{}", self.planned.key.id);
        for tries in 0..TRIES_MAX {
            let request = Request::builder().method(Method::DELETE).uri(&path).body(Full::default());
            match self.exchange(request, || {}).await {
                Some(Ok(reply)) if !reply.status.is_server_error() => return,
                _ => sleep(pause(tries)).await,
            }
        }
    }
}

/// Reads until the stream ends or the reader leaves: `None` for good, `Some` to come back after that.
async fn read_stream(mut reply: Reply, reader: &mut Reader) -> Option<Duration> {
    // A character of several bytes may come in two pieces.
    let mut bytes = Vec::new();
    loop {
        while let Some(end) = bytes.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<_> = bytes.drain(..end + 2).collect();
            match parse(&event).map(|event| reader.take(&event)) {
                None | Some(Next::Read) => {}
                Some(Next::Pause(pause)) => sleep(pause).await,
                Some(Next::Away(away)) => return Some(away),
                Some(Next::Leave) => return None,
            }
        }
        let frame = timeout(SILENCE_MAX, reply.body.frame()).await;
        let Ok(Some(Ok(frame))) = frame else { return Some(COME_BACK) };
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
        }
    }
}

/// One SSE event.
fn parse(bytes: &[u8]) -> Option<Event> {
    let text = str::from_utf8(bytes).ok()?;
    let data = text.lines().find_map(|line| line.strip_prefix("data: "))?;
    serde_json::from_str(data).ok()
}

/// The code of a refusal.
async fn code(reply: Reply) -> ErrorCode {
    let status = reply.status;
    let body = reply.body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let told = serde_json::from_slice::<Refusal>(&body).ok().map(|refusal| refusal.error.code);
    let known = told.and_then(|told| serde_json::from_value(told.into()).ok());
    known.unwrap_or(if status == StatusCode::NOT_FOUND { ErrorCode::NotFound } else { ErrorCode::Internal })
}
