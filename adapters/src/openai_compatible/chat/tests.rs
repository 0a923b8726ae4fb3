use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use proptest::prelude::*;
use schemas::{Action, ChatOutput, ErrorCode, Output};
use tokio::time::Duration;

use super::*;
use crate::{Call, Progress, Remedy, chat::streamed, endpoint::tests::endpoint, sse};

fn ask(payload: Value) -> (Ask, Value) {
    ask_with(payload, &BTreeMap::new())
}

fn ask_with(payload: Value, fields: &BTreeMap<String, Value>) -> (Ask, Value) {
    let call = Call {
        action: Action::ChatCompletion,
        model: "upstream".into(),
        payload,
        deadline: tokio::time::Instant::now(),
        idempotency_key: "k".into(),
        key: 0,
        traceparent: None,
        webhook: None,
    };
    let ask = Ask::new(&call);
    let body = body(&ask, call.payload, fields);
    (ask, Value::Object(body))
}

#[test]
fn an_id_of_a_tool_call_that_is_too_long_becomes_the_same_short_one_wherever_it_stands() {
    let long = "g".repeat(TOOL_ID_CHARS_MAX + 1);
    let messages = json!([
        {"role": "assistant", "tool_calls": [{"id": &long, "type": "function"}, {"id": "call_1", "type": "function"}]},
        {"role": "tool", "tool_call_id": &long, "content": "1"},
        {"role": "tool", "tool_call_id": "call_1", "content": "2"},
    ]);
    let messages = &ask(json!({"messages": messages})).1["messages"];
    let short = messages[0]["tool_calls"][0]["id"].as_str().unwrap();
    assert!(short.len() <= TOOL_ID_CHARS_MAX && short.starts_with("call_"), "{short}");
    assert_eq!(messages[1]["tool_call_id"], short);
    assert_eq!(
        (&messages[0]["tool_calls"][1]["id"], &messages[2]["tool_call_id"]),
        (&json!("call_1"), &json!("call_1"))
    );
}

/// What a stream of these chunks brings, errors as their code and text.
fn progress(chunks: Vec<Bytes>) -> Vec<Result<Progress, (ErrorCode, Remedy, String)>> {
    let ask = ask(json!({"stream": true, "messages": [{"role": "user", "content": "12345678"}]})).0;
    let frames = sse::read(stream::iter(chunks.into_iter().map(Ok::<_, Infallible>)));
    let endpoint = Arc::new(endpoint());
    let call = streamed(Arc::clone(&endpoint), ask, Chunks::new(&endpoint), frames);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let bounded = crate::deadline::bound(call, deadline, "p");
    let items = bounded.map(|item| item.map_err(|error| (error.code, error.remedy, error.message)));
    items.collect::<Vec<_>>().now_or_never().expect("nothing to wait for")
}

/// The same of whole events, which end without `[DONE]`.
fn of_events(events: &[Value]) -> Vec<Result<Progress, (ErrorCode, Remedy, String)>> {
    progress(events.iter().map(|event| Bytes::from(format!("data: {event}\n\n"))).collect())
}

fn chunk(delta: Value, finish_reason: Value) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": null}], "usage": null})
}

fn finished(items: &[Result<Progress, (ErrorCode, Remedy, String)>]) -> (ChatOutput, schemas::Usage) {
    match items.last() {
        Some(Ok(Progress::Finished(finished))) => match &finished.output {
            Output::Chat(output) => (output.clone(), finished.usage),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_payload_goes_out_as_it_came_but_for_what_must_change() {
    let payload = json!({"model": "alias", "messages": [], "stream": true, "top_k": 3, "simulate": {"fail": "x"},
        "stream_options": {"include_usage": false, "continuous_usage_stats": true}});
    let expected = json!({"model": "upstream", "messages": [], "stream": true, "top_k": 3,
        "stream_options": {"include_usage": true, "continuous_usage_stats": true}});
    assert_eq!(ask(payload).1, expected);
    let plain = json!({"model": "alias", "messages": []});
    assert_eq!(ask(plain).1, json!({"model": "upstream", "messages": []}));
}

#[test]
fn configured_fields_are_said_where_the_payload_says_nothing_of_them() {
    let fields = BTreeMap::from([
        ("tool_stream".into(), json!(true)),
        ("thinking".into(), json!({"type": "disabled"})),
    ]);
    let payload = json!({"model": "alias", "messages": [], "thinking": {"type": "enabled"}});
    let expected =
        json!({"model": "upstream", "messages": [], "tool_stream": true, "thinking": {"type": "enabled"}});
    assert_eq!(ask_with(payload, &fields).1, expected);
}

#[test]
fn a_stream_as_zai_sends_it() {
    let mut last = chunk(json!({"content": "lo"}), json!("stop"));
    last["usage"] = json!({"prompt_tokens": 5, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2}});
    let search = json!({"id": "c", "choices": [], "web_search": [{"title": "t", "link": "https://x.test"}]});
    let items = of_events(&[
        search,
        chunk(json!({"role": "assistant", "reasoning_content": "hm"}), Value::Null),
        chunk(json!({"content": "Hel"}), Value::Null),
        last,
    ]);
    let (output, usage) = finished(&items);
    assert_eq!((output.text.as_str(), output.reasoning.as_str()), ("Hello", "hm"));
    assert_eq!((usage.cached_tokens, usage.reasoning_tokens, usage.estimated), (3, 2, false));
    for (word, reason) in [
        ("sensitive", schemas::chat::FinishReason::ContentFilter),
        ("model_context_window_exceeded", schemas::chat::FinishReason::Length),
    ] {
        let output = finished(&of_events(&[chunk(json!({"content": "x"}), json!(word))])).0;
        assert_eq!(output.finish_reason, Some(reason));
    }
}

#[test]
fn a_stream_as_openai_sends_it() {
    let items = of_events(&[
        chunk(json!({"role": "assistant", "content": "", "refusal": null}), Value::Null),
        chunk(json!({"content": "Hel"}), Value::Null),
        chunk(json!({"content": "lo"}), Value::Null),
        chunk(json!({}), json!("stop")),
        json!({"model": "gpt", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}),
    ]);
    // Neither the role nor the usage is a delta.
    assert_eq!(items.len(), 4, "{items:?}");
    assert_eq!(items[0], Ok(Progress::Delta(schemas::ChatDelta::text("Hel"))));
    let (output, usage) = finished(&items);
    assert_eq!(output.text, "Hello");
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.estimated), (5, 2, false));
}

#[test]
fn usage_on_the_last_piece_counts_and_missing_usage_is_estimated() {
    let mut last = chunk(json!({"content": "Hello"}), json!("stop"));
    assert_eq!(
        finished(&of_events(&[last.clone()])).1,
        schemas::Usage { input_tokens: 2, output_tokens: 2, estimated: true, ..Default::default() }
    );
    last["usage"] = json!({"prompt_tokens": 9, "completion_tokens": 1});
    assert_eq!(finished(&of_events(&[last])).1.input_tokens, 9);
}

#[test]
fn a_stream_that_ends_without_a_reason_is_broken() {
    let begun = format!("data: {}\n\n", chunk(json!({"content": "Hel"}), Value::Null));
    for bytes in [format!("{begun}data: [DONE]\n\n"), begun, String::new()] {
        let items = progress(vec![Bytes::from(bytes)]);
        let (code, remedy, _) = items.last().unwrap().as_ref().unwrap_err();
        assert_eq!((*code, *remedy), (ErrorCode::ProviderError, Remedy::Retry));
    }
}

#[test]
fn an_error_in_the_stream_ends_it_as_what_it_is() {
    let begun = chunk(json!({"content": "Hel"}), Value::Null);
    let rows = [
        (
            json!({"error": {"message": "boom", "type": "server_error"}}),
            ErrorCode::ProviderUnavailable,
            Remedy::Retry,
        ),
        (
            json!({"error": {"message": "too long", "type": "BadRequestError", "code": 400}}),
            ErrorCode::InvalidRequest,
            Remedy::Fatal,
        ),
        (json!({"error": {"code": "1302", "message": "slower"}}), ErrorCode::RateLimited, Remedy::Throttle),
        (json!({"error": "out of memory"}), ErrorCode::ProviderUnavailable, Remedy::Retry),
        (json!({"object": "error", "message": "bad", "code": 400}), ErrorCode::InvalidRequest, Remedy::Fatal),
        (json!("no object"), ErrorCode::ProviderError, Remedy::Retry),
        (json!({"choices": [{"delta": {"content": 7}}]}), ErrorCode::ProviderError, Remedy::Retry),
        (chunk(json!({}), json!("network_error")), ErrorCode::ProviderError, Remedy::Retry),
    ];
    for (event, code, remedy) in rows {
        let items = of_events(&[begun.clone(), event.clone(), begun.clone()]);
        assert_eq!(items.len(), 2, "{event}: {items:?}");
        let error = items[1].as_ref().unwrap_err();
        assert_eq!((error.0, error.1), (code, remedy), "{event}: {error:?}");
    }
}

#[test]
fn a_chunk_that_quotes_the_key_does_not_show_it() {
    let items = of_events(&[json!({"choices": "sk-canary-0123456789"})]);
    let (_, _, message) = items[0].as_ref().unwrap_err();
    assert!(message.contains("[redacted]") && !message.contains("canary"), "{message}");
}

proptest! {
    #[test]
    fn any_chunking_brings_the_same_progress(cuts in prop::collection::vec(0usize..2000, 0..60)) {
        let events = [
            chunk(json!({"role": "assistant", "content": ""}), Value::Null),
            chunk(json!({"reasoning_content": "hm ä"}), Value::Null),
            chunk(json!({"content": "Grüße 😀\n"}), Value::Null),
            chunk(json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]}), Value::Null),
            chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}), Value::Null),
            chunk(json!({}), json!("tool_calls")),
        ];
        let mut text: String = events.iter().map(|event| format!("data: {event}\r\n\r\n: ping\n\n")).collect();
        text.push_str("data: [DONE]\n\n");
        let bytes = Bytes::from(text);
        let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < bytes.len()).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|pair| bytes.slice(pair[0]..pair[1])).collect();
        let items = progress(chunks);
        prop_assert_eq!(finished(&items).0.tool_calls.len(), 1);
        prop_assert_eq!(items, progress(vec![bytes]));
    }

    #[test]
    fn no_bytes_make_it_panic_or_go_on_after_an_end(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..10)) {
        let mut all = vec![Bytes::from_static(b"data: ")];
        all.extend(chunks.into_iter().map(Bytes::from));
        let items = progress(all);
        let ends = items.iter().filter(|item| !matches!(item, Ok(Progress::Delta(_)))).count();
        prop_assert_eq!(ends, 1);
    }
}
