//! `POST /v1/images/generations`: returns the images as base64, or links to them.
//!
//! `response_format` concerns only this answer, so the door removes it from the request. The default is base64, as with
//! newer models everywhere. The door encodes images as it reads them and never holds a whole answer in memory.

use axum::{
    Extension,
    body::Body,
    extract::{OriginalUri, State},
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use broker::Error as BrokerError;
use bytes::Bytes;
use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use schemas::{Action, Error, Usage};
use serde_json::{Value, json};

use super::{hand_in, made, read};
use crate::{
    answer,
    app::App,
    assets::{self, Found},
    door::{self, Entry},
    refusal::{Refusal, relative_to_body},
};

const DOOR: &str = "images";

/// How the answer carries images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Base64,
    Url,
}

/// Answers with all images once the last one is done.
pub(crate) async fn generate(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (mut request, share) = read(&app, Action::ImageGenerate, &headers, body).await?;
    let form = Form::take(&mut request.payload)?;
    let (mut accepted, request) = hand_in(&app, DOOR, &entry, request, share).await?;
    let made = made(&app, &mut accepted, &request).await;
    let created = app.parts.seams.clock.now().as_second();
    let images = made.map(|(found, usage)| {
        let mut response = match form {
            Form::Url => {
                let is_tls = !app.config.tls_cert.as_os_str().is_empty();
                links(&app, &reached_at(&uri, &headers, is_tls), created, &found, &usage)
            }
            Form::Base64 => Body::from_stream(encoded(&app, created, found, &usage)).into_response(),
        };
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    });
    Ok(answer::tell(accepted, images, relative_to_body))
}

impl Form {
    /// Removes `response_format` from `payload` and returns the form it asks for.
    fn take(payload: &mut Value) -> Result<Self, Error> {
        let Some(fields) = payload.as_object_mut() else { return Ok(Self::Base64) };
        if fields.get("stream").and_then(Value::as_bool) == Some(true) {
            return Err(Error::invalid("stream", "images are not streamed here; leave it out"));
        }
        match fields.remove("response_format") {
            None | Some(Value::Null) => Ok(Self::Base64),
            Some(Value::String(form)) if form == "b64_json" => Ok(Self::Base64),
            Some(Value::String(form)) if form == "url" => Ok(Self::Url),
            Some(_) => Err(Error::invalid("response_format", "expected `b64_json` or `url`")),
        }
    }
}

/// The base URL that the client used: HTTPS if this server speaks TLS, or if a proxy says that it does. HTTP/2 has no
/// `Host`: the URI holds the name instead.
fn reached_at(uri: &Uri, headers: &HeaderMap, is_tls: bool) -> String {
    let named = door::text(headers, header::HOST.as_str());
    let Some(host) = named.or_else(|| uri.authority().map(ToString::to_string)) else { return String::new() };
    let forwarded = || door::text(headers, "x-forwarded-proto");
    let is_https = is_tls || forwarded().is_some_and(|proto| proto == "https");
    let scheme = if is_https { "https" } else { "http" };
    format!("{scheme}://{host}")
}

/// The answer with links to the images on the server `base`.
fn links(app: &App, base: &str, created: i64, found: &[Found], usage: &Usage) -> Response {
    let link = |found: &Found| json!({ "url": format!("{base}{}", assets::signed_path(app, found).0) });
    let data: Vec<_> = found.iter().map(link).collect();
    let mut answer = json!({ "created": created, "data": data });
    if let (Some(answer), Value::Object(rest)) = (answer.as_object_mut(), rest(found, usage)) {
        answer.extend(rest);
    }
    answer.to_string().into_response()
}

/// The fields that concern all images together.
fn rest(found: &[Found], usage: &Usage) -> Value {
    let mut rest = json!({});
    let format = found.first().and_then(|found| found.asset.media_type.strip_prefix("image/"));
    if let Some(format @ ("png" | "webp" | "jpeg")) = format {
        rest["output_format"] = format.into();
    }
    // Most image models count no tokens.
    if usage.total_tokens() > 0 {
        rest["usage"] = json!({
            "input_tokens": usage.input_tokens,
            "input_tokens_details": { "image_tokens": 0, "text_tokens": usage.input_tokens },
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens(),
        });
    }
    rest
}

/// The answer with the images in it, encoded as they are read.
fn encoded(
    app: &App,
    created: i64,
    found: Vec<Found>,
    usage: &Usage,
) -> impl Stream<Item = Result<Bytes, BrokerError>> + Send + use<> {
    let rest = rest(&found, usage).to_string();
    let mut parts: Vec<BoxStream<'static, Result<Bytes, BrokerError>>> = Vec::new();
    let mut text = format!("{{\"created\":{created},\"data\":[");
    for (place, image) in found.into_iter().enumerate() {
        text.push_str(if place == 0 { "{\"b64_json\":\"" } else { ",{\"b64_json\":\"" });
        parts.push(once(std::mem::take(&mut text)));
        parts.push(base64(assets::bytes(app, &image, 0, image.asset.bytes).boxed()));
        text.push_str("\"}");
    }
    text.push(']');
    // The fields of the rest follow the list.
    match rest.strip_prefix('{') {
        Some("}") | None => text.push('}'),
        Some(fields) => text.extend([",", fields]),
    }
    parts.push(once(text));
    stream::iter(parts).flatten()
}

fn once(text: String) -> BoxStream<'static, Result<Bytes, BrokerError>> {
    stream::once(std::future::ready(Ok(text.into()))).boxed()
}

/// Encodes all pieces as one base64 text. Three bytes make four letters, so up to two bytes wait for the next piece.
fn base64(
    pieces: BoxStream<'static, Result<Bytes, BrokerError>>,
) -> BoxStream<'static, Result<Bytes, BrokerError>> {
    let state = Some((pieces, Vec::new()));
    stream::try_unfold(state, |state| async move {
        let Some((mut pieces, mut waiting)) = state else { return Ok(None) };
        let Some(piece) = pieces.next().await.transpose()? else {
            return Ok(Some((BASE64_STANDARD.encode(waiting).into(), None)));
        };
        waiting.extend_from_slice(&piece);
        let rest = waiting.split_off(waiting.len() - waiting.len() % 3);
        Ok(Some((BASE64_STANDARD.encode(waiting).into(), Some((pieces, rest)))))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;
    use futures_util::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn pieces_of_any_length_are_encoded_as_one() {
        let content: Vec<u8> = (0..=255).collect();
        for length in [1, 2, 3, 7, 256, 1000] {
            let pieces: Vec<_> =
                content.chunks(length).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            let encoded: Vec<Bytes> = base64(stream::iter(pieces).boxed()).try_collect().await.unwrap();
            assert_eq!(encoded.concat(), BASE64_STANDARD.encode(&content).into_bytes(), "by {length}");
        }
    }

    #[test]
    fn the_form_is_taken_out_of_the_payload() {
        let mut payload = json!({ "prompt": "a cat", "response_format": "url" });
        assert_eq!(Form::take(&mut payload).unwrap(), Form::Url);
        assert_eq!(payload, json!({ "prompt": "a cat" }));
        assert_eq!(Form::take(&mut payload).unwrap(), Form::Base64);
        for (bad, param) in
            [(json!({"response_format": "hex"}), "response_format"), (json!({"stream": true}), "stream")]
        {
            assert_eq!(Form::take(&mut bad.clone()).unwrap_err().param.as_deref(), Some(param));
        }
    }

    #[test]
    fn links_lead_where_the_client_has_reached_us_by_either_version() {
        let headers = |list: &[(&'static str, &'static str)]| -> HeaderMap {
            list.iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect()
        };
        let path = Uri::from_static("/v1/images/generations");
        let whole = Uri::from_static("http://b.test:1/v1/images/generations");
        let proxied = headers(&[("host", "a.test"), ("x-forwarded-proto", "https")]);
        assert_eq!(reached_at(&path, &proxied, false), "https://a.test");
        assert_eq!(reached_at(&whole, &headers(&[]), true), "https://b.test:1");
        assert_eq!(reached_at(&whole, &headers(&[]), false), "http://b.test:1");
        assert_eq!(reached_at(&path, &headers(&[]), true), "");
    }
}
