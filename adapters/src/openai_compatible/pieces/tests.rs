use schemas::chat::ToolCall as WholeCall;
use serde_json::json;

use super::*;

fn absorb(answer: &mut Answer, delta: Value) -> Vec<ChatDelta> {
    let reply = json!({"choices": [{"index": 0, "delta": delta}]});
    super::absorb(answer, serde_json::from_value(reply).unwrap()).unwrap()
}

fn calls_of(deltas: &[Value]) -> (Vec<ToolCallDelta>, Vec<WholeCall>) {
    let mut answer = Answer::default();
    let pieces = deltas.iter().flat_map(|delta| absorb(&mut answer, json!({"tool_calls": delta})));
    let pieces = pieces.flat_map(|delta| delta.tool_calls).collect();
    (pieces, answer.output().tool_calls.clone())
}

fn whole(id: &str, name: &str, arguments: &str) -> WholeCall {
    WholeCall { id: id.into(), name: name.into(), arguments: arguments.into() }
}

#[test]
fn the_id_and_the_name_come_once_even_if_the_server_repeats_them() {
    let (pieces, calls) = calls_of(&[
        json!([{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]),
        json!([{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{\"x\""}}]),
        json!([{"index": 0, "id": "", "function": {"name": null, "arguments": ":1}"}}]),
        json!([{"index": 0, "function": {"arguments": ""}}]),
    ]);
    assert_eq!(calls, [whole("a", "f", "{\"x\":1}")]);
    assert_eq!(pieces.len(), 3, "the empty piece is left out: {pieces:?}");
    assert_eq!(pieces.iter().filter(|piece| piece.id.is_some()).count(), 1);
    assert_eq!(pieces.iter().filter(|piece| piece.name.is_some()).count(), 1);
}

#[test]
fn pieces_without_an_index_find_their_call() {
    let (_, calls) = calls_of(&[
        json!([{"id": "a", "function": {"name": "f", "arguments": "{"}}]),
        json!([{"function": {"arguments": "}"}}]),
        json!([{"id": "b", "function": {"name": "g", "arguments": {"y": 2}}}]),
        json!([{"id": "a", "function": {"arguments": " "}}]),
    ]);
    assert_eq!(calls, [whole("a", "f", "{} "), whole("b", "g", "{\"y\":2}")]);
}

#[test]
fn whole_replies_have_calls_without_an_index() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let message = json!({"role": "assistant", "content": null, "tool_calls": [call("a"), call("b")]});
    let reply = json!({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]});
    let mut answer = Answer::default();
    super::absorb(&mut answer, serde_json::from_value(reply).unwrap()).unwrap();
    assert_eq!(answer.output().tool_calls, [whole("a", "f", "{}"), whole("b", "f", "{}")]);
    assert!(answer.is_whole());
}

#[test]
fn the_older_and_the_custom_form_of_a_call_are_understood() {
    let (_, calls) =
        calls_of(&[json!([{"index": 0, "id": "a", "custom": {"name": "sql", "input": "select 1"}}])]);
    assert_eq!(calls, [whole("a", "sql", "select 1")]);
    let mut answer = Answer::default();
    absorb(&mut answer, json!({"function_call": {"name": "f", "arguments": "{}"}}));
    assert_eq!(answer.output().tool_calls, [whole("", "f", "{}")]);
}

#[test]
fn reasoning_said_under_two_names_is_shown_once() {
    let mut answer = Answer::default();
    absorb(&mut answer, json!({"reasoning_content": "hm", "reasoning": "hm"}));
    absorb(&mut answer, json!({"reasoning": "!", "content": null}));
    assert_eq!(answer.output().reasoning, "hm!");
}

#[test]
fn pieces_that_bring_nothing_are_left_out() {
    let mut answer = Answer::default();
    for delta in
        [json!({"role": "assistant", "content": ""}), json!({}), json!({"tool_calls": []}), Value::Null]
    {
        assert_eq!(absorb(&mut answer, delta), []);
    }
    let nothing: ChatReply = serde_json::from_value(json!({"choices": null})).unwrap();
    assert_eq!(super::absorb(&mut answer, nothing).unwrap(), []);
}

#[test]
fn every_choice_must_end() {
    let mut answer = Answer::default();
    let chunk = |index: u32, reason: &str| {
        let choice = json!({"index": index, "delta": {"content": "x"}, "finish_reason": reason});
        serde_json::from_value(json!({"choices": [choice]})).unwrap()
    };
    super::absorb(&mut answer, chunk(1, "stop")).unwrap();
    assert!(!answer.is_whole());
    super::absorb(&mut answer, chunk(0, "sensitive")).unwrap();
    assert!(answer.is_whole());
    assert_eq!(answer.output().finish_reason, Some(FinishReason::ContentFilter));
    assert_eq!(answer.output().alternatives[0].finish_reason, Some(FinishReason::Stop));
}

#[test]
fn numbers_out_of_all_bounds_are_refused() {
    let call = json!({"index": 4_000_000_000_u32, "id": "a"});
    for choice in [json!({"index": 4_000_000_000_u32}), json!({"index": 0, "delta": {"tool_calls": [call]}})]
    {
        let reply = serde_json::from_value(json!({"choices": [choice]})).unwrap();
        assert!(super::absorb(&mut Answer::default(), reply).is_err());
    }
}

#[test]
fn how_likely_tokens_were_is_told_as_it_comes() {
    let mut answer = Answer::default();
    let token = json!({"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []});
    let mut told = Vec::new();
    for logprobs in [json!({"content": [token], "refusal": null}), json!({"content": null}), Value::Null] {
        let choice = json!({"index": 0, "delta": {"content": "Hi"}, "logprobs": logprobs});
        let reply = serde_json::from_value(json!({"choices": [choice]})).unwrap();
        told.extend(super::absorb(&mut answer, reply).unwrap().into_iter().map(|delta| delta.logprobs));
    }
    assert_eq!(told, [vec![token.clone()], vec![], vec![]]);
    assert_eq!(answer.output().logprobs, [token]);
}
