//! Server-sent events: the same events, however the bytes were cut.
//!
//! The first bytes, up to a zero, are the lengths of the first chunks; the rest is the stream.

#![no_main]

use std::convert::Infallible;

use adapters::sse::{self, Frame};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let lengths = data.iter().position(|byte| *byte == 0).unwrap_or(0);
    let (lengths, rest) = data.split_at(lengths);
    let bytes = Bytes::copy_from_slice(rest.get(1..).unwrap_or_default());
    let (mut chunks, mut left) = (Vec::new(), bytes.clone());
    for length in lengths {
        chunks.push(left.split_to(usize::from(*length).min(left.len())));
    }
    chunks.push(left);
    assert_eq!(events(chunks), events(vec![bytes]));
});

fn events(chunks: Vec<Bytes>) -> Vec<Result<Frame, String>> {
    let bytes = stream::iter(chunks.into_iter().map(Ok::<_, Infallible>));
    let events = sse::read(bytes).map(|event| event.map_err(|error| error.to_string()));
    events.collect::<Vec<_>>().now_or_never().expect("nothing to wait for")
}
