//! A plain HTTP client, and the bodies that tests send.

use std::net::SocketAddr;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request, StatusCode},
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinSet};

use crate::rig::{PATIENCE, Rig};

/// What came back, whole.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {:?}", self.body))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers)).to_str().unwrap()
    }

    /// The JSON of every `data:` line but `[DONE]`.
    pub(crate) fn data(&self) -> Vec<Value> {
        let lines = self.text().lines().filter_map(|line| line.strip_prefix("data: "));
        lines.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
    }
}

/// An answer whose body still comes.
pub(crate) struct Live {
    body: Incoming,
    _connection: JoinSet<()>,
}

impl Live {
    /// Reads on until the text read so far contains `text`.
    pub(crate) async fn read_until(&mut self, text: &str) -> String {
        let mut seen = String::new();
        while !seen.contains(text) {
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.unwrap();
            let frame = frame.unwrap_or_else(|| panic!("`{text}` is not in {seen}")).unwrap();
            seen.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
        seen
    }
}

impl Rig {
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.request(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.request(post(path, body)).await
    }

    pub(crate) async fn post_as(&self, key: &str, path: &str, body: &Value) -> Reply {
        let mut request = post(path, body);
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        self.request(request).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.request(Request::builder().method(Method::DELETE).uri(path).body(Body::empty()).unwrap()).await
    }

    /// The whole answer.
    pub(crate) async fn request(&self, request: Request<Body>) -> Reply {
        send(self.address, request).await
    }

    /// The head of the answer.
    pub(crate) async fn open(&self, request: Request<Body>) -> Live {
        let (response, connection) = start(self.address, request).await;
        Live { body: response.into_body(), _connection: connection }
    }
}

/// The whole answer, also for tests that no longer hold their rig.
pub(crate) async fn send(address: SocketAddr, request: Request<Body>) -> Reply {
    let (response, _connection) = start(address, request).await;
    let (head, body) = response.into_parts();
    let body = tokio::time::timeout(PATIENCE, body.collect()).await.unwrap().unwrap().to_bytes();
    Reply { status: head.status, headers: head.headers, body }
}

async fn start(
    address: SocketAddr,
    mut request: Request<Body>,
) -> (axum::http::Response<Incoming>, JoinSet<()>) {
    request.headers_mut().insert("host", "localhost".parse().unwrap());
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let mut task = JoinSet::new();
    task.spawn(async move {
        // A connection that breaks off shows in the answer.
        let _ = connection.await;
    });
    let response = tokio::time::timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
    (response, task)
}

pub(crate) fn post(path: &str, body: &Value) -> Request<Body> {
    let request = Request::post(path).header("content-type", "application/json");
    request.body(Body::from(body.to_string())).unwrap()
}

pub(crate) fn chat(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] })
}

pub(crate) fn streamed(model: &str) -> Value {
    let mut body = chat(model);
    body["stream"] = json!(true);
    body
}

pub(crate) fn native(id: &str, model: &str) -> Value {
    json!({ "id": id, "action": "chat.completion", "payload": streamed(model) })
}
