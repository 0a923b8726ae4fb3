//! What only a real server can show: restarts, deletions, refusals, and the server as a child process.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

#[path = "jetstream_only/done.rs"]
mod done;
#[path = "jetstream_only/faults.rs"]
mod faults;
#[path = "jetstream_only/healing.rs"]
mod healing;
#[path = "jetstream_only/leftovers.rs"]
mod leftovers;
#[path = "jetstream_only/managed.rs"]
mod managed;
#[path = "jetstream_only/objects.rs"]
mod objects;
#[path = "jetstream_only/refusals.rs"]
mod refusals;

use std::{future::Future, time::Duration};

use broker::{
    Broker, ConsumerSpec, Error, ErrorKind, Link, Message, Publication, Retention, Storage, StreamSpec,
    jetstream::{Config, JetStream},
    testing::Server,
};
use bytes::Bytes;
use schemas::Format;

/// Far longer than anything here takes on a busy machine: what is waited for beyond it does not come.
const PATIENCE: Duration = Duration::from_secs(60);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not in {PATIENCE:?}"))
}

async fn connect(server: &Server) -> JetStream {
    JetStream::connect(Config::new(server.url())).await.unwrap()
}

fn queue(name: &str) -> StreamSpec {
    StreamSpec {
        name: name.to_owned(),
        subjects: vec![format!("{}.>", name.to_lowercase())],
        retention: Retention::WorkQueue,
        storage: Storage::File,
        age_max: None,
        messages_max: None,
        bytes_max: None,
        first_wins: false,
        discard_old: false,
        duplicate_window: Duration::from_secs(60),
        bells: None,
    }
}

fn consumer(stream: &str) -> ConsumerSpec {
    ConsumerSpec {
        stream: stream.to_owned(),
        name: "worker".to_owned(),
        filter: format!("{}.>", stream.to_lowercase()),
        ack_wait: Duration::from_secs(30),
        ack_pending_max: 1_000,
        idle_max: None,
    }
}

fn numbered(subject: &str, number: usize) -> Publication {
    Publication { message: message(subject, &number.to_string()), id: Some(format!("{subject}-{number}")) }
}

fn message(subject: &str, body: &str) -> Message {
    Message::new(subject, Format::Json, Bytes::copy_from_slice(body.as_bytes()))
}

fn number(message: &Message) -> usize {
    std::str::from_utf8(&message.payload).unwrap().parse().unwrap()
}

async fn until(broker: &JetStream, wanted: impl Fn(&Link) -> bool) {
    within("the link", broker.link().wait_for(|link| wanted(link))).await.unwrap();
}

/// Publishes until it is stored, as callers do.
async fn persist(broker: &JetStream, publication: Publication) {
    within("a publish that succeeds", async {
        loop {
            match broker.publish(publication.clone()).await {
                Ok(_) => return,
                Err(error) => assert!(error.is_transient(), "{error}"),
            }
        }
    })
    .await;
}

fn is_transient(error: &Error) -> bool {
    error.is_transient() || error.kind() == ErrorKind::NotFound
}
