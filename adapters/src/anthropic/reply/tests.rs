//! Answers as the API sends them, as it should not, and in any pieces.

use std::sync::LazyLock;

use bytes::Bytes;
use futures_util::FutureExt;
use proptest::{collection::vec, prelude::*, sample::select};
use schemas::{ChatOutput, ErrorCode, Output, Usage, chat::ToolCall};
use serde_json::json;

use super::*;
use crate::{
    Progress, Remedy,
    anthropic::fuzzing::{KEY, Replies},
};

/// Made once: it takes longer than all that it reads.
static REPLIES: LazyLock<Replies> = LazyLock::new(|| Replies::new().unwrap());

type Told = Vec<Result<Progress, (ErrorCode, Remedy, String)>>;

fn told(items: Vec<Result<Progress, Error>>) -> Told {
    items.into_iter().map(|item| item.map_err(|error| (error.code, error.remedy, error.message))).collect()
}

fn of_chunks(chunks: Vec<Bytes>) -> Told {
    told(REPLIES.streamed(chunks).now_or_never().expect("nothing to wait for"))
}

fn of_events(events: &[Value]) -> Told {
    of_chunks(vec![bytes(events)])
}

fn bytes(events: &[Value]) -> Bytes {
    let event =
        |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or("x"));
    events.iter().map(event).collect::<String>().into()
}

fn whole(message: Value) -> Told {
    told(REPLIES.whole(message.to_string().as_bytes()))
}

fn finished(items: &Told) -> (ChatOutput, Usage, String) {
    match items.last() {
        Some(Ok(Progress::Finished(finished))) => match &finished.output {
            Output::Chat(output) => (output.clone(), finished.usage, finished.model.clone()),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn start() -> Value {
    json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
        "model": "claude-1", "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 5, "cache_read_input_tokens": 2, "output_tokens": 1}}})
}

fn open(index: u32, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn piece(index: u32, kind: &str, field: &str, text: &str) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": {"type": kind, field: text}})
}

fn said(index: u32, text: &str) -> Value {
    piece(index, "text_delta", "text", text)
}

fn close(index: u32) -> Value {
    json!({"type": "content_block_stop", "index": index})
}

fn end(reason: &str) -> [Value; 2] {
    let delta = json!({"stop_reason": reason, "stop_sequence": null});
    [
        json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 9}}),
        json!({"type": "message_stop"}),
    ]
}

/// Thinking, words, a call with arguments and one without; pings and strangers between them.
fn everything() -> Vec<Value> {
    let call = |id: &str, name: &str| json!({"type": "tool_use", "id": id, "name": name, "input": {}});
    let json = |index, text| piece(index, "input_json_delta", "partial_json", text);
    let mut events = vec![
        start(),
        json!({"type": "ping"}),
        open(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        piece(0, "thinking_delta", "thinking", "hm ä"),
        piece(0, "signature_delta", "signature", "c2ln"),
        close(0),
        open(1, json!({"type": "text", "text": ""})),
        said(1, "Grüße 😀\n"),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "citations_delta", "citation": {}}}),
        close(1),
        open(2, json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})),
        json(2, "{\"query\":1}"),
        close(2),
        json!({"type": "of_tomorrow", "index": "x"}),
        open(3, call("toolu_1", "f")),
        json(3, ""),
        json(3, "{\"a\""),
        json(3, ":1}"),
        close(3),
        open(4, call("toolu_2", "g")),
        close(4),
    ];
    events.extend(end("tool_use"));
    events
}

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() }
}

/// The calls without what travels in their ids.
fn bare(calls: Vec<ToolCall>) -> Vec<ToolCall> {
    let origin = Origin::new("p", "upstream");
    calls.into_iter().map(|call| ToolCall { id: origin.split(&call.id).0.to_owned(), ..call }).collect()
}

#[test]
fn a_stream_as_the_api_sends_it() {
    let items = of_events(&everything());
    let (output, usage, model) = finished(&items);
    assert_eq!((output.reasoning.as_str(), output.text.as_str()), ("hm ä", "Grüße 😀\n"));
    assert_eq!(bare(output.tool_calls), [call("toolu_1", "f", "{\"a\":1}"), call("toolu_2", "g", "{}")]);
    assert_eq!(output.finish_reason, Some(FinishReason::ToolCalls));
    assert_eq!(
        (usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.estimated),
        (7, 2, 9, false)
    );
    assert_eq!(model, "claude-1");
    // Thinking, words, two beginnings, two pieces of arguments, the arguments that were none, the reason, the end.
    assert_eq!(items.len(), 9, "{items:#?}");
}

#[test]
fn a_whole_reply_says_the_same() {
    let content = json!([
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "eA=="},
        {"type": "text", "text": "Hello", "citations": null},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}},
    ]);
    let usage =
        json!({"input_tokens": 3, "output_tokens": 4, "output_tokens_details": {"thinking_tokens": 1}});
    let items = whole(json!({"type": "message", "model": "claude-1", "content": content, "usage": usage,
        "stop_reason": "tool_use", "stop_sequence": null}));
    let (output, usage, _) = finished(&items);
    assert_eq!((output.reasoning.as_str(), output.text.as_str()), ("hm", "Hello"));
    assert_eq!(bare(output.tool_calls), [call("toolu_1", "f", "{\"a\":1}"), call("toolu_2", "g", "{}")]);
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.reasoning_tokens), (3, 4, 1));
    let unfinished = whole(json!({"type": "message", "content": [], "stop_reason": null}));
    assert_eq!(unfinished[0].as_ref().unwrap_err().1, Remedy::Retry);
}

#[test]
fn every_reason_to_stop_has_its_word() {
    let rows = [
        ("end_turn", FinishReason::Stop),
        ("stop_sequence", FinishReason::Stop),
        ("max_tokens", FinishReason::Length),
        ("model_context_window_exceeded", FinishReason::Length),
        ("pause_turn", FinishReason::Length),
        ("tool_use", FinishReason::ToolCalls),
        ("refusal", FinishReason::ContentFilter),
        ("of_tomorrow", FinishReason::Stop),
    ];
    for (word, reason) in rows {
        let items = of_events(&[&[start()][..], &end(word)].concat());
        assert_eq!(finished(&items).0.finish_reason, Some(reason), "{word}");
    }
    let delta = json!({"stop_reason": "stop_sequence", "stop_sequence": "END"});
    let stopped = json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 9}});
    let (output, ..) = finished(&of_events(&[start(), stopped, json!({"type": "message_stop"})]));
    assert_eq!(output.stop_sequence.as_deref(), Some("END"));
    let details = json!({"type": "refusal", "category": "cyber", "explanation": "not this"});
    let delta = json!({"stop_reason": "refusal", "stop_details": details});
    let refused = json!({"type": "message_delta", "delta": delta});
    let (output, usage, _) = finished(&of_events(&[start(), refused, json!({"type": "message_stop"})]));
    assert_eq!(
        (output.refusal.as_str(), output.finish_reason),
        ("not this", Some(FinishReason::ContentFilter))
    );
    assert!(usage.estimated, "what the beginning reports is no bill: {usage:?}");
}

#[test]
fn a_stream_without_its_end_is_broken() {
    let all = everything();
    for events in 0..all.len() {
        let items = of_events(&all[..events]);
        let (code, remedy, _) = items.last().unwrap().as_ref().unwrap_err();
        assert_eq!((*code, *remedy), (ErrorCode::ProviderError, Remedy::Retry), "after {events} events");
    }
}

#[test]
fn an_error_in_the_stream_ends_it_as_what_it_is() {
    let error = |kind: &str| json!({"type": "error", "error": {"type": kind, "message": "Overloaded"}});
    let rows = [
        (error("overloaded_error"), ErrorCode::ProviderUnavailable, Remedy::Throttle),
        (error("rate_limit_error"), ErrorCode::RateLimited, Remedy::Throttle),
        (error("api_error"), ErrorCode::ProviderUnavailable, Remedy::Retry),
        (error("invalid_request_error"), ErrorCode::InvalidRequest, Remedy::Fatal),
        (json!({"error": {"type": "overloaded_error"}}), ErrorCode::ProviderUnavailable, Remedy::Throttle),
        (json!("no object"), ErrorCode::ProviderError, Remedy::Retry),
        (json!({"type": "message_start"}), ErrorCode::ProviderError, Remedy::Retry),
    ];
    for (event, code, remedy) in rows {
        let items = of_events(&[start(), said(0, "Hel"), event.clone(), said(0, "lo")]);
        assert_eq!(items.len(), 2, "{event}: {items:?}");
        let error = items[1].as_ref().unwrap_err();
        assert_eq!((error.0, error.1), (code, remedy), "{event}: {error:?}");
    }
    let calls = (0..=TOOL_CALLS_MAX).map(|n| open(n, json!({"type": "tool_use", "id": "i", "name": "f"})));
    assert!(of_events(&calls.collect::<Vec<_>>()).last().unwrap().is_err(), "calls without end");
}

/// Pieces of replies, whole and broken, with the key where a server may repeat it.
fn reply() -> impl Strategy<Value = Vec<u8>> {
    let pieces = vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "null",
        "0",
        "-1",
        "1e999",
        "4294967296",
        "\"type\":",
        "\"message_start\"",
        "\"message\":",
        "\"content_block_start\"",
        "\"content_block_delta\"",
        "\"message_stop\"",
        "\"message_delta\"",
        "\"index\":",
        "\"delta\":",
        "\"content_block\":",
        "\"tool_use\"",
        "\"text_delta\"",
        "\"usage\":",
        "\"stop_reason\":",
        "\"error\":",
        "\"sk-canary-0123456789\"",
        "sk-canary-0123456789",
        "data: ",
        "\n\n",
        "<html>",
    ];
    let wellformed = vec![
        r#"{"type":"message","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","usage":{"input_tokens":1}}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"refusal","stop_details":{"explanation":"x"}},"usage":{}}"#,
        r#"{"type":"error","error":{"type":"api_error","message":"no sk-canary-0123456789"}}"#,
    ];
    prop_oneof![
        vec(select(pieces), 0..24).prop_map(|pieces| pieces.concat().into_bytes()),
        (select(wellformed), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(text, at, byte)| {
            let mut body = text.as_bytes().to_vec();
            *at.get_mut(&mut body) = byte;
            body
        }),
        vec(any::<u8>(), 0..100),
    ]
}

fn in_pieces(bytes: &Bytes, cuts: Vec<usize>) -> Vec<Bytes> {
    let mut cuts: Vec<_> =
        cuts.into_iter().filter(|cut| *cut < bytes.len()).chain([0, bytes.len()]).collect();
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| bytes.slice(pair[0]..pair[1])).collect()
}

proptest! {
    #[test]
    fn any_chunking_brings_the_same_progress(cuts in vec(0_usize..4000, 0..60)) {
        let bytes = bytes(&everything());
        let items = of_chunks(in_pieces(&bytes, cuts));
        prop_assert_eq!(finished(&items).0.tool_calls.len(), 2);
        prop_assert_eq!(items, of_chunks(vec![bytes]));
    }

    #[test]
    fn any_reply_has_one_end_and_tells_no_key(body in reply(), cuts in vec(0_usize..200, 0..8)) {
        let bytes = Bytes::from([b"data: ", &body[..], b"\n\n"].concat());
        for items in [REPLIES.whole(&body), REPLIES.streamed(in_pieces(&bytes, cuts)).now_or_never().unwrap()] {
            let ends = items.iter().filter(|item| !matches!(item, Ok(Progress::Delta(_)))).count();
            prop_assert_eq!(ends, 1, "{:?}", items);
            for error in items.iter().filter_map(|item| item.as_ref().err()) {
                let shown = format!("{error} {error:?}");
                prop_assert!(!shown.contains(KEY), "{}", shown);
            }
        }
    }
}

#[test]
fn what_was_thought_before_a_call_travels_in_its_id() {
    let thought = json!({"type": "thinking", "thinking": "hm, well", "signature": "sig"});
    let redacted = json!({"type": "redacted_thinking", "data": "d"});
    let call = json!({"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"a": 1}});
    let origin = Origin::new("p", "upstream");
    let events = [
        start(),
        open(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm, "}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "well"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "sig"}}),
        json!({"type": "content_block_stop", "index": 0}),
        open(1, redacted.clone()),
        open(2, call.clone()),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}),
        json!({"type": "message_stop"}),
    ];
    let whole_message = json!({"type": "message", "model": "m", "content": [thought, redacted, call],
        "stop_reason": "tool_use", "usage": {"input_tokens": 1, "output_tokens": 1}});
    for items in [of_events(&events), whole(whole_message)] {
        let (output, ..) = finished(&items);
        assert_eq!(output.reasoning, "hm, well");
        let (id, thoughts) = origin.split(&output.tool_calls[0].id);
        assert_eq!((id, thoughts), ("toolu_1", vec![thought.clone(), redacted.clone()]));
    }
    let unsigned = json!({"type": "message", "model": "m", "stop_reason": "tool_use",
        "content": [{"type": "thinking", "thinking": "hm", "signature": ""}, call]});
    assert_eq!(finished(&whole(unsigned)).0.tool_calls[0].id, "toolu_1");
}
