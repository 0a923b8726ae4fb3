//! `POST /v1/embeddings`: unit vectors that depend only on the input, as floats or as base64.

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::behaviour::Fault;
use super::errors::ApiError;
use super::exchange::{Answer, Ask};
use super::fields::{estimate_tokens, number, present};

/// The most inputs of one request, as in the API.
const MAX_INPUTS: usize = 2_048;

/// The greatest length of a vector: that of the API's largest model.
const MAX_DIMENSIONS: u32 = 3_072;

/// Answers a call with one vector for each input, in their order.
pub(super) fn compose(ask: &Ask) -> Result<Answer, ApiError> {
    let inputs = inputs(&ask.body)?;
    let dimensions = number(&ask.body, "dimensions", 1, MAX_DIMENSIONS)?.unwrap_or(ask.dimensions);
    let base64 = match present(&ask.body, "encoding_format") {
        None => false,
        Some(Value::String(format)) if format == "float" => false,
        Some(Value::String(format)) if format == "base64" => true,
        Some(_) => {
            return Err(ApiError::wrong_value("encoding_format", "supported are 'float' and 'base64'."));
        }
    };
    let data = inputs.iter().enumerate().map(|(index, input)| Item {
        object: "embedding",
        index,
        embedding: Vector::new(embed(&input.seed, dimensions), base64),
    });
    let tokens = inputs.iter().fold(0u32, |sum, input| sum.saturating_add(input.tokens));
    let usage = Usage { prompt_tokens: tokens, total_tokens: tokens };
    let body = List {
        object: "list",
        data: data.collect(),
        model: &ask.model,
        usage: (ask.behaviour.fault != Some(Fault::NoUsage)).then_some(usage),
    };
    let body =
        serde_json::to_vec(&body).map_err(|_| ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR))?;
    Ok(Answer::Whole { body: body.into(), tokens: 1, billed: tokens })
}

struct Input {
    seed: [u8; 32],
    tokens: u32,
}

/// The four forms of `input`: a text, texts, tokens, lists of tokens.
fn inputs(body: &Value) -> Result<Vec<Input>, ApiError> {
    let value = present(body, "input").ok_or_else(|| ApiError::missing("input"))?;
    match value {
        Value::Array(items) if items.is_empty() => {
            Err(ApiError::wrong_value("input", "the array must not be empty."))
        }
        Value::Array(items) if items.iter().all(Value::is_u64) => Ok(vec![input(value)?]),
        Value::Array(items) if items.len() > MAX_INPUTS => {
            Err(ApiError::wrong_value("input", "the array may have at most 2048 items."))
        }
        Value::Array(items) => items.iter().map(input).collect(),
        _ => Ok(vec![input(value)?]),
    }
}

fn input(value: &Value) -> Result<Input, ApiError> {
    match value {
        Value::String(text) if text.is_empty() => {
            Err(ApiError::wrong_value("input", "a text must not be empty."))
        }
        Value::String(text) => Ok(Input { seed: Sha256::digest(text).into(), tokens: estimate_tokens(text) }),
        Value::Array(tokens) if !tokens.is_empty() && tokens.iter().all(Value::is_u64) => Ok(Input {
            seed: Sha256::digest(value.to_string()).into(),
            tokens: u32::try_from(tokens.len()).unwrap_or(u32::MAX),
        }),
        other => Err(ApiError::wrong_type("input", "a string or an array of strings or tokens", other)),
    }
}

/// A unit vector drawn from `seed` by a xorshift generator: fast, and the same on every machine.
pub(super) fn embed(seed: &[u8; 32], dimensions: u32) -> Vec<f32> {
    let mut state = seed.iter().fold(1u64, |state, byte| state.rotate_left(8) ^ u64::from(*byte)) | 1;
    let mut vector: Vec<f32> = (0..dimensions)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // The upper 24 bits, which a float holds exactly, as a number from -1 to 1.
            (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        })
        .collect();
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    vector.iter_mut().for_each(|x| *x /= length);
    vector
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Item>,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct Item {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u32,
    total_tokens: u32,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Floats(Vec<f32>),
    /// Little-endian 32-bit floats.
    Base64(String),
}

impl Vector {
    fn new(vector: Vec<f32>, base64: bool) -> Self {
        if !base64 {
            return Self::Floats(vector);
        }
        let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
        Self::Base64(STANDARD.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_has_length_one_and_depends_on_its_input() {
        let of = |text: &str| embed(&Sha256::digest(text).into(), 64);
        let length: f32 = of("a").iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-4, "{length}");
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
    }

    #[test]
    fn base64_holds_the_same_numbers_as_floats() {
        let vector = vec![0.5f32, -1.0];
        assert_eq!(serde_json::to_string(&Vector::new(vector.clone(), false)).unwrap(), "[0.5,-1.0]");
        assert_eq!(serde_json::to_string(&Vector::new(vector, true)).unwrap(), "\"AAAAPwAAgL8=\"");
    }
}
