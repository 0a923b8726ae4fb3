//! Asks any provider for vectors and returns them: as many as there were inputs, in their order.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use reqwest::Response;
use schemas::{
    EmbeddingOutput, EmbeddingRequest, Output, Usage, codec,
    embedding::{EmbeddingInput, Vector},
};

use crate::{
    Call, Error, Finished, Progress, Progressed, Remedy, chat::estimate::text as estimate,
    endpoint::Endpoint, http, limits,
};

/// What the request asks for.
#[derive(Debug)]
pub(crate) struct Ask {
    /// The model, as the provider names it.
    pub(crate) model: String,
    /// How many vectors must come back.
    pub(crate) inputs: usize,
    input_estimate: u64,
}

impl Ask {
    /// Reads the payload. The error names what is wrong with it.
    pub(crate) fn new(provider: &str, call: &Call) -> Result<(Self, EmbeddingRequest), Error> {
        let request: EmbeddingRequest = codec::view(&call.payload, "payload")
            .map_err(|error| Error::new(provider, error.code, Remedy::Fatal, error.message))?;
        let ask = Self {
            model: call.model.clone(),
            inputs: request.input.len(),
            input_estimate: estimate_input(&request.input),
        };
        Ok((ask, request))
    }

    /// The answer with these vectors, which are in the order of the inputs.
    pub(crate) fn finish(
        self,
        endpoint: &Endpoint,
        embeddings: Vec<Vector>,
        usage: Option<Usage>,
        model: Option<String>,
    ) -> Result<Finished, Error> {
        if embeddings.len() > self.inputs {
            return Err(endpoint.nonsense("sent an embedding that was not asked for"));
        }
        let missing =
            (0..self.inputs).find(|at| embeddings.get(*at).is_none_or(|vector| vector.0.is_empty()));
        if let Some(missing) = missing {
            return Err(endpoint.nonsense(&format!("sent no embedding of input {missing}")));
        }
        let estimate = || Usage { input_tokens: self.input_estimate, estimated: true, ..Usage::default() };
        Ok(Finished {
            output: Output::Embeddings(EmbeddingOutput { embeddings }),
            usage: usage.unwrap_or_else(estimate),
            model: model.filter(|model| !model.is_empty()).unwrap_or(self.model),
        })
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

/// The texts, for a provider that takes no tokens.
pub(crate) fn texts<'a>(endpoint: &Endpoint, input: &'a EmbeddingInput) -> Result<Vec<&'a str>, Error> {
    match input {
        EmbeddingInput::Text(text) => Ok(vec![text]),
        EmbeddingInput::Texts(texts) => Ok(texts.iter().map(String::as_str).collect()),
        EmbeddingInput::Tokens(_) | EmbeddingInput::TokenLists(_) => {
            Err(endpoint.cannot("payload.input: takes texts, and no tokens"))
        }
    }
}

/// The events of a reply whose body `read` understands.
pub(crate) fn progress(
    endpoint: Arc<Endpoint>,
    response: Response,
    read: impl FnOnce(&Endpoint, &[u8]) -> Result<Finished, Error> + Send + 'static,
) -> Progressed {
    let begun = limits::begun(response.headers());
    let finished = async move {
        let body = http::read(response, http::REPLY_BYTES_MAX).await;
        let body = body.map_err(|error| http::unreadable(&endpoint.name, error))?;
        read(&endpoint, &body).map(|finished| Progress::Finished(Box::new(finished)))
    };
    begun.chain(stream::once(finished)).boxed()
}
