//! Anthropic's Messages API: members, order of events, what is refused, and the faults in its words.

use chaos::provider::{CallOutcome, Config};
use serde_json::{Value, json};

use crate::client::{Got, Sim};

const MESSAGES: &str = "/v1/messages";
const CURRENT: (&str, &str) = ("anthropic-version", "2026-10-21");
const EARLIER: (&str, &str) = ("anthropic-version", "2023-06-01");

/// A request with these members beside the least there must be.
fn with(members: Value) -> Value {
    let mut body = json!({"model": "sim:tokens=2", "max_tokens": 100,
        "messages": [{"role": "user", "content": "hello"}]});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    body
}

async fn ask(sim: &Sim, members: Value) -> Got {
    sim.post(MESSAGES, &[CURRENT], &with(members)).await
}

/// The events of a stream, each under the name that its data has too.
fn events(got: &Got) -> Vec<Value> {
    let complete = got.text().split_inclusive("\n\n").filter_map(|event| event.strip_suffix("\n\n"));
    complete
        .map(|event| {
            let (name, data) = event.split_once('\n').unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
            data
        })
        .collect()
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

fn weather() -> Value {
    json!({"name": "weather", "input_schema": {"type": "object", "required": ["city"],
        "properties": {"city": {"type": "string"}}}})
}

#[tokio::test]
async fn a_whole_message_has_every_member() {
    let sim = Sim::start().await;
    let got = ask(&sim, json!({})).await;
    let mut message = got.json();
    assert!(message["id"].as_str().unwrap().starts_with("msg_"));
    message["id"] = json!("ID");
    let usage = json!({
        "input_tokens": 6, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 0}, "service_tier": "standard",
    });
    let expected = json!({
        "id": "ID", "type": "message", "role": "assistant", "model": "sim:tokens=2",
        "content": [{"type": "text", "text": "A stream", "citations": null}],
        "stop_reason": "end_turn", "stop_sequence": null, "stop_details": null, "usage": usage,
    });
    assert_eq!((got.status.as_u16(), message), (200, expected));
    assert!(got.header("request-id").starts_with("req_"));
    assert!(!got.headers.contains_key("x-request-id"));
    for kind in ["requests", "tokens", "input-tokens", "output-tokens"] {
        assert!(got.header(&format!("anthropic-ratelimit-{kind}-remaining")).parse::<u32>().is_ok());
        let reset = got.header(&format!("anthropic-ratelimit-{kind}-reset"));
        assert!(reset.parse::<jiff::Timestamp>().is_ok() && reset.ends_with('Z'), "{reset}");
    }
}

#[tokio::test]
async fn a_stream_comes_in_the_order_of_the_api() {
    let sim = Sim::start().await;
    let got = ask(&sim, json!({"stream": true})).await;
    let events = events(&got);
    let order = [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(types(&events), order);
    assert_eq!(events[0]["message"]["usage"]["output_tokens"], 1);
    assert_eq!(events[3]["delta"], json!({"type": "text_delta", "text": "A"}));
    assert_eq!(
        (&events[6]["delta"]["stop_reason"], &events[6]["usage"]["output_tokens"]),
        (&json!("end_turn"), &json!(2))
    );
    assert_eq!(sim.ended().await[0].chunks, 7);
}

#[tokio::test]
async fn thinking_comes_first_and_a_tool_has_its_input_in_pieces() {
    let sim = Sim::start().await;
    let members = json!({"stream": true, "thinking": {"type": "adaptive"}, "tools": [weather()]});
    let events = events(&ask(&sim, members.clone()).await);
    let joined = |kind: &str, member: &str| -> String {
        let deltas = events.iter().map(|event| &event["delta"]).filter(|delta| delta["type"] == kind);
        deltas.map(|delta| delta[member].as_str().unwrap()).collect()
    };
    assert_eq!(joined("thinking_delta", "thinking"), "The question is plain and so is its answer.");
    assert!(!joined("signature_delta", "signature").is_empty());
    let input: Value = serde_json::from_str(&joined("input_json_delta", "partial_json")).unwrap();
    assert_eq!(input, json!({"city": "sim"}));
    let whole = ask(&sim, json!({"thinking": {"type": "adaptive"}, "tools": [weather()]})).await.json();
    let kinds: Vec<_> = whole["content"].as_array().unwrap().iter().map(|block| &block["type"]).collect();
    assert_eq!(kinds, ["thinking", "tool_use"]);
    assert_eq!(whole["stop_reason"], "tool_use");
    assert_eq!(whole["content"][1]["input"], json!({"city": "sim"}));
    assert_eq!(whole["usage"]["output_tokens_details"]["thinking_tokens"], 4);
}

#[tokio::test]
async fn a_tool_is_called_unless_forbidden_or_already_answered() {
    let sim = Sim::start().await;
    let reason = async |mut members: Value| {
        members["tools"] = json!([weather()]);
        ask(&sim, members).await.json()["stop_reason"].clone()
    };
    assert_eq!(reason(json!({"tool_choice": {"type": "any"}})).await, "tool_use");
    assert_eq!(reason(json!({"tool_choice": {"type": "tool", "name": "weather"}})).await, "tool_use");
    assert_eq!(reason(json!({"tool_choice": {"type": "none"}})).await, "end_turn");
    let answered = json!([
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "weather", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "sunny"}]},
    ]);
    assert_eq!(reason(json!({"messages": answered})).await, "end_turn");
    assert_eq!(ask(&sim, json!({"max_tokens": 1})).await.json()["stop_reason"], "max_tokens");
}

#[tokio::test]
async fn a_wrong_request_is_refused_in_the_words_of_the_api() {
    let sim = Sim::start().await;
    let user = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
    let call = json!({"type": "tool_use", "id": "t", "name": "f", "input": {}});
    let called = json!({"role": "assistant", "content": [call]});
    let table = [
        (json!({"max_tokens": null}), "max_tokens: Field required"),
        (json!({"temperature": 1.0}), "temperature: Extra inputs are not permitted"),
        (json!({"n": 1}), "n: Extra inputs are not permitted"),
        (json!({"messages": []}), "messages: at least one message is required"),
        (json!({"messages": [{"role": "tool", "content": "x"}]}), "messages.0.role: "),
        (user(json!("")), "messages.0: all messages must have non-empty content"),
        (
            user(json!([{"type": "text", "text": ""}])),
            "messages.0.content.0: text content blocks must be non-empty",
        ),
        (user(json!([{"type": "image_url"}])), "messages.0.content.0: Input tag 'image_url'"),
        (
            user(
                json!([{"type": "image", "source": {"type": "base64", "media_type": "image/tiff", "data": "A"}}]),
            ),
            "messages.0.content.0.source: media_type",
        ),
        (user(json!([{"type": "tool_result", "tool_use_id": "t"}])), "messages.0: unexpected `tool_use_id`"),
        (json!({"messages": [called]}), "messages.0: `tool_use` ids were found without"),
        (
            json!({"messages": [called, {"role": "user", "content": "x"}]}),
            "messages.0: `tool_use` ids were found without",
        ),
        (json!({"messages": [{"role": "assistant", "content": "so "}]}), "messages: final assistant content"),
        (
            json!({"tools": [{"name": "a b", "input_schema": {"type": "object"}}]}),
            "tools.0.custom.name: String should match",
        ),
        (json!({"tools": [{"name": "f"}]}), "tools.0.custom.input_schema.type: Field required"),
        (json!({"tool_choice": {"type": "auto"}}), "tool_choice: may only be specified"),
        (json!({"output_config": {"effort": "huge"}}), "output_config.effort: "),
        (json!({"stop_sequences": [" "]}), "stop_sequences: each stop sequence"),
        (json!({"system": [{"type": "text", "text": ""}]}), "system.0: "),
    ];
    for (members, message) in table {
        let got = ask(&sim, members.clone()).await;
        let body = got.json();
        let said = body["error"]["message"].as_str().unwrap();
        assert_eq!((got.status.as_u16(), &body["error"]["type"]), (400, &json!("invalid_request_error")));
        assert!(said.starts_with(message), "{members}: {said}");
        assert_eq!(body["request_id"], got.header("request-id"), "{members}");
    }
    assert!(sim.ended().await.iter().all(|call| call.outcome == CallOutcome::Refused));
}

#[tokio::test]
async fn the_versions_differ_in_what_they_take() {
    let sim = Sim::start().await;
    let warm = with(json!({"temperature": 0.5, "top_p": 0.9, "top_k": 4}));
    assert_eq!(sim.post(MESSAGES, &[EARLIER], &warm).await.status, 200);
    let system =
        with(json!({"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "y"}]}));
    assert_eq!(sim.post(MESSAGES, &[EARLIER], &system).await.status, 400);
    assert_eq!(sim.post(MESSAGES, &[CURRENT], &system).await.status, 200);
    for headers in [&[][..], &[("anthropic-version", "2024-01-01")]] {
        let got = sim.post(MESSAGES, headers, &with(json!({}))).await;
        assert_eq!(got.status, 400);
        assert!(got.json()["error"]["message"].as_str().unwrap().starts_with("anthropic-version: "));
    }
}

#[tokio::test]
async fn a_key_is_taken_from_both_headers_and_its_own_one_counts() {
    let sim = Sim::with(Config { api_key: Some("right".into()), ..Config::default() }).await;
    let (own, bearer) = (("x-api-key", "right"), ("authorization", "Bearer right"));
    let rows = [
        (vec![own], 200),
        (vec![bearer], 200),
        (vec![own, ("authorization", "Bearer wrong")], 200),
        (vec![("x-api-key", "wrong"), bearer], 401),
        (vec![], 401),
    ];
    for (headers, status) in rows {
        let got = sim.post(MESSAGES, &[headers, vec![CURRENT]].concat(), &with(json!({}))).await;
        assert_eq!(got.status, status);
        if status == 401 {
            assert_eq!(got.json()["error"]["type"], "authentication_error");
        }
    }
    let calls = sim.ended().await;
    assert_eq!(calls.iter().filter(|call| call.authorization.is_some()).count(), 4);
}

#[tokio::test]
async fn faults_are_told_as_the_api_tells_them() {
    let sim = Sim::start().await;
    let table = [
        ("status=429,retry-after=1500ms", 429, "rate_limit_error", Some("2"), "true"),
        ("status=529", 529, "overloaded_error", None, "true"),
        ("quota,retry-after=2", 429, "rate_limit_error", None, "false"),
        ("status=404", 404, "not_found_error", None, "false"),
        ("error-after=3", 500, "api_error", None, "true"),
    ];
    for (fault, status, kind, wait, retry) in table {
        let got = ask(&sim, json!({"model": format!("sim:{fault}")})).await;
        assert_eq!((got.status.as_u16(), &got.json()["error"]["type"]), (status, &json!(kind)), "{fault}");
        let sent = got.headers.get("retry-after").map(|value| value.to_str().unwrap());
        assert_eq!((sent, got.header("x-should-retry")), (wait, retry), "{fault}");
    }
    let stream = async |fault: &str| {
        ask(&sim, json!({"model": format!("sim:tokens=8,{fault}"), "stream": true})).await
    };
    let failed = events(&stream("error-after=3").await);
    assert_eq!((failed.len(), &failed[3]["error"]["type"]), (4, &json!("overloaded_error")));
    let cut = stream("cut-after=4").await;
    assert!(cut.broken.is_some() && events(&cut).len() == 4);
    assert_eq!(types(&events(&stream("no-done").await)).last(), Some(&"message_delta"));
    let free = events(&stream("no-usage").await);
    assert!(free.iter().all(|event| event.get("usage").is_none() && event["message"].get("usage").is_none()));
    let malformed = stream("malformed").await;
    assert!(
        malformed.text().contains("\"text\":\"\n\n") && malformed.text().ends_with("message_stop\"}\n\n")
    );
    let limited = async || ask(&sim, json!({"model": "sim:rpm=1"})).await;
    assert_eq!(limited().await.header("anthropic-ratelimit-requests-remaining"), "0");
    let refused = limited().await;
    assert_eq!(refused.status, 429);
    assert!((59..=60).contains(&refused.header("retry-after").parse::<u32>().unwrap()));
}

#[tokio::test]
async fn tokens_are_counted_and_models_listed_in_its_form() {
    let sim = Sim::start().await;
    let mut question = with(json!({"system": "12345678"}));
    question.as_object_mut().unwrap().remove("max_tokens");
    let counted = sim.post("/v1/messages/count_tokens", &[CURRENT], &question).await;
    assert_eq!(counted.json(), json!({"input_tokens": 8}));
    let get = async |path: &str| {
        let request =
            hyper::Request::get(path).header(CURRENT.0, CURRENT.1).body(Default::default()).unwrap();
        let response = crate::client::send(sim.address, request).await;
        let status = response.status().as_u16();
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        (status, serde_json::from_slice::<Value>(&body).unwrap())
    };
    let (_, list) = get("/v1/models").await;
    assert_eq!((&list["data"][0]["type"], &list["has_more"]), (&json!("model"), &json!(false)));
    assert_eq!(get("/v1/models/sim").await.1["display_name"], "sim");
    let (status, unknown) = get("/v1/models/claude-0").await;
    assert_eq!((status, &unknown["error"]["message"]), (404, &json!("model: claude-0")));
    let (status, unknown) = get("/v1/unknown").await;
    assert_eq!((status, &unknown["type"]), (404, &json!("error")));
}
