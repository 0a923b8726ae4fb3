//! Reads a call's usage as the provider reports it.

use schemas::Usage;

use super::wire::UsageReply;

impl From<&UsageReply> for Usage {
    fn from(reply: &UsageReply) -> Self {
        let input = reply.asked().unwrap_or(0);
        let cached = reply.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens);
        let reasoning = reply.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens);
        Self {
            input_tokens: input,
            output_tokens: reply.completion_tokens.unwrap_or(0),
            cached_tokens: cached.unwrap_or(0),
            reasoning_tokens: reasoning.unwrap_or(0),
            ..Self::default()
        }
    }
}

impl UsageReply {
    /// A chat's usage, if the provider reports both input and output.
    pub(super) fn of_chat(&self) -> Option<Usage> {
        (self.asked().is_some() && self.completion_tokens.is_some()).then(|| self.into())
    }

    /// The usage of a request for vectors, if the provider reports it.
    pub(super) fn of_vectors(&self) -> Option<Usage> {
        self.asked().is_some().then(|| self.into())
    }

    fn asked(&self) -> Option<u64> {
        self.prompt_tokens.or(self.total_tokens)
    }
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
            ..Usage::default()
        };
        assert_eq!(usage, expected);
    }
}
