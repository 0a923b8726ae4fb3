//! How a provider is configured: one table `[providers.NAME]`.

use std::{collections::BTreeMap, path::PathBuf};

use schemas::Action;
use secrecy::SecretString;
use serde::Deserialize;

/// One provider. Flat, so that a wrong key or value can be shown with its line; what does not belong to the kind is
/// refused by [`crate::Registry::build`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// Which adapter.
    pub kind: Kind,
    /// The models that it serves, by the name that clients use. `dynamic`: those of its file where there are none.
    #[serde(default)]
    pub models: BTreeMap<String, ModelConfig>,
    /// The most calls at once, per process.
    #[serde(default = "default_concurrency")]
    pub concurrency: u32,
    /// The most calls that start in a minute; none means no limit.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
    /// `dynamic`: the provider file: one that is shipped, by its name, or any other, by its path.
    #[serde(default)]
    pub file: Option<String>,
    /// `openai_compatible`: where the API begins, `/v1` included.
    #[serde(default)]
    pub base_url: Option<String>,
    /// `openai_compatible`: the environment variable that holds the key.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// `openai_compatible`: the file that holds the key.
    #[serde(default)]
    pub api_key_file: Option<PathBuf>,
    /// `openai_compatible`: the key itself, from the environment overlay; never write it into the file.
    #[serde(default)]
    pub api_key: Option<SecretString>,
    /// `openai_compatible`: further headers of every call. Their values may be keys, so they are never shown.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretString>,
    /// `simulated`: the seed of its randomness.
    #[serde(default)]
    pub seed: u64,
}

const fn default_concurrency() -> u32 {
    64
}

/// Which adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// In this process; no key, no network.
    Simulated,
    /// Any server that speaks OpenAI's API.
    OpenaiCompatible,
    /// By a provider file.
    Dynamic,
}

impl Kind {
    /// What providers of this kind can do.
    pub const fn actions(self) -> &'static [Action] {
        match self {
            Self::Simulated | Self::OpenaiCompatible => &[Action::ChatCompletion, Action::EmbeddingQuery],
            Self::Dynamic => &[
                Action::ChatCompletion,
                Action::EmbeddingQuery,
                Action::ImageGenerate,
                Action::AudioSynthesize,
                Action::VideoRender,
                Action::MediaSearch,
                Action::CodeExecute,
                Action::ToolInvoke,
            ],
        }
    }
}

/// One model of a provider.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// What it does; `chat.completion` unless said otherwise.
    pub action: Option<Action>,
    /// Its name at the provider, where that differs.
    pub upstream: Option<String>,
    /// `simulated`: milliseconds to the first token.
    pub first_token_ms: Option<u64>,
    /// `simulated`: tokens a second after that; none means no delay.
    pub tokens_per_second: Option<f64>,
    /// `simulated`: how many tokens an answer has; none means that it echoes the question.
    pub output_tokens: Option<u32>,
    /// `simulated`: how many numbers a vector has.
    pub dimensions: Option<u32>,
    /// `simulated`: the share of calls that fail, from 0 to 1.
    pub failure_rate: Option<f64>,
    /// `simulated`: after how many tokens a call spins without yielding, for ever: a thread is lost to it.
    pub spin_after_tokens: Option<u32>,
}
