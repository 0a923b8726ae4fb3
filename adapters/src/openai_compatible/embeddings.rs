//! `POST embeddings`: the body, and the vectors in the order of the inputs.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use reqwest::Response;
use schemas::{
    EmbeddingOutput, EmbeddingRequest, Output, Usage, codec,
    embedding::{EmbeddingInput, Vector},
};
use serde_json::Value;

use super::{outgoing, wire::EmbeddingReply};
use crate::{
    Call, Error, Finished, Progress, Progressed, Remedy, chat::estimate::text as estimate,
    endpoint::Endpoint, failure, http, limits,
};

/// What is asked.
#[derive(Debug)]
pub(super) struct Ask {
    model: String,
    inputs: usize,
    input_estimate: u64,
}

impl Ask {
    pub(super) fn new(provider: &str, call: &Call) -> Result<Self, Error> {
        let request: EmbeddingRequest = codec::view(&call.payload, "payload")
            .map_err(|error| Error::new(provider, error.code, Remedy::Fatal, error.message))?;
        Ok(Self {
            model: call.model.clone(),
            inputs: request.input.len(),
            input_estimate: estimate_input(&request.input),
        })
    }

    /// The body. Asks for base64, whatever the client wants to see: a third of the bytes, and no digits to parse.
    pub(super) fn body(&self, call: &Call) -> Value {
        let mut body = outgoing(call);
        body.insert("encoding_format".into(), "base64".into());
        Value::Object(body)
    }
}

fn estimate_input(input: &EmbeddingInput) -> u64 {
    match input {
        EmbeddingInput::Text(text) => estimate(text.len()),
        EmbeddingInput::Texts(texts) => texts.iter().map(|text| estimate(text.len())).sum(),
        EmbeddingInput::Tokens(tokens) => tokens.len() as u64,
        EmbeddingInput::TokenLists(lists) => lists.iter().map(|list| list.len() as u64).sum(),
    }
}

/// What the reply brings.
pub(super) fn progress(endpoint: Arc<Endpoint>, ask: Ask, response: Response) -> Progressed {
    let begun = limits::begun(response.headers());
    let finished = async move {
        let body = http::read(response, http::REPLY_BYTES_MAX).await;
        let body = body.map_err(|error| http::unreadable(&endpoint.name, error))?;
        read(&endpoint, ask, &body).map(|finished| Progress::Finished(Box::new(finished)))
    };
    begun.chain(stream::once(finished)).boxed()
}

/// What a reply says.
pub(super) fn read(endpoint: &Endpoint, ask: Ask, body: &[u8]) -> Result<Finished, Error> {
    let reply: EmbeddingReply = serde_json::from_slice(body).map_err(|error| {
        // An error under a good status is told as what it is.
        match serde_json::from_slice::<Value>(body) {
            Ok(value) if value.get("error").is_some() => failure::in_reply(endpoint, body),
            _ => endpoint.nonsense(&format!("sent what is not a list of embeddings: {error}")),
        }
    })?;
    let usage = reply
        .usage
        .as_ref()
        .map_or(Usage { input_tokens: ask.input_estimate, estimated: true, ..Usage::default() }, Usage::from);
    let mut embeddings = vec![Vector::default(); ask.inputs];
    for (position, item) in reply.data.into_iter().enumerate() {
        // A place beyond the inputs leaves another one empty, or is one vector too many.
        match embeddings.get_mut(item.index.unwrap_or(position)) {
            Some(place) if place.0.is_empty() => *place = item.embedding,
            _ => return Err(endpoint.nonsense("sent an embedding that was not asked for")),
        }
    }
    if let Some(missing) = embeddings.iter().position(|vector| vector.0.is_empty()) {
        return Err(endpoint.nonsense(&format!("sent no embedding of input {missing}")));
    }
    let model = reply.model.filter(|model| !model.is_empty()).unwrap_or(ask.model);
    Ok(Finished { output: Output::Embeddings(EmbeddingOutput { embeddings }), usage, model })
}

#[cfg(test)]
mod tests;
