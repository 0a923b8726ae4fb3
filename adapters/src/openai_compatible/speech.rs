//! `POST audio/speech`: sends the text as it came, and passes the sound on as it is made.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use reqwest::{Response, header::CONTENT_TYPE};
use schemas::{MediaOutput, Output, Usage};
use serde_json::{Value, json};

use super::outgoing;
use crate::{Call, Error, Finished, Progress, Progressed, endpoint::Endpoint, failure, files, http, limits};

/// The body, without `stream_format`: sound in events would only be sound in base64.
pub(super) fn body(call: &Call) -> Value {
    let mut body = outgoing(call.payload.clone(), &call.model);
    body.remove("stream_format");
    Value::Object(body)
}

/// The events of a reply.
pub(super) fn progress(endpoint: &Arc<Endpoint>, call: &Call, response: Response) -> Progressed {
    let started = limits::begun(response.headers());
    let media =
        response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if media.starts_with("application/json") || media.starts_with("text/") {
        return started.chain(stream::once(no_sound(Arc::clone(endpoint), response))).boxed();
    }
    let finished = Ok(Progress::Finished(Box::new(finished(call))));
    started.chain(files::pieces(Arc::clone(endpoint), 0, response)).chain(stream::iter([finished])).boxed()
}

/// The error of a reply that has a success status but is no sound.
async fn no_sound(endpoint: Arc<Endpoint>, response: Response) -> Result<Progress, Error> {
    let body = http::read_error(response).await;
    Err(failure::of_reply(&endpoint, &body, "sent text where speech was to come"))
}

fn finished(call: &Call) -> Finished {
    let text = |field: &str| call.payload.get(field).cloned();
    let input = call.payload.get("input").and_then(Value::as_str).unwrap_or_default();
    Finished {
        output: Output::Media(MediaOutput { assets: Vec::new(), details: json!({ "voice": text("voice") }) }),
        usage: Usage { characters: input.chars().count() as u64, ..Usage::default() },
        model: call.model.clone(),
    }
}
