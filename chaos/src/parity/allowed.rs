//! The allowed differences: where, on which handles, and why. Any other difference is a failure.

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    case::{Area, Case},
    compare::Difference,
    handle::Handle,
};

/// One allowed difference.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Allowed {
    /// On which handles.
    pub on: &'static [Handle],
    /// In which areas; none means all.
    pub of: &'static [Area],
    /// At which places: these and all below them.
    pub at: &'static [&'static str],
    /// Why.
    pub why: &'static str,
    /// What the two sides may be at these places.
    #[serde(skip)]
    fits: fn(&Difference) -> bool,
}

use Area::{Cancel, Errors, Files, Health, Large, Metadata, Timeouts, Upstream};
use Handle::{Bus, BusPacked, Messages, OpenAi, Requests, RequestsPacked, Responses};

/// All of them.
pub(super) const ALLOWED: &[Allowed] = &[
    Allowed {
        on: &[OpenAi, Responses, Messages],
        of: &[],
        at: &["/events", "/running"],
        why: "APIs of others tell the answer and nothing of the way to it: the record and `GET /v1/requests/{id}/events` have it",
        fits: |difference| difference.here == json!([]),
    },
    Allowed {
        on: &[OpenAi],
        of: &[],
        at: &["/usage"],
        why: "OpenAI's API tells the usage of a stream only where `stream_options.include_usage` asks for it, and that of files not at all: the record has it",
        fits: nothing_here,
    },
    Allowed {
        on: &[OpenAi],
        of: &[Files],
        at: &["/output/details"],
        why: "OpenAI's API answers with files alone: the record has the rest",
        fits: nothing_here,
    },
    Allowed {
        on: &[OpenAi, Responses, Messages],
        of: &[],
        at: &["/error/upstream_status"],
        why: "the error objects of others have no place for it: the record has it",
        fits: nothing_here,
    },
    Allowed {
        on: &[OpenAi, Responses, Messages],
        of: &[Upstream, Timeouts],
        at: &["/error/http", "/error/retryable", "/error/retry_after"],
        why: "an error inside of a stream has neither a status nor headers, which would tell it",
        fits: nothing_here,
    },
    Allowed {
        on: &[Responses],
        of: &[Upstream, Timeouts],
        at: &["/error/type", "/error/param"],
        why: "the error of a response that failed after it had begun is a code and a message: the record has the rest",
        fits: nothing_here,
    },
    Allowed {
        on: &[Responses],
        of: &[Cancel],
        at: &["/usage"],
        why: "a stream that ends without an answer tells no usage: the response that is retrieved has it",
        fits: nothing_here,
    },
    Allowed {
        on: &[OpenAi, Responses],
        of: &[Errors],
        at: &["/error/code"],
        why: "an unknown model has the code that OpenAI's SDKs know",
        fits: |difference| difference.reference == "not_found" && difference.here == "model_not_found",
    },
    Allowed {
        on: &[OpenAi, Responses, Messages],
        of: &[Errors],
        at: &["/error/message"],
        why: "the bodies of others are the payload alone: what is no object is told what was expected of it",
        fits: |difference| difference.here == "the body: expected an object",
    },
    Allowed {
        on: &[Responses, Messages],
        of: &[Errors],
        at: &["/error/message"],
        why: "what is wrong with a field is said by what its API takes there: other roles, a lower temperature, a question that may be left out",
        fits: is_of_the_same_field,
    },
    Allowed {
        on: &[OpenAi, Responses, Messages],
        of: &[Upstream],
        at: &["/end", "/error", "/output", "/pieces", "/streamed", "/usage"],
        why: "pieces that were sent cannot be taken back: a stream that begins anew ends with an error there, and the answer is read by its id",
        fits: is_taken_back,
    },
    Allowed {
        on: &[OpenAi],
        of: &[Metadata],
        at: &["/record/fingerprint"],
        why: "OpenAI's API has the notes of a request inside of its body, by which requests are told apart",
        fits: |_| true,
    },
    Allowed {
        on: &[Messages],
        of: &[],
        at: &["/record/fingerprint"],
        why: "the Messages API demands a limit of tokens, which stands in the payload of the request that it becomes",
        fits: |_| true,
    },
    Allowed {
        on: &[Requests, RequestsPacked, Bus, BusPacked],
        of: &[Errors],
        at: &["/events"],
        why: "the WebSocket says `queued` when the broker has stored a request; others hear it from the classifier, which does not say it of what it refuses",
        fits: |difference| {
            difference.reference == json!(["queued", "fail"]) && difference.here == json!(["fail"])
        },
    },
    Allowed {
        on: &[Bus, BusPacked],
        of: &[Errors, Metadata],
        at: &["/end", "/events", "/record"],
        why: "no door stands before the bus: what a door would refuse is stored there, fails, and is parked",
        fits: |difference| match difference.at.as_str() {
            "/end" => difference.reference == "refused" && difference.here == "failed",
            "/events" => difference.reference == json!([]) && difference.here == json!(["fail"]),
            _ => difference.reference.is_null() && difference.here["status"] == "failed",
        },
    },
    Allowed {
        on: &[Bus, BusPacked],
        of: &[Errors],
        at: &["/error/message"],
        why: "the bus reads a request in one go, where a door reads its action first; and the tenant is that of the subject",
        fits: |difference| {
            let text = difference.here.as_str().unwrap_or_default();
            ["unknown variant", "is not the tenant of the subject"].iter().any(|part| text.contains(part))
        },
    },
    Allowed {
        on: &[OpenAi, Responses, Messages, Requests, RequestsPacked, Bus, BusPacked],
        of: &[Large],
        at: &["/end", "/close_code", "/error"],
        why: "a frame over its limit closes the WebSocket (1009); a body over it is a 413, and a message over it is refused by NATS itself",
        fits: |difference| match difference.at.as_str() {
            "/end" => difference.reference == "closed" && difference.here == "refused",
            "/close_code" => difference.reference == 1009,
            _ => difference.here["code"] == "too_large",
        },
    },
    Allowed {
        on: &[Requests, RequestsPacked],
        of: &[Health],
        at: &["/output/version"],
        why: "a probe over HTTP is not told the version: `GET /` tells it",
        fits: nothing_here,
    },
    Allowed {
        on: &[Bus, BusPacked],
        of: &[],
        at: &["/record/key"],
        why: "on the bus nobody shows an API key: NATS says who may do what",
        fits: nothing_here,
    },
    Allowed {
        on: &[Bus, BusPacked],
        of: &[Health],
        at: &["/output/alarms", "/output/reasons", "/output/version"],
        why: "on the bus no gateway is asked but an engine: that it answers is its health",
        fits: nothing_here,
    },
];

/// Whether the WebSocket tells in full an answer that began anew, and this handle does not.
fn is_taken_back(difference: &Difference) -> bool {
    match difference.at.as_str() {
        "/end" => difference.reference == "succeeded" && difference.here == "failed",
        "/error" => difference.here["code"] == "provider_unavailable",
        "/output" => difference.here.is_null(),
        _ => true,
    }
}

/// Whether both messages are about one field.
fn is_of_the_same_field(difference: &Difference) -> bool {
    let field = |message: &Value| Some(message.as_str()?.split_once(": ")?.0.to_owned());
    field(&difference.reference).is_some_and(|told| field(&difference.here) == Some(told))
}

fn nothing_here(difference: &Difference) -> bool {
    difference.here.is_null()
}

/// The number of the rule that allows `difference`, if one does.
pub(super) fn find(case: &Case, handle: Handle, difference: &Difference) -> Option<usize> {
    let at = of_one(&difference.at);
    ALLOWED.iter().position(|rule| {
        rule.on.contains(&handle)
            && (rule.of.is_empty() || rule.of.contains(&case.area))
            && rule.at.iter().any(|place| is_within(at, place))
            && (rule.fits)(difference)
    })
}

/// The place within one request, if a case has several.
fn of_one(at: &str) -> &str {
    let several = at.strip_prefix("/all/").and_then(|rest| rest.find('/').map(|end| &rest[end..]));
    let named = ["/first", "/again", "/ours", "/others"].iter().find_map(|name| at.strip_prefix(name));
    several.or(named).unwrap_or(at)
}

fn is_within(at: &str, place: &str) -> bool {
    at.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_that_within_one_request() {
        assert_eq!(of_one("/all/12/usage/output_tokens"), "/usage/output_tokens");
        assert_eq!(of_one("/again/events"), "/events");
        assert_eq!(of_one("/error/code"), "/error/code");
        assert!(is_within("/usage/x", "/usage") && !is_within("/usages", "/usage"));
    }
}
