//! `/v1/feedback`.

use axum::{body::Body, http::Request};
use serde_json::{Value, json};

use crate::{
    client::{chat, native},
    rig::Rig,
};

const PATH: &str = "/v1/feedback";

impl Rig {
    /// The id of a request that has its answer.
    async fn answered(&self, id: &str) -> String {
        assert_eq!(self.post_as(id, "/v1/chat/completions", &chat("sim-chat")).await.status, 200);
        id.to_owned()
    }
}

#[tokio::test]
async fn a_rating_is_kept_with_its_request_and_the_last_one_stands() {
    let rig = Rig::start().await;
    let id = rig.answered("r1").await;
    assert_eq!(rig.get(&format!("{PATH}/{id}")).await.status, 404);
    let body = json!({ "id": id, "rating": "up", "comment": "good", "labels": ["tone"] });
    let reply = rig.post(PATH, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let kept = reply.json();
    assert_eq!(
        (&kept["rating"], &kept["comment"], &kept["labels"]),
        (&json!(1.0), &json!("good"), &json!(["tone"]))
    );
    assert_eq!((&kept["model"], &kept["action"]), (&json!("sim-chat"), &json!("chat.completion")));
    assert_eq!(rig.get(&format!("{PATH}/{id}")).await.json(), kept);
    // The id of the answer is as good.
    let second = rig.post(PATH, &json!({ "id": format!("chatcmpl-{id}"), "rating": -0.5 })).await.json();
    assert_eq!(
        (&second["id"], &second["rating"], &second["comment"]),
        (&json!(id), &json!(-0.5), &Value::Null)
    );
    assert_eq!(rig.get(&format!("{PATH}/chatcmpl-{id}")).await.json(), second);
}

#[tokio::test]
async fn only_an_answer_can_be_rated() {
    let rig = Rig::start().await;
    for unknown in ["none", "chatcmpl-none"] {
        let reply = rig.post(PATH, &json!({ "id": unknown, "rating": "up" })).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["error"]["code"]), (404, &json!("not_found")));
    }
    rig.post("/v1/requests", &native("held", "hold")).await;
    rig.worker.held().await;
    let reply = rig.post(PATH, &json!({ "id": "held", "rating": "up" })).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["error"]["param"]), (409, &json!("id")));
    assert_eq!(reply.header("x-should-retry"), "false");
    rig.worker.go.notify_one();
}

#[tokio::test]
async fn another_tenants_request_is_an_unknown_one() {
    let rig = Rig::start().await;
    let id = rig.answered("r1").await;
    rig.post(PATH, &json!({ "id": id, "rating": "up" })).await;
    let other = Rig::on(rig.broker.clone(), json!({ "tenant": "other" })).await;
    assert_eq!(other.post(PATH, &json!({ "id": id, "rating": "down" })).await.status, 404);
    assert_eq!(other.get(&format!("{PATH}/{id}")).await.status, 404);
    assert_eq!(rig.get(&format!("{PATH}/{id}")).await.json()["rating"], 1.0);
}

#[tokio::test]
async fn bad_ratings_are_refused_by_path() {
    let rig = Rig::start().await;
    let id = rig.answered("r1").await;
    for (body, param) in [
        (json!({ "rating": "up" }), "id"),
        (json!({ "id": "a.b", "rating": "up" }), "id"),
        (json!({ "id": id }), "rating"),
        (json!({ "id": id, "rating": "fine" }), "rating"),
        (json!({ "id": id, "rating": 2 }), "rating"),
        (json!({ "id": id, "rating": "up", "comment": "x".repeat(9_000) }), "comment"),
        (json!({ "id": id, "rating": "up", "labels": [""] }), "labels[0]"),
        (json!({ "id": id, "rating": "up", "stars": 5 }), "stars"),
    ] {
        let reply = rig.post(PATH, &body).await;
        let error = reply.json()["error"].clone();
        assert_eq!((reply.status.as_u16(), &error["param"]), (400, &json!(param)), "{error}");
    }
    let reply = rig.post(PATH, &json!({ "id": id, "rating": "up", "comment": "x".repeat(40_000) })).await;
    assert_eq!(reply.status, 413);
    let form = json!({ "id": id, "rating": "up" }).to_string();
    let form = Request::post(PATH).header("content-type", "text/plain").body(Body::from(form)).unwrap();
    assert_eq!(rig.request(form).await.status, 415);
    assert_eq!(rig.get(&format!("{PATH}/{id}")).await.status, 404, "nothing of what was refused is kept");
}
