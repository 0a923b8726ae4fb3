//! Describes the routes for operators: the pools, dead letters and callback targets.

use schemas::ErrorCode;
use serde_json::{Value, json};

use crate::{
    dead::{Dropped, Filter, How, Page, Replayed, Whole},
    openapi::{Operation, operation::Tag},
    status::Status,
    targets::{Enabled, Named, Targets, Unwanted},
};

fn summary() -> Value {
    json!({
        "sequence": 7, "parked_at": "2026-11-28T00:00:00Z", "stage": "delivery", "tenant": "default", "id": "req-123",
        "code": "provider_unavailable", "message": "the receiver did not answer", "subject": "dynode.cb.default.req-123",
        "deliveries": 8, "bytes": 512, "missing_bytes": 0,
    })
}

fn of_letter(operation: Operation) -> Operation {
    operation.path::<u64>("sequence", "The sequence of the letter.", "7").refuses(&[ErrorCode::NotFound])
}

pub(crate) fn get_status() -> Operation {
    Operation::new(
        Tag::Operations,
        "get_status",
        "See how the pools are",
        "Get what waits and what runs in each pool, how long new work would wait, and whether the broker can be reached. Ask \
         before sending much.",
    )
    .answers(200, "Every pool, and the link to the broker.")
    .json::<Status>(json!({
        "pools": [{
            "pool": "sim", "state": "available", "queue": 0, "inflight": 1, "slots": 64, "estimated_wait_ms": 0, "nodes": 1,
        }],
        "broker": { "state": "up", "down_ms": null },
    }))
}

pub(crate) fn list_dead_letters() -> Operation {
    Operation::new(
        Tag::Operations,
        "list_dead_letters",
        "List what was parked",
        "Get the messages that could not be processed, that ended their worker on every try, or that no receiver \
         accepted: oldest first, a page at a time.",
    )
    .query::<Filter>()
    .answers(200, "A page of letters.")
    .json::<Page>(json!({ "letters": [summary()], "next": null }))
}

pub(crate) fn get_dead_letter() -> Operation {
    let mut whole = summary();
    whole["reason"] = json!({ "code": "provider_unavailable", "message": "the receiver did not answer", "retryable": true });
    whole["content_type"] = "application/json".into();
    whole["body"] = json!({ "format": "json", "content": { "id": "req-123" } });
    let operation = Operation::new(
        Tag::Operations,
        "get_dead_letter",
        "Read a parked message",
        "Get all of one parked message, its body in a form that people can read, the secret of a callback left out.",
    );
    of_letter(operation).answers(200, "The letter.").json::<Whole>(whole)
}

pub(crate) fn replay_dead_letter() -> Operation {
    let operation = Operation::new(
        Tag::Operations,
        "replay_dead_letter",
        "Run a parked message again",
        "Publish a parked message once more, after its cause is fixed. This never changes an outcome: if its id \
         already has one, it runs under a new id, which the answer names.",
    );
    of_letter(operation)
        .query::<How>()
        .answers(200, "It is published.")
        .json::<Replayed>(json!({
            "sequence": 7, "subject": "dynode.cb.default.req-123", "id": "req-123", "fresh": false, "removed": true,
        }))
        .refuses(&[ErrorCode::TooLarge])
}

pub(crate) fn drop_dead_letter() -> Operation {
    let operation = Operation::new(
        Tag::Operations,
        "drop_dead_letter",
        "Drop a parked message",
        "Forget a parked message for ever.",
    );
    of_letter(operation).answers(200, "It is gone.").json::<Dropped>(json!({ "sequence": 7 }))
}

pub(crate) fn list_callback_targets() -> Operation {
    Operation::new(
        Tag::Operations,
        "list_callback_targets",
        "List targets that take no callbacks",
        "Get the targets that did not accept their last callbacks, and the disabled ones: those of the tenant, or for \
         a superadmin those of all tenants.",
    )
    .answers(200, "The targets, each with its id.")
    .json::<Targets>(json!({ "targets": [] }))
}

pub(crate) fn disable_callback_target() -> Operation {
    let url = "https://example.com/hook";
    Operation::new(
        Tag::Operations,
        "disable_callback_target",
        "Send no more callbacks to a target",
        "Disable a target of the tenant by its URL. What comes for it is parked until it is enabled again.",
    )
    .takes::<Unwanted>(json!({ "url": url }))
    .answers(200, "Nothing is sent there any more.")
    .json::<Named>(json!({
        "id": "c4ca4238a0b923820dcc509a6f75849b", "tenant": "acme", "url": url, "failures": 0,
        "disabled_at": "2026-11-28T00:00:00Z", "why": "an operator disabled it",
    }))
}

pub(crate) fn enable_callback_target() -> Operation {
    Operation::new(
        Tag::Operations,
        "enable_callback_target",
        "Send callbacks to a target again",
        "Enable a disabled target once it works again; for a superadmin, in all tenants. Then replay the callbacks \
         that were parked for it.",
    )
    .path::<String>("id", "The id of the target.", "c29tZS10YXJnZXQ")
    .answers(200, "Callbacks are sent there again.")
    .json::<Enabled>(json!({ "id": "c29tZS10YXJnZXQ" }))
    .refuses(&[ErrorCode::NotFound])
}
