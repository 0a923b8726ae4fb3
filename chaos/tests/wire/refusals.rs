//! Requests that are wrong, and models there are and are not: each refusal in OpenAI's form, by its name.

use chaos::provider::{CallOutcome, Config};
use serde_json::{Value, json};

use crate::client::{Sim, post};

const CHAT: &str = "/v1/chat/completions";

fn with(member: &str, value: Value) -> Value {
    let mut body = json!({"model": "sim", "messages": [{"role": "user", "content": "hello"}]});
    body[member] = value;
    body
}

#[tokio::test]
async fn a_wrong_chat_request_is_refused_by_its_parameter() {
    let sim = Sim::start().await;
    let table = [
        (with("messages", Value::Null), "missing_required_parameter", "messages"),
        (with("messages", json!("hello")), "invalid_type", "messages"),
        (with("messages", json!([])), "invalid_value", "messages"),
        (with("messages", json!(["hello"])), "invalid_type", "messages[0]"),
        (with("messages", json!([{"content": "x"}])), "missing_required_parameter", "messages[0].role"),
        (with("messages", json!([{"role": "robot"}])), "invalid_value", "messages[0].role"),
        (with("messages", json!([{"role": "user", "content": 1}])), "invalid_type", "messages[0].content"),
        (with("model", json!(1)), "invalid_type", "model"),
        (with("model", json!("sim:speed=9")), "invalid_value", "model"),
        (with("stream", json!("yes")), "invalid_type", "stream"),
        (with("stream_options", json!({"include_usage": true})), "invalid_value", "stream_options"),
        (with("max_tokens", json!(0)), "invalid_value", "max_tokens"),
        (with("max_tokens", json!(1.5)), "invalid_type", "max_tokens"),
        (with("n", json!(129)), "invalid_value", "n"),
        (with("tools", json!([{}])), "missing_required_parameter", "tools[0].function.name"),
    ];
    for (body, code, param) in table {
        let got = sim.post(CHAT, &[], &body).await;
        assert_eq!(got.status, 400, "{body}");
        assert_eq!(got.error(), (Some(code.to_owned()), Some(param.to_owned())), "{body}");
        assert_eq!(got.json()["error"]["type"], "invalid_request_error", "{body}");
    }
    assert!(sim.ended().await.iter().all(|call| call.outcome == CallOutcome::Refused));
}

#[tokio::test]
async fn a_body_without_json_or_model_is_refused() {
    let sim = Sim::start().await;
    for body in ["", "{", "[]", "\"text\""] {
        let got = post(sim.address, CHAT, &[], body).await;
        assert_eq!(got.status, 400, "{body}");
        assert!(got.text().contains("could not parse the JSON"), "{body}");
    }
    let got = sim.post(CHAT, &[], &json!({"messages": []})).await;
    assert_eq!(got.json()["error"]["message"], "you must provide a model parameter");
}

#[tokio::test]
async fn a_wrong_x_sim_header_is_refused_and_quoted() {
    let sim = Sim::start().await;
    let got = sim.post(CHAT, &[("x-sim", "first=soon")], &with("n", json!(1))).await;
    assert_eq!((got.status.as_u16(), got.error().1.as_deref()), (400, Some("x-sim")));
    assert!(got.text().contains("first=soon"), "{}", got.text());
}

#[tokio::test]
async fn a_wrong_embedding_request_is_refused_by_its_parameter() {
    let sim = Sim::start().await;
    let table = [
        (json!({}), "input"),
        (json!({"input": ""}), "input"),
        (json!({"input": []}), "input"),
        (json!({"input": ["a", ""]}), "input"),
        (json!({"input": [[]]}), "input"),
        (json!({"input": {"a": 1}}), "input"),
        (json!({"input": vec!["a"; 2_049]}), "input"),
        (json!({"input": "a", "dimensions": 0}), "dimensions"),
        (json!({"input": "a", "encoding_format": "hex"}), "encoding_format"),
    ];
    for (mut body, param) in table {
        body["model"] = json!("sim");
        let got = sim.post("/v1/embeddings", &[], &body).await;
        assert_eq!((got.status.as_u16(), got.error().1.as_deref()), (400, Some(param)));
    }
}

#[tokio::test]
async fn only_listed_models_and_those_of_the_grammar_exist() {
    let models = vec!["sim".to_owned(), "org/tuned".to_owned(), "simple".to_owned()];
    let sim = Sim::with(Config { models, ..Config::default() }).await;
    let list = sim.get("/v1/models").await.json();
    let model =
        |id: &str| json!({"id": id, "object": "model", "created": 1_760_000_000, "owned_by": "dynode-sim"});
    assert_eq!(list, json!({"object": "list", "data": [model("sim"), model("org/tuned"), model("simple")]}));
    for path in ["/v1/models/org%2Ftuned", "/v1/models/org/tuned"] {
        assert_eq!(sim.get(path).await.json(), model("org/tuned"));
    }
    assert_eq!(sim.get("/v1/models/sim-5ms").await.json(), model("sim-5ms"));
    let unknown = sim.get("/v1/models/gpt-0").await;
    assert_eq!((unknown.status.as_u16(), unknown.error().0.as_deref()), (404, Some("model_not_found")));
    for listed in ["org/tuned", "simple"] {
        assert_eq!(sim.chat(listed, false).await.status, 200);
    }
    let unknown = sim.chat("gpt-0", false).await;
    assert_eq!((unknown.status.as_u16(), unknown.error().0.as_deref()), (404, Some("model_not_found")));
}

#[tokio::test]
async fn a_key_is_demanded_and_never_repeated() {
    let sim = Sim::with(Config { api_key: Some("right".into()), ..Config::default() }).await;
    for headers in [&[][..], &[("authorization", "Bearer wrong-key")], &[("authorization", "right")]] {
        let got = sim.post(CHAT, headers, &with("n", json!(1))).await;
        assert_eq!((got.status.as_u16(), got.error().0.as_deref()), (401, Some("invalid_api_key")));
        assert!(!got.text().contains("wrong-key"));
    }
    assert_eq!(sim.get("/v1/models").await.status, 401);
    let got = sim.post(CHAT, &[("authorization", "Bearer right")], &with("n", json!(1))).await;
    assert_eq!(got.status, 200);
    let log = sim.get("/_sim/calls").await;
    assert!(!log.text().contains("right") && !log.text().contains("wrong-key"), "{}", log.text());
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_in_the_same_form() {
    let sim = Sim::start().await;
    let got = sim.get("/v1/unknown").await;
    assert_eq!(
        (got.status.as_u16(), got.json()["error"]["message"].as_str()),
        (404, Some("Invalid URL (GET /v1/unknown)"))
    );
    let got = sim.get(CHAT).await;
    assert_eq!((got.status.as_u16(), got.error().0.as_deref()), (405, Some("method_not_supported")));
}
