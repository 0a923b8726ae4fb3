//! Reads a call's usage as the API reports it: at the start of a stream and, as totals so far, at its end.

use schemas::Usage;
use serde::Deserialize;

use crate::counts;

/// One report. A later report replaces only the counts that it names.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct UsageReply {
    /// Without cached tokens.
    #[serde(default, deserialize_with = "counts::count")]
    input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "counts::count")]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "counts::count")]
    cache_read_input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "counts::count")]
    output_tokens: Option<u64>,
    #[serde(default, deserialize_with = "counts::part")]
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct OutputDetails {
    #[serde(default, deserialize_with = "counts::count")]
    thinking_tokens: Option<u64>,
}

impl UsageReply {
    /// Whether it has both input and output.
    pub(super) const fn is_told(&self) -> bool {
        self.input_tokens.is_some() && self.output_tokens.is_some()
    }

    /// Updates this report with a later one.
    pub(super) const fn update(&mut self, later: Self) {
        const fn over<T: Copy>(later: Option<T>, earlier: Option<T>) -> Option<T> {
            if later.is_some() { later } else { earlier }
        }
        self.input_tokens = over(later.input_tokens, self.input_tokens);
        self.cache_creation_input_tokens =
            over(later.cache_creation_input_tokens, self.cache_creation_input_tokens);
        self.cache_read_input_tokens = over(later.cache_read_input_tokens, self.cache_read_input_tokens);
        self.output_tokens = over(later.output_tokens, self.output_tokens);
        self.output_tokens_details = over(later.output_tokens_details, self.output_tokens_details);
    }
}

impl From<UsageReply> for Usage {
    fn from(reply: UsageReply) -> Self {
        let cached = reply.cache_read_input_tokens.unwrap_or(0);
        let cache_write = reply.cache_creation_input_tokens.unwrap_or(0);
        let thinking = reply.output_tokens_details.and_then(|details| details.thinking_tokens);
        Self {
            input_tokens: reply.input_tokens.unwrap_or(0).saturating_add(cached).saturating_add(cache_write),
            output_tokens: reply.output_tokens.unwrap_or(0),
            cached_tokens: cached,
            cache_write_tokens: cache_write,
            reasoning_tokens: thinking.unwrap_or(0),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_input_includes_what_the_cache_held_and_took() {
        let report = |report| serde_json::from_value::<UsageReply>(report).unwrap();
        let mut usage = report(json!({"input_tokens": 5, "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 20, "output_tokens": 1, "service_tier": "standard"}));
        usage.update(report(json!({"output_tokens": 30, "cache_read_input_tokens": null,
            "output_tokens_details": {"thinking_tokens": 12}})));
        let expected = Usage {
            input_tokens: 125,
            output_tokens: 30,
            cached_tokens: 100,
            cache_write_tokens: 20,
            reasoning_tokens: 12,
            ..Usage::default()
        };
        assert_eq!(Usage::from(usage), expected);
    }
}
