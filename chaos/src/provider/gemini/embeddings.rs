//! Vectors. As with the real models, a shortened vector is not scaled back to length one.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::provider::behaviour::Fault;
use crate::provider::embeddings::embed;
use crate::provider::errors::ApiError;
use crate::provider::exchange::{Answer, Ask};
use crate::provider::fields::{estimate_tokens, list, number};

/// The most requests in one batch.
const MAX_REQUESTS: usize = 100;

const MAX_DIMENSIONS: u32 = 3_072;

/// How long a shortened vector is.
const SHORTENED: f32 = 0.6;

pub(super) fn many(ask: &Ask) -> Result<Answer, ApiError> {
    let requests = list(&ask.body, "requests")?;
    if requests.is_empty() || requests.len() > MAX_REQUESTS {
        let problem = "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch";
        return Err(ApiError::wrong_value("requests", problem));
    }
    let embedded = requests.iter().map(|request| vector(ask, request)).collect::<Result<Vec<_>, _>>()?;
    let tokens = embedded.iter().fold(0_u32, |sum, (_, tokens)| sum.saturating_add(*tokens));
    let vectors: Vec<_> = embedded.into_iter().map(|(values, _)| json!({ "values": values })).collect();
    Ok(answer(ask, json!({ "embeddings": vectors }), tokens))
}

pub(super) fn one(ask: &Ask) -> Result<Answer, ApiError> {
    let (values, tokens) = vector(ask, &ask.body)?;
    Ok(answer(ask, json!({"embedding": {"values": values}}), tokens))
}

fn answer(ask: &Ask, mut body: Value, tokens: u32) -> Answer {
    if ask.behaviour.fault != Some(Fault::NoUsage) {
        body["usageMetadata"] = json!({"promptTokenCount": tokens});
    }
    Answer::Whole { body: body.to_string().into(), tokens: 1, billed: tokens }
}

fn vector(ask: &Ask, request: &Value) -> Result<(Vec<f32>, u32), ApiError> {
    let content = request.get("content").ok_or_else(|| ApiError::missing("content"))?;
    let text: String = list(content, "parts")?.iter().filter_map(|part| part.get("text")?.as_str()).collect();
    if text.is_empty() {
        return Err(ApiError::wrong_value(
            "content",
            "* EmbedContentRequest.content: contains an empty Part.",
        ));
    }
    let wanted = number(request, "outputDimensionality", 1, MAX_DIMENSIONS)?;
    let mut values = embed(&Sha256::digest(&text).into(), wanted.unwrap_or(ask.dimensions));
    if wanted.is_some() {
        values.iter_mut().for_each(|value| *value *= SHORTENED);
    }
    Ok((values, estimate_tokens(&text)))
}
