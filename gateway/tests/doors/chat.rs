//! `/v1/chat/completions`.

use serde_json::{Value, json};

use crate::{
    client::{chat, post, streamed},
    rig::Rig,
    worker::Job,
};

const PATH: &str = "/v1/chat/completions";

#[tokio::test]
async fn a_plain_answer_has_every_field_that_strict_sdks_require() {
    let rig = Rig::start().await;
    let reply = rig.post(PATH, &chat("sim-chat")).await;
    assert_eq!(reply.status, 200);
    let body = reply.json();
    assert_eq!(body["id"], format!("chatcmpl-{}", reply.header("x-request-id")));
    assert_eq!((&body["object"], &body["model"]), (&json!("chat.completion"), &json!("sim-chat")));
    assert!(body["created"].is_i64());
    let choice = json!({
        "index": 0,
        "message": { "role": "assistant", "content": "Hello, world", "refusal": null },
        "finish_reason": "stop",
        "logprobs": null,
    });
    assert_eq!(body["choices"], json!([choice]));
    assert_eq!(body["usage"]["total_tokens"], 8);
}

#[tokio::test]
async fn a_stream_is_role_content_finish_usage_done() {
    let rig = Rig::start().await;
    let mut body = streamed("sim-chat");
    body["stream_options"] = json!({ "include_usage": true });
    let reply = rig.post(PATH, &body).await;
    assert_eq!(reply.header("content-type"), "text/event-stream");
    assert!(reply.text().ends_with("data: [DONE]\n\n"));
    let chunks = reply.data();
    let content: Vec<_> =
        chunks.iter().filter_map(|c| c["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(content, ["", "Hello", ", ", "world"]);
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let finish = &chunks[chunks.len() - 2]["choices"][0];
    assert_eq!((&finish["delta"], &finish["finish_reason"]), (&json!({}), &json!("stop")));
    let (last, earlier) = chunks.split_last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(8)));
    assert!(earlier.iter().all(|chunk| chunk["usage"].is_null() && chunk["id"] == chunks[0]["id"]));
}

#[tokio::test]
async fn usage_is_not_mentioned_unless_asked_for() {
    let rig = Rig::start().await;
    let reply = rig.post(PATH, &streamed("sim-chat")).await;
    assert!(!reply.text().contains("usage"), "{}", reply.text());
}

#[tokio::test]
async fn a_list_is_not_taken_for_the_fields_in_their_order() {
    let rig = Rig::start().await;
    let list = json!(["sim-chat", [{ "role": "user", "content": "hi" }], false]);
    let reply = rig.post(PATH, &list).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert_eq!(reply.json()["error"]["message"], "the body: expected an object");
}

#[tokio::test]
async fn notes_inside_of_the_body_are_checked_as_those_of_a_request() {
    let rig = Rig::start().await;
    let with = |notes: Value| {
        let mut body = chat("sim-chat");
        body["metadata"] = notes;
        body
    };
    for good in [json!({ "order": "7" }), Value::Null] {
        assert_eq!(rig.post(PATH, &with(good)).await.status, 200);
    }
    let many: serde_json::Map<_, _> = (0..17).map(|number| (number.to_string(), json!(""))).collect();
    for (bad, param) in
        [(json!({ "order": 7 }), "metadata.order"), (json!("x"), "metadata"), (many.into(), "metadata")]
    {
        let reply = rig.post(PATH, &with(bad)).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["error"]["param"]), (400, &json!(param)));
    }
}

#[tokio::test]
async fn bad_input_is_refused_by_path() {
    let rig = Rig::start().await;
    let user = json!({ "role": "user", "content": "hi" });
    let rows = [
        (json!({ "messages": [user] }), json!("model"), "required"),
        (json!({ "model": 7, "messages": [user] }), json!("model"), "string"),
        (json!({ "model": "m", "messages": [] }), json!("messages"), "at least one"),
        (
            json!({ "model": "m", "messages": [{ "role": 7, "content": "x" }] }),
            json!("messages[0].role"),
            "role",
        ),
        (json!("hello"), Value::Null, "the body"),
    ];
    for (body, param, word) in rows {
        let reply = rig.post(PATH, &body).await;
        assert_eq!(reply.status, 400, "{body}");
        let error = reply.json()["error"].clone();
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("invalid_request_error"), &json!("invalid_request"))
        );
        assert_eq!(error["param"], param, "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(word) && !message.contains("payload"), "{message}");
        assert!(!reply.header("x-request-id").is_empty());
    }
}

#[tokio::test]
async fn text_that_is_not_json_is_refused() {
    let rig = Rig::start().await;
    let mut request = post(PATH, &json!({}));
    *request.body_mut() = "{\"model\":".into();
    let reply = rig.request(request).await;
    assert_eq!(reply.status, 400);
    assert!(reply.json()["error"]["message"].as_str().unwrap().starts_with("invalid JSON"));
}

#[tokio::test]
async fn an_unknown_model_is_404_also_where_a_stream_was_asked_for() {
    let rig = Rig::start().await;
    for body in [chat("nobody"), streamed("nobody")] {
        let reply = rig.post(PATH, &body).await;
        assert_eq!(reply.status, 404);
        let error = reply.json()["error"].clone();
        assert_eq!((&error["code"], &error["param"]), (&json!("model_not_found"), &json!("model")));
        assert!(!reply.header("x-request-id").is_empty());
    }
}

#[tokio::test]
async fn a_failure_before_the_first_piece_has_its_own_status_and_hints() {
    let rig = Rig::start().await;
    for body in [chat("broken"), streamed("broken")] {
        let reply = rig.post(PATH, &body).await;
        assert_eq!(reply.status, 503);
        assert_eq!((reply.header("retry-after"), reply.header("retry-after-ms")), ("2", "1500"));
    }
}

#[tokio::test]
async fn a_restart_before_the_first_piece_is_not_noticed_and_after_it_is_an_error() {
    let rig = Rig::start().await;
    for (id, shown) in [("before", false), ("after", true)] {
        let mut request = post(PATH, &streamed("script"));
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
        let text = reply.text().to_owned();
        assert_eq!(text.ends_with("data: [DONE]\n\n"), !shown, "{text}");
        assert_eq!(text.contains("\"error\""), shown, "{text}");
        assert_eq!(text.contains("world"), !shown, "no piece of the second attempt follows one of the first");
    }
}

#[tokio::test]
async fn the_same_key_again_attaches_and_another_body_conflicts() {
    let rig = Rig::start().await;
    let first = rig.post_as("k-1", PATH, &chat("sim-chat")).await;
    let again = rig.post_as("k-1", PATH, &chat("sim-chat")).await;
    assert_eq!((first.json()["id"].clone(), again.status), (json!("chatcmpl-k-1"), 200.try_into().unwrap()));
    assert_eq!(first.json()["choices"], again.json()["choices"]);
    let other = rig.post_as("k-1", PATH, &chat("broken")).await;
    assert_eq!((other.status, other.header("x-should-retry")), (409.try_into().unwrap(), "false"));
    assert_eq!(other.json()["error"]["code"], "conflict");
    let bad = rig.post_as("k 1", PATH, &chat("sim-chat")).await;
    assert_eq!(
        (bad.status, &bad.json()["error"]["param"]),
        (400.try_into().unwrap(), &json!("Idempotency-Key"))
    );
}

#[tokio::test]
async fn a_key_in_flight_attaches_to_the_running_request() {
    let rig = Rig::start().await;
    let release = async {
        rig.until_stored(&rig.event_subject("k-2"), 2).await;
        let second = rig.open({
            let mut request = post(PATH, &streamed("hold"));
            request.headers_mut().insert("idempotency-key", "k-2".parse().unwrap());
            request
        });
        rig.worker.go.notify_one();
        second.await.read_until("[DONE]").await
    };
    let body = streamed("hold");
    let (first, second) = tokio::join!(rig.post_as("k-2", PATH, &body), release);
    assert!(first.text().contains("Hello"));
    assert!(second.contains("Hello"));
}

#[tokio::test]
async fn a_door_that_gives_up_leaves_the_outcome_to_be_read() {
    let rig = Rig::with(json!({ "default_deadline_ms": 50, "deadline_grace_ms": 50 })).await;
    let reply = rig.post_as("late", PATH, &chat("hold")).await;
    assert_eq!((reply.status, reply.header("x-should-retry")), (504.try_into().unwrap(), "false"));
    assert_eq!(reply.json()["error"]["code"], "deadline_exceeded");
    rig.worker.go.notify_one();
    rig.until_ended("late").await;
    assert_eq!(rig.get("/v1/requests/late").await.json()["status"], "succeeded");
}
