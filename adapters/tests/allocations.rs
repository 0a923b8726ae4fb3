//! How many times a chunk of a provider's stream asks the allocator: a number that may only fall.

use std::convert::Infallible;

use adapters::sse;
use allocation_counter::measure;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};

const EVENTS: u64 = 100;
/// What the reader itself is made of, once a stream.
const ONCE: u64 = 16;
/// What each event may cost: its text.
const EACH: u64 = 1;

#[test]
fn an_event_costs_few_allocations() {
    let event =
        Bytes::from_static(b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"token \"}}]}\n\n");
    let pieces = vec![Ok::<_, Infallible>(event); 100];
    let read = || {
        let events = sse::read(stream::iter(pieces.clone()));
        // Everything is there already: it ends without waiting.
        assert_eq!(events.count().now_or_never(), Some(100));
    };
    read();
    let counted = measure(read).count_total;
    println!("{EVENTS} events: {counted}");
    assert!(counted <= ONCE + EVENTS * EACH, "{counted} allocations for {EVENTS} events");
}
