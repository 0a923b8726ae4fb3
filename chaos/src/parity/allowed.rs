//! The differences that are allowed: where, on which handles, and why. Whatever is not here is a failure.

use serde::Serialize;

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
}

use Area::{Cancel, Files, Stream};
use Handle::OpenAi;

/// All of them.
pub(super) const ALLOWED: &[Allowed] = &[
    Allowed {
        on: &[OpenAi],
        of: &[],
        at: &["/events", "/running"],
        why: "OpenAI's API tells the answer and nothing of the way to it; the record and `GET /v1/requests/{id}/events` have it",
    },
    Allowed {
        on: &[OpenAi],
        of: &[Stream, Area::Tools],
        at: &["/usage"],
        why: "OpenAI's API tells the usage of a stream only where `stream_options.include_usage` asks for it; the record has it",
    },
    Allowed {
        on: &[OpenAi],
        of: &[Files],
        at: &["/usage", "/output/details"],
        why: "OpenAI's API answers with files alone; the record has the rest",
    },
    Allowed {
        on: &[OpenAi],
        of: &[],
        at: &["/error/upstream_status"],
        why: "OpenAI's error object has no place for it; the record has it",
    },
    Allowed {
        on: &[OpenAi],
        of: &[Cancel],
        at: &["/end", "/usage"],
        why: "OpenAI's API knows no cancel but to go away, and then nobody is told the end; the record has it",
    },
];

/// Why `difference` is allowed, where it is: the number of the rule.
pub(super) fn find(case: &Case, handle: Handle, difference: &Difference) -> Option<usize> {
    ALLOWED.iter().position(|rule| {
        rule.on.contains(&handle)
            && (rule.of.is_empty() || rule.of.contains(&case.area))
            && rule.at.iter().any(|place| is_within(&difference.at, place))
    })
}

fn is_within(at: &str, place: &str) -> bool {
    at.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
