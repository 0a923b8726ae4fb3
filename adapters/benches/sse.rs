//! What reading a provider's stream costs.

use std::convert::Infallible;

use adapters::sse;
use bytes::Bytes;
use divan::{AllocProfiler, Bencher};
use futures_util::{StreamExt, stream};
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// Fifty events, each in a piece of its own or all in one.
#[divan::bench(args = [1, 50])]
fn read_fifty_events(bencher: Bencher<'_, '_>, pieces: usize) {
    let Ok(runtime) = Builder::new_current_thread().build() else { return };
    let chunk = r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"token "},"finish_reason":null}]}"#;
    let event = format!("data: {chunk}\n\n").repeat(50 / pieces);
    let all = vec![Ok::<_, Infallible>(Bytes::from(event)); pieces];
    bencher.counter(divan::counter::ItemsCount::new(50_usize)).bench_local(|| {
        let events = sse::read(stream::iter(all.clone()));
        runtime.block_on(events.count())
    });
}
