//! Implements `dynode provider check`: reads a file, shows the request for each model, and sends it.

use std::sync::Arc;

use futures_util::{StreamExt, stream::BoxStream};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Dynamic, FileError,
    program::Program,
    request::{Body, Request, part::Part},
    sample, shipped,
};
use crate::{Adapter, Call, ConfigError, Error, Model, Progress, ProviderConfig, Webhook, http};

/// The name of the provider during a check.
const NAME: &str = "check";
/// Stands for the key in a check that sends nothing.
pub(super) const NO_KEY: &str = "the-key-would-stand-here";
/// Stands for the secret, likewise.
const NO_SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// Stands for the URL to which the provider would send its webhook.
const NO_WEBHOOK: &str = "https://the-gateway/v1/webhooks/the-token";
/// The most characters to show of a body.
const SHOWN_CHARS_MAX: usize = 2_000;

/// A provider under check.
#[derive(Debug)]
pub struct Check {
    dynamic: Dynamic,
    /// How long a call may take.
    deadline: std::time::Duration,
}

/// Why a check ends at once.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// The file is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file fits no provider, or its key is missing.
    #[error("{}: {}", .0.path.trim_start_matches("providers.check."), .0.why)]
    Config(ConfigError),
}

/// How a call ended.
#[derive(Debug)]
pub struct Came {
    /// A line for each thing that came.
    pub lines: Vec<String>,
    /// Whether it ended well.
    pub succeeded: bool,
}

impl Check {
    /// Reads the file `name`. With `against`, its calls go there and its key is read; without, it needs no key.
    pub fn read(name: &str, against: Option<&str>, deadline: std::time::Duration) -> Result<Self, Refused> {
        let (file, text) = shipped::read(name).map_err(Refused::Unreadable)?;
        let program = Program::read(&file, &text)?;
        let api_key = match (against, &program.key) {
            (None, Some(_)) => Some(NO_KEY),
            _ => None,
        };
        // As in a configuration: all other settings keep their defaults.
        let table = json!({"kind": "dynamic", "file": name, "base_url": against, "api_key": api_key});
        let config: ProviderConfig = serde_json::from_value(table)
            .map_err(|error| Refused::Unreadable(format!("it makes no provider: {error}")))?;
        let client = http::client_builder().build();
        let client =
            client.map_err(|error| Refused::Unreadable(format!("no HTTP client could be made: {error}")))?;
        let variable =
            |name: &str| std::env::var(name).ok().or_else(|| against.is_none().then(|| NO_SECRET.to_owned()));
        let dynamic = Dynamic::with_variables(NAME, &config, client, variable).map_err(Refused::Config)?;
        Ok(Self { dynamic, deadline })
    }

    /// The models that it serves.
    pub fn models(&self) -> &[Model] {
        self.dynamic.models()
    }

    /// The request that `model` would get for `payload`, or for a sample of its action; without the key.
    pub fn request(&self, model: &Model, payload: Option<&Value>) -> Result<String, String> {
        let provider = &self.dynamic.provider;
        let call = Call { webhook: Some(Arc::new(Nowhere)), ..self.call(model, payload) };
        let of_model = provider.models.get(&model.upstream).ok_or("it has no such model")?;
        let scope = provider.scope(&call);
        let request = of_model.plan.request.render(&provider.endpoint, &scope);
        let request = request.map_err(|why| super::template::told(&why).to_owned())?;
        Ok(self.shown(&request))
    }

    /// Calls `model` and reports what comes.
    pub async fn run(&self, model: &Model, payload: Option<&Value>) -> Came {
        let mut lines = Vec::new();
        let mut progress = match self.dynamic.call(self.call(model, payload)).await {
            Ok(progress) => progress,
            Err(error) => return Came { lines: vec![failed(&error)], succeeded: false },
        };
        let mut bytes = 0;
        while let Some(item) = progress.next().await {
            match item {
                Ok(Progress::Started) => lines.push("accepted".to_owned()),
                Ok(Progress::Limits(_)) => {}
                Ok(Progress::Delta(delta)) => lines.push(format!("text: {:?}", delta.delta)),
                Ok(Progress::Moved { fraction, message }) => {
                    let percent = fraction.map(|fraction| format!(" {:.0} %", fraction * 100.0));
                    lines.push(format!(
                        "state: {}{}",
                        message.unwrap_or_default(),
                        percent.unwrap_or_default()
                    ));
                }
                Ok(Progress::File(piece)) => {
                    bytes += piece.bytes.len();
                    if let Some(media_type) = &piece.media_type {
                        lines.push(format!("file {}: {media_type}", piece.file));
                    }
                    if piece.is_last {
                        lines.push(format!("file {}: {} bytes", piece.file, std::mem::take(&mut bytes)));
                    }
                }
                Ok(Progress::Finished(finished)) => {
                    let output = serde_json::to_value(&finished.output).unwrap_or_default();
                    lines.push(format!("output: {}", shortened(&output.to_string())));
                    let usage = serde_json::to_value(finished.usage).unwrap_or_default();
                    lines.push(format!("usage: {usage}, model: {}", finished.model));
                }
                Err(error) => {
                    lines.push(failed(&error));
                    return Came { lines, succeeded: false };
                }
            }
        }
        Came { lines, succeeded: true }
    }

    fn call(&self, model: &Model, payload: Option<&Value>) -> Call {
        Call {
            action: model.action,
            model: model.upstream.clone(),
            payload: payload.cloned().unwrap_or_else(|| sample(model.action)),
            deadline: Instant::now() + self.deadline,
            idempotency_key: "dynode-provider-check".to_owned(),
            key: 0,
            traceparent: None,
            webhook: None,
        }
    }

    /// A request as text. The headers of every call are named but not shown: they may be keys.
    fn shown(&self, request: &Request) -> String {
        let mut text = format!("{} {}\n", request.method, request.url);
        let hidden = self.dynamic.provider.endpoint.headers(0);
        text.extend(hidden.keys().map(|name| format!("{name}: [redacted]\n")));
        let headers = request.headers.iter();
        text.extend(
            headers.map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap_or("[bytes]"))),
        );
        match &request.body {
            Body::None => {}
            Body::Json(value) => text += &format!("\n{}\n", shortened(&format!("{value:#}"))),
            Body::Form(pairs) => {
                text += "\n";
                text.extend(pairs.iter().map(|(name, value)| format!("{name}={value}\n")));
            }
            Body::Multipart(parts) => {
                text += "\n";
                text.extend(parts.iter().map(|(name, part)| shown_part(name, part) + "\n"));
            }
        }
        self.dynamic.provider.endpoint.redact(&text)
    }
}

/// A webhook that never comes.
#[derive(Debug)]
struct Nowhere;

impl Webhook for Nowhere {
    fn url(&self) -> &str {
        NO_WEBHOOK
    }

    fn told(&self) -> BoxStream<'static, Value> {
        futures_util::stream::pending().boxed()
    }
}

fn shown_part(name: &str, part: &Part) -> String {
    match part {
        Part::Text(text) => format!("{name}: {}", shortened(text)),
        Part::File { bytes, media_type, name: file } => {
            format!("{name}: {file}, {media_type}, {} bytes", bytes.len())
        }
    }
}

fn failed(error: &Error) -> String {
    let public = error.to_public();
    let told = json!({"code": public.code, "retryable": public.retryable, "remedy": format!("{:?}", error.remedy),
        "upstream_status": public.upstream_status, "retry_after_ms": public.retry_after_ms});
    let causes = error.causes().map(|causes| format!(" ({causes})")).unwrap_or_default();
    format!("failed: {}{causes} {told}", error.message)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
    }
}
