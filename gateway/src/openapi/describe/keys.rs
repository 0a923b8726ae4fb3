//! Describes the routes that manage API keys.

use schemas::ErrorCode;
use serde_json::{Value, json};

use crate::{
    keys::door::{List, Rotation, Shown, Wish},
    openapi::{Operation, operation::Tag},
};

fn shown() -> Value {
    json!({
        "object": "key", "id": "k3Zq8Vw1Lm", "mode": "live", "tenant": "acme", "name": "search", "role": "user",
        "created_at": "2026-11-28T00:00:00Z",
    })
}

fn made() -> Value {
    let mut made = shown();
    made["key"] = "dyn_live_k3Zq8Vw1Lm_0123456789abcdefghijklmnopqrstuvAbCdEf".into();
    made
}

fn of_key(operation: Operation) -> Operation {
    operation
        .path::<String>("id", "The id of the key: the part after `dyn_live_`.", "k3Zq8Vw1Lm")
        .refuses(&[ErrorCode::NotFound])
}

pub(crate) fn list_keys() -> Operation {
    Operation::new(
        Tag::Keys,
        "list_keys",
        "List API keys",
        "Get what is kept of each key of the tenant, oldest first; a superadmin sees those of all tenants. No key itself is shown.",
    )
    .answers(200, "The keys.")
    .json::<List>(json!({ "object": "list", "data": [shown()] }))
}

pub(crate) fn create_key() -> Operation {
    Operation::new(
        Tag::Keys,
        "create_key",
        "Make an API key",
        "Make a key and read it in the answer: it is never shown again. Give it no more than its user needs.",
    )
    .takes::<Wish>(json!({ "tenant": "acme", "name": "search", "actions": ["chat.completion"], "requests_per_minute": 60 }))
    .answers(201, "The key, and what is kept of it.")
    .json::<Shown>(made())
    .refuses(&[ErrorCode::NotFound])
}

pub(crate) fn get_key() -> Operation {
    let operation = Operation::new(
        Tag::Keys,
        "get_key",
        "Read what is kept of an API key",
        "Get the tenant, role, scopes, limits and times of one key.",
    );
    of_key(operation).answers(200, "What is kept of it.").json::<Shown>(shown())
}

pub(crate) fn revoke_key() -> Operation {
    let operation = Operation::new(
        Tag::Keys,
        "revoke_key",
        "Revoke an API key",
        "End a key for ever, at every gateway within seconds. Sockets and streams that were opened with it end as well; accepted \
         work runs on.",
    );
    of_key(operation).answers(200, "It is revoked.").json::<Shown>(shown()).refuses(&[ErrorCode::Conflict])
}

pub(crate) fn rotate_key() -> Operation {
    let operation = Operation::new(
        Tag::Keys,
        "rotate_key",
        "Replace an API key",
        "Make a key like this one and read it in the answer. The old key stays valid for the grace period, a \
         day by default.",
    );
    of_key(operation)
        .takes::<Rotation>(json!({ "grace_ms": 3_600_000 }))
        .answers(201, "The new key, and what is kept of it.")
        .json::<Shown>(made())
        .refuses(&[ErrorCode::Conflict])
}
