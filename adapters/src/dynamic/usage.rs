//! Reads a call's usage from a reply, by the expressions of the file.

use std::collections::BTreeMap;

use schemas::Usage;
use serde_json::Value;

use super::{
    plan::READING,
    template::{Json, Manner, Scope},
};
use crate::counts;

/// Where each count is.
#[derive(Debug, Default)]
pub(super) struct Counts(Vec<(Count, Json)>);

type Count = fn(&mut Usage) -> &mut u64;

const COUNTS: [(&str, Count); 8] = [
    ("input_tokens", |usage| &mut usage.input_tokens),
    ("output_tokens", |usage| &mut usage.output_tokens),
    ("cached_tokens", |usage| &mut usage.cached_tokens),
    ("cache_write_tokens", |usage| &mut usage.cache_write_tokens),
    ("reasoning_tokens", |usage| &mut usage.reasoning_tokens),
    ("images", |usage| &mut usage.images),
    ("characters", |usage| &mut usage.characters),
    ("media_ms", |usage| &mut usage.media_ms),
];

impl Counts {
    pub(super) fn new(source: &BTreeMap<String, String>) -> Result<Self, (String, String)> {
        let counts = source.iter().map(|(name, text)| {
            let known = COUNTS.iter().find(|(known, _)| known == name);
            let (_, count) = known.ok_or_else(|| {
                let names = COUNTS.map(|(name, _)| name).join(", ");
                (name.clone(), format!("is nothing that is counted; what is counted is {names}"))
            })?;
            let expression = Json::value(text, Manner::Lenient, &READING);
            Ok((*count, expression.map_err(|why| (name.clone(), why))?))
        });
        counts.collect::<Result<_, _>>().map(Self)
    }

    /// The usage; none if the reply reports none.
    pub(super) fn read(&self, scope: &Scope) -> Option<Usage> {
        let (mut usage, mut told) = (Usage::default(), false);
        for (count, expression) in &self.0 {
            // A count that is missing or has an odd form is not worth failing an answer for.
            let number = expression.render(scope).ok().and_then(|value| match value {
                Value::Number(number) => number.as_f64(),
                Value::String(text) => text.trim().parse().ok(),
                _ => None,
            });
            if let Some(number) = number.and_then(counts::believable) {
                *count(&mut usage) = number;
                told = true;
            }
        }
        told.then_some(usage)
    }
}
