//! Checks a simulated provider's configuration; a request's `simulate` shares the bounds.

use schemas::Action;

use crate::{ConfigError, ModelConfig, ProviderConfig, registry::refuse};

/// The longest delay before the first token: longer than any deadline in use.
pub(super) const FIRST_TOKEN_MS_MAX: u64 = 3_600_000;

/// The slowest and the fastest pace. A faster one is no different from none.
pub(super) const TOKENS_PER_SECOND: std::ops::RangeInclusive<f64> = 0.001..=1_000_000.0;

/// The longest answer, all choices together. A request may set the length, but must not be able to claim all memory.
pub(super) const OUTPUT_TOKENS_MAX: u32 = 100_000;

/// The longest vector; the longest in use elsewhere have 4096 numbers.
pub(super) const DIMENSIONS_MAX: u32 = 4096;

/// Checks what belongs to this kind and refuses the rest.
pub(super) fn check(name: &str, config: &ProviderConfig) -> Result<(), ConfigError> {
    let root = format!("providers.{name}");
    let settings = [
        ("base_url", config.base_url.is_some()),
        ("chat_fields", !config.chat_fields.is_empty()),
        ("cache_control", config.cache_control),
        ("api_key", config.api_key.is_some()),
        ("api_key_env", config.api_key_env.is_some()),
        ("api_key_file", config.api_key_file.is_some()),
        ("api_key_envs", !config.api_key_envs.is_empty()),
        ("api_key_files", !config.api_key_files.is_empty()),
        ("headers", !config.headers.is_empty()),
    ];
    refuse(&root, "a simulated provider", &settings)?;
    config.models.iter().try_for_each(|(id, model)| check_model(&format!("{root}.models.{id}"), model))
}

fn check_model(root: &str, model: &ModelConfig) -> Result<(), ConfigError> {
    refuse(root, "a simulated provider", &[("upstream", model.upstream.is_some())])?;
    let action = model.action_or_chat();
    if action == Action::ChatCompletion {
        refuse(root, "a chat model", &[("dimensions", model.dimensions.is_some())])?;
    } else {
        let settings = [
            ("tokens_per_second", model.tokens_per_second.is_some()),
            ("output_tokens", model.output_tokens.is_some()),
            ("spin_after_tokens", model.spin_after_tokens.is_some()),
        ];
        let what = if action == Action::EmbeddingQuery { "an embedding model" } else { "a model of files" };
        refuse(root, what, &settings)?;
        let has_dimensions = action != Action::EmbeddingQuery && model.dimensions.is_some();
        refuse(root, what, &[("dimensions", has_dimensions)])?;
    }
    let at = |key: &'static str| move |why: String| ConfigError::new(format!("{root}.{key}"), why);
    model.first_token_ms.map_or(Ok(()), check_first_token_ms).map_err(at("first_token_ms"))?;
    model.tokens_per_second.map_or(Ok(()), check_tokens_per_second).map_err(at("tokens_per_second"))?;
    model.output_tokens.map_or(Ok(()), check_output_tokens).map_err(at("output_tokens"))?;
    model.dimensions.map_or(Ok(()), check_dimensions).map_err(at("dimensions"))?;
    match model.failure_rate {
        Some(rate) if !(0.0..=1.0).contains(&rate) => {
            Err(at("failure_rate")(format!("{rate} is not between 0 and 1; it is a share of the calls")))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_first_token_ms(milliseconds: u64) -> Result<(), String> {
    within(milliseconds <= FIRST_TOKEN_MS_MAX, milliseconds, &format!("0 and {FIRST_TOKEN_MS_MAX}"))
}

pub(super) fn check_tokens_per_second(pace: f64) -> Result<(), String> {
    let (slowest, fastest) = (TOKENS_PER_SECOND.start(), TOKENS_PER_SECOND.end());
    let bounds = format!("{slowest} and {fastest}; leave it out for no delay");
    within(TOKENS_PER_SECOND.contains(&pace), pace, &bounds)
}

pub(super) fn check_output_tokens(tokens: u32) -> Result<(), String> {
    within((1..=OUTPUT_TOKENS_MAX).contains(&tokens), tokens, &format!("1 and {OUTPUT_TOKENS_MAX}"))
}

pub(super) fn check_dimensions(dimensions: u32) -> Result<(), String> {
    within((1..=DIMENSIONS_MAX).contains(&dimensions), dimensions, &format!("1 and {DIMENSIONS_MAX}"))
}

fn within(is: bool, value: impl std::fmt::Display, bounds: &str) -> Result<(), String> {
    if is { Ok(()) } else { Err(format!("{value} is not between {bounds}")) }
}
