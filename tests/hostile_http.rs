//! Clients that speak HTTP wrongly, or strangely: methods, encodings, repeated headers, requests that are none. Each is
//! told so or cut off, and the next client is answered.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Broker, Dynode, client, within};

const EMBEDDINGS: &str = "/v1/embeddings";

/// What the server says to these bytes until it closes; nothing where it cuts the connection at once.
async fn raw(dynode: &Dynode, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(dynode.address()).await.unwrap();
    let mut said = Vec::new();
    // A server that has heard enough may close while it is still written to.
    let _ = stream.write_all(bytes).await;
    let _ = within("an end of the connection", stream.read_to_end(&mut said)).await;
    String::from_utf8_lossy(&said).into_owned()
}

/// The next client is answered, and nothing broke inside.
async fn check_unharmed(dynode: &Dynode) {
    assert_eq!(dynode.post(EMBEDDINGS, &json!({"model": "sim-embed", "input": "x"})).await.0, 200);
    assert!(!dynode.log().contains("panic"), "{}", dynode.log());
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_told_those_that_it_does() {
    let dynode = Dynode::start(&Broker::Memory).await;
    for (path, allowed) in [
        (EMBEDDINGS, "POST"),
        ("/v1/models", "GET,HEAD"),
        ("/v1/requests/a", "GET,HEAD,DELETE"),
        ("/ws", "GET,HEAD"),
        ("/docs", "GET,HEAD"),
    ] {
        for method in ["PUT", "PATCH", "TRACE", "PROPFIND", "OPTIONS"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = client().request(method.clone(), dynode.url() + path).send().await.unwrap();
            let expected = if method == Method::OPTIONS { 204 } else { 405 };
            assert_eq!(answer.status().as_u16(), expected, "{method} {path}");
            assert_eq!(answer.headers()["allow"], allowed, "{method} {path}");
        }
    }
    let unknown = client().request(Method::OPTIONS, dynode.url() + "/v1/nowhere").send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    check_unharmed(&dynode).await;
}

#[tokio::test]
async fn a_head_is_answered_as_its_get_without_a_body() {
    let dynode = Dynode::start(&Broker::Memory).await;
    for path in ["/", "/v1/models", "/v1/models/none", "/v1/status", "/openapi.json", "/docs", "/health/live"]
    {
        let got = client().get(dynode.url() + path).send().await.unwrap();
        let (status, kind) = (got.status(), got.headers()["content-type"].clone());
        let length = got.bytes().await.unwrap().len().to_string();
        let head = client().head(dynode.url() + path).send().await.unwrap();
        assert_eq!((head.status(), &head.headers()["content-type"]), (status, &kind), "{path}");
        // What changes from call to call (times, waits) is not compared by its length.
        if path != "/v1/status" {
            assert_eq!(head.headers()["content-length"], length.as_str(), "{path}");
        }
        assert!(head.bytes().await.unwrap().is_empty(), "{path}");
    }
    // The head of a stream without an end is an end.
    let head = within("a head", client().head(dynode.url() + "/v1/events").send()).await.unwrap();
    assert_eq!(head.headers()["content-type"], "text/event-stream");
    check_unharmed(&dynode).await;
}

#[tokio::test]
async fn a_body_that_is_packed_is_not_unpacked() {
    let dynode = Dynode::start(&Broker::Memory).await;
    let body = json!({"model": "sim-embed", "input": "x"});
    for encoding in ["gzip", "br", "gzip, gzip", "made-up"] {
        let request = client().post(dynode.url() + EMBEDDINGS).header("content-encoding", encoding);
        let answer = request.json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 415, "{encoding}");
        let said: Value = answer.json().await.unwrap();
        assert_eq!(said["error"]["param"], "Content-Encoding", "{said}");
    }
    let plain = client().post(dynode.url() + EMBEDDINGS).header("content-encoding", "identity");
    assert_eq!(plain.json(&body).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_key_that_is_given_twice_names_nothing() {
    let dynode = Dynode::start(&Broker::Memory).await;
    let request = client().post(dynode.url() + EMBEDDINGS);
    let request = request.header("idempotency-key", "a").header("idempotency-key", "b");
    let answer = request.json(&json!({"model": "sim-embed", "input": "x"})).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    let said: Value = answer.json().await.unwrap();
    assert_eq!(said["error"]["param"], "Idempotency-Key", "{said}");
}

/// Of a field that stands twice the last counts, for the door as for whoever comes behind it: they read one value.
#[tokio::test]
async fn a_field_that_stands_twice_means_one_thing() {
    let dynode = Dynode::start(&Broker::Memory).await;
    let send = async |body: &'static str| {
        let request = client().post(dynode.url() + EMBEDDINGS).header("content-type", "application/json");
        request.body(body).send().await.unwrap()
    };
    assert_eq!(send(r#"{"model":"none","model":"sim-embed","input":"x"}"#).await.status(), 200);
    assert_eq!(send(r#"{"model":"sim-embed","model":"none","input":"x"}"#).await.status(), 404);
}

#[tokio::test]
async fn a_value_that_nests_too_deeply_is_refused_before_it_is_read() {
    let dynode = Dynode::start(&Broker::Memory).await;
    for depth in [127, 1_000, 100_000] {
        let body = format!(
            r#"{{"model":"sim-embed","input":"x","deep":{}{}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        );
        let request = client().post(dynode.url() + EMBEDDINGS).header("content-type", "application/json");
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{depth}");
        assert!(answer.bytes().await.unwrap().len() < 1_000, "the body is not repeated");
    }
    check_unharmed(&dynode).await;
}

#[tokio::test]
async fn what_is_no_request_is_refused_or_cut_off() {
    let dynode = Dynode::start(&Broker::Memory).await;
    let cases: [(&str, &[u8]); 8] = [
        ("no request line", b"GARBAGE\r\n\r\n"),
        ("an unknown version", b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n"),
        ("a space in a header name", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
        ("a NUL in a header", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n"),
        ("a negative length", b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n"),
        (
            "two lengths",
            b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxxx",
        ),
        (
            "a chunk without a size",
            b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ),
        (
            "an unknown transfer encoding",
            b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\nx",
        ),
    ];
    for (what, bytes) in cases {
        let said = raw(&dynode, bytes).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 400"), "{what}: {said}");
    }
    check_unharmed(&dynode).await;
}

#[tokio::test]
async fn heads_without_measure_are_refused() {
    let dynode = Dynode::start(&Broker::Memory).await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(1_000));
    for (what, bytes) in [("a long path", long), ("many headers", many)] {
        let said = raw(&dynode, bytes.as_bytes()).await;
        let is_refused =
            said.is_empty() || said.starts_with("HTTP/1.1 431") || said.starts_with("HTTP/1.1 414");
        assert!(is_refused, "{what}: {}", said.chars().take(200).collect::<String>());
    }
    check_unharmed(&dynode).await;
}
