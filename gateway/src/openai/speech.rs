//! `POST /v1/audio/speech`: returns the sound itself, with its media type.

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use schemas::{Action, Error, ErrorCode};
use serde_json::Value;

use super::{hand_in, made, read};
use crate::{
    answer,
    app::App,
    assets::{self, Found},
    door::Entry,
    refusal::{Refusal, relative_to_body},
};

const DOOR: &str = "speech";

/// Answers with the sound once it is ready.
pub(crate) async fn create(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (mut request, share) = read(&app, Action::AudioSynthesize, &headers, body).await?;
    check_form(&mut request.payload)?;
    let (mut accepted, request) = hand_in(&app, DOOR, &entry, request, share).await?;
    let sound = made(&app, &mut accepted, &request).await.and_then(|(found, _)| {
        let none = || Error::new(ErrorCode::Internal, "the answer holds no sound");
        found.into_iter().next().ok_or_else(none)
    });
    Ok(answer::tell(accepted, sound.map(|sound| whole(&app, &sound)), relative_to_body))
}

fn whole(app: &App, sound: &Found) -> Response {
    let length = sound.asset.bytes;
    let mut response = Body::from_stream(assets::bytes(app, sound, 0, length)).into_response();
    let told = response.headers_mut();
    told.insert(header::CONTENT_LENGTH, length.into());
    if let Ok(kind) = HeaderValue::from_str(&sound.asset.media_type) {
        told.insert(header::CONTENT_TYPE, kind);
    }
    response
}

/// Accepts only `stream_format: audio`, and removes it from the payload: this door sends no events.
fn check_form(payload: &mut Value) -> Result<(), Error> {
    let form = payload.as_object_mut().and_then(|fields| fields.remove("stream_format"));
    match form {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(form)) if form == "audio" => Ok(()),
        _ => Err(Error::invalid("stream_format", "expected `audio`; speech is not sent as events here")),
    }
}
