//! Describes the probes.

use serde_json::{Value, json};

use crate::{
    health::{Alive, Readiness},
    openapi::{Operation, content::TEXT, operation::Tag},
};

pub(crate) fn get_index() -> Operation {
    Operation::new(
        Tag::Health,
        "get_index",
        "See what this is",
        "Get the name, the version and the routes of this server.",
    )
    .open()
    .answers(200, "What this is, and where its doors are.")
    .json::<Value>(json!({ "name": "dynode", "version": "0.1.0", "websocket": "/ws" }))
}

pub(crate) fn check_live() -> Operation {
    Operation::new(
        Tag::Health,
        "check_live",
        "Probe whether the process lives",
        "Restart the process if this does not answer. It says nothing about the broker or the workers: a restart \
         fixes neither.",
    )
    .open()
    .answers(200, "It lives.")
    .json::<Alive>(json!({ "status": "live" }))
}

pub(crate) fn check_ready() -> Operation {
    let operation = Operation::new(
        Tag::Health,
        "check_ready",
        "Probe whether requests are welcome",
        "Send new requests elsewhere while this answers 503. `alarms` are for a person to look at, and do not \
         change the status.",
    );
    operation
        .open()
        .answers(200, "New requests are welcome.")
        .json::<Readiness>(json!({ "status": "ready", "reasons": [], "alarms": [] }))
        .answers(503, "New requests are not welcome; the reasons say why.")
        .json::<Readiness>(json!({ "status": "unready", "reasons": ["draining"], "alarms": [] }))
}

pub(crate) fn get_metrics() -> Operation {
    Operation::new(
        Tag::Health,
        "get_metrics",
        "Read the metrics",
        "Get all metrics of this process and its workers as Prometheus text.",
    )
    .answers(200, "Prometheus text.")
    .raw(TEXT)
}
