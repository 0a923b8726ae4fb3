//! `/v1/messages`, and what else clients of Anthropic's API meet.

use axum::{body::Body, http::Request};
use futures_util::stream;
use serde_json::{Value, json};

use crate::{
    client::{Reply, post, send},
    rig::Rig,
    worker::Job,
};

const PATH: &str = "/v1/messages";
const VERSION: &str = "anthropic-version";
const CURRENT: &str = "2026-10-21";

fn ask(model: &str) -> Value {
    json!({ "model": model, "max_tokens": 100, "messages": [{ "role": "user", "content": "hi" }] })
}

fn streamed(model: &str) -> Value {
    let mut body = ask(model);
    body["stream"] = json!(true);
    body
}

/// A request of a client of the API.
fn to(path: &str, body: &Value) -> Request<Body> {
    let mut request = post(path, body);
    request.headers_mut().insert(VERSION, CURRENT.parse().unwrap());
    request
}

fn look_at(path: &str) -> Request<Body> {
    Request::get(path).header(VERSION, CURRENT).body(Body::empty()).unwrap()
}

impl Rig {
    async fn say(&self, body: &Value) -> Reply {
        self.request(to(PATH, body)).await
    }
}

/// Checks that this is a refusal in the words of the API.
fn assert_refused(reply: &Reply, status: u16, kind: &str) {
    let body = reply.json();
    assert_eq!((reply.status.as_u16(), &body["error"]["type"]), (status, &json!(kind)), "{body}");
    assert_eq!((&body["type"], body["error"]["message"].is_string()), (&json!("error"), true), "{body}");
    assert_eq!(body["request_id"], reply.header("request-id"));
    assert_eq!(reply.header("request-id"), reply.header("x-request-id"));
    assert_eq!(reply.header("content-type"), "application/json");
}

#[tokio::test]
async fn a_plain_answer_has_every_field_that_strict_sdks_require() {
    let rig = Rig::start().await;
    let reply = rig.say(&ask("sim-chat")).await;
    assert_eq!(reply.status, 200);
    let expected = json!({
        "id": format!("msg_{}", reply.header("request-id")),
        "type": "message",
        "role": "assistant",
        "model": "sim-chat",
        "content": [{ "type": "text", "text": "Hello, world", "citations": null }],
        "stop_reason": "end_turn",
        "stop_sequence": null,
        "stop_details": null,
        "usage": {
            "input_tokens": 5,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 3,
            "output_tokens_details": { "thinking_tokens": 0 },
        },
    });
    assert_eq!(reply.json(), expected);
}

#[tokio::test]
async fn a_stream_is_start_blocks_end() {
    let rig = Rig::start().await;
    let reply = rig.say(&streamed("sim-chat")).await;
    assert_eq!(reply.header("content-type"), "text/event-stream");
    assert!(!reply.header("request-id").is_empty());
    let events = reply.data();
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let (start, delta, stop) = ("content_block_start", "content_block_delta", "content_block_stop");
    assert_eq!(kinds, ["message_start", start, delta, delta, delta, stop, "message_delta", "message_stop"]);
    let text: String = events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    assert_eq!(text, "Hello, world");
    assert_eq!(events[6]["usage"]["output_tokens"], 3);
    for (event, kind) in reply.text().split("\n\n").zip(kinds) {
        assert!(event.starts_with(&format!("event: {kind}\n")), "{event}");
    }
}

#[tokio::test]
async fn both_versions_are_spoken_and_no_other() {
    let rig = Rig::start().await;
    for (version, status) in [("2023-06-01", 200), (CURRENT, 200), ("2024-01-01", 400), ("x", 400)] {
        let mut request = post("/v1/messages?beta=true", &ask("sim-chat"));
        request.headers_mut().insert(VERSION, version.parse().unwrap());
        request.headers_mut().insert("anthropic-beta", "some-beta-2026-01-01".parse().unwrap());
        assert_eq!(rig.request(request).await.status, status, "{version}");
    }
    let reply = rig.post(PATH, &ask("sim-chat")).await;
    assert_refused(&reply, 400, "invalid_request_error");
    assert_eq!(reply.json()["error"]["details"]["param"], VERSION);
}

#[tokio::test]
async fn what_is_refused_is_refused_in_the_words_of_the_api() {
    let rig = Rig::with(json!({ "body_bytes_max": 1_000 })).await;
    let mut bad = ask("sim-chat");
    bad["messages"][0]["role"] = json!("bard");
    let reply = rig.say(&bad).await;
    assert_refused(&reply, 400, "invalid_request_error");
    let error = reply.json()["error"].clone();
    assert_eq!(error["details"], json!({ "error_code": "invalid_request", "param": "messages[0].role" }));
    assert!(error["message"].as_str().unwrap().starts_with("messages[0].role: "), "{error}");

    let mut held = ask("sim-chat");
    held["thread"] = json!({ "type": "create" });
    let reply = rig.say(&held).await;
    assert_refused(&reply, 400, "invalid_request_error");
    let code = reply.json()["error"]["details"]["error_code"].clone();
    assert_eq!(code, "thread_unsupported_request", "tool runners go on without on this word");

    let mut cut = to(PATH, &json!({}));
    *cut.body_mut() = "{\"model\":".into();
    assert_refused(&rig.request(cut).await, 400, "invalid_request_error");
    for body in [ask("nobody"), streamed("nobody")] {
        let reply = rig.say(&body).await;
        assert_refused(&reply, 404, "not_found_error");
        assert_eq!(reply.json()["error"]["details"]["param"], "model");
    }
    let mut large = ask("sim-chat");
    large["system"] = json!("x".repeat(2_000));
    assert_refused(&rig.say(&large).await, 413, "request_too_large");
    assert_refused(&rig.request(look_at(PATH)).await, 405, "invalid_request_error");
    assert_refused(&rig.request(look_at("/v1/files")).await, 404, "not_found_error");
    assert_refused(&rig.get("/v1/messages/batches").await, 404, "not_found_error");
    assert_refused(&rig.request(look_at("/v1/models/none")).await, 404, "not_found_error");
    let others = rig.get("/v1/files").await.json();
    assert!(others.get("type").is_none(), "whoever does not speak it is not answered in it: {others}");
}

#[tokio::test]
async fn a_body_that_is_no_object_or_no_json_is_refused_as_at_other_doors() {
    let rig = Rig::start().await;
    for path in [PATH, "/v1/messages/count_tokens"] {
        let reply = rig.request(to(path, &json!([1]))).await;
        assert_refused(&reply, 400, "invalid_request_error");
        assert_eq!(reply.json()["error"]["message"], "the body: expected an object");
        let mut request = to(path, &ask("sim-chat"));
        request.headers_mut().insert("content-type", "text/plain".parse().unwrap());
        let reply = rig.request(request).await;
        assert_refused(&reply, 415, "invalid_request_error");
        assert_eq!(reply.json()["error"]["details"]["error_code"], "unsupported_media_type");
    }
}

#[tokio::test]
async fn what_fails_before_the_first_piece_has_its_own_status_and_hints() {
    let rig = Rig::start().await;
    let limited = rig.say(&ask("limited")).await;
    assert_refused(&limited, 429, "rate_limit_error");
    assert_eq!((limited.header("retry-after"), limited.header("retry-after-ms")), ("3", "2500"));
    for body in [ask("broken"), streamed("broken")] {
        let reply = rig.say(&body).await;
        assert_refused(&reply, 529, "overloaded_error");
        assert_eq!(reply.json()["error"]["details"]["error_code"], "provider_unavailable");
        assert_eq!((reply.header("retry-after"), reply.header("retry-after-ms")), ("2", "1500"));
        assert!(!reply.headers.contains_key("x-should-retry"), "the SDKs may try again");
    }
}

#[tokio::test]
async fn one_request_too_many_is_overload() {
    let rig = Rig::with(json!({ "requests_inflight_max": 1 })).await;
    let held = to(PATH, &streamed("hold"));
    let second = async {
        rig.worker.held().await;
        let reply = rig.say(&ask("sim-chat")).await;
        rig.worker.go.notify_one();
        reply
    };
    let (first, refused) = tokio::join!(rig.request(held), second);
    assert_eq!(first.status, 200);
    assert_refused(&refused, 529, "overloaded_error");
    assert!(refused.header("retry-after-ms").parse::<u64>().unwrap() >= 1_000);
}

#[tokio::test]
async fn a_drain_is_overload() {
    let mut rig = Rig::start().await;
    let held = tokio::spawn(send(rig.address, to(PATH, &streamed("hold"))));
    rig.worker.held().await;
    rig.stop();
    let refused = loop {
        let reply = rig.say(&ask("sim-chat")).await;
        if reply.status != 200 {
            break reply;
        }
        tokio::task::yield_now().await;
    };
    assert_refused(&refused, 529, "overloaded_error");
    rig.worker.go.notify_one();
    assert!(held.await.unwrap().text().ends_with("data: {\"type\":\"message_stop\"}\n\n"));
    rig.ended().await;
}

#[tokio::test]
async fn a_restart_before_the_first_piece_is_not_noticed_and_after_it_is_an_error() {
    let rig = Rig::start().await;
    for (id, shown) in [("before", false), ("after", true)] {
        let mut request = to(PATH, &streamed("script"));
        request.headers_mut().insert("idempotency-key", id.parse().unwrap());
        let job = Job::of(&rig, id, schemas::Format::MessagePack);
        let play = async {
            rig.until_stored(&rig.event_subject(id), 1).await;
            job.running(1).await;
            if shown {
                job.delta(1, 1, "Hel").await;
            }
            job.running(2).await;
            job.answer(2).await;
        };
        let (reply, ()) = tokio::join!(rig.request(request), play);
        let last = reply.data().pop().unwrap();
        assert_eq!(last["type"], if shown { "error" } else { "message_stop" }, "{last}");
        if shown {
            assert_eq!(
                (&last["error"]["type"], &last["request_id"]),
                (&json!("overloaded_error"), &json!(id))
            );
            assert!(
                !reply.text().contains("world"),
                "no piece of the second attempt follows one of the first"
            );
        }
    }
}

#[tokio::test]
async fn who_waits_long_is_kept_awake_after_the_start() {
    let rig = Rig::with(json!({ "ping_interval_ms": 50 })).await;
    let mut live = rig.open(to(PATH, &streamed("hold"))).await;
    let begun = live.read_until("event: ping\ndata: {\"type\":\"ping\"}\n\n").await;
    assert!(begun.starts_with("event: message_start\n"), "{begun}");
    rig.worker.go.notify_one();
    let rest = live.read_until("event: message_stop").await;
    assert!(rest.contains("Hello") && !rest.contains("message_start"), "{rest}");
}

#[tokio::test]
async fn the_same_key_again_attaches_and_another_body_conflicts() {
    let rig = Rig::start().await;
    let with_key = |body: &Value| {
        let mut request = to(PATH, body);
        request.headers_mut().insert("idempotency-key", "m-1".parse().unwrap());
        request
    };
    let first = rig.request(with_key(&ask("sim-chat"))).await.json();
    let again = rig.request(with_key(&ask("sim-chat"))).await.json();
    assert_eq!((&first["id"], &first), (&json!("msg_m-1"), &again));
    let other = rig.request(with_key(&ask("broken"))).await;
    assert_refused(&other, 409, "conflict_error");
    assert_eq!(other.header("x-should-retry"), "false");
}

#[tokio::test]
async fn models_come_in_the_form_of_whoever_asks() {
    let rig = Rig::start().await;
    let list = rig.request(look_at("/v1/models?limit=1000")).await.json();
    assert_eq!(
        (&list["has_more"], &list["first_id"], &list["last_id"]),
        (&json!(false), &json!("sim-chat"), &json!("sim-chat"))
    );
    let model = &list["data"][0];
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(ids, ["sim-chat"], "others cannot be asked by messages");
    assert_eq!((&model["type"], &model["lifecycle"]), (&json!("model"), &json!("active")));
    assert!(model["created_at"].as_str().unwrap().ends_with('Z'), "{model}");
    assert_eq!(&rig.request(look_at("/v1/models/sim-chat")).await.json(), model);
    assert_refused(&rig.request(look_at("/v1/models?limit=0")).await, 400, "invalid_request_error");
    assert_eq!(rig.get("/v1/models").await.json()["object"], "list");
    assert_eq!(rig.get("/v1/models/sim-chat").await.json()["object"], "model");
}

#[tokio::test]
async fn tokens_are_counted_by_rule_of_thumb_and_images_are_not() {
    let rig = Rig::start().await;
    let mut body = json!({ "model": "sim-chat", "messages": [{ "role": "user", "content": "hi" }] });
    let reply = rig.request(to("/v1/messages/count_tokens", &body)).await;
    assert_eq!((reply.json(), reply.header("x-dynode-estimated")), (json!({ "input_tokens": 1 }), "true"));
    let image = json!({ "type": "image", "source": { "type": "url", "url": "https://x.test/a.png" } });
    body["messages"][0]["content"] = json!([image]);
    let reply = rig.request(to("/v1/messages/count_tokens", &body)).await;
    assert_refused(&reply, 400, "invalid_request_error");
    assert_eq!(reply.json()["error"]["details"]["param"], "messages");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let rig = Rig::with(json!({ "body_read_timeout_ms": 100 })).await;
    let never = Body::from_stream(stream::pending::<Result<axum::body::Bytes, std::io::Error>>());
    let request = Request::post(PATH).header(VERSION, CURRENT).body(never).unwrap();
    assert_refused(&rig.request(request).await, 400, "invalid_request_error");
}
