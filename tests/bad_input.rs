//! Bad input at the HTTP doors: each is told with its status, its code and its field, as the OpenAI API tells it; none
//! harms its neighbour. (The WebSocket and the bus have theirs in the scripts of their clients.)

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Method, RequestBuilder};
use serde_json::Value;

use crate::support::{Broker, Dynode, Launch, client, within};

const BODY_BYTES_MAX: usize = 4096;
const JSON: Option<&str> = Some("application/json");
const CHAT: &str = "/v1/chat/completions";
const EMBEDDINGS: &str = "/v1/embeddings";
const REQUESTS: &str = "/v1/requests";

/// What is wrong, and what is said about it: the status, the code, the field.
type Case = (
    &'static str,
    &'static str,
    Option<&'static str>,
    &'static [u8],
    u16,
    &'static str,
    Option<&'static str>,
);

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("POST", CHAT, JSON, b"", 400, "invalid_request", None),
    ("POST", CHAT, JSON, b"{", 400, "invalid_request", None),
    ("POST", CHAT, JSON, b"\xff\xfe", 400, "invalid_request", None),
    ("POST", CHAT, JSON, b"[]", 400, "invalid_request", None),
    ("POST", CHAT, JSON, b"{}", 400, "invalid_request", Some("model")),
    ("POST", CHAT, JSON, br#"{"model":"sim-fast"}"#, 400, "invalid_request", Some("messages")),
    ("POST", CHAT, JSON, br#"{"model":"sim-fast","messages":[]}"#, 400, "invalid_request", Some("messages")),
    ("POST", CHAT, JSON, br#"{"model":"sim-fast","messages":"x"}"#, 400, "invalid_request", Some("messages")),
    ("POST", CHAT, JSON, br#"{"model":7,"messages":[{"role":"user","content":"x"}]}"#, 400, "invalid_request", Some("model")),
    ("POST", CHAT, JSON, br#"{"model":"sim-fast","messages":[{"role":"bard","content":"x"}]}"#, 400, "invalid_request", Some("messages[0].role")),
    ("POST", CHAT, JSON, br#"{"model":"sim-fast","messages":[{"role":"user","content":"x"}],"stream":"yes"}"#, 400, "invalid_request", Some("stream")),
    ("POST", CHAT, JSON, br#"{"model":"none","messages":[{"role":"user","content":"x"}]}"#, 404, "model_not_found", Some("model")),
    ("POST", CHAT, JSON, br#"{"model":"sim-embed","messages":[{"role":"user","content":"x"}]}"#, 404, "model_not_found", Some("model")),
    ("POST", CHAT, Some("text/plain"), br#"{"model":"sim-fast","messages":[{"role":"user","content":"x"}]}"#, 415, "unsupported_media_type", Some("Content-Type")),
    ("POST", CHAT, Some("multipart/form-data; boundary=x"), b"--x--", 415, "unsupported_media_type", Some("Content-Type")),
    ("POST", CHAT, Some("application/msgpack"), b"\x80", 415, "unsupported_media_type", Some("Content-Type")),
    ("POST", CHAT, JSON, b"\xef\xbb\xbf{}", 400, "invalid_request", None),
    ("POST", CHAT, JSON, br#"{"model":"\ud800"}"#, 400, "invalid_request", None),
    ("POST", CHAT, JSON, br#"{"model":null,"messages":[{"role":"user","content":"x"}]}"#, 400, "invalid_request", Some("model")),
    ("POST", CHAT, JSON, br#"{"model":"sim-fast","messages":null}"#, 400, "invalid_request", Some("messages")),
    ("POST", CHAT, JSON, br#"{"model":"sim-fast","messages":[{"role":"user","content":"x"}],"n":99999999999999999999}"#, 400, "invalid_request", Some("n")),
    ("POST", CHAT, JSON, br#"{"model":"sim-fast","messages":[{"role":"user","content":"x"}],"temperature":1e400}"#, 400, "invalid_request", None),
    ("POST", CHAT, JSON, br#"{"model":"sim-fast","messages":[{"role":"user","content":"x"}],"temperature":NaN}"#, 400, "invalid_request", None),
    ("POST", CHAT, JSON, br#"{"model":"sim-fast","messages":[{"role":"user","content":"x"}]} x"#, 400, "invalid_request", None),
    ("GET", CHAT, None, b"", 405, "invalid_request", None),
    ("PATCH", CHAT, JSON, b"{}", 405, "invalid_request", None),
    ("POST", "/ws", JSON, b"{}", 405, "invalid_request", None),
    ("DELETE", "/docs", None, b"", 405, "invalid_request", None),
    ("POST", EMBEDDINGS, JSON, br#"{"model":"sim-embed"}"#, 400, "invalid_request", Some("input")),
    ("POST", EMBEDDINGS, JSON, br#"{"model":"sim-embed","input":[]}"#, 400, "invalid_request", Some("input")),
    ("POST", EMBEDDINGS, JSON, br#"{"model":"sim-embed","input":7}"#, 400, "invalid_request", Some("input")),
    ("POST", EMBEDDINGS, JSON, br#"{"model":"sim-embed","input":"x","encoding_format":"roman"}"#, 400, "invalid_request", Some("encoding_format")),
    ("POST", EMBEDDINGS, JSON, br#"{"model":"sim-embed","input":"x","dimensions":-1}"#, 400, "invalid_request", Some("dimensions")),
    ("POST", EMBEDDINGS, JSON, br#"{"model":"sim-embed","input":"x","dimensions":1.5}"#, 400, "invalid_request", Some("dimensions")),
    ("POST", EMBEDDINGS, JSON, br#"{"model":"sim-fast","input":"x"}"#, 404, "model_not_found", Some("model")),
    ("POST", "/v1/responses", JSON, b"[]", 400, "invalid_request", None),
    ("POST", "/v1/responses", Some("text/plain"), b"{}", 415, "unsupported_media_type", Some("Content-Type")),
    ("POST", "/v1/responses/input_tokens", JSON, br#"{"input":"x"}"#, 400, "invalid_request", Some("model")),
    ("POST", "/v1/responses/compact", JSON, b"{}", 405, "invalid_request", None),
    ("GET", "/v1/responses", None, b"", 405, "invalid_request", None),
    ("GET", "/v1/responses/resp_none/input_items", None, b"", 404, "not_found", None),
    ("POST", "/v1/conversations", JSON, b"{}", 404, "not_found", None),
    ("GET", "/v1/models/none", None, b"", 404, "model_not_found", Some("model")),
    ("POST", REQUESTS, JSON, b"nonsense", 400, "invalid_request", None),
    ("POST", REQUESTS, Some("application/msgpack"), b"\xc1", 400, "invalid_request", None),
    ("POST", REQUESTS, Some("image/png"), b"{}", 415, "unsupported_media_type", Some("Content-Type")),
    ("POST", REQUESTS, JSON, br#"{"payload":{}}"#, 400, "invalid_request", Some("action")),
    ("POST", REQUESTS, JSON, br#"{"action":"dance","payload":{}}"#, 400, "invalid_request", Some("action")),
    ("POST", REQUESTS, JSON, br#"{"action":"chat.completion"}"#, 400, "invalid_request", Some("payload")),
    ("POST", REQUESTS, JSON, br#"{"action":"chat.completion","payload":"x"}"#, 400, "invalid_request", Some("payload")),
    ("POST", REQUESTS, JSON, br#"{"action":"chat.completion","payload":{"model":"sim-fast"}}"#, 400, "invalid_request", Some("payload.messages")),
    ("POST", REQUESTS, JSON, br#"{"id":"a b","action":"auto","payload":{}}"#, 400, "invalid_request", Some("id")),
    ("POST", REQUESTS, JSON, br#"{"id":"a.b","action":"auto","payload":{}}"#, 400, "invalid_request", Some("id")),
    ("POST", REQUESTS, JSON, br#"{"id":">","action":"auto","payload":{}}"#, 400, "invalid_request", Some("id")),
    ("POST", REQUESTS, JSON, br#"{"id":"*","action":"auto","payload":{}}"#, 400, "invalid_request", Some("id")),
    ("POST", REQUESTS, JSON, br#"{"id":"a\r\nb","action":"auto","payload":{}}"#, 400, "invalid_request", Some("id")),
    ("POST", REQUESTS, JSON, br#"{"session":"a.>","action":"auto","payload":{}}"#, 400, "invalid_request", Some("session")),
    ("POST", REQUESTS, JSON, br#"{"action":null,"payload":{}}"#, 400, "invalid_request", Some("action")),
    ("POST", REQUESTS, JSON, br#"{"v":300,"action":"auto","payload":{}}"#, 400, "invalid_request", Some("v")),
    ("POST", REQUESTS, JSON, br#"{"id":7,"action":"auto","payload":{}}"#, 400, "invalid_request", Some("id")),
    ("POST", REQUESTS, JSON, br#"{"tenant":"other","action":"embedding.query","payload":{"model":"sim-embed","input":"x"}}"#, 403, "forbidden", Some("tenant")),
    ("POST", REQUESTS, JSON, br#"{"deadline_ms":0,"action":"embedding.query","payload":{"model":"sim-embed","input":"x"}}"#, 400, "invalid_request", Some("deadline_ms")),
    ("POST", REQUESTS, JSON, br#"{"callback":{"url":"ftp://x"},"action":"embedding.query","payload":{"model":"sim-embed","input":"x"}}"#, 400, "invalid_request", Some("callback.url")),
    ("GET", "/v1/requests/never", None, b"", 404, "not_found", None),
    ("GET", "/v1/requests/a%20b", None, b"", 400, "invalid_request", Some("id")),
    ("GET", "/v1/requests/never/events", None, b"", 404, "not_found", None),
    ("DELETE", "/v1/requests/never", None, b"", 404, "not_found", None),
    ("PUT", "/v1/requests/never", None, b"", 405, "invalid_request", None),
    ("GET", "/v1/requests/%ff", None, b"", 400, "invalid_request", Some("path")),
    ("GET", "/v1/requests/a%2Eb", None, b"", 400, "invalid_request", Some("id")),
    ("GET", "/v1/requests/never/events?after=1-1&after=1-2", None, b"", 400, "invalid_request", Some("query")),
    ("GET", "/v1/requests/never/events?after=9", None, b"", 400, "invalid_request", Some("after")),
    ("GET", "/v1/models/%ff", None, b"", 400, "invalid_request", Some("path")),
    ("GET", "/v1/assets/%ff", None, b"", 400, "invalid_request", Some("path")),
    ("GET", "/v1/assets/a?expires=1&expires=2", None, b"", 400, "invalid_request", Some("query")),
    ("GET", "/v1/assets/a?expires=99999999999999999999&signature=x", None, b"", 400, "invalid_request", Some("expires")),
    ("GET", "/v1/usage?since=1h&since=2h", None, b"", 400, "invalid_request", Some("query")),
    ("GET", "/v1/usage?by=colour", None, b"", 400, "invalid_request", Some("by")),
    ("GET", "/v1/dead?limit=-1", None, b"", 400, "invalid_request", Some("query")),
    ("GET", "/v1/dead?stage=%3E", None, b"", 400, "invalid_request", Some("stage")),
    ("GET", "/v1/dead/99999999999999999999", None, b"", 400, "invalid_request", Some("sequence")),
    ("POST", "/v1/dead/1/replay?new_id=maybe", None, b"", 400, "invalid_request", Some("query")),
    ("POST", "/v1/webhooks/%ff", JSON, b"{}", 400, "invalid_request", Some("path")),
    ("POST", "/v1/webhooks/t", JSON, b"{}", 401, "unauthorized", None),
    ("POST", "/v1/estimate", JSON, b"[]", 400, "invalid_request", None),
    ("POST", "/v1/estimate", Some("text/html"), b"{}", 415, "unsupported_media_type", Some("Content-Type")),
    ("GET", "/v1/nowhere", None, b"", 404, "not_found", None),
    ("POST", "/", None, b"", 405, "invalid_request", None),
    ("GET", "/ws", None, b"", 400, "invalid_request", None),
];

async fn start() -> Dynode {
    let limit = BODY_BYTES_MAX.to_string();
    Launch::on(&Broker::Memory).variable("DYNODE_GATEWAY__BODY_BYTES_MAX", limit).start().await
}

/// Sends what must be refused; returns the status and the error object.
async fn refusal(request: RequestBuilder) -> (u16, Value) {
    let response = within("a refusal", request.send()).await.unwrap();
    let status = response.status().as_u16();
    assert!(response.headers().contains_key("x-request-id"), "{response:?}");
    let body: Value = response.json().await.unwrap();
    let error = &body["error"];
    assert!(error["message"].is_string() && error["type"].is_string(), "{status} {body:#}");
    assert!(error.get("param").is_some() && error.get("code").is_some(), "all four keys are there: {body:#}");
    (status, error.clone())
}

/// A neighbour is answered, and nothing broke inside.
async fn check_unharmed(dynode: &Dynode) {
    let body = serde_json::json!({"model": "sim-embed", "input": "x"});
    assert_eq!(dynode.post(EMBEDDINGS, &body).await.0, 200);
    assert!(!dynode.log().contains("panic"), "{}", dynode.log());
}

#[tokio::test]
async fn each_wrong_request_is_told_what_is_wrong() {
    let dynode = start().await;
    let client = client();
    let mut wrong = Vec::new();
    for (method, path, content_type, body, status, code, param) in CASES {
        let mut request = client.request(Method::from_bytes(method.as_bytes()).unwrap(), dynode.url() + path);
        if let Some(content_type) = content_type {
            request = request.header("content-type", *content_type).body(*body);
        }
        let (told, error) = refusal(request).await;
        if (told, error["code"].as_str(), error["param"].as_str()) != (*status, Some(*code), *param) {
            let body = String::from_utf8_lossy(body);
            wrong.push(format!(
                "{method} {path} {body}\n  expected {status} {code} {param:?}\n  got {told} {error}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    check_unharmed(&dynode).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_however_it_comes() {
    let dynode = start().await;
    let large = vec![b' '; BODY_BYTES_MAX + 1];
    let announced = client().post(dynode.url() + CHAT).body(large.clone());
    let pieces = large.chunks(1000).map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece)));
    let chunked = client().post(dynode.url() + REQUESTS);
    let chunked = chunked.body(Body::wrap_stream(stream::iter(pieces.collect::<Vec<_>>())));
    for request in [announced, chunked] {
        let (status, error) = refusal(request.header("content-type", "application/json")).await;
        assert_eq!((status, error["code"].as_str()), (413, Some("too_large")), "{error}");
        assert!(error["message"].as_str().unwrap().contains("4096"), "{error}");
    }
    check_unharmed(&dynode).await;
}

#[tokio::test]
async fn another_request_under_a_key_in_use_is_a_conflict() {
    let dynode = start().await;
    let ask = |text: &str, key: &str| {
        let body = serde_json::json!({"model": "sim-fast", "messages": [{"role": "user", "content": text}]});
        client().post(dynode.url() + CHAT).header("idempotency-key", key).json(&body)
    };
    assert!(ask("mine", "k").send().await.unwrap().status().is_success());
    let (status, error) = refusal(ask("yours", "k")).await;
    assert_eq!((status, error["code"].as_str()), (409, Some("conflict")), "{error}");
    // One payload, asked of two doors.
    let body = serde_json::json!({"model": "sim-embed", "input": "x"});
    assert_eq!(dynode.post(EMBEDDINGS, &body).await.0, 200);
    let as_what = |path: &str| client().post(dynode.url() + path).header("idempotency-key", "e").json(&body);
    assert!(as_what(EMBEDDINGS).send().await.unwrap().status().is_success());
    let (status, error) = refusal(as_what("/v1/audio/speech")).await;
    assert_eq!((status, error["code"].as_str()), (409, Some("conflict")), "{error}");
    let (status, error) = refusal(ask("mine", "a key with spaces")).await;
    assert_eq!((status, error["param"].as_str()), (400, Some("Idempotency-Key")), "{error}");
}
