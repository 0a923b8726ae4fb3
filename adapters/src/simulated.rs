//! A simulated provider in this process: no key, no network, any pace, any failure. The same seed and idempotency key
//! give the same answer and the same failures.
//!
//! A chat answer echoes the last message (`You said: …`) or, if the model's `output_tokens` is set, is that many words.
//! A token is a word with the white space before it. `n`, `stop`, `max_tokens` and `max_completion_tokens` are
//! honoured. If the payload has `tools`, the model calls one if `tool_choice` demands it, or each that the user names
//! by `call NAME`; their arguments are made up from their schemas. A JSON answer (`response_format`) is made up from
//! its schema, or without one is an object that holds the last message. Embeddings are unit vectors; texts that share
//! words are near each other. Images are PNGs of a pattern, up to 1024 pixels a side; speech is a WAV with a tone for
//! each letter, half a minute at most.
//!
//! The models' settings are in [`ModelConfig`]. A request overrides them, and asks for failures, in the payload's
//! `simulate`, an object that never reaches any other kind of provider:
//!
//! | field | meaning |
//! |---|---|
//! | `fail` | fail with this: `rate_limited`, `provider_error`, `provider_unavailable` or `invalid_request` |
//! | `after_tokens` | fail in the stream, after that many tokens; without it the call is refused at once |
//! | `times` | fail only that many first calls of this idempotency key |
//! | `retry_after_ms` | the wait that the failure asks for |
//! | `stall_after_tokens` | after that many tokens, send nothing more and do not end |
//! | `first_token_ms`, `tokens_per_second` | the pace |
//! | `tokens` | that many words instead of an echo |
//! | `seed` | replaces the idempotency key: the same answer whatever the id of the request |
//!
//! A model's `spin_after_tokens` makes a call spin after that many tokens and never yield: only a watchdog outside the
//! runtime can end that, by ending the process. No request can ask for it.
//!
//! A model's `failure_rate` refuses that share of calls as `provider_unavailable`; whether the n-th call of a request
//! fails depends on the seeds and n, so a retry may succeed.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, future, stream};
use schemas::{Action, EmbeddingRequest, ErrorCode, Output, Usage, codec};
use tokio::time::{Instant, sleep};

use crate::{
    Adapter, Call, ConfigError, Error, Finished, ModelConfig, Progress, Progressed, ProviderConfig, Remedy,
    deadline,
};

mod answer;
mod directives;
mod embedding;
mod image;
mod media;
mod play;
mod seed;
mod settings;
mod speech;
mod tool_call;
mod tries;
mod words;

use answer::Answer;
use directives::Directives;
use play::{Pace, Play};
use seed::Seed;
use tries::Tries;

/// A provider in this process.
#[derive(Debug)]
pub struct Simulated {
    name: String,
    seed: u64,
    models: BTreeMap<String, ModelConfig>,
    tries: Tries,
}

impl Simulated {
    /// Checks `config`.
    pub fn new(name: &str, config: &ProviderConfig) -> Result<Self, ConfigError> {
        settings::check(name, config)?;
        let (name, models) = (name.to_owned(), config.models.clone());
        Ok(Self { name, seed: config.seed, models, tries: Tries::default() })
    }

    fn model(&self, call: &Call) -> Result<&ModelConfig, Error> {
        self.models.get(&call.model).filter(|model| model.action_or_chat() == call.action).ok_or_else(|| {
            let why = format!("has no model `{}` for `{}`", call.model, call.action);
            Error::new(&self.name, ErrorCode::NotFound, Remedy::FallBack, why)
        })
    }

    /// The directives for this call, without the failure once its `times` are over.
    fn directives(&self, model: &ModelConfig, seed: Seed, call: &Call) -> Result<Directives, Error> {
        let mut directives = Directives::read(model, &call.payload).map_err(|error| self.invalid(error))?;
        let rate = model.failure_rate.unwrap_or(0.0);
        if rate > 0.0 || directives.times.is_some() {
            let nth = self.tries.count(&call.idempotency_key);
            if directives.times.is_some_and(|times| nth > times) {
                directives.fail = None;
            }
            if seed.with(u64::from(nth)).fraction() < rate {
                let why = "failed by its failure_rate";
                let error = Error::new(&self.name, ErrorCode::ProviderUnavailable, Remedy::Retry, why);
                return Err(Error { upstream_status: Some(503), ..error });
            }
        }
        Ok(directives)
    }

    fn invalid(&self, error: schemas::Error) -> Error {
        Error::new(&self.name, error.code, Remedy::Fatal, error.message)
    }

    fn chat(&self, directives: &Directives, seed: Seed, call: &Call) -> Result<Progressed, Error> {
        let answer =
            Answer::new(&call.payload, directives.tokens, seed).map_err(|error| self.invalid(error))?;
        let play = Play::new(&self.name, call, answer, directives);
        if call.payload.get("stream") == Some(&true.into()) {
            return Ok(play.streamed().boxed());
        }
        Ok(stream::iter([Ok(Progress::Started)]).chain(stream::once(play.whole())).boxed())
    }

    fn media(
        &self,
        made: Result<media::Made, schemas::Error>,
        directives: &Directives,
    ) -> Result<Progressed, Error> {
        let made = made.map_err(|error| self.invalid(error))?;
        Ok(media::played(&self.name, made, directives).boxed())
    }

    fn embeddings(
        &self,
        model: &ModelConfig,
        directives: &Directives,
        call: &Call,
    ) -> Result<Progressed, Error> {
        let request: EmbeddingRequest =
            codec::view(&call.payload, "payload").map_err(|error| self.invalid(error))?;
        let dimensions = request.dimensions.or(model.dimensions).unwrap_or(embedding::DIMENSIONS);
        settings::check_dimensions(dimensions)
            .map_err(|why| self.invalid(schemas::Error::invalid("payload.dimensions", why)))?;
        let (output, input_tokens) = embedding::embed(&request.input, dimensions, Seed::new(self.seed));
        let usage = Usage { input_tokens, ..Usage::default() };
        let finished = Finished { output: Output::Embeddings(output), usage, model: call.model.clone() };
        let stalls = directives.stall_after_tokens.is_some();
        let failure = directives.failure(&self.name);
        let Pace { first_token, .. } = Pace::from(directives);
        let end = async move {
            if first_token > Duration::ZERO {
                sleep(first_token).await;
            }
            if stalls {
                future::pending::<()>().await;
            }
            failure.map_or(Ok(Progress::Finished(Box::new(finished))), Err)
        };
        Ok(stream::iter([Ok(Progress::Started)]).chain(stream::once(end)).boxed())
    }
}

#[async_trait]
impl Adapter for Simulated {
    fn name(&self) -> &str {
        &self.name
    }

    async fn call(&self, call: Call) -> Result<Progressed, Error> {
        if Instant::now() >= call.deadline {
            return Err(deadline::exceeded(&self.name));
        }
        let model = self.model(&call)?;
        let of_request = Seed::new(self.seed).with_text(&call.idempotency_key);
        let directives = self.directives(model, of_request, &call)?;
        let seed = directives.seed.map_or(of_request, |seed| Seed::new(self.seed).with(seed));
        if let Some(refusal) = directives.refusal(&self.name) {
            return Err(refusal);
        }
        let progressed = match call.action {
            Action::EmbeddingQuery => self.embeddings(model, &directives, &call)?,
            Action::ImageGenerate => self.media(media::images(&call, seed), &directives)?,
            Action::AudioSynthesize => self.media(media::speech(&call, seed), &directives)?,
            _ => self.chat(&directives, seed, &call)?,
        };
        Ok(deadline::bound(progressed, call.deadline, &self.name))
    }
}

#[cfg(test)]
mod tests;
