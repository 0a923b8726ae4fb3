//! What goes over the wire to an OpenAI-compatible server, and what becomes of its connection.

use adapters::{Remedy, http};
use schemas::ErrorCode;

use super::{
    server::{Act, Seen, Server, done, end, event, reply, stream_head},
    *,
};

const KEY: &str = "sk-canary-0123456789";

fn adapter(base_url: &str) -> Arc<dyn Adapter> {
    provider(json!({"kind": "openai_compatible", "base_url": base_url, "api_key": KEY,
        "headers": {"x-team": "canary-of-a-header"}, "models": {"m": {}}}))
}

fn piece(text: &str, reason: Value) -> Act {
    event(&json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]}))
}

fn streamed() -> Call {
    chat(json!({"stream": true}))
}

#[tokio::test]
async fn the_call_carries_key_trace_and_idempotency_key() {
    let mut server = Server::start(vec![stream_head(), piece("a", json!("stop")), done(), end()]).await;
    all(&*adapter(&server.base_url), chat(json!({"stream": true, "top_k": 3, "simulate": {}}))).await;
    let Seen::Request { head, body, .. } = server.seen().await else { panic!() };
    assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{head}");
    for line in [
        format!("authorization: Bearer {KEY}"),
        "x-team: canary-of-a-header".into(),
        "content-type: application/json".into(),
        "accept: text/event-stream".into(),
        "idempotency-key: acme.req-1".into(),
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
        format!("user-agent: dynode/{}", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {head}");
    }
    let messages = json!([{"role": "user", "content": "hello there"}]);
    let expected = json!({"model": "m", "messages": messages, "stream": true, "top_k": 3,
        "stream_options": {"include_usage": true}});
    assert_eq!(body, expected);
}

#[tokio::test]
async fn marks_of_anthropics_cache_go_only_where_they_are_known() {
    for knows in [false, true] {
        let mut server = Server::start(vec![stream_head(), piece("a", json!("stop")), done(), end()]).await;
        let table = json!({"kind": "openai_compatible", "base_url": server.base_url, "cache_control": knows,
            "models": {"m": {}}});
        let mark = json!({"type": "ephemeral"});
        let messages = json!([{"role": "user", "content": "hello there", "cache_control": mark}]);
        all(&*provider(table), chat(json!({"stream": true, "messages": messages, "cache_control": mark})))
            .await;
        let Seen::Request { body, .. } = server.seen().await else { panic!() };
        let arrived = [&body["cache_control"], &body["messages"][0]["cache_control"]];
        assert!(arrived.iter().all(|arrived| arrived.is_object() == knows), "{knows}: {body}");
    }
}

#[tokio::test]
async fn dropping_the_call_closes_the_connection() {
    let mut server = Server::start(vec![stream_head(), piece("a", Value::Null), Act::Hang]).await;
    let adapter = adapter(&server.base_url);
    let mut progress = adapter.call(streamed()).await.unwrap();
    assert_eq!(progress.next().await.unwrap().unwrap(), Progress::Started);
    assert_eq!(progress.next().await.unwrap().unwrap(), Progress::Delta(ChatDelta::text("a")));
    assert!(matches!(server.seen().await, Seen::Request { .. }));
    drop(progress);
    let seen = tokio::time::timeout(PATIENCE, server.seen()).await.expect("the server sees the end");
    assert!(matches!(seen, Seen::Closed), "{seen:?}");
}

#[tokio::test]
async fn the_deadline_closes_the_connection_too() {
    let mut server = Server::start(vec![Act::Hang]).await;
    let call = Call { deadline: Instant::now() + Duration::from_millis(200), ..streamed() };
    let items = all(&*adapter(&server.base_url), call).await;
    assert_eq!((items.len(), failure(&items).code), (1, ErrorCode::DeadlineExceeded));
    assert!(matches!(server.seen().await, Seen::Request { .. }));
    let seen = tokio::time::timeout(PATIENCE, server.seen()).await.expect("the server sees the end");
    assert!(matches!(seen, Seen::Closed), "{seen:?}");
}

#[tokio::test]
async fn a_connection_serves_the_next_call() {
    // The end of the body in a packet of its own, as most servers send it.
    let acts = vec![stream_head(), piece("a", json!("stop")), done(), Act::Yield, end()];
    let mut server = Server::start(acts).await;
    let adapter = adapter(&server.base_url);
    for _ in 0..3 {
        assert_eq!(output(&all(&*adapter, streamed()).await).text, "a");
    }
    for _ in 0..3 {
        let Seen::Request { connection, .. } = server.seen().await else { panic!() };
        assert_eq!(connection, 0);
    }
}

#[tokio::test]
async fn a_server_that_keeps_the_body_open_does_not_hold_the_answer_back() {
    let server = Server::start(vec![stream_head(), piece("a", json!("stop")), done(), Act::Hang]).await;
    let items = all(&*adapter(&server.base_url), streamed()).await;
    assert_eq!(output(&items).text, "a");
}

#[tokio::test]
async fn an_end_without_the_mark_is_fine_after_a_reason_and_broken_before() {
    for (reason, whole) in [(json!("stop"), true), (Value::Null, false)] {
        for close in [end(), Act::Close] {
            let server = Server::start(vec![stream_head(), piece("a", reason.clone()), close.clone()]).await;
            let items = all(&*adapter(&server.base_url), streamed()).await;
            assert_eq!(items.last().unwrap().is_ok(), whole, "{reason} {close:?}: {items:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_was_asked_for_and_comes_whole_still_has_deltas() {
    let message = json!({"role": "assistant", "content": "Hello"});
    let body = json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
    let json = "Content-Type: application/json; charset=utf-8\r\n";
    let server = Server::start(vec![reply(200, json, &body.to_string())]).await;
    let items = all(&*adapter(&server.base_url), streamed()).await;
    assert_eq!(deltas(&items).len(), 1, "{items:?}");
    assert_eq!(output(&items).text, "Hello");
}

#[tokio::test]
async fn an_error_under_a_good_status_is_an_error() {
    let body = r#"{"error":{"message":"boom","code":"rate_limit_exceeded"}}"#;
    for call in [streamed(), chat(json!({}))] {
        let server = Server::start(vec![reply(200, "content-type: application/json\r\n", body)]).await;
        let items = all(&*adapter(&server.base_url), call).await;
        assert_eq!((items.len(), failure(&items).remedy), (2, Remedy::Throttle), "{items:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_error_and_takes_the_key_nowhere() {
    let mut elsewhere = Server::start(vec![reply(200, "", "{}")]).await;
    let location = format!("location: {}/chat/completions\r\n", elsewhere.base_url);
    for status in [301, 307, 308] {
        let server = Server::start(vec![reply(status, &location, "")]).await;
        let items = all(&*adapter(&server.base_url), streamed()).await;
        let error = failure(&items);
        assert_eq!((error.code, error.remedy), (ErrorCode::ProviderError, Remedy::FallBack));
        assert_eq!(error.upstream_status, Some(status));
    }
    let base = elsewhere.base_url.clone();
    all(&*adapter(&base), chat(json!({}))).await;
    assert!(matches!(elsewhere.seen().await, Seen::Request { connection: 0, .. }), "the first to reach it");
}

#[tokio::test]
async fn nobody_listening_is_a_reason_to_retry() {
    // Port 9 is reserved for discarding; nobody listens.
    let items = all(&*adapter("http://127.0.0.1:9/v1"), streamed()).await;
    assert_eq!(
        (failure(&items).code, failure(&items).remedy),
        (ErrorCode::ProviderUnavailable, Remedy::Retry)
    );
    let hung_up = Server::start(vec![Act::Close]).await;
    let items = all(&*adapter(&hung_up.base_url), streamed()).await;
    assert_eq!(
        (failure(&items).code, failure(&items).remedy),
        (ErrorCode::ProviderUnavailable, Remedy::Retry)
    );
}

#[tokio::test]
async fn an_endless_error_or_reply_is_not_read_to_its_end() {
    let megabytes = |count: usize| vec![Act::Send(vec![b'x'; 1 << 20]); count];
    let endless = |status: u16| Act::Send(format!("HTTP/1.1 {status} X\r\n\r\n").into_bytes());
    let error = [vec![endless(500)], megabytes(4), vec![Act::Hang]].concat();
    let server = Server::start(error).await;
    let items = all(&*adapter(&server.base_url), streamed()).await;
    assert_eq!(failure(&items).upstream_status, Some(500));
    assert!(failure(&items).message.len() < 400);
    let server = Server::start([vec![endless(200)], megabytes(2), vec![Act::Hang]].concat()).await;
    let client = http::client_builder().build().unwrap();
    let response = client.get(&server.base_url).send().await.unwrap();
    assert!(matches!(http::read(response, 1 << 20).await, Err(http::ReadError::TooLong { .. })));
    let items =
        all(&*adapter(&Server::start(vec![reply(200, "", "short")]).await.base_url), chat(json!({}))).await;
    assert_eq!(failure(&items).remedy, Remedy::Retry, "{items:?}");
}

#[tokio::test]
async fn no_error_shows_the_key_or_a_secret_header() {
    let echo = json!({"error": {"message": format!("Bearer {KEY}, canary-of-a-header")}}).to_string();
    let scenes = [
        vec![reply(400, "", &echo)],
        vec![reply(401, "", &echo)],
        vec![reply(500, "", &echo)],
        vec![reply(200, "", &echo)],
        vec![reply(200, "content-type: application/json\r\n", &json!({"choices": KEY}).to_string())],
        vec![stream_head(), event(&json!({"choices": "canary-of-a-header"})), end()],
        vec![stream_head(), Act::Close],
        vec![Act::Close],
    ];
    for acts in scenes {
        let server = Server::start(acts.clone()).await;
        let adapter = adapter(&server.base_url);
        for call in [streamed(), chat(json!({}))] {
            let items = all(&*adapter, call).await;
            let error = failure(&items);
            let shown = format!("{error} {error:?} {:?} {adapter:?}", error.to_public());
            assert!(!shown.contains("canary"), "{acts:?}: {shown}");
        }
    }
}
