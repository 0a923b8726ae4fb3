//! Estimates a call's usage by rule of thumb: before the call, and if the provider reports none.

use schemas::ChatOutput;
use serde_json::Value;

/// Bytes per token, for text in most languages and models; rough, but better than counting nothing.
const BYTES_PER_TOKEN: u64 = 4;

/// The tokens in the texts of a conversation. Images and the like are left out: no rule of thumb holds for them.
pub fn messages(payload: &Value) -> u64 {
    let messages = payload.get("messages").and_then(Value::as_array);
    let bytes = |message: &Value| match message.get("content") {
        Some(Value::String(text)) => text.len(),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| part.get("text")?.as_str()).map(str::len).sum()
        }
        _ => 0,
    };
    messages.map_or(0, |messages| text(messages.iter().map(bytes).sum()))
}

/// The tokens in an answer.
pub fn output(output: &ChatOutput) -> u64 {
    let of_choice = |choice: &ChatOutput| {
        let calls: usize = choice.tool_calls.iter().map(|call| call.name.len() + call.arguments.len()).sum();
        choice.text.len() + choice.reasoning.len() + choice.refusal.len() + calls
    };
    text(output.choices().map(of_choice).sum())
}

/// The input tokens of a call to any action: those of its `messages`, else those of its `input` or `prompt`.
pub fn input(payload: &Value) -> u64 {
    if payload.get("messages").is_some() {
        return messages(payload);
    }
    payload.get("input").or_else(|| payload.get("prompt")).map_or(0, |input| text(letters(input)))
}

/// The most tokens of the answer, if the call sets a limit.
pub fn output_max(payload: &Value) -> Option<u64> {
    ["max_completion_tokens", "max_tokens"].iter().find_map(|name| payload.get(name)?.as_u64())
}

fn letters(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(letters).sum(),
        // A token given as a number.
        Value::Number(_) => BYTES_PER_TOKEN as usize,
        _ => 0,
    }
}

/// The tokens in that many bytes of text.
pub fn text(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_PER_TOKEN)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_and_parts_are_estimated_and_images_are_not() {
        let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
        let parts = json!([{"type": "text", "text": "12345678"}, image]);
        let payload = json!({"messages": [{"content": "1234"}, {"content": parts}, {"content": null}]});
        assert_eq!(messages(&payload), 3);
    }

    #[test]
    fn what_a_call_brings_and_may_get_is_found_in_every_form() {
        let chat = json!({"messages": [{"content": "12345678"}], "max_tokens": 7});
        assert_eq!((input(&chat), output_max(&chat)), (2, Some(7)));
        let lists = json!({"input": [[1, 2], [3]]});
        assert_eq!((input(&lists), output_max(&lists)), (3, None));
        assert_eq!(input(&json!({"input": ["1234", "5"]})), 2);
        assert_eq!(input(&json!({})), 0);
    }
}
