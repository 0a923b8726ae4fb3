use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use proptest::prelude::*;
use schemas::{Action, ChatOutput, ErrorCode, Output};
use tokio::time::Duration;

use super::*;
use crate::{
    Call, Progress, Remedy,
    chat::{of_body, streamed},
    endpoint::tests::endpoint,
    lines,
};

type Told = Result<Progress, (ErrorCode, Remedy, String)>;

fn ask() -> Ask {
    Ask::new(&Call {
        action: Action::ChatCompletion,
        model: "qwen3".into(),
        payload: json!({"stream": true, "messages": [{"role": "user", "content": "12345678"}]}),
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
    let call = streamed(Arc::clone(&endpoint), ask(), Lines::new(&endpoint, "acme.r1"), frames);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    told(crate::deadline::bound(call, deadline, "p").collect::<Vec<_>>().now_or_never().expect("all is here"))
}

fn of_lines(lines: &[Value]) -> Vec<Told> {
    of_chunks(lines.iter().map(|line| Bytes::from(format!("{line}\n"))).collect())
}

fn line(message: Value) -> Value {
    json!({"model": "qwen3", "created_at": "2026-11-28T04:00:00Z", "message": message, "done": false})
}

fn done(reason: &str) -> Value {
    json!({"model": "qwen3", "created_at": "2026-11-28T04:00:00Z", "message": {"role": "assistant", "content": ""},
        "done": true, "done_reason": reason, "total_duration": 5, "prompt_eval_count": 8, "eval_count": 4})
}

fn text(text: &str) -> Value {
    line(json!({"role": "assistant", "content": text}))
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
fn a_stream_as_ollama_sends_it() {
    let thinking = line(json!({"role": "assistant", "content": "", "thinking": "hm"}));
    let items = of_lines(&[thinking, text("Hel"), text("lo"), done("stop")]);
    let (output, usage) = finished(&items);
    assert_eq!((output.text.as_str(), output.reasoning.as_str()), ("Hello", "hm"));
    assert_eq!(output.finish_reason, Some(FinishReason::Stop));
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.estimated), (8, 4, false));
    let output = finished(&of_lines(&[text("Hel"), done("length")])).0;
    assert_eq!(output.finish_reason, Some(FinishReason::Length));
}

#[test]
fn a_question_that_was_in_memory_is_estimated() {
    let mut last = done("stop");
    last.as_object_mut().unwrap().remove("prompt_eval_count");
    let usage = finished(&of_lines(&[text("Hello"), last])).1;
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.estimated), (2, 4, true));
}

#[test]
fn calls_are_whole_and_get_an_id_where_they_have_none() {
    let call = |id: Value, name: &str| json!({"id": id, "function": {"index": 0, "name": name, "arguments": {"city": "Bern"}}});
    let calls = |calls: Value| line(json!({"role": "assistant", "content": "", "tool_calls": calls}));
    let items = of_lines(&[
        calls(json!([call(json!("c1"), "weather")])),
        calls(json!([call(Value::Null, "time")])),
        done("stop"),
    ]);
    let output = finished(&items).0;
    assert_eq!(output.finish_reason, Some(FinishReason::ToolCalls), "though Ollama says stop");
    let told: Vec<_> = output.tool_calls.iter().map(|it| (&*it.id, &*it.name, &*it.arguments)).collect();
    let city = "{\"city\":\"Bern\"}";
    assert_eq!(told, [("c1", "weather", city), ("call_acme.r1_1", "time", city)]);
}

#[test]
fn a_whole_reply_is_one_line() {
    let mut whole = done("stop");
    whole["message"]["content"] = json!("Hello");
    let endpoint = Arc::new(endpoint());
    let items = told(of_body(&endpoint, &ask(), Lines::new(&endpoint, "k"), whole.to_string().as_bytes()));
    assert_eq!(finished(&items).0.text, "Hello");
}

#[test]
fn what_failed_is_an_error() {
    use ErrorCode::{InvalidRequest, ProviderError, ProviderUnavailable};
    let rows = [
        (
            json!({"error": "an error was encountered while running the model"}),
            ProviderUnavailable,
            Remedy::Retry,
        ),
        (json!({"error": "m does not support tools"}), InvalidRequest, Remedy::FallBack),
        (done("load"), ProviderError, Remedy::Retry),
        (json!("hello"), ProviderError, Remedy::Retry),
        (json!({"message": 7}), ProviderError, Remedy::Retry),
    ];
    for (event, code, remedy) in rows {
        let items = of_lines(&[text("Once"), event.clone(), text("more")]);
        assert_eq!(items.len(), 2, "{event}: {items:?}");
        let error = items[1].as_ref().unwrap_err();
        assert_eq!((error.0, error.1), (code, remedy), "{event}: {error:?}");
    }
    for lines in [&[text("Once")][..], &[]] {
        let items = of_lines(lines);
        assert_eq!(items.last().unwrap().as_ref().unwrap_err().1, Remedy::Retry, "no line was the last");
    }
}

proptest! {
    #[test]
    fn any_chunking_brings_the_same_progress(cuts in prop::collection::vec(0usize..1000, 0..40)) {
        let call = json!({"function": {"name": "f", "arguments": {}}});
        let lines = [
            text("Grüße 😀\n"),
            line(json!({"role": "assistant", "content": "", "tool_calls": [call]})),
            done("stop"),
        ];
        let bytes = Bytes::from(lines.iter().map(|line| format!("{line}\n")).collect::<String>());
        let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < bytes.len()).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|pair| bytes.slice(pair[0]..pair[1])).collect();
        let items = of_chunks(chunks);
        prop_assert_eq!(finished(&items).0.tool_calls.len(), 1);
        prop_assert_eq!(items, of_chunks(vec![bytes]));
    }
}
