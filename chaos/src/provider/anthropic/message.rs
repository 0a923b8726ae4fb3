//! The answer, and the message that carries it in one body.

use serde_json::{Value, json};

use crate::provider::exchange::Ask;
use crate::provider::text;
use crate::provider::tool::ToolCall;

/// The thoughts before an answer if thinking is asked for, in pieces of one token each.
pub(super) const THINKING: &[&str] = &["The question", " is plain", " and so is", " its answer."];

/// The signature that vouches for them.
pub(super) const SIGNATURE: &str = "c2ltdWxhdGVk";

/// What the message is made of.
pub(super) struct Reply {
    pub(super) thinking: Option<&'static [&'static str]>,
    pub(super) said: Said,
    pub(super) stop_reason: &'static str,
}

/// The answer itself.
pub(super) enum Said {
    Words {
        /// The beginning of the first token: the request's marker, by which its bytes are recognised anywhere.
        opening: String,
        tokens: u32,
    },
    Call(ToolCall),
}

impl Reply {
    /// How many tokens it has: one for each piece of its blocks.
    pub(super) fn tokens(&self) -> u32 {
        let said = match &self.said {
            Said::Words { tokens, .. } => *tokens,
            Said::Call(call) => count(&call.pieces),
        };
        said.saturating_add(self.thinking_tokens())
    }

    pub(super) fn thinking_tokens(&self) -> u32 {
        self.thinking.map_or(0, count)
    }
}

fn count<T>(pieces: &[T]) -> u32 {
    u32::try_from(pieces.len()).unwrap_or(u32::MAX)
}

/// The message without content and end: a stream begins with it, and a whole message adds the rest.
pub(super) fn shell(ask: &Ask) -> Value {
    json!({
        "id": format!("msg_{}", ask.id), "type": "message", "role": "assistant", "model": ask.model,
        "content": [], "stop_reason": null, "stop_sequence": null, "stop_details": null,
    })
}

/// The usage, with `output` tokens so far.
pub(super) fn usage(prompt: u32, output: u32) -> Value {
    json!({
        "input_tokens": prompt, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output, "service_tier": "standard",
    })
}

/// The part of the usage that the end of a stream tells.
pub(super) fn used(reply: &Reply, prompt: u32) -> Value {
    json!({
        "input_tokens": prompt, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
        "output_tokens": reply.tokens(), "output_tokens_details": {"thinking_tokens": reply.thinking_tokens()},
    })
}

/// The body of the message; without `prompt_tokens` it tells no usage.
pub(super) fn body(ask: &Ask, reply: &Reply, prompt_tokens: Option<u32>) -> Value {
    let thinking = reply
        .thinking
        .map(|pieces| json!({"type": "thinking", "thinking": pieces.concat(), "signature": SIGNATURE}));
    let said = match &reply.said {
        Said::Words { tokens: 0, .. } => None,
        Said::Words { opening, tokens } => Some(
            json!({"type": "text", "text": format!("{opening}{}", text::first(*tokens)), "citations": null}),
        ),
        Said::Call(call) => {
            let input: Value = serde_json::from_str(&call.pieces.concat()).unwrap_or_default();
            Some(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input}))
        }
    };
    let mut message = shell(ask);
    message["content"] = thinking.into_iter().chain(said).collect();
    message["stop_reason"] = reply.stop_reason.into();
    if let Some(prompt) = prompt_tokens {
        message["usage"] = usage(prompt, reply.tokens());
        message["usage"]["output_tokens_details"] = json!({"thinking_tokens": reply.thinking_tokens()});
    }
    message
}
