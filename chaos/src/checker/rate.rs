//! I9: no more calls of a model start in any window than its limit allows, and none before the time its provider named.

use std::collections::BTreeMap;

use super::{
    Bounds, Inquiry, Rate,
    index::{Call, Index},
};

/// Both sides count a Retry-After in whole milliseconds.
const ROUNDING_MS: u64 = 2;

pub(super) fn check(index: &Index<'_>, bounds: &Bounds, inquiry: &mut Inquiry) {
    let mut models: BTreeMap<&str, Vec<&Call<'_>>> = BTreeMap::new();
    for call in &index.calls {
        models.entry(call.model).or_default().push(call);
    }
    for (model, calls) in &models {
        if let Some(rate) = bounds.rates.get(*model) {
            windows(model, calls, *rate, bounds.skew_ms, inquiry);
        }
    }
    for call in &index.calls {
        retry_after(index, bounds, call, inquiry);
    }
}

/// The provider's clock sees calls a little closer together than they started, so the window is that much shorter.
fn windows(model: &str, calls: &[&Call<'_>], rate: Rate, skew_ms: u64, inquiry: &mut Inquiry) {
    let window_ms = rate.window_ms.saturating_sub(skew_ms);
    calls.iter().for_each(|_| inquiry.checked());
    let mut from = 0;
    for (place, call) in calls.iter().enumerate() {
        while call.at.ms - calls[from].at.ms >= window_ms && from < place {
            from += 1;
        }
        let started = place + 1 - from;
        if started > rate.calls {
            let limit = rate.calls;
            let sentence =
                format!("{started} calls of {model} started within {window_ms} ms; the limit is {limit}");
            inquiry.broken(
                call.request,
                "over_the_rate",
                sentence,
                calls[from..=place].iter().map(|call| call.at.line),
            );
            // One finding for each burst: the next window begins after this call.
            from = place + 1;
        }
        if from == calls.len() {
            break;
        }
    }
}

/// A Retry-After binds the request that got it and, once word has spread, every caller of the same model.
fn retry_after(index: &Index<'_>, bounds: &Bounds, told: &Call<'_>, inquiry: &mut Inquiry) {
    let Some(answer) = told.answer else { return };
    let Some(wait_ms) = answer.retry_after_ms else { return };
    inquiry.checked();
    let until = (answer.at.ms + wait_ms).saturating_sub(ROUNDING_MS);
    let spread = bounds.retry_after_spread_ms.filter(|_| told.is_throttled());
    let early = index.calls.iter().find(|call| {
        let same_request = call.request.is_some() && call.request == told.request;
        let heard =
            spread.is_some_and(|spread| call.model == told.model && call.at.ms >= answer.at.ms + spread);
        call.at > answer.at && call.at.ms < until && (same_request || heard) && call.model == told.model
    });
    if let Some(call) = early {
        let after = call.at.ms - answer.at.ms;
        let sentence = format!(
            "{} was called again after {after} ms; the provider had asked for {wait_ms} ms",
            call.model
        );
        inquiry.broken(call.request, "before_retry_after", sentence, [answer.at.line, call.at.line]);
    }
}
