//! A provider's configuration: one table `[providers.NAME]`.

use std::{collections::BTreeMap, path::PathBuf};

use ipnet::IpNet;
use schemas::Action;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use crate::Price;

/// One provider. Flat, so that an error can name the line of a wrong key or value; [`crate::Registry::build`] refuses
/// settings that do not belong to the kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// Which adapter.
    pub kind: Kind,
    /// The models that it serves, by the name that clients use. `dynamic`: if there are none, those of its file.
    #[serde(default)]
    pub models: BTreeMap<String, ModelConfig>,
    /// The most concurrent calls, per process.
    #[serde(default = "default_concurrency")]
    pub concurrency: u32,
    /// The most calls that start in a minute; none means no limit.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
    /// The most tokens that calls use in a minute, question and answer together; none means no limit.
    #[serde(default)]
    pub tokens_per_minute: Option<u32>,
    /// How Dynode finds the number of concurrent calls, below `concurrency`; by default it depends on the kind.
    #[serde(default)]
    pub adaptive: Option<Adaptive>,
    /// How long a key rests once its quota is spent, in milliseconds.
    #[serde(default = "default_key_rest_ms")]
    pub key_rest_ms: u64,
    /// Whether Dynode calls it only while it has a free slot: your own machine before hosted ones.
    #[serde(default)]
    pub only_when_idle: bool,
    /// Whether Dynode leaves it out if its key's variable is not set; users of one configuration may lack some keys.
    #[serde(default)]
    pub only_with_key: bool,
    /// `dynamic`: the provider file: the name of a shipped one, or the path of any other.
    #[serde(default)]
    pub file: Option<String>,
    /// Over HTTP: the API's base URL, including `/v1`. `openai_compatible` needs it; the others have one of their own.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Over HTTP: the environment variable that holds the key.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// Over HTTP: the file that holds the key.
    #[serde(default)]
    pub api_key_file: Option<PathBuf>,
    /// The environment variables of several keys, which take turns with each other and with the key above, if any.
    #[serde(default)]
    pub api_key_envs: Vec<String>,
    /// The files that hold several keys.
    #[serde(default)]
    pub api_key_files: Vec<PathBuf>,
    /// Over HTTP: the key itself, from the environment overlay; never write it into the file.
    #[serde(default)]
    pub api_key: Option<SecretString>,
    /// `dynamic`: the environment variable that holds the secret with which the provider signs its webhooks, if it is
    /// not the one that the file names.
    #[serde(default)]
    pub webhook_secret_env: Option<String>,
    /// Over HTTP: more headers for every call. Their values may be keys, so they are never shown.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretString>,
    /// Over HTTP: private networks, such as `10.0.0.0/8`, from which Dynode may fetch files that the provider's answers
    /// name. Public addresses and the provider's own host need no entry.
    #[serde(default)]
    pub allow_networks: Vec<IpNet>,
    /// `openai_compatible`: fields to add to every chat body that lacks them, such as one server's extensions.
    #[serde(default)]
    pub chat_fields: BTreeMap<String, Value>,
    /// `openai_compatible`: whether the server knows Anthropic's cache marks, `cache_control`, in a chat. If not,
    /// Dynode leaves them out.
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
    /// How Dynode finds the number of concurrent calls. A simulated provider takes as many as configured.
    pub fn adaptive_or_default(&self) -> Adaptive {
        let of_kind = if self.kind == Kind::Simulated { Adaptive::Off } else { Adaptive::Aimd };
        self.adaptive.unwrap_or(of_kind)
    }
}

/// How Dynode finds the number of concurrent calls, below the configured one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adaptive {
    /// Use the configured number.
    #[default]
    Off,
    /// Fewer after a rate-limit refusal, more with each success: for hosted APIs.
    Aimd,
    /// Fewer while the first token takes longer than it used to: for your own servers.
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
    /// Ollama's own API.
    Ollama,
    /// A provider described by a file.
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
    /// What it does; `chat.completion` if not set.
    pub action: Option<Action>,
    /// Its name at the provider, if that differs.
    pub upstream: Option<String>,
    /// `openai_compatible`: where it answers chats; `chat_completions` if not set.
    pub api: Option<ChatApi>,
    /// Whether it calls tools; if not set, it may be asked to.
    pub tools: Option<bool>,
    /// Whether it sees images; if not set, it may be shown some.
    pub vision: Option<bool>,
    /// Whether it answers in JSON by a schema; if not set, it may be asked to.
    pub json: Option<bool>,
    /// Whether it continues an answer that another model has begun.
    pub continues: Option<bool>,
    /// The most tokens of a question and its answer together; none means unknown.
    pub context_tokens: Option<u64>,
    /// The most tokens of an answer; none means unknown.
    pub output_tokens_max: Option<u64>,
    /// How good its answers are, from 0 to 1, for requests that prefer quality.
    pub quality: Option<f64>,
    /// What it costs.
    pub price: Option<Price>,
    /// `simulated`: milliseconds to the first token.
    pub first_token_ms: Option<u64>,
    /// `simulated`: tokens per second after that; none means no delay.
    pub tokens_per_second: Option<f64>,
    /// `simulated`: how many tokens an answer has; none means that it echoes the question.
    pub output_tokens: Option<u32>,
    /// `simulated`: how many numbers a vector has.
    pub dimensions: Option<u32>,
    /// `simulated`: the share of calls that fail, from 0 to 1.
    pub failure_rate: Option<f64>,
    /// `simulated`: after how many tokens a call spins forever without yielding; it never gives its thread back.
    pub spin_after_tokens: Option<u32>,
}
