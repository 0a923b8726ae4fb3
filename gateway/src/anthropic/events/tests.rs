use proptest::prelude::*;
use schemas::chat::{FinishReason, ToolCall};
use serde_json::{Value, json};

use super::*;

fn events(shows_thinking: bool) -> Events {
    Events::new("r-1", "msg_r-1", "m", shows_thinking).unwrap()
}

/// The JSON of the events; each must be named as its type.
fn read(events: &[Bytes]) -> Vec<Value> {
    let read = |event: &Bytes| {
        let text = std::str::from_utf8(event).unwrap();
        let (name, data) = text.strip_suffix("\n\n").unwrap().split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
        data
    };
    events.iter().map(read).collect()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// Puts a message together from its events, as the SDKs do.
fn message(events: &[Value]) -> Value {
    let mut message = events[0]["message"].clone();
    let mut inputs: Vec<String> = Vec::new();
    let mut open = None;
    for event in &events[1..] {
        let index = event["index"].as_u64().map(|index| index as usize);
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!((open, index), (None, Some(inputs.len())), "{event}");
                open = index;
                message["content"].as_array_mut().unwrap().push(event["content_block"].clone());
                inputs.push(String::new());
            }
            "content_block_delta" => {
                assert_eq!(open, index, "{event}");
                let (at, delta) = (index.unwrap(), &event["delta"]);
                inputs[at].push_str(delta["partial_json"].as_str().unwrap_or_default());
                for field in ["text", "thinking"] {
                    if let Some(piece) = delta[field].as_str() {
                        let whole = message["content"][at][field].as_str().unwrap().to_owned() + piece;
                        message["content"][at][field] = whole.into();
                    }
                }
            }
            "content_block_stop" => {
                assert_eq!(open.take(), index, "{event}");
                if !inputs[index.unwrap()].is_empty() {
                    message["content"][index.unwrap()]["input"] =
                        serde_json::from_str(&inputs[index.unwrap()]).unwrap();
                }
            }
            "message_delta" => {
                for (key, value) in event["delta"].as_object().unwrap() {
                    message[key] = value.clone();
                }
                message["usage"] = event["usage"].clone();
            }
            "message_stop" => assert_eq!(open, None),
            other => panic!("{other}"),
        }
    }
    message
}

fn call(index: u32, id: Option<&str>, arguments: &str) -> ChatDelta {
    let piece = ToolCallDelta {
        index,
        id: id.map(Into::into),
        name: id.map(|_| "weather".into()),
        arguments: arguments.into(),
    };
    ChatDelta { tool_calls: vec![piece], ..ChatDelta::default() }
}

fn thought(text: &str) -> ChatDelta {
    ChatDelta { reasoning: text.into(), ..ChatDelta::default() }
}

fn whole(text: &str) -> ChatOutput {
    ChatOutput { text: text.into(), finish_reason: Some(FinishReason::Stop), ..ChatOutput::default() }
}

#[test]
fn the_order_is_start_blocks_end() {
    let mut writer = events(true);
    assert!(!writer.has_begun());
    let pieces = [
        thought("hm"),
        ChatDelta::text("Hel"),
        ChatDelta::text("lo"),
        call(0, Some("c1"), ""),
        call(0, None, "{}"),
    ];
    let mut sent: Vec<_> = pieces.iter().flat_map(|piece| writer.delta(piece).unwrap()).collect();
    assert!(writer.has_begun());
    let output = ChatOutput {
        reasoning: "hm".into(),
        tool_calls: vec![ToolCall { id: "c1".into(), name: "weather".into(), arguments: "{}".into() }],
        finish_reason: Some(FinishReason::ToolCalls),
        ..whole("Hello")
    };
    let usage = Usage {
        input_tokens: 9,
        cached_tokens: 4,
        cache_write_tokens: 2,
        output_tokens: 3,
        ..Usage::default()
    };
    sent.extend(writer.finish(&output, &usage).unwrap());
    let seen = read(&sent);
    let (start, delta, stop) = ("content_block_start", "content_block_delta", "content_block_stop");
    assert_eq!(
        kinds(&seen),
        [
            "message_start",
            start,
            delta,
            stop,
            start,
            delta,
            delta,
            stop,
            start,
            delta,
            stop,
            "message_delta",
            "message_stop"
        ]
    );
    assert_eq!(seen[0]["message"]["stop_reason"], Value::Null);
    assert_eq!(seen[1]["content_block"], json!({"type": "thinking", "thinking": "", "signature": ""}));
    assert_eq!(
        seen[8]["content_block"],
        json!({"type": "tool_use", "id": "c1", "name": "weather", "input": {}})
    );
    assert_eq!(
        seen[11]["delta"],
        json!({"stop_reason": "tool_use", "stop_sequence": null, "stop_details": null})
    );
    let used = json!({"input_tokens": 3, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 4,
        "output_tokens": 3, "output_tokens_details": {"thinking_tokens": 0}});
    assert_eq!(seen[11]["usage"], used);
}

#[test]
fn a_sign_of_life_comes_after_the_start() {
    let mut writer = events(false);
    let first = writer.alive();
    assert!(first.starts_with(b"event: message_start\n") && first.ends_with(PING), "{first:?}");
    assert_eq!(writer.alive(), PING);
    assert!(!writer.has_begun(), "the start shows nothing of the answer");
    let sent = writer.finish(&whole(""), &Usage::default()).unwrap();
    assert_eq!(kinds(&read(&sent)), ["message_delta", "message_stop"]);
}

#[test]
fn why_an_answer_ended_is_told() {
    let stopped = |output: ChatOutput| read(&events(false).finish(&output, &Usage::default()).unwrap());
    let tell = |output: ChatOutput| {
        let sent = stopped(output);
        sent.iter().find(|event| event["type"] == "message_delta").unwrap()["delta"].clone()
    };
    let ended = |reason| ChatOutput { finish_reason: reason, ..whole("x") };
    let rows = [
        (ended(None), "end_turn"),
        (ended(Some(FinishReason::Stop)), "end_turn"),
        (ended(Some(FinishReason::Length)), "max_tokens"),
        (ended(Some(FinishReason::ContentFilter)), "refusal"),
        (ChatOutput { refusal: "no".into(), ..whole("") }, "refusal"),
        (ChatOutput { stop_sequence: Some("END".into()), ..whole("x") }, "stop_sequence"),
    ];
    for (output, reason) in rows {
        let told = tell(output.clone());
        assert_eq!(told["stop_reason"], reason);
        assert_eq!(told["stop_sequence"], json!(output.stop_sequence));
        let explanation = Some(output.refusal).filter(|why| !why.is_empty());
        let details = json!({"type": "refusal", "category": null, "explanation": explanation});
        assert_eq!(told["stop_details"], if reason == "refusal" { details } else { Value::Null });
    }
}

#[test]
fn what_was_not_asked_for_is_not_shown() {
    let mut writer = events(false);
    assert!(writer.delta(&thought("hm")).unwrap().is_empty());
    let output = ChatOutput { reasoning: "hm".into(), ..whole("Hi") };
    let sent = message(&read(&writer.finish(&output, &Usage::default()).unwrap()));
    assert_eq!(sent["content"], json!([{"type": "text", "text": "Hi", "citations": null}]));
}

#[test]
fn arguments_that_are_no_object_are_an_error_unless_they_were_cut_off() {
    let output = |arguments: &str, reason| ChatOutput {
        tool_calls: vec![ToolCall { id: "c".into(), name: "f".into(), arguments: arguments.into() }],
        finish_reason: Some(reason),
        ..ChatOutput::default()
    };
    for arguments in ["{\"a\":", "[1]", "7", "nonsense"] {
        let bad = output(arguments, FinishReason::ToolCalls);
        let error = events(false).finish(&bad, &Usage::default()).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidOutput, "{arguments}");
        let error = Message::of("i", "m", &bad, &Usage::default(), false).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidOutput, "{arguments}");
        let cut = output(arguments, FinishReason::Length);
        events(false).finish(&cut, &Usage::default()).unwrap();
        let message = Message::of("i", "m", &cut, &Usage::default(), false).unwrap();
        assert!(message.content.is_empty(), "{arguments}: half a call is none");
    }
    let bare = output("", FinishReason::ToolCalls);
    let message = json!(Message::of("i", "m", &bare, &Usage::default(), false).unwrap());
    assert_eq!(message["content"][0]["input"], json!({}));
}

#[test]
fn calls_that_are_mixed_or_nameless_end_the_stream() {
    let mut writer = events(false);
    writer.delta(&call(0, Some("a"), "{")).unwrap();
    writer.delta(&call(1, Some("b"), "{")).unwrap();
    let error = writer.delta(&call(0, None, "}")).unwrap_err();
    assert_eq!(error.code, ErrorCode::ProviderError);
    assert_eq!(events(false).delta(&call(0, None, "{}")).unwrap_err().code, ErrorCode::ProviderError);
}

#[test]
fn a_failure_is_an_event_of_its_own() {
    let sent = events(false).failure(Error::new(ErrorCode::ProviderUnavailable, "x"));
    let expected = json!({"type": "error", "request_id": "r-1", "error": {"type": "overloaded_error",
        "message": "x", "details": {"error_code": "provider_unavailable"}}});
    assert_eq!(read(&[sent]), [expected]);
}

/// Pieces as providers send them: thinking, words, and calls one after another.
fn pieces() -> impl Strategy<Value = Vec<ChatDelta>> {
    let words = "[a-z\u{e9} \"]{1,6}";
    let thoughts = prop::collection::vec(words.prop_map(|text| thought(&text)), 0..3);
    let texts = prop::collection::vec(words.prop_map(ChatDelta::text), 0..4);
    let calls = prop::collection::vec(prop::collection::vec(words, 0..3), 0..3).prop_map(|calls| {
        let mut deltas = Vec::new();
        for (index, keys) in (0..).zip(calls) {
            deltas.push(call(index, Some(&format!("c{index}")), "{"));
            for (place, key) in keys.iter().enumerate() {
                let comma = if place == 0 { "" } else { "," };
                deltas.push(call(index, None, &format!("{comma}{}:{place}", json!(format!("{place}{key}")))));
            }
            deltas.push(call(index, None, "}"));
        }
        deltas
    });
    (thoughts, texts, calls).prop_map(|(thoughts, texts, calls)| [thoughts, texts, calls].concat())
}

proptest! {
    #[test]
    fn a_stream_and_a_whole_answer_are_the_same(pieces in pieces(), shown in 0_usize..16, thinks in any::<bool>()) {
        let mut output = ChatOutput::default();
        pieces.iter().for_each(|piece| output.absorb(piece));
        output.finish_reason = Some(FinishReason::Stop);
        let usage = Usage { input_tokens: 7, output_tokens: 2, ..Usage::default() };
        // What was not streamed comes at the end.
        let mut writer = events(thinks);
        let mut sent: Vec<Bytes> = Vec::new();
        for piece in pieces.iter().take(shown) {
            sent.extend(writer.delta(piece).unwrap());
        }
        sent.extend(writer.finish(&output, &usage).unwrap());
        let plain = json!(Message::of("msg_r-1", "m", &output, &usage, thinks).unwrap());
        prop_assert_eq!(message(&read(&sent)), plain);
    }
}
