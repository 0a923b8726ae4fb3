//! What a call used: as the provider reports it or, where it reports nothing, estimated and marked so.

use schemas::{ChatOutput, Usage};
use serde_json::Value;

use super::wire::UsageReply;

/// Bytes a token, for text in most languages and models; rough, but better than nothing counted.
const BYTES_PER_TOKEN: u64 = 4;

impl From<&UsageReply> for Usage {
    fn from(reply: &UsageReply) -> Self {
        let input = reply.prompt_tokens.or(reply.total_tokens).unwrap_or(0);
        let cached = reply.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens);
        let reasoning = reply.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens);
        Self {
            input_tokens: input,
            output_tokens: reply.completion_tokens.unwrap_or(0),
            cached_tokens: cached.unwrap_or(0),
            reasoning_tokens: reasoning.unwrap_or(0),
            estimated: false,
        }
    }
}

/// The tokens in the texts of a conversation. Images and the like are left out: no rule of thumb holds for them.
pub(super) fn estimate_messages(payload: &Value) -> u64 {
    let messages = payload.get("messages").and_then(Value::as_array);
    let bytes = |message: &Value| match message.get("content") {
        Some(Value::String(text)) => text.len(),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| part.get("text")?.as_str()).map(str::len).sum()
        }
        _ => 0,
    };
    messages.map_or(0, |messages| estimate(messages.iter().map(bytes).sum()))
}

/// The tokens in an answer.
pub(super) fn estimate_output(output: &ChatOutput) -> u64 {
    let of_choice = |choice: &ChatOutput| {
        let calls: usize = choice.tool_calls.iter().map(|call| call.name.len() + call.arguments.len()).sum();
        choice.text.len() + choice.reasoning.len() + choice.refusal.len() + calls
    };
    estimate(output.choices().map(of_choice).sum())
}

/// The tokens in that many bytes of text.
pub(super) fn estimate(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_PER_TOKEN)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn details_are_parts_of_their_sums() {
        let reply = json!({
            "prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17,
            "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": null},
            "completion_tokens_details": {"reasoning_tokens": 3},
        });
        let usage = Usage::from(&serde_json::from_value::<UsageReply>(reply).unwrap());
        let expected = Usage {
            input_tokens: 10,
            output_tokens: 7,
            cached_tokens: 4,
            reasoning_tokens: 3,
            estimated: false,
        };
        assert_eq!(usage, expected);
    }

    #[test]
    fn texts_and_parts_are_estimated_and_images_are_not() {
        let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
        let parts = json!([{"type": "text", "text": "12345678"}, image]);
        let payload = json!({"messages": [{"content": "1234"}, {"content": parts}, {"content": null}]});
        assert_eq!(estimate_messages(&payload), 3);
    }
}
