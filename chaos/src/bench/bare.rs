//! The floor: the bare hops of a durable request, the work of two processes in one. The first hop takes messages from
//! one work queue and puts them into the next, the second puts them where outcomes are; each acks only after the broker
//! has acked its publish. Nothing is decoded, decided or governed: what remains is the cost of the broker.

use std::{io, sync::Arc, time::Duration};

use async_nats::{
    HeaderMap,
    jetstream::{
        self, Context,
        consumer::{AckPolicy, pull},
        stream::{Config, DiscardPolicy, RetentionPolicy, StorageType},
    },
};
use futures_util::TryStreamExt;

/// Where requests are published.
pub(crate) const REQUESTS: &str = "bare.req";
/// Where the first hop puts requests.
const WORK: &str = "bare.work";
/// Where outcomes are.
const OUTCOMES: &str = "bare.res";
/// The streams behind them.
const STREAMS: [&str; 3] = ["BARE_REQ", "BARE_WORK", "BARE_RES"];
/// How many messages one hop processes at once; enough for the broker to be the limit.
const AT_ONCE: usize = 512;
/// How many messages one pull takes. Small pulls stall.
const BATCH: usize = 500;
/// How long an ack may take.
const ACK_MAX: Duration = Duration::from_secs(10);
/// As in the engine's queues.
const LEASE: Duration = Duration::from_secs(20);
const WINDOW: Duration = Duration::from_secs(120);
const BYTES_MAX: i64 = 1 << 30;

/// Carries messages until dropped; calls `ready` once it has started.
///
/// # Errors
/// If the broker refuses, or is lost.
pub async fn carry(url: &str, ready: impl FnOnce()) -> io::Result<()> {
    let first = connect(url).await?;
    for stream in STREAMS {
        first.get_or_create_stream(config(stream)).await.map_err(io::Error::other)?;
    }
    // One connection per hop, as the gateway and the engine's stages have their own.
    let second = connect(url).await?;
    let first = hop(&first, STREAMS[0], |id| format!("{WORK}.{id}")).await?;
    let second = hop(&second, STREAMS[1], |id| format!("{OUTCOMES}.{id}")).await?;
    ready();
    tokio::try_join!(first, second).map(drop)
}

/// The subject of all outcomes.
pub(crate) fn outcomes() -> String {
    format!("{OUTCOMES}.>")
}

/// Deletes its streams from a broker that is not ours.
pub(crate) async fn clean(url: &str) -> io::Result<()> {
    let stream = connect(url).await?;
    for name in STREAMS {
        // A missing stream is fine as well.
        let _ = stream.delete_stream(name).await;
    }
    Ok(())
}

async fn connect(url: &str) -> io::Result<Context> {
    let client = async_nats::connect(url).await.map_err(io::Error::other)?;
    let builder = jetstream::context::ContextBuilder::new().timeout(ACK_MAX).ack_timeout(ACK_MAX);
    Ok(builder.backpressure_on_inflight(true).build(client))
}

fn config(name: &str) -> Config {
    let subject = match name {
        "BARE_REQ" => format!("{REQUESTS}.>"),
        "BARE_WORK" => format!("{WORK}.>"),
        _ => outcomes(),
    };
    let keeps = name == "BARE_RES";
    Config {
        name: name.to_owned(),
        subjects: vec![subject],
        retention: if keeps { RetentionPolicy::Limits } else { RetentionPolicy::WorkQueue },
        // As in the engine: the first outcome stands, and the broker refuses a second.
        max_messages_per_subject: if keeps { 1 } else { -1 },
        discard_new_per_subject: keeps,
        discard: DiscardPolicy::New,
        max_bytes: BYTES_MAX,
        storage: StorageType::File,
        duplicate_window: WINDOW,
        ..Config::default()
    }
}

/// One hop: pull, publish, wait for the ack, ack.
async fn hop(
    stream: &Context,
    from: &str,
    to: impl Fn(&str) -> String + Send + 'static,
) -> io::Result<impl Future<Output = io::Result<()>>> {
    let queue = stream.get_stream(from).await.map_err(io::Error::other)?;
    let settings = pull::Config {
        durable_name: Some("bare".to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: LEASE,
        max_ack_pending: AT_ONCE as i64,
        ..pull::Config::default()
    };
    let consumer = queue.get_or_create_consumer("bare", settings).await.map_err(io::Error::other)?;
    let messages = consumer.stream().max_messages_per_batch(BATCH).messages();
    let messages = messages.await.map_err(io::Error::other)?;
    let (stream, to) = (stream.clone(), Arc::new(to));
    Ok(async move {
        let carried = messages.map_err(io::Error::other).try_for_each_concurrent(AT_ONCE, |message| {
            let (stream, to) = (stream.clone(), Arc::clone(&to));
            async move {
                let id = message.headers.as_ref().and_then(|headers| headers.get("Nats-Msg-Id"));
                let id = id.map(|id| id.as_str().to_owned()).unwrap_or_default();
                let subject = to(&id);
                let mut headers = HeaderMap::new();
                headers.insert("Nats-Msg-Id", id);
                let payload = message.payload.clone();
                let sent = stream.publish_with_headers(subject, headers, payload).await;
                sent.map_err(io::Error::other)?.await.map_err(io::Error::other)?;
                message.ack().await.map_err(io::Error::other)
            }
        });
        carried.await
    })
}
