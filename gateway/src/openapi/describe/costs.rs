//! Describes the routes for the estimated and the actual cost of requests.

use schemas::{ErrorCode, Estimate, UsageReport};
use serde_json::json;

use super::requests::Submission;
use crate::{
    openapi::{Operation, operation::Tag},
    usage::Filter,
};

pub(crate) fn estimate_request() -> Operation {
    Operation::new(
        Tag::Costs,
        "estimate_request",
        "Estimate what a request would cost",
        "Send a request as you would hand it in and learn which models would be tried, in order, and what each would cost at \
         least and at most. Nothing is stored and nobody is called.",
    )
    .takes_either::<Submission>(json!({
        "action": "chat.completion",
        "payload": { "model": "sim-fast", "messages": [{ "role": "user", "content": "Say hello." }] },
    }))
    .answers(200, "The models that would be tried, and those that are left out.")
    .json::<Estimate>(json!({
        "action": "chat.completion", "input_tokens": 12, "left_out": [],
        "steps": [{
            "provider": "sim", "model": "sim-fast", "output_tokens_max": 100, "cost_usd_min": 0.00001,
            "cost_usd_max": 0.0002,
        }],
    }))
    .refuses(&[ErrorCode::NotFound])
}

pub(crate) fn get_usage() -> Operation {
    let sum = json!({
        "requests": 2, "calls": 3, "unpriced_calls": 0, "usage": { "input_tokens": 27, "output_tokens": 6 },
        "cost_usd": 0.0004,
    });
    let mut row = sum.clone();
    row["model"] = "sim-fast".into();
    Operation::new(
        Tag::Costs,
        "get_usage",
        "Sum what requests have used",
        "Get how many requests and calls there were, the tokens and the cost, in one sum or told apart by hour, session, \
         action, provider and model.",
    )
    .query::<Filter>()
    .answers(200, "The sums.")
    .json::<UsageReport>(json!({
        "object": "list", "since": "2026-11-27T00:00:00Z", "by": ["model"], "data": [row], "total": sum,
    }))
    .refuses(&[ErrorCode::NotFound])
}
