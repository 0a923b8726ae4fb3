//! A provider described by a file: requests, replies and the meaning of errors are configuration, not code.
//!
//! `docs/providers.md` explains the file. The program ships six: a configuration names one of them by its bare name,
//! any other file by its path. Dynode checks a file in full when it reads it; an error names its line.
//!
//! | file | what it holds |
//! |---|---|
//! | `file` | the TOML as it is written, and where each key is |
//! | `template` | the one language of the file, for what is sent and for what is read |
//! | `program` | a file, read, checked and compiled |
//! | `plan`, `usage` | one kind of work in it: what to request, and where to find things in the replies |
//! | `request` | method, path, query, headers, body |
//! | `job`, `wait` | one call: sends the request, waits for the work, reads the answer |
//! | `download` | files at URLs: fetched at once, within limits, and at other hosts without our key |
//! | `live` | shows the answer of long work while it is made |
//! | `frames` | reads a streamed chat answer |
//! | `outlet` | how a job emits its pieces |
//! | `errors` | what refusals mean |
//! | `check` | what `dynode provider check` does with a file |
//! | `shipped` | the files inside the program |

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use reqwest::{Client, Response};
use schemas::{Action, ErrorCode, Secret, signature::SigningKey};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    Adapter, Call, ConfigError, Error, Model, Progressed, ProviderConfig, Remedy, Webhooks, deadline,
    endpoint::{Endpoint, KeyPlace, Manners},
    joined,
};

pub mod check;
mod download;
mod errors;
mod file;
mod frames;
mod job;
mod live;
mod outlet;
mod plan;
mod program;
mod request;
mod shipped;
mod template;
mod usage;
mod wait;

pub use file::FileError;
use job::Job;
use program::Program;
use template::Scope;

/// A provider described by a file.
#[derive(Debug)]
pub struct Dynamic {
    provider: Arc<Provider>,
    served: Vec<Model>,
    webhooks: Option<Webhooks>,
}

/// What all calls share.
#[derive(Debug)]
struct Provider {
    endpoint: Arc<Endpoint>,
    program: Program,
    /// By their names at the provider.
    models: BTreeMap<String, program::Model>,
    /// Whether Dynode accepts its webhooks: it signs none, or Dynode has the secret.
    hears: bool,
}

impl Dynamic {
    /// Reads and checks the file that `config` names, and reads the key. Connects to nothing.
    pub fn new(name: &str, config: &ProviderConfig, client: Client) -> Result<Self, ConfigError> {
        Self::with_variables(name, config, client, |variable| std::env::var(variable).ok())
    }

    fn with_variables(
        name: &str,
        config: &ProviderConfig,
        client: Client,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let wrong = |why: String| ConfigError::new(format!("providers.{name}.file"), why);
        let missing = || {
            let shipped = shipped::NAMES.join(", ");
            wrong(format!("is missing; name a provider file: a path, or one that is shipped ({shipped})"))
        };
        let (file, text) = shipped::read(config.file.as_deref().ok_or_else(missing)?).map_err(wrong)?;
        let program = Program::read(&file, &text).map_err(|error| wrong(error.to_string()))?;
        let endpoint = endpoint(name, config, &program, client, &variable)?;
        let webhooks = webhooks(name, config, &program, &variable)?;
        let models = models(name, config, &program)?;
        let served = models.iter().map(|(id, model)| {
            let said = config.models.get(id);
            Model {
                upstream: model.upstream.clone(),
                abilities: said.map(Into::into).unwrap_or_default(),
                only_when_idle: config.only_when_idle,
                price: said.and_then(|said| said.price.clone()),
                ..Model::new(name, id, model.plan.action)
            }
        });
        let served: Vec<_> = served.collect();
        let mut by_upstream = BTreeMap::new();
        for (id, model) in models {
            let upstream = model.upstream.clone();
            if by_upstream.insert(upstream.clone(), model).is_some() {
                let why = format!("`{id}` and another model are both `{upstream}` at the provider; keep one");
                return Err(ConfigError::new(format!("providers.{name}.models"), why));
            }
        }
        let hears = webhooks.is_some();
        let provider = Provider { endpoint: Arc::new(endpoint), program, models: by_upstream, hears };
        Ok(Self { provider: Arc::new(provider), served, webhooks })
    }

    /// What its webhooks need, if it may report the end of work by them.
    pub fn webhooks(&self) -> Option<Webhooks> {
        self.webhooks.clone()
    }

    /// The models that it serves.
    pub fn models(&self) -> &[Model] {
        &self.served
    }
}

/// The endpoint: from the configuration, else from the file.
fn endpoint(
    name: &str,
    config: &ProviderConfig,
    program: &Program,
    client: Client,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Endpoint, ConfigError> {
    let mut config = config.clone();
    let keyless = config.api_key.is_none()
        && config.api_key_env.is_none()
        && config.api_key_file.is_none()
        && config.api_key_envs.is_empty()
        && config.api_key_files.is_empty();
    if let Some(key) = program.key.as_ref().filter(|_| keyless) {
        config.api_key_env = Some(key.variable.clone());
    }
    let header = program.key.as_ref().and_then(|key| key.header.as_deref());
    let headers: Vec<_> =
        program.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let manners = Manners {
        kind: "a dynamic provider",
        base_url: program.base_url.as_deref(),
        key: header.map_or(KeyPlace::Bearer, KeyPlace::Header),
        variable: None,
        headers: &headers,
    };
    Endpoint::new(name, &config, &manners, client, variable)
}

/// For a file whose calls may end by webhook: whether any needs one, and the secret with which the provider signs. Also
/// none if the secret is unknown and no call needs a webhook.
fn webhooks(
    name: &str,
    config: &ProviderConfig,
    program: &Program,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Webhooks>, ConfigError> {
    let are_needed = program.calls.values().any(|plan| plan.needs_webhooks());
    if program.calls.values().all(|plan| plan.webhook.is_none()) {
        return Ok(None);
    }
    let wrong = |why: String| ConfigError::new(format!("providers.{name}.webhook_secret_env"), why);
    let of_file = program.webhook_secret.as_ref().map(|secret| &secret.variable);
    let Some(holder) = config.webhook_secret_env.as_ref().or(of_file) else {
        return Ok(Some(Webhooks { are_needed, secret: None }));
    };
    let secret = variable(holder).map(|secret| Secret::new(secret.trim()));
    let Some(secret) = secret.filter(|secret| !secret.expose().is_empty()) else {
        if are_needed || config.webhook_secret_env.is_some() {
            let what = "set it to the secret by which the provider signs its webhooks";
            return Err(wrong(format!("the environment variable `{holder}` is not set; {what}")));
        }
        return Ok(None);
    };
    SigningKey::parse(&secret).map_err(|error| wrong(format!("in the variable `{holder}`: {error}")))?;
    Ok(Some(Webhooks { are_needed, secret: Some(secret) }))
}

/// The models of the file, or those of the configuration in their place: each is one of the file under another name, or
/// a new one that is called as the file says for its action.
fn models(
    name: &str,
    config: &ProviderConfig,
    program: &Program,
) -> Result<BTreeMap<String, program::Model>, ConfigError> {
    if config.models.is_empty() {
        return Ok(program.models.clone());
    }
    let models = config.models.iter().map(|(id, wanted)| {
        let wrong = |why: String| ConfigError::new(format!("providers.{name}.models.{id}"), why);
        let upstream = wanted.upstream_or(id);
        let of_file = program.models.get(upstream);
        let model = match of_file.or_else(|| program.models.values().find(|model| model.upstream == upstream))
        {
            Some(model) => model.clone(),
            None => {
                let fits = |plan: &&Arc<plan::Plan>| wanted.action.is_none_or(|action| plan.action == action);
                let plans: Vec<_> = program.calls.values().filter(fits).collect();
                let [plan] = plans[..] else {
                    let known: Vec<_> = program.models.keys().map(|name| format!("`{name}`")).collect();
                    let why = format!(
                        "`{upstream}` is not in the file, and how it is called cannot be told by its \
                                       action; the models there are {}",
                        known.join(", ")
                    );
                    return Err(wrong(why));
                };
                program::Model { plan: Arc::clone(plan), upstream: upstream.to_owned() }
            }
        };
        let does = model.plan.action;
        match wanted.action.filter(|action| *action != does) {
            None => Ok((id.clone(), model)),
            Some(action) => Err(wrong(format!("does `{does}` by its file, not `{action}`"))),
        }
    });
    models.collect()
}

impl Provider {
    /// What the templates of a call see from its start.
    fn scope(&self, call: &Call) -> Scope {
        let left = call.deadline.saturating_duration_since(Instant::now()).as_secs();
        let webhook = call.webhook.as_ref().filter(|_| self.hears);
        let webhook = webhook.map_or_else(|| json!({}), |webhook| json!({"url": webhook.url()}));
        Scope::default()
            .with("webhook", &webhook)
            .with("payload", &call.payload)
            .with("model", &call.model.as_str().into())
            .with("variables", &self.program.variables)
            .with("id", &call.idempotency_key.as_str().into())
            .with("seconds_left", &left.into())
            .with("submitted", &Value::Null)
    }

    /// Sends the request that `template` makes of `scope`. A reply without a success status is an error.
    async fn send(
        &self,
        template: &request::Template,
        scope: &Scope,
        call: &Call,
    ) -> Result<Response, Error> {
        let unfit = |why: String| {
            self.endpoint
                .cannot(&self.endpoint.quote(&format!("cannot do this request: {}", template::told(&why))))
        };
        let request = template.render(&self.endpoint, scope).map_err(unfit)?;
        let request = request.build(&self.endpoint, call.key).map_err(unfit)?;
        let response = self.endpoint.exchange(request, call).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers, body) = self.endpoint.refused(response, call.deadline).await;
        let reply = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
        let scope = heard(scope, status, &headers, &reply);
        let said = errors::Said { status, headers: &headers, body: &body };
        Err(self.program.errors.of_refusal(&self.endpoint, &scope, &said))
    }

    /// The error of an answer that lacks what was asked for.
    fn nonsense(&self, what: &str) -> Error {
        self.endpoint.nonsense(what)
    }
}

/// `scope` with a reply added.
fn heard(scope: &Scope, status: u16, headers: &reqwest::header::HeaderMap, reply: &Value) -> Scope {
    let headers = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let headers: BTreeMap<_, _> = headers.collect();
    scope.with("reply", reply).with("status", &status.into()).with("headers", &json!(headers))
}

#[async_trait]
impl Adapter for Dynamic {
    fn name(&self) -> &str {
        &self.provider.endpoint.name
    }

    fn keys(&self) -> usize {
        self.provider.endpoint.keys()
    }

    async fn call(&self, call: Call) -> Result<Progressed, Error> {
        let provider = Arc::clone(&self.provider);
        let Some(model) = provider.models.get(&call.model).filter(|model| model.plan.action == call.action)
        else {
            let why = format!("has no model `{}` for `{}`", call.model, call.action);
            return Err(Error::new(self.name(), ErrorCode::NotFound, Remedy::FallBack, why));
        };
        let (model, until) = (model.clone(), call.deadline);
        let progressed = Box::pin(Job::start(provider, model, call)).await?;
        Ok(deadline::bound(joined::join(progressed), until, self.name()))
    }
}

/// A payload that every provider of `action` should be able to serve.
pub fn sample(action: Action) -> Value {
    match action {
        Action::ChatCompletion => json!({"messages": [{"role": "user", "content": "Say hello."}]}),
        Action::EmbeddingQuery => json!({"input": "hello"}),
        Action::ImageGenerate => json!({"prompt": "a red cube on a table", "n": 1, "size": "1024x1024"}),
        Action::AudioSynthesize => json!({"input": "Hello."}),
        Action::VideoRender => json!({"timeline": {"tracks": [{"clips": [{
            "asset": {"type": "html", "html": "<p>hello</p>"}, "start": 0, "length": 2}]}]},
            "output": {"format": "mp4", "resolution": "preview"}}),
        Action::MediaSearch => json!({"query": "mountains", "per_page": 3}),
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests;
