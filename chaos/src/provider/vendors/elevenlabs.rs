//! ElevenLabs: `POST /elevenlabs/v1/text-to-speech/{voice}[/stream]`, JSON in, speech out as made; voices and models.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use bytes::Bytes;
use serde_json::{Value, json};

use super::samples::mp3;
use super::visit::{Answer, Refusal, Reply, Vendor, Visit, look, work};
use crate::provider::sim::Sim;

/// Each model with the longest text that it speaks.
const MODELS: [(&str, usize); 4] = [
    ("eleven_v3", 5_000),
    ("eleven_multilingual_v2", 10_000),
    ("eleven_turbo_v2_5", 40_000),
    ("eleven_flash_v2_5", 40_000),
];
/// How many characters one frame of sound speaks.
const CHARACTERS_PER_FRAME: usize = 4;
/// The id of a voice that does not exist.
const NO_VOICE: &str = "nobody";

static VENDOR: Vendor = Vendor {
    name: "elevenlabs",
    key_header: "xi-api-key",
    key_prefix: "",
    error: |_, code, message| json!({"detail": {"status": code, "message": message}}),
    words,
    tells_retry_after: false,
};

pub(super) fn routes() -> Router<Arc<Sim>> {
    let speak = |State(sim): State<Arc<Sim>>, request: Request| work(sim, &VENDOR, request, speak);
    let voices = |State(sim): State<Arc<Sim>>, request: Request| look(sim, &VENDOR, request, voices);
    let models = |State(sim): State<Arc<Sim>>, request: Request| look(sim, &VENDOR, request, models);
    Router::new()
        .route("/elevenlabs/v1/text-to-speech/{voice}", post(speak))
        .route("/elevenlabs/v1/text-to-speech/{voice}/stream", post(speak))
        .route("/elevenlabs/v2/voices", get(voices))
        .route("/elevenlabs/v1/models", get(models))
}

fn words(status: u16) -> (&'static str, &'static str) {
    match status {
        401 => ("invalid_api_key", "Invalid API key"),
        402 => ("quota_exceeded", "This request exceeds your quota."),
        403 => ("only_for_creator+", "This is not part of your subscription."),
        429 => ("too_many_concurrent_requests", "Too many concurrent requests."),
        500.. => ("internal_server_error", "Something went wrong."),
        _ => ("bad_request", "The request was refused."),
    }
}

fn speak(visit: &Visit<'_>) -> Answer {
    let invalid = |code, message: &str| Refusal::new(400, code, message);
    // A spent quota gets the same status as a wrong key.
    if visit.twist.withheld {
        return Err(Refusal::new(401, "quota_exceeded", "This request exceeds your quota of 0."));
    }
    let text = visit.text("text").ok_or_else(|| Refusal::new(422, "missing", "text: field required"))?;
    let model = visit.text("model_id").unwrap_or("eleven_multilingual_v2");
    let known = MODELS.iter().find(|(name, _)| *name == model);
    let (_, limit) =
        known.ok_or_else(|| invalid("model_not_found", "A model with this id does not exist."))?;
    if visit.segment(3) == NO_VOICE {
        return Err(Refusal::new(404, "voice_not_found", "A voice with this id was not found."));
    }
    let characters = text.chars().count();
    if characters > *limit {
        return Err(invalid("max_character_limit_exceeded", "The text is longer than this model allows."));
    }
    let (content_type, is_mp3) = match visit.query("output_format").unwrap_or("mp3_44100_128") {
        format if format.starts_with("mp3_") => ("audio/mpeg", true),
        format if format.starts_with("pcm_") => ("audio/pcm", false),
        format if format.starts_with("wav_") => ("audio/wav", false),
        format if format.starts_with("opus_") => ("audio/opus", false),
        _ => return Err(invalid("invalid_output_format", "The output format is unknown.")),
    };
    let frames = mp3(characters.div_ceil(CHARACTERS_PER_FRAME));
    let frames = if is_mp3 { frames } else { frames.into_iter().map(|frame| vec![0; frame.len()]).collect() };
    Ok(Reply::bytes(content_type, frames.into_iter().map(Bytes::from).collect())
        .header("request-id", &visit.id)
        .header("history-item-id", &visit.id)
        .header("character-cost", characters)
        .header("current-concurrent-requests", 1)
        .header("maximum-concurrent-requests", 10))
}

fn voices(_: &Visit<'_>) -> Answer {
    let voice = |id: &str, name: &str| {
        json!({"voice_id": id, "name": name, "category": "premade", "labels": {"accent": "british"},
            "description": null, "preview_url": null, "available_for_tiers": [], "settings": null})
    };
    let voices = [voice("JBFqnCBsd6RMkjVDRZzb", "George"), voice("21m00Tcm4TlvDq8ikWAM", "Rachel")];
    let body = json!({"voices": voices, "has_more": false, "total_count": 2, "next_page_token": null});
    Ok(Reply::json(StatusCode::OK, &body))
}

fn models(_: &Visit<'_>) -> Answer {
    let model = |(name, limit): &(&str, usize)| {
        json!({"model_id": name, "name": name, "can_do_text_to_speech": true, "languages": [],
            "maximum_text_length_per_request": limit, "concurrency_group": "standard"})
    };
    Ok(Reply::json(StatusCode::OK, &MODELS.iter().map(model).collect::<Value>()))
}
