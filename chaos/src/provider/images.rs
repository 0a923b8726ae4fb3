//! `POST /v1/images/generations`: small images that depend only on the prompt, inside the reply or at a URL.

mod png;

use axum::extract::Path;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::behaviour::Fault;
use super::errors::ApiError;
use super::exchange::{Answer, Ask};
use super::fields::{estimate_tokens, number, present};

/// The most images of one request, as in the API.
const MAX_IMAGES: u32 = 10;

/// What an image costs, in tokens of the output.
const IMAGE_TOKENS: u32 = 272;

/// Answers a call with as many images as it asks for; `host` serves those that are fetched by URL.
pub(super) fn compose(ask: &Ask, host: &str) -> Result<Answer, ApiError> {
    let prompt = match present(&ask.body, "prompt") {
        Some(Value::String(prompt)) if !prompt.is_empty() => prompt,
        Some(Value::String(_)) => return Err(ApiError::wrong_value("prompt", "it must not be empty.")),
        Some(other) => return Err(ApiError::wrong_type("prompt", "a string", other)),
        None => return Err(ApiError::missing("prompt")),
    };
    let count = number(&ask.body, "n", 1, MAX_IMAGES)?.unwrap_or(1);
    let at_urls = match present(&ask.body, "response_format").and_then(Value::as_str) {
        None | Some("b64_json") => false,
        Some("url") => true,
        Some(_) => {
            return Err(ApiError::wrong_value("response_format", "supported are 'url' and 'b64_json'."));
        }
    };
    let image = |index: u32| {
        let colour = colour_of(&format!("{prompt}{index}"));
        if at_urls {
            let name = colour.map(|part| format!("{part:02x}")).concat();
            return json!({"url": format!("http://{host}/_sim/images/{name}.png"), "revised_prompt": prompt});
        }
        json!({"b64_json": STANDARD.encode(png::of(colour))})
    };
    let (input, output) = (estimate_tokens(prompt), IMAGE_TOKENS.saturating_mul(count));
    let total = input.saturating_add(output);
    let mut body = json!({"created": ask.created, "data": (0..count).map(image).collect::<Vec<_>>()});
    if !at_urls {
        let more =
            json!({"background": "opaque", "output_format": "png", "quality": "low", "size": "1024x1024"});
        body.as_object_mut()
            .into_iter()
            .zip(more.as_object())
            .for_each(|(body, more)| body.extend(more.clone()));
    }
    if ask.behaviour.fault != Some(Fault::NoUsage) {
        body["usage"] = json!({"input_tokens": input, "output_tokens": output, "total_tokens": total,
            "input_tokens_details": {"image_tokens": 0, "text_tokens": input}});
    }
    Ok(Answer::Whole { body: body.to_string().into(), tokens: ask.behaviour.tokens, billed: total })
}

/// Serves an image at its URL: its name is its colour.
pub(super) async fn file(Path(name): Path<String>) -> Response {
    let colour = name.strip_suffix(".png").filter(|name| name.len() == 6);
    match colour.and_then(|colour| u32::from_str_radix(colour, 16).ok()) {
        Some(colour) => {
            let [_, colour @ ..] = colour.to_be_bytes();
            ([(CONTENT_TYPE, HeaderValue::from_static("image/png"))], png::of(colour)).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn colour_of(text: &str) -> [u8; 3] {
    let [red, green, blue, ..]: [u8; 32] = Sha256::digest(text).into();
    [red, green, blue]
}
