//! `POST images/generations`: takes the images from the reply, or fetches them at once from URLs in it.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::{FutureExt, StreamExt, stream};
use reqwest::Response;
use schemas::{MediaOutput, Output, Usage};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::outgoing;
use crate::{
    Call, Error, Finished, Progress, Progressed, counts, endpoint::Endpoint, failure, files, http, limits,
};

/// The fields of a reply, beside its images, that are passed on.
const DETAILS: [&str; 5] = ["created", "background", "output_format", "quality", "size"];

#[derive(Debug, Deserialize)]
struct Reply {
    data: Vec<Image>,
    #[serde(default, deserialize_with = "counts::part")]
    usage: Option<UsageReply>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Image {
    b64_json: Option<String>,
    url: Option<String>,
    revised_prompt: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct UsageReply {
    #[serde(default, deserialize_with = "counts::count")]
    input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "counts::count")]
    output_tokens: Option<u64>,
}

/// The body. Images come whole: nobody would see partial ones (`stream`, `partial_images`). It asks for no URLs, which
/// would only have to be fetched.
pub(super) fn body(call: &Call) -> Value {
    let mut body = outgoing(call.payload.clone(), &call.model);
    ["stream", "partial_images"].iter().for_each(|field| drop(body.remove(*field)));
    if body.contains_key("response_format") {
        body.insert("response_format".into(), "b64_json".into());
    }
    Value::Object(body)
}

/// The events of a reply.
pub(super) fn progress(endpoint: Arc<Endpoint>, call: Arc<Call>, response: Response) -> Progressed {
    let begun = limits::begun(response.headers());
    let brought = async move {
        match read(&endpoint, response).await {
            Ok(reply) => images(endpoint, call, reply),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    };
    begun.chain(brought.into_stream().flatten()).boxed()
}

async fn read(endpoint: &Endpoint, response: Response) -> Result<Reply, Error> {
    let body = http::read(response, http::REPLY_BYTES_MAX).await;
    let body = body.map_err(|error| http::unreadable(&endpoint.name, error))?;
    let reply: Reply = serde_json::from_slice(&body).map_err(|error| {
        failure::of_reply(endpoint, &body, &format!("sent what is no list of images: {error}"))
    })?;
    if reply.data.is_empty() { Err(endpoint.nonsense("sent no image")) } else { Ok(reply) }
}

/// The images one after the other, then `Finished`.
fn images(endpoint: Arc<Endpoint>, call: Arc<Call>, reply: Reply) -> Progressed {
    let finished = finished(&call, &reply);
    let media_type = reply.other.get("output_format").and_then(Value::as_str).map(|format| match format {
        "svg" => "image/svg+xml".to_owned(),
        format => format!("image/{format}"),
    });
    let images = stream::iter(reply.data.into_iter().zip(0..));
    let pieces = images.flat_map(move |(image, file)| {
        let (endpoint, call, media_type) = (Arc::clone(&endpoint), Arc::clone(&call), media_type.clone());
        one(endpoint, call, media_type, file, image).into_stream().flatten()
    });
    pieces.chain(stream::iter([Ok(Progress::Finished(Box::new(finished)))])).boxed()
}

async fn one(
    endpoint: Arc<Endpoint>,
    call: Arc<Call>,
    media_type: Option<String>,
    file: u32,
    image: Image,
) -> Progressed {
    let only = |item: Result<Progress, Error>| -> Progressed { stream::iter([item]).boxed() };
    match (image.b64_json, image.url) {
        (Some(text), _) => only(match BASE64_STANDARD.decode(text) {
            Ok(bytes) if !bytes.is_empty() => Ok(files::whole(file, media_type, bytes.into())),
            _ => Err(endpoint.nonsense("sent an image that is no base64")),
        }),
        (None, Some(url)) => match endpoint.fetch(&url, &call).await {
            Ok(response) => files::pieces(endpoint, file, response),
            Err(error) => only(Err(error)),
        },
        (None, None) => only(Err(endpoint.nonsense("sent an image without its bytes and without a URL"))),
    }
}

fn finished(call: &Call, reply: &Reply) -> Finished {
    let mut details: Map<_, _> = DETAILS
        .into_iter()
        .filter_map(|field| {
            Some((field.to_owned(), reply.other.get(field).filter(|it| !it.is_null())?.clone()))
        })
        .collect();
    let image = |image: &Image| match &image.revised_prompt {
        Some(prompt) => json!({ "revised_prompt": prompt }),
        None => json!({}),
    };
    details.insert("images".into(), reply.data.iter().map(image).collect());
    let used = |of: fn(&UsageReply) -> Option<u64>| reply.usage.as_ref().and_then(of).unwrap_or(0);
    Finished {
        output: Output::Media(MediaOutput { assets: Vec::new(), details: details.into() }),
        usage: Usage {
            images: reply.data.len() as u64,
            input_tokens: used(|usage| usage.input_tokens),
            output_tokens: used(|usage| usage.output_tokens),
            ..Usage::default()
        },
        model: call.model.clone(),
    }
}
