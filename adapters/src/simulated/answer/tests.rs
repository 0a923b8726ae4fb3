use schemas::{ChatOutput, chat::ToolCall};
use serde_json::json;

use super::*;

/// The answer to `said` with the further fields of the payload.
fn answer(said: &str, fields: Value, tokens: Option<u32>) -> (ChatOutput, Vec<Step>) {
    let mut payload = json!({"model": "m", "messages": [{"role": "user", "content": said}]});
    payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let steps: Vec<_> = Answer::new(&payload, tokens, Seed::new(1)).unwrap().collect();
    let mut output = ChatOutput::default();
    steps.iter().for_each(|step| output.absorb(&step.delta));
    assert!(steps.iter().all(|step| !step.delta.is_empty()));
    (output, steps)
}

#[test]
fn it_echoes_in_words() {
    let (output, steps) = answer("hello\n there", json!({}), None);
    assert_eq!(output.text, "You said: hello\n there");
    assert_eq!(output.finish_reason, Some(FinishReason::Stop));
    let tokens: Vec<_> = steps.iter().map(|step| step.delta.delta.as_str()).collect();
    assert_eq!(tokens, ["You", " said:", " hello", "\n there", ""]);
}

#[test]
fn lengths_are_honoured() {
    let (output, _) = answer("hello there", json!({"max_tokens": 3}), None);
    assert_eq!((output.text.as_str(), output.finish_reason), ("You said: hello", Some(FinishReason::Length)));
    let (output, _) = answer("hi", json!({"max_tokens": 9, "max_completion_tokens": 1}), None);
    assert_eq!(output.text, "You");
    let (output, steps) = answer("hi", json!({}), Some(50));
    assert_eq!((steps.len(), output.finish_reason), (51, Some(FinishReason::Stop)));
    let (output, _) = answer("hi", json!({"max_tokens": 3}), None);
    assert_eq!(output.finish_reason, Some(FinishReason::Stop), "a limit that is just met cuts nothing");
    let (output, _) = answer("hi", json!({"max_tokens": 0}), None);
    assert_eq!((output.text.as_str(), output.finish_reason), ("", Some(FinishReason::Length)));
}

#[test]
fn a_stop_ends_it_before_the_stop() {
    for stop in [json!("there"), json!(["world", "there", ""])] {
        let (output, _) = answer("hello there world", json!({ "stop": stop }), None);
        assert_eq!(
            (output.text.as_str(), output.finish_reason),
            ("You said: hello ", Some(FinishReason::Stop))
        );
    }
}

#[test]
fn choices_take_turns_and_differ_where_they_are_made_up() {
    let (output, steps) = answer("hi", json!({"n": 3}), Some(20));
    assert_eq!(output.choices().count(), 3);
    assert_ne!(output.text, output.alternatives[0].text);
    let turns: Vec<_> = steps.iter().take(6).map(|step| (step.delta.choice, step.position)).collect();
    assert_eq!(turns, [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]);
}

#[test]
fn a_tool_call_comes_in_pieces() {
    let parameters =
        json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}});
    let tools = json!([{"type": "function", "function": {"name": "weather", "parameters": parameters}}]);
    let (output, steps) = answer("call weather", json!({"tools": tools}), None);
    let [ToolCall { id, name, arguments }] = &output.tool_calls[..] else { panic!("{output:?}") };
    assert!(id.starts_with("call_") && name == "weather");
    assert_eq!(serde_json::from_str::<Value>(arguments).unwrap(), json!({"city": "city", "days": 1}));
    assert_eq!(output.finish_reason, Some(FinishReason::ToolCalls));
    let pieces = steps.iter().flat_map(|step| &step.delta.tool_calls);
    assert_eq!(pieces.clone().filter(|piece| piece.id.is_some() && piece.name.is_some()).count(), 1);
    assert!(pieces.count() > 3, "{steps:?}");
    let (output, _) = answer("call weather", json!({"tools": tools, "max_tokens": 2}), None);
    assert_eq!(output.finish_reason, Some(FinishReason::Length));
}

#[test]
fn tools_that_are_called_together_come_one_after_the_other() {
    let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
    let fields = json!({"tools": [tool("time"), tool("weather")]});
    let (output, steps) = answer("call weather and call time", fields, None);
    let names: Vec<_> = output.tool_calls.iter().map(|call| call.name.as_str()).collect();
    assert_eq!(names, ["weather", "time"]);
    assert_ne!(output.tool_calls[0].id, output.tool_calls[1].id);
    assert_eq!(output.finish_reason, Some(FinishReason::ToolCalls));
    let indices: Vec<_> =
        steps.iter().flat_map(|step| &step.delta.tool_calls).map(|piece| piece.index).collect();
    assert_eq!(indices, [0, 0, 1, 1], "a name and the arguments each");
}

#[test]
fn the_result_of_a_tool_starts_no_other_call() {
    let payload = json!({"model": "m", "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required",
        "messages": [{"role": "user", "content": "call f"}, {"role": "tool", "tool_call_id": "c", "content": "42"}]});
    let mut output = ChatOutput::default();
    Answer::new(&payload, None, Seed::new(1)).unwrap().for_each(|step| output.absorb(&step.delta));
    assert_eq!(output.text, "The tool said: 42");
}

#[test]
fn nobody_can_ask_for_more_than_fits() {
    let payload =
        json!({"model": "m", "n": 128, "messages": [{"role": "user", "content": "x ".repeat(2_000)}]});
    let tokens = Answer::new(&payload, None, Seed::new(1)).unwrap().count();
    assert!(tokens <= OUTPUT_TOKENS_MAX as usize + 128, "{tokens}");
    let payload = json!({"model": "m", "messages": []});
    assert_eq!(
        Answer::new(&payload, None, Seed::new(1)).unwrap_err().param.as_deref(),
        Some("payload.messages")
    );
}

#[test]
fn json_is_answered_where_it_is_asked_for() {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let rows = [
        (json!({"type": "json_object"}), json!({"said": "hello"})),
        (
            json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}),
            json!({"city": "city"}),
        ),
    ];
    for (format, expected) in rows {
        let (output, _) = answer("hello", json!({"response_format": format}), Some(40));
        assert_eq!(serde_json::from_str::<Value>(&output.text).unwrap(), expected);
    }
}
