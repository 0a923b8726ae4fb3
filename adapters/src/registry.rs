//! Builds the configured providers, and finds those that serve a model.
//!
//! Building checks everything that can be checked without a network, so that a wrong setting stops the start and not
//! the first request.

use std::{collections::BTreeMap, sync::Arc};

use reqwest::Client;
use schemas::{Action, Secret, Tenant};

use crate::{
    Abilities, Adapter, Anthropic, Dynamic, Gemini, Kind, ModelConfig, Ollama, OpenaiCompatible, Price,
    ProviderConfig, Simulated, endpoint::key, http,
};

/// A model that a configured provider serves.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The name that clients use.
    pub id: String,
    /// The configured name of the provider.
    pub provider: String,
    /// The name at the provider.
    pub upstream: String,
    /// What it does.
    pub action: Action,
    /// What it can do.
    pub abilities: Abilities,
    /// Whether Dynode calls its provider only while that has a free slot.
    pub only_when_idle: bool,
    /// What it costs, if configured.
    pub price: Option<Price>,
    /// Whether its provider is simulated: requests with test keys reach no other.
    pub is_simulated: bool,
}

impl Model {
    /// A model with nothing set but its names and its action.
    pub fn new(provider: &str, id: &str, action: Action) -> Self {
        Self {
            id: id.to_owned(),
            provider: provider.to_owned(),
            upstream: id.to_owned(),
            action,
            abilities: Abilities::default(),
            only_when_idle: false,
            price: None,
            is_simulated: false,
        }
    }
}

/// The configured providers. Immutable: a changed configuration makes a new one.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    adapters: BTreeMap<String, Arc<dyn Adapter>>,
    models: Vec<Model>,
    left_out: BTreeMap<String, String>,
    webhooks: BTreeMap<String, Webhooks>,
}

/// What a provider needs for its webhooks.
#[derive(Debug, Clone, Default)]
pub struct Webhooks {
    /// Whether it reports the end of work in no other way.
    pub are_needed: bool,
    /// The secret with which it signs them; `None` if it does not sign, or if no secret is configured.
    pub secret: Option<Secret>,
}

/// A provider's configuration is wrong: `path` is the key (`providers.NAME.KEY`), `why` how to fix it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct ConfigError {
    /// The key.
    pub path: String,
    /// What is wrong and how to fix it.
    pub why: String,
}

impl ConfigError {
    pub(crate) fn new(path: impl Into<String>, why: impl Into<String>) -> Self {
        Self { path: path.into(), why: why.into() }
    }
}

impl Registry {
    /// Builds every provider; fails with the error of the first that cannot be built.
    pub fn build(providers: &BTreeMap<String, ProviderConfig>) -> Result<Self, ConfigError> {
        Self::with_variables(providers, |variable| std::env::var(variable).ok())
    }

    /// Like [`Self::build`], but `variable` says which keys are set.
    fn with_variables(
        providers: &BTreeMap<String, ProviderConfig>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut registry = Self::default();
        let mut client = None;
        for (name, config) in providers {
            check(name, config)?;
            if let Some(missing) = key::missing(config, &variable).filter(|_| config.only_with_key) {
                registry.left_out.insert(name.clone(), missing.to_owned());
                continue;
            }
            let adapter: Arc<dyn Adapter> = match config.kind {
                Kind::Simulated => Arc::new(Simulated::new(name, config)?),
                Kind::OpenaiCompatible => {
                    Arc::new(OpenaiCompatible::new(name, config, shared(&mut client, name)?)?)
                }
                Kind::Anthropic => Arc::new(Anthropic::new(name, config, shared(&mut client, name)?)?),
                Kind::Gemini => Arc::new(Gemini::new(name, config, shared(&mut client, name)?)?),
                Kind::Ollama => Arc::new(Ollama::new(name, config, shared(&mut client, name)?)?),
                Kind::Dynamic => {
                    let dynamic = Dynamic::new(name, config, shared(&mut client, name)?)?;
                    registry.models.extend_from_slice(dynamic.models());
                    registry.webhooks.extend(dynamic.webhooks().map(|webhooks| (name.clone(), webhooks)));
                    registry.adapters.insert(name.clone(), Arc::new(dynamic));
                    continue;
                }
            };
            registry.adapters.insert(name.clone(), adapter);
            registry.models.extend(config.models.iter().map(|(id, model)| Model {
                id: id.clone(),
                provider: name.clone(),
                upstream: model.upstream_or(id).to_owned(),
                action: model.action_or_chat(),
                abilities: model.into(),
                only_when_idle: config.only_when_idle,
                price: model.price.clone(),
                is_simulated: config.kind == Kind::Simulated,
            }));
        }
        Ok(registry)
    }

    /// The same providers and one more, with your own adapter.
    pub fn with(mut self, adapter: Arc<dyn Adapter>, models: impl IntoIterator<Item = Model>) -> Self {
        self.adapters.insert(adapter.name().to_owned(), adapter);
        self.models.extend(models);
        self
    }

    /// The provider with that configured name.
    pub fn adapter(&self, name: &str) -> Option<Arc<dyn Adapter>> {
        self.adapters.get(name).cloned()
    }

    /// The models that serve `model` for `action`, ordered by provider name. `model` may be `provider/model`.
    pub fn resolve(&self, model: &str, action: Action) -> Vec<&Model> {
        let serves = |entry: &&Model| {
            entry.action == action
                && (entry.id == model || model.split_once('/') == Some((&entry.provider, &entry.id)))
        };
        self.models.iter().filter(serves).collect()
    }

    /// The model that `provider` calls `upstream`.
    pub fn model(&self, provider: &str, upstream: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.provider == provider && model.upstream == upstream)
    }

    /// The providers that may report the end of their work by webhooks.
    pub const fn webhooks(&self) -> &BTreeMap<String, Webhooks> {
        &self.webhooks
    }

    /// The providers that are left out, each with the unset variable of its key.
    pub const fn left_out(&self) -> &BTreeMap<String, String> {
        &self.left_out
    }

    /// Every model, ordered by provider name, then by its own.
    pub fn models(&self) -> &[Model] {
        &self.models
    }
}

impl ModelConfig {
    /// What it does; `chat.completion` if not set.
    pub fn action_or_chat(&self) -> Action {
        self.action.unwrap_or(Action::ChatCompletion)
    }

    /// Its name at the provider; `id`, its name for clients, if not set.
    pub fn upstream_or<'a>(&'a self, id: &'a str) -> &'a str {
        self.upstream.as_deref().unwrap_or(id)
    }
}

/// The client of all providers, built when the first one needs it: providers at the same host share connections.
fn shared(client: &mut Option<Client>, name: &str) -> Result<Client, ConfigError> {
    if let Some(client) = client {
        return Ok(client.clone());
    }
    let built = http::client_builder().build().map_err(|error| {
        ConfigError::new(format!("providers.{name}"), format!("no HTTP client could be made: {error}"))
    })?;
    Ok(client.insert(built).clone())
}

/// Checks what every kind must have.
fn check(name: &str, config: &ProviderConfig) -> Result<(), ConfigError> {
    let path = |key: &str| format!("providers.{name}.{key}");
    if Tenant::new(name).is_err() {
        let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
        let why = "a provider's name is part of subjects: use 1 to 64 characters out of A-Z a-z 0-9 _ -";
        return Err(ConfigError::new(format!("providers.{shown}"), why));
    }
    let is_dynamic = config.kind == Kind::Dynamic;
    if config.models.is_empty() && !is_dynamic {
        let why = "names no model; add one, as in `models.NAME = {}`, or remove the provider";
        return Err(ConfigError::new(path("models"), why));
    }
    if config.concurrency == 0 {
        return Err(ConfigError::new(path("concurrency"), "must be at least 1"));
    }
    if config.requests_per_minute == Some(0) {
        let why = "must be at least 1; leave it out where there is no limit";
        return Err(ConfigError::new(path("requests_per_minute"), why));
    }
    if config.tokens_per_minute == Some(0) {
        let why = "must be at least 1; leave it out where there is no limit";
        return Err(ConfigError::new(path("tokens_per_minute"), why));
    }
    if config.only_with_key && config.api_key_env.is_none() {
        let why = "needs the variable to look at: name it by api_key_env, or remove this";
        return Err(ConfigError::new(path("only_with_key"), why));
    }
    if !is_dynamic {
        let settings =
            [("file", config.file.is_some()), ("webhook_secret_env", config.webhook_secret_env.is_some())];
        refuse(&format!("providers.{name}"), "this kind of provider", &settings)?;
    }
    config.models.iter().try_for_each(|(id, model)| check_model(name, config, id, model))
}

/// Checks what every model must have.
fn check_model(
    name: &str,
    config: &ProviderConfig,
    id: &str,
    model: &ModelConfig,
) -> Result<(), ConfigError> {
    let path = |key: &str| format!("providers.{name}.models.{id}{key}");
    if id.trim().is_empty() || id.chars().any(char::is_control) {
        return Err(ConfigError::new(path(""), "a model needs a name without control characters"));
    }
    if model.upstream.as_deref().is_some_and(|upstream| upstream.trim().is_empty()) {
        let why = "must not be empty; leave it out where the provider uses the same name";
        return Err(ConfigError::new(path(".upstream"), why));
    }
    if let Some(key) = model.price.as_ref().and_then(Price::fault) {
        return Err(ConfigError::new(
            path(&format!(".price.{key}")),
            "must be an amount of US dollars, 0 or more",
        ));
    }
    if model.quality.is_some_and(|quality| !(0.0..=1.0).contains(&quality)) {
        return Err(ConfigError::new(path(".quality"), "must be from 0 to 1"));
    }
    for (key, tokens) in
        [(".context_tokens", model.context_tokens), (".output_tokens_max", model.output_tokens_max)]
    {
        if tokens == Some(0) {
            let why = "must be at least 1; leave it out where it is not known";
            return Err(ConfigError::new(path(key), why));
        }
    }
    let (does, wanted) = (config.kind.actions(), model.action_or_chat());
    if model.api.is_some() && (config.kind != Kind::OpenaiCompatible || wanted != Action::ChatCompletion) {
        let why = "applies only to chat models of an openai_compatible provider; remove it";
        return Err(ConfigError::new(path(".api"), why));
    }
    let by_file = config.kind == Kind::Dynamic && model.action.is_none();
    if !by_file && !does.contains(&wanted) {
        let does: Vec<_> = does.iter().map(|action| format!("`{action}`")).collect();
        let why = format!("this kind of provider does not do `{wanted}`; it does {}", does.join(", "));
        return Err(ConfigError::new(path(".action"), why));
    }
    Ok(())
}

/// Refuses the first of `settings` that is given (`true`): it does not belong to the kind.
pub(crate) fn refuse(root: &str, kind: &str, settings: &[(&str, bool)]) -> Result<(), ConfigError> {
    match settings.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((key, _)) => {
            let why = format!("does not belong to {kind}; remove it, or choose another `kind`");
            Err(ConfigError::new(format!("{root}.{key}"), why))
        }
    }
}

#[cfg(test)]
mod tests;
