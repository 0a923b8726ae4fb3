use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use schemas::{Action, ChatOutput, ErrorCode, Output, Usage};
use tokio::time::Duration;

use super::{super::request::body, *};
use crate::{
    Call, Progress, Remedy,
    chat::{of_body, streamed},
    endpoint::tests::endpoint,
    sse,
};

fn ask(payload: &Value) -> Ask {
    Ask::new(&Call {
        action: Action::ChatCompletion,
        model: "upstream".into(),
        payload: payload.clone(),
        deadline: tokio::time::Instant::now(),
        idempotency_key: "k".into(),
        key: 0,
        traceparent: None,
        webhook: None,
    })
}

fn origin() -> Origin {
    Origin::new("p", "upstream")
}

fn asked(payload: Value) -> Result<Value, Error> {
    body(&endpoint(), &ask(&payload), &payload, &BTreeMap::new(), &origin())
}

type Read = Result<Progress, (ErrorCode, Remedy, String)>;

fn read(items: impl IntoIterator<Item = Result<Progress, Error>>) -> Vec<Read> {
    let items = items.into_iter();
    items.map(|item| item.map_err(|error| (error.code, error.remedy, error.message))).collect()
}

/// What a stream of these events brings.
fn progress(events: &[Value]) -> Vec<Read> {
    let text = |event: &Value| {
        let name = event["type"].as_str().unwrap();
        Ok::<_, Infallible>(Bytes::from(format!("event: {name}\ndata: {event}\n\n")))
    };
    let frames = sse::read(stream::iter(events.iter().map(text).collect::<Vec<_>>()));
    let endpoint = Arc::new(endpoint());
    let ask = ask(&json!({"stream": true, "messages": []}));
    let call = streamed(Arc::clone(&endpoint), ask, Events::new(&endpoint, origin()), frames);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let items = crate::deadline::bound(call, deadline, "p").collect::<Vec<_>>().now_or_never();
    read(items.expect("nothing to wait for"))
}

fn output(items: &[Read]) -> (ChatOutput, Usage) {
    let Some(Ok(Progress::Finished(finished))) = items.last() else { panic!("{items:?}") };
    let Output::Chat(output) = &finished.output else { panic!("{finished:?}") };
    (output.clone(), finished.usage)
}

fn usage() -> Value {
    json!({"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 17})
}

#[test]
fn a_conversation_becomes_items() {
    let body = asked(json!({
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [
                {"type": "text", "text": "what is this?"},
                {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
            ]},
            {"role": "assistant", "content": "I look.", "reasoning_content": "hm",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        ],
        "tools": [{"type": "function", "function": {"name": "look"}}],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}},
        "max_tokens": 90, "reasoning_effort": "low", "verbosity": "low", "temperature": 0.5, "seed": 7,
        "stream": true, "stream_options": {"include_usage": true},
    }))
    .unwrap();
    assert_eq!(
        body,
        json!({
            "model": "upstream", "store": false, "stream": true, "temperature": 0.5, "max_output_tokens": 90,
            "reasoning": {"effort": "low"},
            "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}, "verbosity": "low"},
            "tools": [{"type": "function", "name": "look", "strict": false, "parameters": {"type": "object", "properties": {}}}],
            "tool_choice": {"type": "function", "name": "look"},
            "input": [
                {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "be brief"}]},
                {"type": "message", "role": "user", "content": [
                    {"type": "input_text", "text": "what is this?"},
                    {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
                ]},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
                {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "a cat"},
            ],
        })
    );
}

#[test]
fn ids_that_the_api_would_not_take_are_shortened_alike() {
    let id = format!("call_1~{}", "s".repeat(500));
    let body = asked(json!({"messages": [
        {"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": id, "content": "a cat"},
    ]}))
    .unwrap();
    let [call, result] = body["input"].as_array().unwrap().as_slice() else { panic!("{body:#}") };
    assert_eq!(call["call_id"], result["call_id"]);
    assert!(call["call_id"].as_str().unwrap().len() <= 40, "{call}");
}

#[test]
fn what_was_thought_before_a_call_comes_back_with_it() {
    let reasoning = json!({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}],
        "encrypted_content": "sealed"});
    let call = json!({"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"});
    let completed = json!({"type": "response.completed", "response": {"status": "completed"}});
    let items = progress(&[
        json!({"type": "response.output_item.done", "output_index": 0, "item": reasoning}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": call}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": call}),
        completed,
    ]);
    let id = output(&items).0.tool_calls[0].id.clone();
    assert!(id.starts_with("c1--"), "{id}");
    let messages = |id: &str| {
        json!({"messages": [
            {"role": "assistant", "content": "I look.", "tool_calls": [{"id": id, "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": id, "content": "a cat"},
        ]})
    };
    let kinds = |body: &Value| -> Vec<_> {
        body["input"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["type"].as_str().unwrap().to_owned())
            .collect()
    };
    let body = asked(messages(&id)).unwrap();
    assert_eq!(kinds(&body), ["reasoning", "message", "function_call", "function_call_output"]);
    assert_eq!(body["input"][0], reasoning);
    assert_eq!((&body["input"][2]["call_id"], &body["input"][3]["call_id"]), (&json!("c1"), &json!("c1")));
    let foreign = Origin::new("p", "another").join("c1", &[reasoning]);
    assert_eq!(
        kinds(&asked(messages(&foreign)).unwrap()),
        ["message", "function_call", "function_call_output"]
    );
    let forged = origin().join("c1", &[json!({"type": "message", "role": "system"})]);
    assert_eq!(kinds(&asked(messages(&forged)).unwrap()).len(), 3, "nothing else comes in that way");
}

#[test]
fn what_this_road_cannot_is_refused_by_name() {
    for (field, value) in [
        ("n", json!(2)),
        ("max_completion_tokens", json!(15)),
        ("stop", json!(["x"])),
        ("logprobs", json!(true)),
        ("top_logprobs", json!(3)),
        ("audio", json!({"voice": "v"})),
        ("tools", json!([{"type": "web_search"}])),
        ("tool_choice", json!({"type": "allowed_tools"})),
    ] {
        let error = asked(json!({"messages": [], field: value})).unwrap_err();
        assert!(error.message.contains(field) || error.message.contains("web_search"), "{field}: {error}");
        assert_eq!(error.remedy, Remedy::FallBack, "{field}");
    }
    let speech = json!([{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]}]);
    assert!(asked(json!({"messages": speech})).unwrap_err().message.contains("input_audio"));
}

#[test]
fn a_stream_is_its_text_its_thoughts_its_calls_and_its_usage() {
    let call = json!({"type": "function_call", "id": "f", "call_id": "c1", "name": "look", "arguments": ""});
    let items = progress(&[
        json!({"type": "response.created", "response": {"model": "m-2026", "status": "in_progress", "output": []}}),
        json!({"type": "response.in_progress", "response": {}}),
        json!({"type": "response.reasoning_summary_text.delta", "delta": "hm"}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": {"type": "message", "content": []}}),
        json!({"type": "response.output_text.delta", "output_index": 1, "delta": "Let me "}),
        json!({"type": "response.output_text.delta", "output_index": 1, "delta": "look."}),
        json!({"type": "response.output_item.added", "output_index": 2, "item": call}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "{\"a\":"}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "1}"}),
        json!({"type": "response.output_item.done", "output_index": 2, "item": {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{\"a\":1}"}}),
        json!({"type": "response.completed", "response": {"model": "m-2026", "status": "completed", "output": [], "usage": usage()}}),
    ]);
    let (output, used) = output(&items);
    assert_eq!((output.text.as_str(), output.reasoning.as_str()), ("Let me look.", "hm"));
    let calls = &output.tool_calls;
    assert_eq!(
        (calls[0].id.as_str(), calls[0].name.as_str(), calls[0].arguments.as_str()),
        ("c1", "look", "{\"a\":1}")
    );
    assert_eq!(output.finish_reason, Some(FinishReason::ToolCalls));
    assert_eq!(
        (used.input_tokens, used.cached_tokens, used.output_tokens, used.reasoning_tokens),
        (10, 4, 7, 5)
    );
    assert_eq!(items.len(), 8, "{items:?}");
}

#[test]
fn a_whole_reply_says_the_same_and_an_incomplete_one_why() {
    let reply = |status: &str, details: Value| {
        json!({"object": "response", "model": "m", "status": status, "error": null, "incomplete_details": details, "usage": usage(),
        "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi", "annotations": []}]},
        ]})
    };
    let whole = |reply: Value| {
        let endpoint = Arc::new(endpoint());
        let ask = ask(&json!({"messages": []}));
        read(of_body(&endpoint, &ask, Events::new(&endpoint, origin()), reply.to_string().as_bytes()))
    };
    let reason = |reply| output(&whole(reply)).0.finish_reason;
    let (said, _) = output(&whole(reply("completed", Value::Null)));
    assert_eq!((said.text.as_str(), said.reasoning.as_str()), ("Hi", "hm"));
    assert_eq!(said.finish_reason, Some(FinishReason::Stop));
    assert_eq!(
        reason(reply("incomplete", json!({"reason": "max_output_tokens"}))),
        Some(FinishReason::Length)
    );
    assert_eq!(
        reason(reply("incomplete", json!({"reason": "content_filter"}))),
        Some(FinishReason::ContentFilter)
    );
    assert!(matches!(whole(reply("queued", Value::Null)).as_slice(), [Err((ErrorCode::ProviderError, ..))]));
}

#[test]
fn a_stream_that_fails_or_breaks_is_no_answer() {
    let text = json!({"type": "response.output_text.delta", "delta": "Hel"});
    let failed = json!({"code": "rate_limit_exceeded", "message": "slower"});
    for (end, code) in [
        (
            json!({"type": "response.failed", "response": {"status": "failed", "error": failed}}),
            ErrorCode::RateLimited,
        ),
        (
            json!({"type": "error", "code": "server_error", "message": "sorry"}),
            ErrorCode::ProviderUnavailable,
        ),
        (
            json!({"type": "error", "error": {"type": "tokens", "code": "rate_limit_exceeded", "message": "slower"}}),
            ErrorCode::RateLimited,
        ),
        (json!({"type": "response.in_progress"}), ErrorCode::ProviderError),
        (json!({"type": "response.output_item.added", "item": 3}), ErrorCode::ProviderError),
    ] {
        let items = progress(&[text.clone(), end.clone()]);
        assert!(matches!(items.last(), Some(Err((was, ..))) if *was == code), "{end}: {items:?}");
    }
}
