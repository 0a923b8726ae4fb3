//! Describes the routes of generated files and of providers' webhooks.

use schemas::ErrorCode;
use serde_json::{Value, json};

use crate::{
    assets::{AssetLink, Signed},
    openapi::{
        Operation,
        headers::{CONTENT_RANGE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE},
        operation::Tag,
    },
    webhooks::Received,
};

fn of_asset(operation: Operation) -> Operation {
    operation.path::<String>("id", "The id of the asset, as an outcome names it.", "a1")
}

pub(crate) fn get_asset() -> Operation {
    let operation = Operation::new(
        Tag::Assets,
        "get_asset",
        "Read a file",
        "Get the bytes of a file that a request has made, whole or one range of them. Without a key, follow a signed link: \
         `expires` and `signature` are part of it.",
    );
    of_asset(operation)
        .query::<Signed>()
        .header(RANGE)
        .header(IF_RANGE)
        .header(IF_NONE_MATCH)
        .answers(200, "The whole file, with its type.")
        .raw("*/*")
        .with(ETAG)
        .answers(206, "The range that was asked for.")
        .raw("*/*")
        .with(ETAG)
        .with(CONTENT_RANGE)
        .answers(304, "You have it already.")
        .with(ETAG)
        .answers(416, "The range lies beyond the end.")
        .with(CONTENT_RANGE)
        .refuses(&[ErrorCode::NotFound])
}

pub(crate) fn link_asset() -> Operation {
    let operation = Operation::new(
        Tag::Assets,
        "link_asset",
        "Make a link to a file",
        "Get a signed link to a file, to be handed to somebody who has no key. It is good for some minutes.",
    );
    of_asset(operation)
        .answers(200, "The link.")
        .json::<AssetLink>(json!({
            "url": "/v1/assets/a1?expires=1795000600&signature=x",
            "expires_at": "2026-11-18T12:26:40Z",
            "asset": {
                "id": "a1", "url": "/v1/assets/a1", "media_type": "image/png", "bytes": 4096,
                "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "expires_at": "2026-11-19T12:00:00Z",
            },
        }))
        .refuses(&[ErrorCode::NotFound])
}

pub(crate) fn receive_webhook() -> Operation {
    Operation::new(
        Tag::Assets,
        "receive_webhook",
        "Tell the end of long work",
        "For providers only: report that long work is over to the request that waits for it. The token is part of the \
         URL that the provider was given; if the provider signs its webhooks, the signature is checked too.",
    )
    .path::<String>("token", "The token of the URL that the provider was given.", "t1")
    .takes::<Value>(json!({ "status": "succeeded" }))
    .answers(200, "Received, even if it is a repeat or comes too late.")
    .json::<Received>(json!({ "received": true }))
    .refuses(&[ErrorCode::Unauthorized])
}
