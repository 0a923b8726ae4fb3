//! `/v1/embeddings` and `/v1/models`.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::rig::Rig;

fn body(format: Value) -> Value {
    let mut body = json!({ "model": "lab/sim-embed", "input": ["a", "b"] });
    if !format.is_null() {
        body["encoding_format"] = format;
    }
    body
}

#[tokio::test]
async fn vectors_come_in_the_form_that_was_asked_for() {
    let rig = Rig::start().await;
    for format in [Value::Null, json!("float")] {
        let reply = rig.post("/v1/embeddings", &body(format)).await.json();
        assert_eq!((&reply["object"], &reply["usage"]["prompt_tokens"]), (&json!("list"), &json!(5)));
        assert_eq!(reply["data"][0], json!({ "object": "embedding", "index": 0, "embedding": [0.5, -1.25] }));
        assert_eq!(reply["data"][1]["index"], 1);
    }
    let reply = rig.post("/v1/embeddings", &body(json!("base64"))).await.json();
    let bytes = STANDARD.decode(reply["data"][0]["embedding"].as_str().unwrap()).unwrap();
    assert_eq!(bytes, [0.5_f32.to_le_bytes(), (-1.25_f32).to_le_bytes()].concat());
}

#[tokio::test]
async fn an_unknown_form_is_refused_by_name() {
    let rig = Rig::start().await;
    let reply = rig.post("/v1/embeddings", &body(json!("hex"))).await;
    assert_eq!(
        (reply.status, &reply.json()["error"]["param"]),
        (400.try_into().unwrap(), &json!("encoding_format"))
    );
}

#[tokio::test]
async fn models_are_listed_and_found_with_a_slash_in_their_name() {
    let rig = Rig::start().await;
    let list = rig.get("/v1/models").await.json();
    assert_eq!(list["object"], "list");
    let names: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(names, ["sim-chat", "lab/sim-embed", "lab/sim-image", "lab/sim-speech"]);
    for path in ["/v1/models/lab%2Fsim-embed", "/v1/models/lab/sim-embed"] {
        let model = rig.get(path).await.json();
        assert_eq!(
            (&model["id"], &model["object"], &model["owned_by"]),
            (&json!("lab/sim-embed"), &json!("model"), &json!("sim"))
        );
        assert!(model["created"].is_i64());
    }
    let unknown = rig.get("/v1/models/none").await;
    assert_eq!(
        (unknown.status, &unknown.json()["error"]["code"]),
        (404.try_into().unwrap(), &json!("model_not_found"))
    );
}
