//! `POST /v1/embeddings`. Both SDKs ask for base64 unless told otherwise, and one of them reads floats as garbage then:
//! the form is the one that was asked for.

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use schemas::{Action, EmbeddingOutput, Error, ErrorCode, Output, Usage, embedding::Vector};
use serde::Serialize;
use serde_json::Value;

use super::{accept, failed, named};
use crate::{app::App, door::Entry, ending, refusal::Refusal};

const DOOR: &str = "embeddings";

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Embedding<'a>>,
    model: &'a str,
    usage: PromptUsage,
}

#[derive(Serialize)]
struct Embedding<'a> {
    object: &'static str,
    index: usize,
    embedding: Form<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Form<'a> {
    Float(&'a Vector),
    Base64(String),
}

#[derive(Serialize)]
struct PromptUsage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// One vector an input.
pub(crate) async fn create(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (mut accepted, request) = accept(&app, DOOR, Action::EmbeddingQuery, &entry, &headers, body).await?;
    let ended = ending::wait(&mut accepted.feed, app.give_up_at(request.deadline_ms)).await;
    let (output, usage) = match ended.and_then(|done| Ok((vectors(done.output)?, done.usage))) {
        Ok(ended) => ended,
        Err(error) => return Ok(failed(&mut accepted, error)),
    };
    let base64 = request.payload.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let response = Json(list(&output, request.model().unwrap_or_default(), base64, &usage)).into_response();
    accepted.account.end(None);
    Ok(named(&accepted, response))
}

fn vectors(output: Output) -> Result<EmbeddingOutput, Error> {
    match output {
        Output::Embeddings(output) => Ok(output),
        _ => Err(Error::new(ErrorCode::Internal, "the answer holds no vectors")),
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
