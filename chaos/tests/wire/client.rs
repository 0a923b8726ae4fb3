//! A client without mercy or retry: one connection for each request, and what came until it ended.

use std::net::SocketAddr;
use std::time::Duration;

use chaos::provider::{Call, CallOutcome, Config, Provider};
use chaos::{Journal, Snapshot};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// No answer takes this long, however busy the machine; a test that reaches it has hung.
const HANG_TIMEOUT: Duration = Duration::from_secs(30);

/// A provider that serves until this is dropped.
pub(crate) struct Sim {
    pub(crate) address: SocketAddr,
    pub(crate) calls: Journal<Call>,
    _serving: JoinSet<()>,
}

/// What a client got.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// All that came, also when the end did not.
    pub(crate) body: Vec<u8>,
    /// How the body ended, when not in good order.
    pub(crate) broken: Option<hyper::Error>,
}

impl Sim {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let provider = Provider::bind(config).await.unwrap();
        let (address, calls) = (provider.local_addr(), provider.calls());
        let mut serving = JoinSet::new();
        serving.spawn(async move { provider.serve(std::future::pending()).await.unwrap() });
        Self { address, calls, _serving: serving }
    }

    pub(crate) async fn chat(&self, model: &str, stream: bool) -> Got {
        let body =
            json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "hello"}]});
        self.post("/v1/chat/completions", &[], &body).await
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Got {
        post(self.address, path, headers, body.to_string()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        get(self.address, path).await
    }

    /// The calls, once the latest of them has ended.
    pub(crate) async fn ended(&self) -> Vec<Call> {
        let all_ended = |calls: &[Call]| {
            !calls.is_empty() && calls.iter().all(|call| call.outcome != CallOutcome::InProgress)
        };
        tokio::time::timeout(HANG_TIMEOUT, self.calls.wait_until(all_ended)).await.unwrap()
    }

    pub(crate) fn seen(&self) -> Snapshot<Call> {
        self.calls.snapshot()
    }
}

impl Got {
    async fn all(response: Response<Incoming>) -> Self {
        let (head, mut incoming) = response.into_parts();
        let mut got = Self { status: head.status, headers: head.headers, body: Vec::new(), broken: None };
        while let Some(frame) = tokio::time::timeout(HANG_TIMEOUT, incoming.frame()).await.unwrap() {
            match frame {
                Ok(frame) => got.body.extend(frame.into_data().unwrap_or_default()),
                Err(error) => got.broken = Some(error),
            }
        }
        got
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The data of each event of a stream, `[DONE]` included.
    pub(crate) fn events(&self) -> Vec<&str> {
        let complete = self.text().split_inclusive("\n\n").filter_map(|event| event.strip_suffix("\n\n"));
        complete.map(|event| event.strip_prefix("data: ").unwrap()).collect()
    }

    /// The chunks of a stream.
    pub(crate) fn chunks(&self) -> Vec<Value> {
        let chunks = self.events().into_iter().filter(|data| *data != "[DONE]");
        chunks.map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name}")).to_str().unwrap()
    }

    /// `code` and `param` of an error.
    pub(crate) fn error(&self) -> (Option<String>, Option<String>) {
        let body = self.json();
        let member = |name| body["error"][name].as_str().map(str::to_owned);
        (member("code"), member("param"))
    }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Got {
    let request = Request::get(path).body(Full::default()).unwrap();
    Got::all(send(address, request).await).await
}

pub(crate) async fn post(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Got {
    Got::all(start(address, path, headers, body).await).await
}

/// Sends a POST and returns when the head of the answer is there.
pub(crate) async fn start(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Response<Incoming> {
    let mut request = Request::post(path).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(address, request.body(Full::new(body.into())).unwrap()).await
}

pub(crate) async fn send(address: SocketAddr, mut request: Request<Full<Bytes>>) -> Response<Incoming> {
    request.headers_mut().insert("host", address.to_string().parse().unwrap());
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    // The task ends with its connection, which ends with the response.
    drop(tokio::spawn(connection));
    tokio::time::timeout(HANG_TIMEOUT, sender.send_request(request)).await.unwrap().unwrap()
}
