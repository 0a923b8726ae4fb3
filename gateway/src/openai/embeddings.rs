//! `POST /v1/embeddings`: answers in the encoding that was requested. Both SDKs request base64 by default, and one of
//! them then reads floats as garbage.

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use schemas::{Action, EmbeddingOutput, Error, Output, RequestId, Usage, embedding::Vector};
use serde::Serialize;
use serde_json::Value;

use super::accept;
use crate::{
    answer,
    app::App,
    door::Entry,
    ending, record,
    refusal::{Refusal, relative_to_body},
};

const DOOR: &str = "embeddings";

/// The vectors, in the order of the inputs.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EmbeddingList")]
pub(crate) struct List<'a> {
    /// The object type.
    #[schemars(extend("const" = "list"))]
    object: &'static str,
    /// One per input.
    data: Vec<Embedding<'a>>,
    /// The requested model.
    model: &'a str,
    /// Tokens read.
    usage: PromptUsage,
}

/// One vector.
#[derive(Serialize, JsonSchema)]
struct Embedding<'a> {
    /// The object type.
    #[schemars(extend("const" = "embedding"))]
    object: &'static str,
    /// The index of its input, from 0.
    index: usize,
    /// The numbers, or base64 of little-endian 32-bit floats, according to `encoding_format`.
    embedding: Form<'a>,
}

#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum Form<'a> {
    Float(&'a Vector),
    Base64(String),
}

/// Tokens read.
#[derive(Serialize, JsonSchema)]
struct PromptUsage {
    /// Tokens of the inputs.
    prompt_tokens: u64,
    /// The same number.
    total_tokens: u64,
}

/// Returns one vector per input.
pub(crate) async fn create(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (mut accepted, request) = accept(&app, DOOR, Action::EmbeddingQuery, &entry, &headers, body).await?;
    let ended = ending::wait(&mut accepted.feed, app.give_up_at(request.deadline_ms)).await;
    let base64 = request.payload.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let vectors = ended.and_then(|done| {
        let output = vectors(&accepted.id, done.output)?;
        let model = request.model().unwrap_or_default();
        Ok(Json(list(&output, model, base64, &done.usage)).into_response())
    });
    Ok(answer::tell(accepted, vectors, relative_to_body))
}

fn vectors(id: &RequestId, output: Output) -> Result<EmbeddingOutput, Error> {
    match output {
        Output::Embeddings(output) => Ok(output),
        // The id belongs to a request with the same payload but a different action.
        _ => Err(record::conflict(id)),
    }
}

fn list<'a>(output: &'a EmbeddingOutput, model: &'a str, base64: bool, usage: &Usage) -> List<'a> {
    let embedding = |(index, vector): (usize, &'a Vector)| Embedding {
        object: "embedding",
        index,
        embedding: if base64 {
            Form::Base64(STANDARD.encode(vector.to_le_bytes()))
        } else {
            Form::Float(vector)
        },
    };
    let data = output.embeddings.iter().enumerate().map(embedding).collect();
    let usage = PromptUsage { prompt_tokens: usage.input_tokens, total_tokens: usage.total_tokens() };
    List { object: "list", data, model, usage }
}
