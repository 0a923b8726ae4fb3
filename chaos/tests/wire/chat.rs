//! Chat completions as the API has them: members, order of chunks, tools, usage.

use serde_json::{Value, json};

use crate::client::Sim;

/// The value with what differs from run to run put out of the way.
fn steady(mut value: Value) -> Value {
    assert!(value["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert!(value["created"].as_i64().unwrap() > 1_700_000_000);
    value["id"] = json!("ID");
    value["created"] = json!(0);
    value
}

fn usage(prompt: u32, completion: u32) -> Value {
    json!({
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

fn weather(stream: bool, tool_choice: Value, last_role: &str) -> Value {
    json!({
        "model": "sim:tokens=2", "stream": stream, "tool_choice": tool_choice,
        "messages": [{"role": last_role, "content": "hello", "tool_call_id": "call_1"}],
        "tools": [{"type": "function", "function": {
            "name": "weather",
            "parameters": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}},
        }}],
    })
}

#[tokio::test]
async fn a_whole_completion_has_every_member() {
    let sim = Sim::start().await;
    let got = sim.chat("sim:tokens=3", false).await;
    assert_eq!(got.status, 200);
    assert_eq!(
        steady(got.json()),
        json!({
            "id": "ID", "object": "chat.completion", "created": 0, "model": "sim:tokens=3",
            "choices": [{
                "index": 0,
                "message": {
                    "role": "assistant", "content": "A stream of", "refusal": null, "annotations": [],
                },
                "logprobs": null, "finish_reason": "stop",
            }],
            "usage": usage(6, 3), "service_tier": "default", "system_fingerprint": "fp_sim",
        })
    );
}

#[tokio::test]
async fn the_headers_of_the_api_are_there_in_their_forms() {
    let sim = Sim::start().await;
    let got = sim.chat("sim", false).await;
    assert!(got.header("x-request-id").starts_with("req_"));
    assert!(got.header("openai-processing-ms").parse::<u64>().is_ok());
    assert_eq!(got.header("openai-version"), "2020-10-01");
    assert_eq!(got.header("content-type"), "application/json");
    for of in ["requests", "tokens"] {
        assert!(got.header(&format!("x-ratelimit-limit-{of}")).parse::<u64>().is_ok());
        assert!(got.header(&format!("x-ratelimit-remaining-{of}")).parse::<u64>().is_ok());
        assert_eq!(got.header(&format!("x-ratelimit-reset-{of}")), "0s");
    }
}

#[tokio::test]
async fn a_stream_comes_in_the_order_of_the_api() {
    let sim = Sim::start().await;
    let got = sim.chat("sim:tokens=2", true).await;
    assert_eq!(got.header("content-type"), "text/event-stream; charset=utf-8");
    let chunk = |delta: Value, finish: Value| {
        json!({
            "id": "ID", "object": "chat.completion.chunk", "created": 0, "model": "sim:tokens=2",
            "service_tier": "default", "system_fingerprint": "fp_sim",
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}],
        })
    };
    let chunks = got.chunks();
    assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]), "one id for the whole stream");
    assert_eq!(
        chunks.into_iter().map(steady).collect::<Vec<_>>(),
        [
            chunk(json!({"role": "assistant", "content": "", "refusal": null}), Value::Null),
            chunk(json!({"content": "A"}), Value::Null),
            chunk(json!({"content": " stream"}), Value::Null),
            chunk(json!({}), json!("stop")),
        ]
    );
    assert_eq!(got.events().last(), Some(&"[DONE]"));
    assert!(got.broken.is_none());
}

#[tokio::test]
async fn usage_comes_last_and_is_null_before_when_it_is_asked_for() {
    let sim = Sim::start().await;
    let body = json!({
        "model": "sim:tokens=2", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "hello"}],
    });
    let mut chunks = sim.post("/v1/chat/completions", &[], &body).await.chunks();
    let last = chunks.pop().unwrap();
    assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &usage(6, 2)));
    assert_eq!(chunks.len(), 4);
    assert!(chunks.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null)));
}

#[tokio::test]
async fn several_choices_are_all_streamed_to_their_end() {
    let sim = Sim::start().await;
    let body = json!({
        "model": "sim:tokens=2", "stream": true, "n": 11, "messages": [{"role": "user", "content": "hello"}],
    });
    let chunks = sim.post("/v1/chat/completions", &[], &body).await.chunks();
    assert_eq!(chunks.len(), 11 * 4);
    for choice in 0..11 {
        let own: Vec<_> = chunks.iter().filter(|chunk| chunk["choices"][0]["index"] == choice).collect();
        let text: String =
            own.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(text, "A stream");
        assert_eq!(own[3]["choices"][0]["finish_reason"], "stop");
    }
}

#[tokio::test]
async fn fewer_tokens_than_the_behaviour_has_end_by_length() {
    let sim = Sim::start().await;
    for member in ["max_tokens", "max_completion_tokens"] {
        let body = json!({"model": "sim", member: 2, "messages": [{"role": "user", "content": "hello"}]});
        let choice = &sim.post("/v1/chat/completions", &[], &body).await.json()["choices"][0];
        assert_eq!(
            (&choice["message"]["content"], &choice["finish_reason"]),
            (&json!("A stream"), &json!("length"))
        );
    }
}

#[tokio::test]
async fn a_tool_call_has_its_name_once_and_its_arguments_in_pieces() {
    let sim = Sim::start().await;
    let got = sim.post("/v1/chat/completions", &[], &weather(true, json!("auto"), "user")).await;
    let chunks = got.chunks();
    let calls: Vec<_> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0])
        .filter(|call| !call.is_null())
        .collect();
    assert!(calls.len() > 2, "{calls:?}");
    assert!(calls.iter().all(|call| call["index"] == 0));
    assert!(calls[0]["id"].as_str().unwrap().starts_with("call_"));
    assert_eq!((&calls[0]["type"], &calls[0]["function"]["name"]), (&json!("function"), &json!("weather")));
    assert!(calls[1..].iter().all(|call| call.get("id").is_none() && call["function"].get("name").is_none()));
    let arguments: String =
        calls.iter().map(|call| call["function"]["arguments"].as_str().unwrap()).collect();
    assert_eq!(serde_json::from_str::<Value>(&arguments).unwrap(), json!({"city": "sim"}));
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn a_tool_is_called_unless_forbidden_or_already_answered() {
    let sim = Sim::start().await;
    let reason = async |body: Value| {
        sim.post("/v1/chat/completions", &[], &body).await.json()["choices"][0]["finish_reason"].clone()
    };
    assert_eq!(reason(weather(false, json!("required"), "user")).await, "tool_calls");
    let named = json!({"type": "function", "function": {"name": "weather"}});
    assert_eq!(reason(weather(false, named, "user")).await, "tool_calls");
    assert_eq!(reason(weather(false, json!("none"), "user")).await, "stop");
    assert_eq!(reason(weather(false, json!("auto"), "tool")).await, "stop");
}

#[tokio::test]
async fn the_header_wins_over_the_name_of_the_model() {
    let sim = Sim::start().await;
    let body = json!({"model": "sim:tokens=9,500", "messages": [{"role": "user", "content": "hello"}]});
    let got = sim.post("/v1/chat/completions", &[("x-sim", "tokens=1,none")], &body).await;
    assert_eq!(got.json()["choices"][0]["message"]["content"], "A");
}
