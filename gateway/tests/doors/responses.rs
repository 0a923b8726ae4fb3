//! `/v1/responses`.

use axum::{body::Body, http::Request as HttpRequest};
use broker::{AssetLimits, Broker, Limits, Topology, memory::Memory};
use futures_util::StreamExt;
use schemas::{Error, ErrorCode, Format, Request, Subjects};
use serde_json::{Value, json};

use crate::{
    client::{Reply, post},
    rig::Rig,
    worker::Job,
};

const PATH: &str = "/v1/responses";

fn asked(model: &str) -> Value {
    json!({ "model": model, "input": "hi" })
}

fn with(model: &str, field: &str, value: Value) -> Value {
    let mut body = asked(model);
    body[field] = value;
    body
}

fn at(id: &Value, rest: &str) -> String {
    format!("{PATH}/{}{rest}", id.as_str().unwrap())
}

/// The names of the events, without what all begin with.
fn names(reply: &Reply) -> Vec<String> {
    let events = reply.data();
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap().trim_start_matches("response.").to_owned())
        .collect()
}

impl Rig {
    async fn cancel_response(&self, id: &Value) -> Reply {
        self.request(HttpRequest::post(at(id, "/cancel")).body(Body::empty()).unwrap()).await
    }

    /// What a worker has in its hands.
    async fn request_in_work(&self) -> Request {
        let mut waiting = self.broker.replay(&self.topology.requests, ">", 0).await.unwrap();
        let stored = waiting.next().await.unwrap().unwrap();
        stored.message.format().decode(&stored.message.payload).unwrap()
    }

    /// A response in the background that the test answers itself.
    async fn scripted(&self, id: &str, streamed: bool) -> Job {
        let mut body = with("script", "background", json!(true));
        body["stream"] = json!(streamed);
        let mut request = post(PATH, &body);
        request.headers_mut().insert("idempotency-key", id.parse().unwrap());
        match streamed {
            true => drop(self.open(request).await),
            false => assert_eq!(self.request(request).await.status, 200),
        }
        Job::of(self, id, Format::MessagePack)
    }
}

#[tokio::test]
async fn a_plain_response_has_every_field_that_strict_sdks_require() {
    let rig = Rig::start().await;
    let mut body = with("sim-chat", "instructions", json!("be brief"));
    body["metadata"] = json!({ "k": "v" });
    let reply = rig.post(PATH, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let body = reply.json();
    let id = reply.header("x-request-id");
    assert_eq!(body["id"], format!("resp_{id}"));
    assert_eq!((&body["object"], &body["status"]), (&json!("response"), &json!("completed")));
    assert_eq!((&body["model"], &body["instructions"]), (&json!("sim-chat"), &json!("be brief")));
    assert!(body["created_at"].is_i64());
    let message = json!({
        "id": format!("msg_{id}_0"), "type": "message", "role": "assistant", "status": "completed",
        "content": [{ "type": "output_text", "text": "Hello, world", "annotations": [], "logprobs": [] }],
    });
    assert_eq!(body["output"], json!([message]));
    assert_eq!((&body["tools"], &body["tool_choice"]), (&json!([]), &json!("auto")));
    assert_eq!((&body["parallel_tool_calls"], &body["store"]), (&json!(true), &json!(true)));
    assert_eq!(body["usage"]["total_tokens"], 8);
    assert_eq!(body["usage"]["input_tokens_details"], json!({ "cached_tokens": 0, "cache_write_tokens": 0 }));
    let retrieved = rig.get(&at(&body["id"], "")).await;
    assert_eq!(retrieved.json(), body, "what is retrieved is what was answered");
    assert_eq!(retrieved.header("x-request-id"), id);
}

#[tokio::test]
async fn a_stream_is_typed_events_under_their_names_and_can_be_taken_up_again() {
    let rig = Rig::start().await;
    let reply = rig.post(PATH, &with("sim-chat", "stream", json!(true))).await;
    assert_eq!(reply.header("content-type"), "text/event-stream");
    let expected = [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(names(&reply), expected);
    assert!(reply.text().starts_with("event: response.created\ndata: {"));
    assert!(reply.text().ends_with("\n\n") && !reply.text().contains("[DONE]"));
    let events = reply.data();
    let id = &events[0]["response"]["id"];
    let again = rig.get(&at(id, "?stream=true")).await;
    assert_eq!(again.data(), events);
    let rest = rig.get(&at(id, "?stream=true&starting_after=5")).await;
    assert_eq!(rest.data(), events[6..]);
    assert_eq!(rig.get(&at(id, "")).await.json(), events[10]["response"]);
}

#[tokio::test]
async fn what_a_response_was_asked_with_is_listed_and_counted() {
    let rig = Rig::start().await;
    let first = rig.post(PATH, &with("sim-chat", "instructions", json!("be brief"))).await.json();
    let items = rig.get(&at(&first["id"], "/input_items")).await.json();
    let id = first["id"].as_str().unwrap().strip_prefix("resp_").unwrap();
    let item = json!({
        "id": format!("msg_in_{id}_0"), "type": "message", "role": "user", "status": "completed",
        "content": [{ "type": "input_text", "text": "hi" }],
    });

    let own = item["id"].clone();
    let expected =
        json!({ "object": "list", "data": [item], "first_id": own, "last_id": own, "has_more": false });
    assert_eq!(items, expected);

    let follow = with("sim-chat", "previous_response_id", first["id"].clone());
    let second = rig.post(PATH, &follow).await.json();
    let page = rig.get(&at(&second["id"], "/input_items?order=asc&limit=2")).await.json();
    let said: Vec<_> = page["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["content"][0]["text"].as_str().unwrap())
        .collect();
    assert_eq!((said, &page["has_more"]), (vec!["hi", "Hello, world"], &json!(true)));
    assert_eq!(rig.get(&format!("{PATH}/resp_none/input_items")).await.status, 404);

    let count = format!("{PATH}/input_tokens");
    let short = rig.post(&count, &asked("sim-chat")).await;
    assert_eq!(short.header("x-dynode-estimated"), "true");
    assert_eq!(short.json(), json!({ "object": "response.input_tokens", "input_tokens": 1 }));
    assert_eq!(rig.post(&count, &follow).await.status, 200);
}

#[tokio::test]
async fn events_that_are_gone_are_not_made_up_for_whoever_counts_them() {
    let rig = Rig::start().await;
    let reply = rig.post(PATH, &with("sim-chat", "stream", json!(true))).await;
    let id = reply.data()[0]["response"]["id"].clone();
    rig.broker.purge(&rig.topology.events, &rig.event_subject(reply.header("x-request-id"))).await.unwrap();
    let rest = rig.get(&at(&id, "?stream=true&starting_after=5")).await;
    let [only] = &rest.data()[..] else { panic!("{}", rest.text()) };
    assert_eq!(only["type"], "error");
    assert!(only["message"].as_str().unwrap().contains("without `stream`"), "{only}");
    // Who counts nothing gets the answer in one piece.
    let all = rig.get(&at(&id, "?stream=true")).await;
    let all = all.data();
    assert_eq!(all.last().unwrap()["response"], rig.get(&at(&id, "")).await.json());
}

#[tokio::test]
async fn a_response_in_the_background_is_told_as_far_as_it_is() {
    let rig = Rig::start().await;
    let reply = rig.post(PATH, &with("hold", "background", json!(true))).await;
    let body = reply.json();
    assert_eq!(
        (&body["status"], &body["background"], &body["output"]),
        (&json!("queued"), &json!(true), &json!([]))
    );
    rig.worker.held().await;
    assert_eq!(rig.get(&at(&body["id"], "")).await.json()["status"], "in_progress");
    rig.worker.go.notify_one();
    rig.until_ended(reply.header("x-request-id")).await;
    let ended = rig.get(&at(&body["id"], "")).await.json();
    assert_eq!(
        (&ended["status"], &ended["output"][0]["content"][0]["text"]),
        (&json!("completed"), &json!("Hello, world"))
    );
}

#[tokio::test]
async fn a_cancelled_response_is_told_as_cancelled() {
    let rig = Rig::start().await;
    let job = rig.scripted("c1", false).await;
    let id = json!("resp_c1");
    job.running(1).await;
    job.delta(1, 1, "Hel").await;
    let mut cancels = rig.broker.subscribe("dynode.ctl.>").await.unwrap();
    let play = async {
        cancels.next().await.unwrap();
        job.end(1, 2, Err(Error::new(ErrorCode::Cancelled, "cancelled by its sender"))).await;
    };
    let (reply, ()) = tokio::join!(rig.cancel_response(&id), play);
    assert_eq!((reply.status.as_u16(), &reply.json()["status"]), (200, &json!("cancelled")));
    assert_eq!(reply.json()["error"], Value::Null);
    let again = rig.cancel_response(&id).await;
    assert_eq!(again.json(), reply.json(), "who has ended is told as it ended");
    let events = rig.get(&at(&id, "?stream=true")).await.data();
    let last = events.last().unwrap();
    assert_eq!(
        (&last["type"], &last["response"]["status"]),
        (&json!("response.failed"), &json!("cancelled"))
    );
}

#[tokio::test]
async fn a_failure_has_its_own_status_before_anything_is_shown_and_is_a_status_later() {
    let rig = Rig::start().await;
    for streamed in [false, true] {
        let reply = rig.post(PATH, &with("broken", "stream", json!(streamed))).await;
        assert_eq!((reply.status.as_u16(), reply.header("retry-after-ms")), (503, "1500"));
        let id = json!(format!("resp_{}", reply.header("x-request-id")));
        let body = rig.get(&at(&id, "")).await.json();
        assert_eq!((&body["status"], &body["error"]["code"]), (&json!("failed"), &json!("server_error")));
    }
    let reply = rig.post(PATH, &asked("nobody")).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["error"]["code"]), (404, &json!("model_not_found")));
}

#[tokio::test]
async fn a_failure_after_the_first_piece_is_an_event() {
    let rig = Rig::start().await;
    let job = rig.scripted("f1", true).await;
    job.running(1).await;
    job.delta(1, 1, "Hel").await;
    job.end(1, 2, Err(Error::new(ErrorCode::ProviderError, "it broke"))).await;
    let reply = rig.get(&at(&json!("resp_f1"), "?stream=true")).await;
    assert_eq!(names(&reply).last().unwrap(), "failed");
    let response = &reply.data().pop().unwrap()["response"];
    assert_eq!(response["error"], json!({ "code": "server_error", "message": "provider_error: it broke" }));
    assert_eq!(response["output"][0]["content"][0]["text"], "Hel");
}

#[tokio::test]
async fn what_was_shown_and_taken_back_ends_the_stream_and_not_the_response() {
    let rig = Rig::start().await;
    let job = rig.scripted("t1", true).await;
    job.running(1).await;
    job.delta(1, 1, "Hel").await;
    job.running(2).await;
    job.answer(2).await;
    let reply = rig.get(&at(&json!("resp_t1"), "?stream=true")).await;
    assert_eq!(names(&reply).last().unwrap(), "error");
    assert_eq!(rig.get(&at(&json!("resp_t1"), "")).await.json()["status"], "completed");
}

#[tokio::test]
async fn a_response_goes_on_from_an_earlier_one() {
    let rig = Rig::start().await;
    let mut body = with("sim-chat", "instructions", json!("be brief"));
    body["input"] = json!([{ "role": "user", "content": "first" }]);
    let first = rig.post(PATH, &body).await.json();
    let mut body = with("sim-chat", "previous_response_id", first["id"].clone());
    body["input"] = json!("second");
    let second = rig.post(PATH, &body).await.json();
    assert_eq!(second["previous_response_id"], first["id"]);
    let mut body = with("hold", "previous_response_id", second["id"].clone());
    body["background"] = json!(true);
    body["instructions"] = json!("be long");
    let third = rig.post(PATH, &body).await.json();
    rig.worker.held().await;
    let expected = json!([
        { "role": "system", "content": "be long" },
        { "role": "user", "content": "first" },
        { "role": "assistant", "content": "Hello, world" },
        { "role": "user", "content": "second" },
        { "role": "assistant", "content": "Hello, world" },
        { "role": "user", "content": "hi" },
    ]);
    assert_eq!(rig.request_in_work().await.payload["messages"], expected);
    let early = rig.post(PATH, &with("sim-chat", "previous_response_id", third["id"].clone())).await;
    assert_eq!(
        (early.status.as_u16(), &early.json()["error"]["param"]),
        (400, &json!("previous_response_id"))
    );
    rig.worker.go.notify_one();
}

#[tokio::test]
async fn only_what_is_kept_is_there() {
    let rig = Rig::start().await;
    let id = rig.post(PATH, &with("sim-chat", "store", json!(false))).await.json()["id"].clone();
    assert_eq!(rig.get(&at(&id, "")).await.status, 404);
    let kept = rig.post(PATH, &asked("sim-chat")).await.json()["id"].clone();
    let deleted = rig.delete(&at(&kept, "")).await;
    assert_eq!(deleted.json(), json!({ "id": kept, "object": "response", "deleted": true }));
    assert_eq!(rig.delete(&at(&kept, "")).await.status, 404);
    let request = kept.as_str().unwrap().strip_prefix("resp_").unwrap();
    assert_eq!(rig.get(&format!("/v1/requests/{request}")).await.status, 200, "its outcome stays");
    for gone in [id, kept, json!("resp_none"), json!("none"), json!("resp_a.b")] {
        let reply = rig.get(&at(&gone, "")).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["error"]["code"]),
            (404, &json!("not_found")),
            "{gone}"
        );
        assert_eq!(rig.cancel_response(&gone).await.status, 404);
        let reply = rig.post(PATH, &with("sim-chat", "previous_response_id", gone)).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["error"]["param"]),
            (404, &json!("previous_response_id"))
        );
    }
    let chat = rig.post_as("a-chat", "/v1/chat/completions", &crate::client::chat("sim-chat")).await;
    assert_eq!(chat.status, 200);
    assert_eq!(
        rig.get(&format!("{PATH}/resp_a-chat")).await.status,
        404,
        "a chat was not asked for as a response"
    );
}

#[tokio::test]
async fn where_there_is_no_room_to_keep_a_response_it_says_so() {
    let (broker, mut topology) = (Memory::default(), Topology::new(Subjects::default()));
    topology.responses.bytes_max = Some(1);
    broker.ensure(&topology.streams(&Limits::default())).await.unwrap();
    let rig = Rig::of(topology, broker, AssetLimits::default(), json!({})).await;
    let reply = rig.post(PATH, &asked("sim-chat")).await;
    let body = reply.json();
    assert_eq!((&body["status"], &body["store"]), (&json!("completed"), &json!(false)));
    assert_eq!(rig.get(&at(&body["id"], "")).await.status, 404);
    // Nobody would ever see the answer.
    let mut cancels = rig.broker.subscribe("dynode.ctl.>").await.unwrap();
    let reply = rig.post_as("lost", PATH, &with("hold", "background", json!(true))).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["error"]["code"]), (429, &json!("overloaded")));
    assert!(cancels.next().await.unwrap().subject.ends_with(".lost"));
}

#[tokio::test]
async fn another_tenants_response_is_an_unknown_one() {
    let rig = Rig::start().await;
    let id = rig.post(PATH, &asked("sim-chat")).await.json()["id"].clone();
    let other = Rig::on(rig.broker.clone(), json!({ "tenant": "other" })).await;
    assert_eq!(other.get(&at(&id, "")).await.status, 404);
    assert_eq!(other.get(&at(&id, "?stream=true")).await.status, 404);
    assert_eq!(other.cancel_response(&id).await.status, 404);
    assert_eq!(other.delete(&at(&id, "")).await.status, 404);
    assert_eq!(other.post(PATH, &with("sim-chat", "previous_response_id", id.clone())).await.status, 404);
    assert_eq!(rig.get(&at(&id, "")).await.status, 200);
}

#[tokio::test]
async fn the_same_key_is_the_same_response_and_another_question_under_it_a_conflict() {
    let rig = Rig::start().await;
    let first = rig.post_as("k1", PATH, &asked("sim-chat")).await.json();
    let again = rig.post_as("k1", PATH, &asked("sim-chat")).await.json();
    assert_eq!(first, again);
    let other = rig.post_as("k1", PATH, &with("sim-chat", "input", json!("else"))).await;
    assert_eq!(other.status, 409);
    assert_eq!(rig.get(&at(&first["id"], "")).await.json()["output"], first["output"]);
}

#[tokio::test]
async fn bad_input_is_refused_by_path() {
    let rig = Rig::start().await;
    for (body, param) in [
        (json!({ "input": "hi" }), json!("model")),
        (json!({ "model": "sim-chat" }), json!("input")),
        (with("sim-chat", "input", json!([])), json!("input")),
        (with("sim-chat", "tools", json!([{ "type": "web_search" }])), json!("tools[0].type")),
        (with("sim-chat", "temperature", json!(3)), json!("temperature")),
        (with("sim-chat", "metadata", json!({ "k": 1 })), json!("metadata.k")),
        (json!([]), Value::Null),
    ] {
        let reply = rig.post(PATH, &body).await;
        let error = reply.json()["error"].clone();
        assert_eq!((reply.status.as_u16(), &error["param"]), (400, &param), "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(!message.contains("payload") && !message.contains("messages"), "{message}");
    }
    let id = rig.post(PATH, &asked("sim-chat")).await.json()["id"].clone();
    for query in ["?starting_after=3", "?stream=maybe", "?stream=true&starting_after=-1"] {
        assert_eq!(rig.get(&at(&id, query)).await.status, 400, "{query}");
    }
}
