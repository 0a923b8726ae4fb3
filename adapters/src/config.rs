//! How a provider is configured: one table `[providers.NAME]`.

use std::{collections::BTreeMap, path::PathBuf};

use ipnet::IpNet;
use schemas::Action;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use crate::Price;

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
    /// The most tokens that calls use in a minute, question and answer together; none means no limit.
    #[serde(default)]
    pub tokens_per_minute: Option<u32>,
    /// How the number of calls at once is found, below `concurrency`; where nothing is said, by the kind.
    #[serde(default)]
    pub adaptive: Option<Adaptive>,
    /// How long a key rests whose quota is spent, in milliseconds.
    #[serde(default = "default_key_rest_ms")]
    pub key_rest_ms: u64,
    /// Whether it is asked only while it has a free slot: a machine of one's own that is faster than any queue before it.
    #[serde(default)]
    pub only_when_idle: bool,
    /// Whether it is left out where the variable of its key is not set: a configuration for many may name what each has.
    #[serde(default)]
    pub only_with_key: bool,
    /// `dynamic`: the provider file: one that is shipped, by its name, or any other, by its path.
    #[serde(default)]
    pub file: Option<String>,
    /// Over HTTP: where the API begins, `/v1` included. `openai_compatible` needs it; others know their own.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Over HTTP: the environment variable that holds the key.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// Over HTTP: the file that holds the key.
    #[serde(default)]
    pub api_key_file: Option<PathBuf>,
    /// The environment variables that hold several keys, which take turns; beside the key above, where there is one.
    #[serde(default)]
    pub api_key_envs: Vec<String>,
    /// The files that hold several keys.
    #[serde(default)]
    pub api_key_files: Vec<PathBuf>,
    /// Over HTTP: the key itself, from the environment overlay; never write it into the file.
    #[serde(default)]
    pub api_key: Option<SecretString>,
    /// `dynamic`: the environment variable that holds the secret by which the provider signs its webhooks, where it is not
    /// the one that the file names.
    #[serde(default)]
    pub webhook_secret_env: Option<String>,
    /// Over HTTP: further headers of every call. Their values may be keys, so they are never shown.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretString>,
    /// Over HTTP: private networks from which files may be fetched that its answers name, as `10.0.0.0/8`. Of what is public,
    /// and of the provider's own host, nothing need be said.
    #[serde(default)]
    pub allow_networks: Vec<IpNet>,
    /// `openai_compatible`: fields of every chat's body that does not have them itself: what one server has beyond the
    /// others.
    #[serde(default)]
    pub chat_fields: BTreeMap<String, Value>,
    /// `openai_compatible`: whether the server knows the marks of Anthropic's cache, `cache_control`, in a chat. Where it does
    /// not, they are left out.
    #[serde(default)]
    pub cache_control: bool,
    /// `simulated`: the seed of its randomness.
    #[serde(default)]
    pub seed: u64,
}

const fn default_concurrency() -> u32 {
    64
}

const fn default_key_rest_ms() -> u64 {
    300_000
}

impl ProviderConfig {
    /// How the number of calls at once is found. A simulated provider bears as many as it is told.
    pub fn adaptive_or_default(&self) -> Adaptive {
        let of_kind = if self.kind == Kind::Simulated { Adaptive::Off } else { Adaptive::Aimd };
        self.adaptive.unwrap_or(of_kind)
    }
}

/// How the number of calls at once is found, below the configured one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adaptive {
    /// It is the configured one.
    #[default]
    Off,
    /// Less after a refusal by a rate limit, more with each success: for hosted APIs.
    Aimd,
    /// Less while the first token takes longer than it used to: for servers of one's own.
    Gradient,
}

/// Which adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// In this process; no key, no network.
    Simulated,
    /// Any server that speaks OpenAI's API.
    OpenaiCompatible,
    /// Anthropic's Messages API.
    Anthropic,
    /// Google's Gemini API.
    Gemini,
    /// Ollama by its own API.
    Ollama,
    /// By a provider file.
    Dynamic,
}

impl Kind {
    /// What providers of this kind can do.
    pub const fn actions(self) -> &'static [Action] {
        match self {
            Self::Simulated | Self::OpenaiCompatible => &[
                Action::ChatCompletion,
                Action::EmbeddingQuery,
                Action::ImageGenerate,
                Action::AudioSynthesize,
            ],
            Self::Gemini | Self::Ollama => &[Action::ChatCompletion, Action::EmbeddingQuery],
            Self::Anthropic => &[Action::ChatCompletion],
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

/// Where a model of an OpenAI-compatible provider answers chats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatApi {
    /// `POST chat/completions`, which every such server has.
    #[default]
    ChatCompletions,
    /// `POST responses`: some of OpenAI's models answer only there.
    Responses,
}

/// One model of a provider.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// What it does; `chat.completion` unless said otherwise.
    pub action: Option<Action>,
    /// Its name at the provider, where that differs.
    pub upstream: Option<String>,
    /// `openai_compatible`: where it answers chats; `chat_completions` unless said otherwise.
    pub api: Option<ChatApi>,
    /// Whether it calls tools; where nothing is said, it may be asked to.
    pub tools: Option<bool>,
    /// Whether it sees images; where nothing is said, it may be shown some.
    pub vision: Option<bool>,
    /// Whether it answers in JSON by a schema; where nothing is said, it may be asked to.
    pub json: Option<bool>,
    /// Whether it goes on with an answer that another has begun.
    pub continues: Option<bool>,
    /// The most tokens of a question and its answer together; none means that nobody knows.
    pub context_tokens: Option<u64>,
    /// The most tokens of an answer; none means that nobody knows.
    pub output_tokens_max: Option<u64>,
    /// How good its answers are, from 0 to 1, for requests that prefer quality.
    pub quality: Option<f64>,
    /// What it costs.
    pub price: Option<Price>,
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
