//! One client of a simulation: sends its request, repeats it, cancels it, reads it, and writes down what it saw. It
//! knows the contract, and nothing about the engine.

mod bus;
mod http;
mod reader;
mod socket;

use std::{sync::Arc, time::Duration};

use schemas::ErrorCode;
use tokio::{task::JoinSet, time::sleep};

use super::{target::Targets, world::World};
use crate::{
    history::{Door, Fact, Key},
    workload::Planned,
};
use reader::Reader;

/// How often a client sends a request whose answer does not come.
const TRIES_MAX: u32 = 8;
/// The pause before the first repeat; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a client waits for any answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A client and its request.
#[derive(Clone)]
struct Client {
    world: Arc<World>,
    planned: Arc<Planned>,
    /// Its place among all clients, to spread them over gateways.
    number: usize,
    /// The name under which it writes: each send has its own, so that its answer can be told from those of others.
    name: String,
}

/// The result of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Accepted,
    Refused,
    /// Nobody answered any try.
    Unclear,
}

/// Carries out the plan of one request.
pub(super) async fn run(world: Arc<World>, planned: Planned, number: usize) {
    sleep(Duration::from_millis(planned.at_ms)).await;
    let name = planned.key.id.to_string();
    let client = Client { world, planned: Arc::new(planned), number, name };
    let mut tasks = JoinSet::new();
    if let Some(after_ms) = client.planned.cancel_after_ms {
        let client = client.clone();
        tasks.spawn(async move {
            sleep(Duration::from_millis(after_ms)).await;
            client.cancel().await;
        });
    }
    for (index, repeat) in client.planned.repeats.clone().into_iter().enumerate() {
        let client = Client { name: format!("{} again {index}", client.name), ..client.clone() };
        tasks.spawn(async move {
            sleep(Duration::from_millis(repeat.after_ms)).await;
            client.send_and_read(repeat.door, !repeat.same).await;
        });
    }
    client.send_and_read(client.planned.door, false).await;
    while tasks.join_next().await.is_some() {}
}

impl Client {
    fn key(&self) -> Key {
        self.planned.key.clone()
    }

    fn write(&self, fact: Fact) {
        self.world.recorder.write(format!("client {}", self.name), fact);
    }

    async fn send_and_read(&self, door: Door, other: bool) {
        let reader = Reader::new(self.clone(), self.name.clone());
        match door {
            Door::Bus => self.by_bus(other, reader).await,
            Door::Http => self.by_http(other, reader).await,
            Door::Socket => self.by_socket(other, reader).await,
        }
    }

    async fn cancel(&self) {
        self.write(Fact::Cancelled { request: self.key() });
        match self.planned.door {
            Door::Bus => self.cancel_by_bus().await,
            Door::Http => self.cancel_by_http().await,
            Door::Socket => self.cancel_by_socket().await,
        }
    }

    fn say_sent(&self, door: Door, other: bool) {
        self.write(Fact::Sent {
            request: self.key(),
            door,
            deadline_ms: self.planned.deadline_ms,
            callback: self.planned.callback,
            fingerprint: self.planned.fingerprint(other),
        });
    }

    fn say_accepted(&self) {
        self.write(Fact::Accepted { request: self.key() });
    }

    fn say_refused(&self, code: ErrorCode, retry_after_ms: Option<u64>) {
        self.write(Fact::Refused { request: self.key(), code, retry_after_ms });
    }

    fn say_unclear(&self, why: impl Into<String>) {
        self.write(Fact::Unclear { request: self.key(), why: why.into() });
    }

    fn bytes(&self, other: bool) -> Vec<u8> {
        self.planned.bytes(other, &Targets::address())
    }
}

/// The pause before try number `tries` + 1.
fn pause(tries: u32) -> Duration {
    PAUSE * (1 << tries.min(6))
}
