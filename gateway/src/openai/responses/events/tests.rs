use proptest::prelude::*;
use schemas::chat::FinishReason;

use super::*;
use crate::openai::responses::create::Create;

fn events() -> Events {
    let create = Create::parse(json!({ "model": "m", "input": "hi", "stream": true })).unwrap();
    Events::new(RequestId::new("r").unwrap(), 7, create.into_asked(Vec::new()).unwrap().echo)
}

fn read(bytes: &[Bytes]) -> Vec<Value> {
    let read = |event: &Bytes| {
        let text = std::str::from_utf8(event).unwrap();
        let (name, data) = text.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let event: Value = serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap();
        assert_eq!(event["type"], name);
        event
    };
    bytes.iter().map(read).collect()
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap().trim_start_matches("response.")).collect()
}

/// All events of an answer that comes in these pieces.
fn played(mut events: Events, deltas: &[ChatDelta]) -> (Vec<Value>, ChatOutput) {
    let (mut told, mut whole) = (Vec::new(), ChatOutput::default());
    for delta in deltas {
        told.extend(events.delta(delta).unwrap());
        whole.absorb(delta);
    }
    let usage = Usage { input_tokens: 3, cached_tokens: 1, ..Usage::default() };
    told.extend(events.finish(&whole, &usage).unwrap());
    (read(&told), whole)
}

fn called(index: u32, id: Option<&str>, arguments: &str) -> ChatDelta {
    let (id, name) = (id.map(Into::into), id.map(|_| "f".into()));
    let piece = ToolCallDelta { index, id, name, arguments: arguments.into() };
    ChatDelta { tool_calls: vec![piece], ..ChatDelta::default() }
}

#[test]
fn a_text_has_the_events_of_the_original_in_its_order() {
    let (events, _) = played(events(), &[ChatDelta::text("Hel"), ChatDelta::text("lo")]);
    let expected = [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(names(&events), expected);
    assert_eq!(events[0]["response"]["status"], "in_progress");
    assert_eq!(events[2]["item"]["content"], json!([]));
    let delta = json!({
        "type": "response.output_text.delta", "sequence_number": 4, "item_id": "msg_r_0", "output_index": 0,
        "content_index": 0, "delta": "Hel", "logprobs": [],
    });
    assert_eq!(events[4], delta);
    assert_eq!((&events[6]["text"], &events[6]["logprobs"]), (&json!("Hello"), &json!([])));
    let response = &events[9]["response"];
    assert_eq!((&response["id"], &response["status"]), (&json!("resp_r"), &json!("completed")));
    assert_eq!(response["output"][0], events[8]["item"]);
    assert_eq!(response["usage"]["input_tokens_details"]["cached_tokens"], 1);
    assert_eq!(response["usage"]["total_tokens"], 3);
}

#[test]
fn reasoning_ends_where_the_answer_begins_and_calls_end_last() {
    let thought = ChatDelta { reasoning: "hm".into(), ..ChatDelta::default() };
    let (events, _) = played(
        events(),
        &[
            thought,
            ChatDelta::text("I look"),
            called(0, Some("c0"), ""),
            called(0, None, "{}"),
            called(1, Some("c1"), "{}"),
        ],
    );
    let expected = [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(names(&events), expected);
    let added = &events[14]["item"];
    assert_eq!(
        (&added["call_id"], &added["name"], &added["arguments"]),
        (&json!("c0"), &json!("f"), &json!(""))
    );
}

#[test]
fn a_refusal_and_an_answer_that_was_cut_off_say_so() {
    let refusal = ChatDelta { refusal: "no".into(), ..ChatDelta::default() };
    let (events_of_refusal, _) = played(events(), &[refusal]);
    assert!(names(&events_of_refusal).contains(&"refusal.delta"));
    let content = &events_of_refusal.last().unwrap()["response"]["output"][0]["content"];
    assert_eq!(content, &json!([{"type": "refusal", "refusal": "no"}]));
    let cut = ChatDelta { finish_reason: Some(FinishReason::Length), ..ChatDelta::text("Hel") };
    let (events, _) = played(events(), &[cut]);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(last["response"]["output"][0]["status"], "incomplete");
}

#[test]
fn an_answer_that_comes_whole_at_the_end_and_an_empty_one_have_all_their_events() {
    let mut late = events();
    let whole = ChatOutput { text: "Hello".into(), ..ChatOutput::default() };
    let late = read(&late.finish(&whole, &Usage::default()).unwrap());
    assert_eq!(late.last().unwrap()["response"]["output"][0]["content"][0]["text"], "Hello");
    let (events, _) = played(events(), &[]);
    assert_eq!(
        names(&events)[2..6],
        ["output_item.added", "content_part.added", "output_text.done", "content_part.done"]
    );
}

#[test]
fn an_answer_that_differs_from_what_was_shown_is_an_error() {
    let mut events = events();
    events.delta(&ChatDelta::text("Hel")).unwrap();
    let other = ChatOutput { text: "Goodbye".into(), ..ChatOutput::default() };
    assert_eq!(events.finish(&other, &Usage::default()).unwrap_err().code, ErrorCode::ProviderError);
}

#[test]
fn a_failure_is_told_in_codes_that_the_sdks_know_and_a_cancel_is_none() {
    for (code, status, told) in [
        (ErrorCode::ProviderError, "failed", json!("server_error")),
        (ErrorCode::Overloaded, "failed", json!("rate_limit_exceeded")),
        (ErrorCode::Cancelled, "cancelled", Value::Null),
    ] {
        let mut events = events();
        events.delta(&ChatDelta::text("Hel")).unwrap();
        let last = read(&[events.failure(Error::new(code, "x"))]).pop().unwrap();
        assert_eq!((&last["type"], &last["response"]["status"]), (&json!("response.failed"), &json!(status)));
        assert_eq!(last["response"]["error"]["code"], told);
        assert_eq!(last["response"]["output"][0]["status"], "incomplete");
    }
}

fn any_delta() -> impl Strategy<Value = ChatDelta> {
    let text = "[a-z]{0,3}";
    prop_oneof![
        text.prop_map(ChatDelta::text),
        text.prop_map(|reasoning| ChatDelta { reasoning, ..ChatDelta::default() }),
        text.prop_map(|refusal| ChatDelta { refusal, ..ChatDelta::default() }),
        (0_u32..3, text).prop_map(|(index, arguments)| called(index, Some("c"), &arguments)),
    ]
}

/// Calls as providers bring them: numbered without a gap, each with its id and name once.
fn in_order(deltas: Vec<ChatDelta>) -> Vec<ChatDelta> {
    let mut begun = 0;
    let settle = |mut delta: ChatDelta| {
        for call in &mut delta.tool_calls {
            call.index = call.index.min(begun);
            match call.index == begun {
                true => begun += 1,
                false => (call.id, call.name) = (None, None),
            }
        }
        delta
    };
    deltas.into_iter().map(settle).collect()
}

proptest! {
    #[test]
    fn events_are_numbered_without_a_gap_and_their_pieces_are_the_whole(
        deltas in prop::collection::vec(any_delta(), 0..20).prop_map(in_order),
    ) {
        let (events, whole) = played(events(), &deltas);
        for (number, event) in events.iter().enumerate() {
            prop_assert_eq!(&event["sequence_number"], number);
        }
        let all = |name: &str| -> String {
            events.iter().filter(|event| event["type"] == name).filter_map(|event| event["delta"].as_str()).collect()
        };
        prop_assert_eq!(all("response.output_text.delta"), whole.text);
        prop_assert_eq!(all("response.reasoning_summary_text.delta"), whole.reasoning);
        prop_assert_eq!(all("response.refusal.delta"), whole.refusal);
        let added = events.iter().filter(|event| event["type"] == "response.output_item.added");
        let done: Vec<_> = events.iter().filter(|event| event["type"] == "response.output_item.done").collect();
        prop_assert_eq!(added.count(), done.len());
        let output = events.last().unwrap()["response"]["output"].as_array().unwrap();
        prop_assert_eq!(done.len(), output.len());
        for event in done {
            let index = usize::try_from(event["output_index"].as_u64().unwrap()).unwrap();
            prop_assert_eq!(&event["item"], &output[index]);
        }
    }

    #[test]
    fn whoever_comes_back_gets_what_follows_word_for_word(
        deltas in prop::collection::vec(any_delta(), 0..12).prop_map(in_order),
        after in 0_usize..60,
    ) {
        let (all, _) = played(events(), &deltas);
        let (rest, _) = played(events().after(Some(after as u64)), &deltas);
        prop_assert_eq!(&rest[..], all.get(after + 1..).unwrap_or_default());
    }

    #[test]
    fn a_stream_ends_in_what_is_told_later(
        reasoning in "[a-z]{0,3}", text in "[a-z]{0,3}", refusal in "[a-z]{0,3}",
        calls in prop::collection::vec("[a-z]{0,3}", 0..3),
    ) {
        let mut deltas = vec![ChatDelta { reasoning, ..ChatDelta::default() }, ChatDelta::text(text)];
        deltas.push(ChatDelta { refusal, ..ChatDelta::default() });
        deltas.extend((0..).zip(&calls).map(|(index, arguments)| called(index, Some("c"), arguments)));
        let (events, whole) = played(events(), &deltas);
        let later: Vec<_> = Item::all_of("r", &whole).iter().map(|item| item.json(COMPLETED)).collect();
        prop_assert_eq!(&events.last().unwrap()["response"]["output"], &Value::Array(later));
    }
}
