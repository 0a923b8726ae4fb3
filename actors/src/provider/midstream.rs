//! Decides what becomes of an answer that broke off after some of it was shown. Pure.

use schemas::ChatOutput;
use serde_json::{Value, json};

/// The text that another model can continue: the only answer asked for, plain text and nothing else, not ended. It must
/// not end in a space: some providers refuse such a beginning, and others cut the space off.
pub(super) fn beginning<'a>(shown: &'a ChatOutput, payload: &Value) -> Option<&'a str> {
    let ChatOutput {
        text,
        refusal,
        tool_calls,
        finish_reason,
        alternatives,
        reasoning: _,
        logprobs: _,
        stop_sequence: _,
    } = shown;
    let is_plain = refusal.is_empty() && tool_calls.is_empty() && alternatives.is_empty();
    let is_single = payload.get("n").and_then(Value::as_u64).is_none_or(|answers| answers == 1);
    let ends_in_a_word = text.chars().next_back().is_some_and(|last| !last.is_whitespace());
    (finish_reason.is_none() && is_plain && is_single && ends_in_a_word).then_some(text.as_str())
}

/// The payload of a call that continues `begun`: the conversation ends with the beginning of its own answer.
pub(super) fn continued(mut payload: Value, begun: &str) -> Value {
    if let Some(Value::Array(messages)) = payload.get_mut("messages") {
        messages.push(json!({"role": "assistant", "content": begun}));
    }
    payload
}

#[cfg(test)]
mod tests {
    use schemas::{
        ChatDelta,
        chat::{FinishReason, ToolCallDelta},
    };

    use super::*;

    fn shown(delta: ChatDelta) -> ChatOutput {
        let mut output = ChatOutput::default();
        output.absorb(&delta);
        output
    }

    #[test]
    fn only_plain_text_that_has_not_ended_is_a_beginning() {
        let text = || ChatDelta::text("Once upon");
        assert_eq!(beginning(&shown(text()), &json!({"n": 1})), Some("Once upon"));
        let thought = ChatDelta { reasoning: "hm".into(), ..text() };
        assert_eq!(beginning(&shown(thought), &json!({})), Some("Once upon"));
        let call = ToolCallDelta { id: Some("c".into()), ..ToolCallDelta::default() };
        for other in [
            ChatDelta::default(),
            ChatDelta { tool_calls: vec![call], ..text() },
            ChatDelta { refusal: "no".into(), ..text() },
            ChatDelta { choice: 1, ..text() },
            ChatDelta { finish_reason: Some(FinishReason::Stop), ..text() },
            ChatDelta::text("Once upon "),
        ] {
            assert_eq!(beginning(&shown(other.clone()), &json!({})), None, "{other:?}");
        }
        assert_eq!(beginning(&shown(text()), &json!({"n": 2})), None);
    }

    #[test]
    fn the_conversation_ends_with_what_was_shown() {
        let payload = json!({"model": "m", "messages": [{"role": "user", "content": "Tell me a tale."}]});
        let payload = continued(payload, "Once upon");
        assert_eq!(payload["messages"][1], json!({"role": "assistant", "content": "Once upon"}));
        assert_eq!(payload["model"], "m");
    }
}
