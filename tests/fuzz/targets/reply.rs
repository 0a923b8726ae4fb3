//! Replies of providers, good and bad: one end each, and never the key in an error.
//!
//! The first byte says where the reply is cut into chunks; the rest is the reply.

#![no_main]

use std::sync::LazyLock;

use adapters::{
    Error, Finished, Progress, anthropic,
    openai_compatible::fuzzing::{INPUTS, KEY, Replies},
};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use reqwest::header::HeaderMap;
use schemas::Output;
use tokio::runtime::{Builder, Runtime};

static REPLIES: LazyLock<Replies> = LazyLock::new(|| Replies::new().expect("a provider"));
static MESSAGES: LazyLock<anthropic::fuzzing::Replies> =
    LazyLock::new(|| anthropic::fuzzing::Replies::new().expect("a provider"));
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

fuzz_target!(|data: &[u8]| {
    let Some((cut, body)) = data.split_first() else { return };
    check(&REPLIES.whole(body));
    check(&MESSAGES.whole(body));
    let body = Bytes::copy_from_slice(body);
    let chunks: Vec<_> = body.chunks(usize::from(*cut).max(1)).map(Bytes::copy_from_slice).collect();
    let pieces = RUNTIME.block_on(REPLIES.streamed(chunks.clone()));
    check_alike(&pieces, &RUNTIME.block_on(REPLIES.streamed(vec![body.clone()])));
    let pieces = RUNTIME.block_on(MESSAGES.streamed(chunks));
    check_alike(&pieces, &RUNTIME.block_on(MESSAGES.streamed(vec![body.clone()])));
    match REPLIES.embeddings(&body) {
        Ok(Finished { output: Output::Embeddings(output), .. }) => {
            assert_eq!(output.embeddings.len(), INPUTS)
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => hides_the_key(&error),
    }
    hides_the_key(&REPLIES.refusal(400 + u16::from(*cut), &HeaderMap::new(), &body));
});

fn check_alike(pieces: &[Result<Progress, Error>], whole: &[Result<Progress, Error>]) {
    check(pieces);
    assert_eq!(format!("{pieces:?}"), format!("{whole:?}"), "the chunks made a difference");
}

fn check(items: &[Result<Progress, Error>]) {
    let ends = items.iter().filter(|item| !matches!(item, Ok(Progress::Delta(_)))).count();
    assert_eq!(ends, 1, "{items:?}");
    items.iter().filter_map(|item| item.as_ref().err()).for_each(hides_the_key);
}

fn hides_the_key(error: &Error) {
    assert!(!format!("{error} {error:?}").contains(KEY), "{error:?}");
}
