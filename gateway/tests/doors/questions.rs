//! What a socket can ask: the same answers as over HTTP.

use serde_json::{Value, json};

use crate::{client::native, rig::Rig, socket::Socket};

/// What a question is answered with.
async fn answer(socket: &mut Socket, mut question: Value) -> Value {
    question["id"] = json!("q");
    socket.say(question).await;
    let answer = socket.hear().await;
    assert_eq!((&answer["id"], &answer["event"]), (&json!("q"), &json!("complete")), "{answer}");
    answer["output"].clone()
}

#[tokio::test]
async fn questions_are_answered_as_over_http() {
    let rig = Rig::start().await;
    let mut socket = Socket::open(&rig).await;
    let models = answer(&mut socket, json!({ "action": "models" })).await;
    assert_eq!(models, rig.get("/v1/models").await.json());
    let pools = answer(&mut socket, json!({ "action": "system.status" })).await;
    assert_eq!(pools, rig.get("/v1/status").await.json());
    let request = native("e", "sim-chat");
    let estimate = answer(&mut socket, json!({ "action": "estimate", "request": request })).await;
    assert_eq!(estimate, rig.post("/v1/estimate", &request).await.json());
}

#[tokio::test]
async fn a_question_that_cannot_be_answered_is_refused_under_its_id() {
    let rig = Rig::start().await;
    let mut socket = Socket::open(&rig).await;
    let rows = [
        (json!({ "action": "estimate" }), "request"),
        (
            json!({ "action": "estimate", "request": { "action": "chat.completion", "payload": {} } }),
            "payload.model",
        ),
        (
            json!({ "action": "estimate", "request": { "action": "auto", "payload": {}, "tenant": "x" } }),
            "tenant",
        ),
    ];
    for (mut question, param) in rows {
        question["id"] = json!("q");
        socket.say(question.clone()).await;
        let fail = socket.hear().await;
        assert_eq!((&fail["id"], &fail["event"]), (&json!("q"), &json!("fail")), "{question}");
        let error = &fail["error"];
        assert!(error["param"] == param || error["message"].as_str().unwrap().starts_with(param), "{fail}");
    }
}

#[tokio::test]
async fn a_client_can_ask_how_its_request_is() {
    let rig = Rig::start().await;
    let mut socket = Socket::open(&rig).await;
    let ask = json!({ "action": "status", "id": "st-1" });
    socket.say(ask.clone()).await;
    assert_eq!(socket.hear().await["error"]["code"], "not_found");
    let mut asker = Socket::open(&rig).await;
    socket.say(native("st-1", "hold")).await;
    rig.worker.held().await;
    asker.say(ask.clone()).await;
    assert_eq!(asker.hear().await, json!({ "event": "status", "id": "st-1", "status": "running" }));
    rig.worker.go.notify_one();
    socket.hear_ends(1).await;
    asker.say(ask).await;
    let ended = asker.hear().await;
    assert_eq!((&ended["status"], &ended["outcome"]["status"]), (&json!("ended"), &json!("succeeded")));
    assert_eq!(ended["outcome"], rig.get("/v1/requests/st-1").await.json());
}
