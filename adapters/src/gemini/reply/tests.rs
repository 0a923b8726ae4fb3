use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use proptest::prelude::*;
use schemas::{Action, ChatOutput, Output, Usage};
use tokio::time::Duration;

use super::*;
use crate::{Call, Progress, chat::of_body, chat::streamed, endpoint::tests::endpoint, lines};

type Told = Result<Progress, (ErrorCode, Remedy, String)>;

fn ask() -> Ask {
    Ask::new(&Call {
        action: Action::ChatCompletion,
        model: "upstream".into(),
        payload: json!({"stream": true, "messages": []}),
        deadline: tokio::time::Instant::now(),
        idempotency_key: "acme.r1".into(),
        key: 0,
        traceparent: None,
        webhook: None,
    })
}

fn told(items: Vec<Result<Progress, Error>>) -> Vec<Told> {
    let told = |error: Error| (error.code, error.remedy, error.message);
    items.into_iter().map(|item| item.map_err(told)).collect()
}

fn of_chunks(chunks: Vec<Bytes>) -> Vec<Told> {
    let frames = lines::read(stream::iter(chunks.into_iter().map(Ok::<_, Infallible>)));
    let endpoint = Arc::new(endpoint());
    let call = streamed(Arc::clone(&endpoint), ask(), Chunks::new(&endpoint, "acme.r1"), frames);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    told(crate::deadline::bound(call, deadline, "p").collect::<Vec<_>>().now_or_never().expect("all is here"))
}

fn of_events(events: &[Value]) -> Vec<Told> {
    of_chunks(events.iter().map(|event| Bytes::from(format!("data: {event}\r\n\r\n"))).collect())
}

fn of_whole(body: &Value) -> Vec<Told> {
    let endpoint = Arc::new(endpoint());
    told(of_body(&endpoint, &ask(), Chunks::new(&endpoint, "acme.r1"), body.to_string().as_bytes()))
}

fn chunk(parts: Value, reason: Value) -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": 0}],
        "usageMetadata": {"promptTokenCount": 8, "cachedContentTokenCount": 3, "candidatesTokenCount": 4,
            "thoughtsTokenCount": 5, "totalTokenCount": 17},
        "modelVersion": "gemini-3.8-flash", "responseId": "r"})
}

fn finished(items: &[Told]) -> (ChatOutput, Usage) {
    match items.last() {
        Some(Ok(Progress::Finished(finished))) => match &finished.output {
            Output::Chat(output) => (output.clone(), finished.usage),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stream_as_gemini_sends_it() {
    let items = of_events(&[
        chunk(json!([{"text": "hm", "thought": true}]), Value::Null),
        chunk(json!([{"text": "Hel"}]), Value::Null),
        chunk(json!([{"text": "lo", "thoughtSignature": "c2ln"}]), json!("STOP")),
    ]);
    assert_eq!(items.len(), 4, "{items:?}");
    let (output, usage) = finished(&items);
    assert_eq!((output.text.as_str(), output.reasoning.as_str()), ("Hello", "hm"));
    assert_eq!(output.finish_reason, Some(FinishReason::Stop));
    let expected = Usage {
        input_tokens: 8,
        output_tokens: 9,
        cached_tokens: 3,
        reasoning_tokens: 5,
        ..Usage::default()
    };
    assert_eq!(usage, expected, "thoughts are output, what was cached is input");
}

#[test]
fn calls_are_whole_and_carry_their_signature_in_the_id() {
    let call = |name: &str| json!({"name": name, "args": {"city": "Bern"}});
    let mut with_id = call("weather");
    with_id["id"] = json!("fc1");
    let items = of_events(&[
        chunk(json!([{"functionCall": with_id, "thoughtSignature": "c2ln"}]), Value::Null),
        chunk(json!([{"functionCall": call("time")}, {"functionCall": {"name": "now"}}]), Value::Null),
        chunk(json!([{"text": ""}]), json!("STOP")),
    ]);
    let output = finished(&items).0;
    assert_eq!(output.finish_reason, Some(FinishReason::ToolCalls), "though Gemini says STOP");
    let told: Vec<_> = output.tool_calls.iter().map(|it| (&*it.id, &*it.name, &*it.arguments)).collect();
    let city = "{\"city\":\"Bern\"}";
    let expected = [
        ("fc1~c2ln", "weather", city),
        ("call_acme.r1_0_1", "time", city),
        ("call_acme.r1_0_2", "now", "{}"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn several_candidates_are_several_choices() {
    let mut whole = chunk(json!([{"text": "a"}]), json!("STOP"));
    let other = json!({"content": {"parts": [{"text": "b"}]}, "finishReason": "MAX_TOKENS", "index": 1});
    whole["candidates"].as_array_mut().unwrap().push(other);
    let output = finished(&of_whole(&whole)).0;
    assert_eq!((output.text.as_str(), output.alternatives[0].text.as_str()), ("a", "b"));
    assert_eq!(output.alternatives[0].finish_reason, Some(FinishReason::Length));
}

#[test]
fn what_is_withheld_is_told_as_what_it_is() {
    let blocked = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 8}});
    let items = [of_events(std::slice::from_ref(&blocked)), of_whole(&blocked)];
    for items in items {
        let (output, usage) = finished(&items);
        assert_eq!(output.finish_reason, Some(FinishReason::ContentFilter));
        assert!(output.refusal.contains("this question (PROHIBITED_CONTENT)"), "{}", output.refusal);
        assert_eq!((usage.input_tokens, usage.output_tokens), (8, 0));
    }
    for reason in ["SAFETY", "RECITATION", "SPII", "BLOCKLIST", "LANGUAGE", "IMAGE_SAFETY"] {
        let items =
            of_events(&[chunk(json!([{"text": "Once"}]), Value::Null), chunk(json!([]), json!(reason))]);
        let output = finished(&items).0;
        assert_eq!((output.text.as_str(), output.finish_reason), ("Once", Some(FinishReason::ContentFilter)));
        assert!(output.refusal.contains(reason), "{}", output.refusal);
    }
}

#[test]
fn what_failed_is_an_error() {
    use ErrorCode::{InvalidRequest, ProviderError, ProviderUnavailable, RateLimited};
    let google = |code: u16, status: &str| json!({"error": {"code": code, "message": "m", "status": status}});
    let rows = [
        (chunk(json!([]), json!("MALFORMED_FUNCTION_CALL")), ProviderError, Remedy::Retry),
        (chunk(json!([]), json!("UNEXPECTED_TOOL_CALL")), ProviderError, Remedy::Retry),
        (chunk(json!([]), json!("OTHER")), ProviderError, Remedy::Retry),
        (chunk(json!([]), json!("SOMETHING_NEW")), ProviderError, Remedy::Retry),
        (chunk(json!([]), json!("MISSING_THOUGHT_SIGNATURE")), InvalidRequest, Remedy::FallBack),
        (
            chunk(json!([{"inlineData": {"mimeType": "image/png", "data": "iVBO"}}]), Value::Null),
            ProviderError,
            Remedy::FallBack,
        ),
        (google(503, "UNAVAILABLE"), ProviderUnavailable, Remedy::Retry),
        (google(429, "RESOURCE_EXHAUSTED"), RateLimited, Remedy::Throttle),
        (json!([google(400, "INVALID_ARGUMENT")]), InvalidRequest, Remedy::Fatal),
        (json!({"candidates": [{"index": 4_000_000_000_u32}]}), ProviderError, Remedy::Retry),
        (json!("hello"), ProviderError, Remedy::Retry),
        (json!({"candidates": 7}), ProviderError, Remedy::Retry),
    ];
    let begun = chunk(json!([{"text": "Once"}]), Value::Null);
    for (event, code, remedy) in rows {
        let items = of_events(&[begun.clone(), event.clone(), begun.clone()]);
        assert_eq!(items.len(), 2, "{event}: {items:?}");
        let error = items[1].as_ref().unwrap_err();
        assert_eq!((error.0, error.1), (code, remedy), "{event}: {error:?}");
    }
}

#[test]
fn an_error_in_a_stream_comes_as_bare_json_over_several_lines() {
    let error =
        json!({"error": {"code": 503, "message": "The model is overloaded. }", "status": "UNAVAILABLE"}});
    let begun = format!("data: {}\r\n\r\n", chunk(json!([{"text": "Once"}]), Value::Null));
    for error in [error.clone(), json!([error])] {
        for text in [serde_json::to_string_pretty(&error).unwrap(), error.to_string()] {
            let items = of_chunks(vec![Bytes::from(format!("{begun}{text}\n"))]);
            let (code, remedy, message) = items.last().unwrap().as_ref().unwrap_err();
            assert_eq!((*code, *remedy), (ErrorCode::ProviderUnavailable, Remedy::Retry));
            assert!(message.contains("overloaded"), "{message}");
        }
    }
}

#[test]
fn a_stream_that_ends_without_a_reason_is_broken() {
    let begun = chunk(json!([{"text": "Once"}]), Value::Null);
    for events in [&[begun.clone()][..], &[json!({"candidates": []})], &[]] {
        let items = of_events(events);
        let (code, remedy, _) = items.last().unwrap().as_ref().unwrap_err();
        assert_eq!((*code, *remedy), (ErrorCode::ProviderError, Remedy::Retry));
    }
    assert!(of_whole(&begun).last().unwrap().is_err());
}

#[test]
fn a_stream_that_comes_as_one_array_is_read_too() {
    let array =
        json!([chunk(json!([{"text": "Hel"}]), Value::Null), chunk(json!([{"text": "lo"}]), json!("STOP"))]);
    assert_eq!(finished(&of_whole(&array)).0.text, "Hello");
}

proptest! {
    #[test]
    fn any_chunking_brings_the_same_progress(cuts in prop::collection::vec(0usize..2000, 0..60)) {
        let events = [
            chunk(json!([{"text": "hm ä", "thought": true}]), Value::Null),
            chunk(json!([{"text": "Grüße 😀\n"}]), Value::Null),
            chunk(json!([{"functionCall": {"name": "f", "args": {"a": "}"}}, "thoughtSignature": "c2ln"}]), Value::Null),
            chunk(json!([]), json!("STOP")),
        ];
        let text: String = events.iter().map(|event| format!("data: {event}\r\n\r\n: ping\n\n")).collect();
        let bytes = Bytes::from(text);
        let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < bytes.len()).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|pair| bytes.slice(pair[0]..pair[1])).collect();
        let items = of_chunks(chunks);
        prop_assert_eq!(finished(&items).0.tool_calls.len(), 1);
        prop_assert_eq!(items, of_chunks(vec![bytes]));
    }

    #[test]
    fn no_bytes_make_it_panic_or_go_on_after_an_end(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..10)) {
        for begin in ["data: ", "{\"candidates\":[{\"finishReason\":"] {
            let mut all = vec![Bytes::from_static(begin.as_bytes())];
            all.extend(chunks.iter().cloned().map(Bytes::from));
            let items = of_chunks(all);
            let ends = items.iter().filter(|item| !matches!(item, Ok(Progress::Delta(_)))).count();
            prop_assert_eq!(ends, 1);
        }
    }
}

#[test]
fn how_likely_tokens_were_is_told_in_the_form_of_openai() {
    let logprobs = json!({
        "chosenCandidates": [{"token": "Hi", "tokenId": 7, "logProbability": -0.5}],
        "topCandidates": [{"candidates": [
            {"token": "Hi", "logProbability": -0.5}, {"token": "Yo", "logProbability": -2.0},
        ]}],
    });
    let candidate =
        json!({"content": {"parts": [{"text": "Hi"}]}, "logprobsResult": logprobs, "finishReason": "STOP"});
    let items = of_events(&[json!({"candidates": [candidate]})]);
    let Some(Ok(Progress::Finished(finished))) = items.last() else { panic!("{items:?}") };
    let Output::Chat(output) = &finished.output else { panic!() };
    let token =
        |token: &str, logprob: f64| json!({"token": token, "logprob": logprob, "bytes": token.as_bytes()});
    let mut chosen = token("Hi", -0.5);
    chosen["top_logprobs"] = json!([token("Hi", -0.5), token("Yo", -2.0)]);
    assert_eq!(output.logprobs, [chosen]);
}
