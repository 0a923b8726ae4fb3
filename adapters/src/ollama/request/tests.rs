use schemas::Action;

use super::*;
use crate::{Remedy, endpoint::tests::endpoint};

fn of(payload: Value, streamed: bool) -> Result<Value, Error> {
    let call = Call {
        action: Action::ChatCompletion,
        model: "qwen3".into(),
        payload,
        deadline: tokio::time::Instant::now(),
        idempotency_key: "k".into(),
        key: 0,
        traceparent: None,
        webhook: None,
    };
    body(&endpoint(), &call, streamed)
}

fn with(fields: Value) -> Result<Value, Error> {
    let mut payload = json!({"model": "alias", "messages": [{"role": "user", "content": "hi"}]});
    payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    of(payload, false)
}

#[test]
fn a_conversation_is_told_in_ollamas_words() {
    let function = json!({"name": "weather", "arguments": "{\"city\":\"Bern\"}"});
    let payload = json!({"messages": [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}]},
        {"role": "assistant", "content": null, "reasoning_content": "hm",
            "tool_calls": [{"id": "a", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "a", "content": "sunny"},
    ]});
    let call = json!({"id": "a", "function": {"name": "weather", "arguments": {"city": "Bern"}}});
    let messages = json!([
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "look", "images": ["iVBO"]},
        {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [call]},
        {"role": "tool", "content": "sunny", "tool_name": "weather", "tool_call_id": "a"},
    ]);
    assert_eq!(of(payload, true).unwrap(), json!({"model": "qwen3", "messages": messages, "stream": true}));
}

#[test]
fn settings_are_options() {
    let body =
        with(json!({"temperature": 0.5, "top_p": 0.9, "top_k": 3, "min_p": 0.1, "seed": 7, "stop": "END",
        "max_completion_tokens": 5, "presence_penalty": 1, "n": 1, "user": "u", "keep_alive": "5m",
        "options": {"num_ctx": 8192, "top_k": 4}}));
    let expected = json!({"model": "qwen3", "messages": [{"role": "user", "content": "hi"}], "stream": false,
        "keep_alive": "5m",
        "options": {"temperature": 0.5, "top_p": 0.9, "top_k": 4, "min_p": 0.1, "seed": 7, "stop": ["END"],
            "num_predict": 5, "presence_penalty": 1, "num_ctx": 8192}});
    assert_eq!(body.unwrap(), expected);
}

#[test]
fn formats_efforts_and_tools_have_fields_of_their_own() {
    let schema = json!({"type": "object"});
    let named = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
    let tool = json!({"type": "function", "function": {"name": "f", "parameters": schema}});
    let rows = [
        (json!({"response_format": {"type": "json_object"}}), "format", json!("json")),
        (json!({ "response_format": named }), "format", schema),
        (json!({"response_format": {"type": "text"}}), "format", Value::Null),
        (json!({"reasoning_effort": "none"}), "think", json!(false)),
        (json!({"reasoning_effort": "minimal"}), "think", json!("low")),
        (json!({"reasoning_effort": "high"}), "think", json!("high")),
        (json!({"reasoning_effort": "high", "think": true}), "think", json!(true)),
        (json!({"tools": [tool], "tool_choice": "auto"}), "tools", json!([tool])),
        (json!({"tools": [tool], "tool_choice": "none"}), "tools", Value::Null),
    ];
    for (fields, name, value) in rows {
        assert_eq!(with(fields.clone()).unwrap().get(name).cloned().unwrap_or_default(), value, "{fields}");
    }
}

#[test]
fn what_ollama_cannot_do_is_refused_and_not_left_out() {
    let tool = json!({"type": "function", "function": {"name": "f"}});
    let audio = json!([{"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}]);
    let rows = [
        (json!({"n": 2}), Remedy::FallBack),
        (json!({"logprobs": true}), Remedy::FallBack),
        (json!({"logit_bias": {"1": 2}}), Remedy::FallBack),
        (json!({"tools": [tool], "tool_choice": "required"}), Remedy::FallBack),
        (json!({"tools": [tool], "parallel_tool_calls": false}), Remedy::FallBack),
        (json!({"messages": [{"role": "user", "content": audio}]}), Remedy::FallBack),
        (json!({"reasoning_effort": "much"}), Remedy::FallBack),
    ];
    for (fields, remedy) in rows {
        let error = with(fields.clone()).unwrap_err();
        assert_eq!(error.remedy, remedy, "{fields}: {error}");
    }
}
