//! Gemini's API: members, order of chunks, what is refused, and the faults in its words.

use chaos::provider::{CallOutcome, Config};
use serde_json::{Value, json};

use crate::client::{Got, Sim};

fn question(members: Value) -> Value {
    let mut body = json!({"contents": [{"role": "user", "parts": [{"text": "hello"}]}]});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    body
}

async fn ask(sim: &Sim, model: &str, method: &str, members: Value) -> Got {
    sim.post(&format!("/v1beta/models/{model}:{method}"), &[], &question(members)).await
}

async fn stream(sim: &Sim, model: &str, members: Value) -> Got {
    ask(sim, model, "streamGenerateContent?alt=sse", members).await
}

/// The chunks of a stream; what is no event is left out.
fn chunks(got: &Got) -> Vec<Value> {
    let events = got.text().split("\r\n\r\n").filter_map(|event| event.strip_prefix("data: "));
    events.map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn weather() -> Value {
    let schema = json!({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}});
    json!([{"functionDeclarations": [{"name": "weather", "parametersJsonSchema": schema}]}])
}

#[tokio::test]
async fn a_whole_answer_has_every_member() {
    let sim = Sim::start().await;
    let got = ask(&sim, "sim:tokens=3", "generateContent", json!({})).await;
    let mut answer = got.json();
    answer["responseId"] = json!("ID");
    let parts = json!([{"text": "A stream of"}]);
    let expected = json!({
        "candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 6, "candidatesTokenCount": 3, "totalTokenCount": 9,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 6}]},
        "modelVersion": "sim:tokens=3", "responseId": "ID",
    });
    assert_eq!((got.status.as_u16(), answer), (200, expected));
    assert!(got.header("server-timing").starts_with("gfet4t7"));
}

#[tokio::test]
async fn a_stream_counts_its_usage_and_ends_with_a_reason() {
    let sim = Sim::start().await;
    let got = stream(
        &sim,
        "sim:tokens=2",
        json!({"generationConfig": {"thinkingConfig": {"includeThoughts": true}}}),
    )
    .await;
    assert_eq!(got.header("content-type"), "text/event-stream");
    let chunks = chunks(&got);
    assert!(got.text().ends_with("\r\n\r\n"));
    let thoughts =
        chunks.iter().filter(|it| it["candidates"][0]["content"]["parts"][0]["thought"] == true).count();
    assert!(thoughts > 0 && thoughts == chunks.len() - 3, "{chunks:#?}");
    let reasons: Vec<_> = chunks.iter().map(|chunk| &chunk["candidates"][0]["finishReason"]).collect();
    assert_eq!(reasons.last(), Some(&&json!("STOP")));
    assert!(reasons[..reasons.len() - 1].iter().all(|reason| reason.is_null()));
    assert_eq!(chunks.last().unwrap()["usageMetadata"]["candidatesTokenCount"], 2);
    let call = &sim.ended().await[0];
    assert_eq!(
        (call.outcome, call.stream, call.model.as_deref()),
        (CallOutcome::Answered, true, Some("sim:tokens=2"))
    );
}

#[tokio::test]
async fn a_call_is_signed_and_must_come_back_so_with_its_result() {
    let sim = Sim::start().await;
    let answer = ask(&sim, "sim", "generateContent", json!({ "tools": weather() })).await.json();
    let model = &answer["candidates"][0]["content"];
    let part = &model["parts"][0];
    assert_eq!(part["functionCall"]["args"], json!({"city": "sim"}));
    assert!(part["thoughtSignature"].is_string());
    let user = json!({"role": "user", "parts": [{"text": "hello"}]});
    let result =
        json!({"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {}}}]});
    let mut unsigned = model.clone();
    unsigned["parts"][0].as_object_mut().unwrap().remove("thoughtSignature");
    let rows = [
        (json!([user, model, result]), 200, ""),
        (json!([user, unsigned, result]), 400, "thought_signature"),
        (json!([user, model]), 400, "number of function response parts"),
    ];
    for (contents, status, words) in rows {
        let got =
            ask(&sim, "sim", "generateContent", json!({"contents": contents, "tools": weather()})).await;
        assert_eq!(got.status, status, "{}", got.text());
        assert!(got.text().contains(words), "{}", got.text());
    }
}

#[tokio::test]
async fn refusals_are_googles() {
    let sim = Sim::with(Config { api_key: Some("right".into()), ..Config::default() }).await;
    let with_key =
        async |path: &str, key: &str, body: Value| sim.post(path, &[("x-goog-api-key", key)], &body).await;
    let generate = "/v1beta/models/sim:generateContent";
    let rows = [
        (generate, "wrong", question(json!({})), 400, "INVALID_ARGUMENT"),
        (generate, "right", question(json!({"messages": []})), 400, "INVALID_ARGUMENT"),
        (generate, "right", json!({"contents": []}), 400, "INVALID_ARGUMENT"),
        ("/v1beta/models/gemini-0:generateContent", "right", question(json!({})), 404, "NOT_FOUND"),
        ("/v1beta/models/sim:fly", "right", question(json!({})), 404, "NOT_FOUND"),
        ("/v1beta/models/sim:503:generateContent", "right", question(json!({})), 503, "UNAVAILABLE"),
        ("/v1beta/models/sim:quota:generateContent", "right", question(json!({})), 429, "RESOURCE_EXHAUSTED"),
    ];
    for (path, key, body, status, word) in rows {
        let got = with_key(path, key, body).await;
        let error = &got.json()["error"];
        assert_eq!(
            (got.status.as_u16(), &error["status"], &error["code"]),
            (status, &json!(word), &json!(status)),
            "{path}"
        );
        assert!(!got.headers.contains_key("retry-after"), "{path}");
        assert!(!got.text().contains("wrong"), "no key is repeated");
    }
    assert_eq!(sim.post(generate, &[], &question(json!({}))).await.status, 403);
    assert_eq!(with_key(generate, "right", question(json!({}))).await.status, 200);
}

#[tokio::test]
async fn faults_break_a_stream_in_geminis_way() {
    let sim = Sim::start().await;
    let got = stream(&sim, "sim:tokens=8,error-after=3", json!({})).await;
    assert_eq!(chunks(&got).len(), 3);
    let (_, error) = got.text().rsplit_once("\r\n\r\n").unwrap();
    let error: Value = serde_json::from_str(error).unwrap();
    assert_eq!(error["error"]["status"], "UNAVAILABLE");
    let got = stream(&sim, "sim:tokens=8,cut-after=3", json!({})).await;
    assert!(got.broken.is_some() && chunks(&got).len() == 3);
    let got = stream(&sim, "sim:tokens=8,no-usage", json!({})).await;
    assert!(chunks(&got).iter().all(|chunk| chunk.get("usageMetadata").is_none()));
}

#[tokio::test]
async fn vectors_come_one_or_many_and_shortened_ones_as_they_are() {
    let sim = Sim::start().await;
    let one = |text: &str| json!({"model": "models/sim", "content": {"parts": [{"text": text}]}, "outputDimensionality": 4});
    let many = json!({"requests": [one("a"), one("b")]});
    let got = sim.post("/v1beta/models/sim:batchEmbedContents", &[], &many).await.json();
    let single = sim.post("/v1beta/models/sim:embedContent", &[], &one("b")).await.json();
    assert_eq!(got["embeddings"][1]["values"], single["embedding"]["values"]);
    let length: f64 =
        single["embedding"]["values"].as_array().unwrap().iter().map(|it| it.as_f64().unwrap().powi(2)).sum();
    assert!(length < 0.9, "{length}");
    let requests: Vec<_> = (0..101).map(|_| one("a")).collect();
    let got = sim.post("/v1beta/models/sim:batchEmbedContents", &[], &json!({ "requests": requests })).await;
    assert!(got.status == 400 && got.text().contains("at most 100"), "{}", got.text());
}

#[tokio::test]
async fn names_with_underscores_and_the_other_version_are_taken_as_google_takes_them() {
    let sim = Sim::start().await;
    let config = json!({"thinking_config": {"include_thoughts": true}, "max_output_tokens": 1});
    let body = question(json!({ "generation_config": config }));
    let answer = sim.post("/v1/models/sim:generateContent", &[], &body).await.json();
    let candidate = &answer["candidates"][0];
    assert_eq!(candidate["finishReason"], "MAX_TOKENS", "{answer:#}");
    assert_eq!(candidate["content"]["parts"][0]["thought"], true);
}
