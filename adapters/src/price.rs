//! A model's prices, and what a call has cost by them. Pure.

use schemas::Usage;
use serde::Deserialize;

/// A model's prices in US dollars, as its provider published them on a given day.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Per million input tokens.
    #[serde(default)]
    pub input: f64,
    /// Per million input tokens read from a cache; `input` if not set.
    #[serde(default)]
    pub cached_input: Option<f64>,
    /// Per million input tokens written to a cache; `input` if not set.
    #[serde(default)]
    pub cache_write: Option<f64>,
    /// Per million output tokens.
    #[serde(default)]
    pub output: f64,
    /// Per million reasoning tokens; `output` if not set.
    #[serde(default)]
    pub reasoning: Option<f64>,
    /// Per image.
    #[serde(default)]
    pub image: f64,
    /// Per second of audio, video or rented machine.
    #[serde(default)]
    pub second: f64,
    /// Per million characters spoken.
    #[serde(default)]
    pub characters: f64,
    /// Per call, whatever it uses.
    #[serde(default)]
    pub request: f64,
    /// The day of the price, such as `2026-11-20`.
    #[serde(default)]
    pub date: Option<String>,
    /// Where the provider published it.
    #[serde(default)]
    pub source: Option<String>,
}

/// Prices are per million.
const MILLION: f64 = 1e6;

impl Price {
    /// What `usage` costs, in US dollars.
    pub fn of(&self, usage: &Usage) -> f64 {
        let tokens = |count: u64, price: f64| count as f64 * price / MILLION;
        // Parts of the whole with their own prices; a provider that counts them apart cannot make the rest negative.
        let plain_input =
            usage.input_tokens.saturating_sub(usage.cached_tokens).saturating_sub(usage.cache_write_tokens);
        let plain_output = usage.output_tokens.saturating_sub(usage.reasoning_tokens);
        tokens(plain_input, self.input)
            + tokens(usage.cached_tokens, self.cached_input.unwrap_or(self.input))
            + tokens(usage.cache_write_tokens, self.cache_write.unwrap_or(self.input))
            + tokens(plain_output, self.output)
            + tokens(usage.reasoning_tokens, self.reasoning.unwrap_or(self.output))
            + usage.images as f64 * self.image
            + usage.media_ms as f64 / 1e3 * self.second
            + tokens(usage.characters, self.characters)
            + self.request
    }

    /// The same prices, with each token at the dearest price that it may have.
    pub(crate) fn dearest(&self) -> Self {
        let of_input = [self.cached_input, self.cache_write].into_iter().flatten().fold(self.input, f64::max);
        let of_output = self.reasoning.map_or(self.output, |reasoning| reasoning.max(self.output));
        Self { input: of_input, output: of_output, ..self.clone() }
    }

    /// What a typical call costs: for comparing models, not for bills.
    pub fn typical(&self) -> f64 {
        self.of(&Usage {
            input_tokens: 1_000,
            output_tokens: 1_000,
            images: 1,
            characters: 1_000,
            media_ms: 1_000,
            ..Usage::default()
        })
    }

    /// Whether output tokens have a price.
    pub(crate) fn counts_output(&self) -> bool {
        self.output > 0.0 || self.thinks_dearly()
    }

    /// Whether a reasoning token costs more than another output token.
    pub(crate) fn thinks_dearly(&self) -> bool {
        self.reasoning.is_some_and(|reasoning| reasoning > self.output)
    }

    /// The key of the first price that is invalid: negative, or no finite number.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let optional = |price: Option<f64>| price.unwrap_or(0.0);
        let prices = [
            ("input", self.input),
            ("cached_input", optional(self.cached_input)),
            ("cache_write", optional(self.cache_write)),
            ("output", self.output),
            ("reasoning", optional(self.reasoning)),
            ("image", self.image),
            ("second", self.second),
            ("characters", self.characters),
            ("request", self.request),
        ];
        prices.into_iter().find(|(_, price)| !price.is_finite() || *price < 0.0).map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn price(toml: &str) -> Price {
        serde_json::from_str(toml).unwrap()
    }

    #[test]
    fn parts_have_their_own_price_and_the_rest_the_plain_one() {
        let price = price(r#"{"input": 3, "cached_input": 0.3, "cache_write": 3.75, "output": 15}"#);
        let usage = Usage {
            input_tokens: 1_000_000,
            cached_tokens: 500_000,
            cache_write_tokens: 100_000,
            output_tokens: 10_000,
            reasoning_tokens: 4_000,
            ..Usage::default()
        };
        let expected = 0.4 * 3.0 + 0.5 * 0.3 + 0.1 * 3.75 + 0.01 * 15.0;
        assert!((price.of(&usage) - expected).abs() < 1e-9, "{}", price.of(&usage));
    }

    #[test]
    fn media_are_paid_by_piece_second_and_character() {
        let price = price(r#"{"image": 0.04, "second": 0.001, "characters": 15, "request": 0.002}"#);
        let usage = Usage { images: 2, media_ms: 1_500, characters: 2_000, ..Usage::default() };
        assert!((price.of(&usage) - (0.08 + 0.0015 + 0.03 + 0.002)).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn no_usage_that_a_provider_may_report_costs_less_than_nothing(
            input in any::<u32>(), cached in any::<u32>(), output in any::<u32>(), reasoning in any::<u32>(),
        ) {
            let price = price(r#"{"input": 3, "cached_input": 0.3, "output": 15, "reasoning": 20}"#);
            let usage = Usage {
                input_tokens: input.into(), cached_tokens: cached.into(), output_tokens: output.into(),
                reasoning_tokens: reasoning.into(), ..Usage::default()
            };
            prop_assert!(price.of(&usage) >= 0.0);
        }
    }
}
