//! I2: nothing is told about a request that nobody sent.

use super::{
    Bounds, Inquiry,
    index::{Answer, Index, Request},
};

pub(super) fn check(index: &Index<'_>, _: &Bounds, inquiry: &mut Inquiry) {
    for (key, request) in &index.requests {
        for (kind, what, line) in told(index, request) {
            inquiry.checked();
            let sent = request.sends.first().map(|send| send.at.line);
            if sent.is_none_or(|sent| sent > line) {
                let sentence = format!("{what}, and nobody had sent it");
                inquiry.broken(*key, kind, sentence, [line].into_iter().chain(sent));
            }
        }
    }
}

/// Everything that the engine, the provider or a receiver tells about it: kind, words, line.
fn told(index: &Index<'_>, request: &Request<'_>) -> Vec<(&'static str, &'static str, usize)> {
    let frames = request.frames();
    let accepted = request.stray.iter().filter(|(_, answer)| *answer == Answer::Accepted);
    let mut told = Vec::new();
    told.extend(accepted.map(|(at, _)| ("invented_acceptance", "it was accepted", at.line)));
    told.extend(frames.iter().map(|(at, ..)| ("invented_frame", "a reader got a frame of it", at.line)));
    told.extend(
        index.calls_of(request).map(|call| ("invented_call", "the provider was called for it", call.at.line)),
    );
    let callbacks = request.callbacks.iter();
    told.extend(callbacks.map(|callback| ("invented_callback", "a callback of it came", callback.at.line)));
    let recorded = request.recorded.iter();
    told.extend(recorded.map(|record| ("invented_outcome", "an outcome of it is recorded", record.at.line)));
    told.extend(request.parked.iter().map(|at| ("invented_letter", "work of it was parked", at.line)));
    told
}
