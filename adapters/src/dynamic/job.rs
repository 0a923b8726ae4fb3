//! Runs one call: sends the request, waits for the work, reads the answer.

use std::sync::Arc;

use reqwest::{Response, header::HeaderMap};
use schemas::{Action, ChatDelta, MediaOutput, Output, Usage, chat::FinishReason, embedding::Vector};
use serde_json::Value;

use super::{
    Provider,
    errors::Said,
    frames::Frames,
    heard,
    outlet::{self, Outlet},
    plan::{Answer, Plan},
    program::Model,
    template::{Scope, told},
};
use crate::{
    Call, Error, Finished, Progress, Progressed, Webhook,
    chat::{self, Ask},
    embeddings, http, limits,
};

/// One call.
pub(super) struct Job {
    pub(super) provider: Arc<Provider>,
    pub(super) plan: Arc<Plan>,
    pub(super) call: Call,
    pub(super) scope: Scope,
}

impl Job {
    /// Sends the request. The rest happens while the caller reads the stream.
    pub(super) async fn start(
        provider: Arc<Provider>,
        model: Model,
        call: Call,
    ) -> Result<Progressed, Error> {
        let plan = model.plan;
        if plan.needs_webhooks() && (call.webhook.is_none() || !provider.hears) {
            let why = "reports the end of its work by webhook, but cannot reach this server: set gateway.public_url";
            return Err(provider.endpoint.cannot(why));
        }
        let scope = provider.scope(&call);
        let response = provider.send(&plan.request, &scope, &call).await?;
        let streamed = call.payload.get("stream") == Some(&Value::Bool(true));
        if let Some(stream) = plan.stream.as_ref().filter(|_| streamed && !plan.is_long()) {
            let (framing, ask, endpoint) =
                (stream.framing.into(), Ask::new(&call), Arc::clone(&provider.endpoint));
            let decoder = Frames::new(provider, plan, scope);
            return Ok(chat::progress(endpoint, ask, decoder, framing, response));
        }
        let job = Self { provider, plan, call, scope };
        Ok(outlet::told(|outlet| job.run(response, outlet)))
    }

    async fn run(self, response: Response, outlet: Outlet) -> Result<Finished, Error> {
        for piece in limits::beginning(response.headers()) {
            outlet.give(piece).await;
        }
        let mut scope = self.scope.clone();
        let mut response = Some(response);
        if self.plan.is_long() {
            scope = match response.take() {
                Some(submitted) => self.hear(&scope, submitted).await?,
                None => scope,
            };
            if let Some((text, shown)) = self.show(&scope, &outlet).await? {
                return self.shown(text, shown, &outlet).await;
            }
            scope = self.wait(scope, &outlet).await?;
            if let Some(result) = &self.plan.result {
                response = Some(self.provider.send(result, &scope, &self.call).await?);
            }
        }
        if let Some(response) = response {
            if matches!(self.plan.answer, Answer::Bytes) {
                return self.bytes(&scope, response, &outlet).await;
            }
            scope = self.hear(&scope, response).await?;
        }
        self.answer(&scope, &outlet).await
    }

    /// Reads a JSON reply. If it is an error despite its status, returns that error.
    pub(super) async fn hear(&self, scope: &Scope, response: Response) -> Result<Scope, Error> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let limit = usize::try_from(self.provider.program.limits.reply_bytes).unwrap_or(usize::MAX);
        let name = &self.provider.endpoint.name;
        let body = http::read(response, limit).await.map_err(|error| http::unreadable(name, error))?;
        let reply = if body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&body) };
        let reply =
            reply.map_err(|error| self.provider.nonsense(&format!("sent what is not JSON: {error}")))?;
        let scope = heard(scope, status, &headers, &reply);
        self.refuse(&scope, status, &headers, &body).map(|()| scope)
    }

    /// Where the provider may report the end of this call, if its file says that it does.
    pub(super) fn webhook(&self) -> Option<&dyn Webhook> {
        self.call.webhook.as_deref().filter(|_| self.plan.webhook.is_some() && self.provider.hears)
    }

    pub(super) fn refuse(
        &self,
        scope: &Scope,
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(), Error> {
        let said = Said { status, headers, body };
        self.provider.program.errors.in_reply(&self.provider.endpoint, scope, &said).map_or(Ok(()), Err)
    }

    /// Passes on a body that is the file.
    async fn bytes(&self, scope: &Scope, response: Response, outlet: &Outlet) -> Result<Finished, Error> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let scope = heard(scope, status, &headers, &Value::Null);
        self.refuse(&scope, status, &headers, &[])?;
        self.download(response, 0, outlet).await?;
        self.media(&scope, 1)
    }

    async fn answer(&self, scope: &Scope, outlet: &Outlet) -> Result<Finished, Error> {
        let missing = |why: String| {
            self.provider.nonsense(&format!("sent a reply without what was asked for: {}", told(&why)))
        };
        match &self.plan.answer {
            Answer::Files(files) => {
                let made = self.files(files, scope, outlet).await?;
                self.media(scope, made)
            }
            Answer::Bytes => Err(self.provider.nonsense("sent no file")),
            Answer::Text { text, finish_reason } => {
                let text = text.render(scope).map_err(missing)?;
                let reason = finish_reason.as_ref().map(|reason| reason.render(scope));
                let reason = reason.transpose().map_err(missing)?;
                let answer = chat::Answer::default();
                Ok(self.text(scope, answer, words(&text), reason.as_ref(), outlet).await)
            }
            Answer::Vectors(vectors) => {
                let vectors = vectors.render(scope).map_err(missing)?;
                let vectors: Vec<Vec<f32>> =
                    serde_json::from_value(vectors).map_err(|error| missing(error.to_string()))?;
                let vectors = vectors.into_iter().map(Vector).collect();
                let endpoint = &self.provider.endpoint;
                let (ask, _) = embeddings::Ask::new(&endpoint.name, &self.call)?;
                ask.finish(endpoint, vectors, self.plan.usage.read(scope), Some(self.model(scope)))
            }
            Answer::Output(output) => {
                let output = output.render(scope).map_err(missing)?;
                Ok(self.finished(scope, Output::Other(output), Usage::default()))
            }
        }
    }

    /// The end of a chat: the client has seen `answer`, but not `text`.
    pub(super) async fn text(
        &self,
        scope: &Scope,
        mut answer: chat::Answer,
        text: String,
        reason: Option<&Value>,
        outlet: &Outlet,
    ) -> Finished {
        let finish_reason = Some(reason.map_or(FinishReason::Stop, super::frames::finish_reason));
        let ask = Ask::new(&self.call);
        let delta = ChatDelta { delta: text, finish_reason, ..ChatDelta::default() };
        if let Some(delta) = answer.take(delta).filter(|_| ask.streamed) {
            outlet.give(Progress::Delta(delta)).await;
        }
        if let Some(usage) = self.plan.usage.read(scope) {
            answer.used(usage);
        }
        answer.by(self.model(scope));
        answer.finish(&ask)
    }

    /// The end of a call that made that many files.
    fn media(&self, scope: &Scope, files: u64) -> Result<Finished, Error> {
        let details = self.plan.details.as_ref().map(|details| details.render(scope)).transpose();
        let details = details.map_err(|why| {
            self.provider.nonsense(&format!("sent a reply without its details: {}", told(&why)))
        })?;
        let spoken =
            self.call.payload.get("input").and_then(Value::as_str).map_or(0, |text| text.chars().count());
        let counted = match self.plan.action {
            Action::ImageGenerate => Usage { images: files, ..Usage::default() },
            Action::AudioSynthesize => {
                Usage { characters: spoken as u64, estimated: true, ..Usage::default() }
            }
            _ => Usage::default(),
        };
        let output = MediaOutput { assets: Vec::new(), details: details.unwrap_or_default() };
        Ok(self.finished(scope, Output::Media(output), counted))
    }

    /// The end of a call; `counted` is its usage if the provider reports none.
    fn finished(&self, scope: &Scope, output: Output, counted: Usage) -> Finished {
        let usage = self.plan.usage.read(scope).unwrap_or(counted);
        Finished { output, usage, model: self.model(scope) }
    }

    /// The model that answered: the one that the provider names, else the one that was called.
    fn model(&self, scope: &Scope) -> String {
        self.plan.model_in(scope).unwrap_or_else(|| self.call.model.clone())
    }
}

/// A text: as it is, or joined from its pieces, as some providers send them.
pub(super) fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(words).collect(),
        other => other.to_string(),
    }
}
