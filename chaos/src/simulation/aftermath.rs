//! After the run: tells what the broker keeps, as anyone could read it there.

use broker::{Broker, Message};
use futures_util::StreamExt;
use schemas::{DeadLetter, LedgerEntry, Outcome, Output, RequestId, Tenant};

use super::{Broken, world::World};
use crate::{
    fingerprint,
    history::{Fact, Key},
};

/// Writes down every outcome, the ledger, all parked work, and the messages that still wait.
pub(super) async fn tell(world: &World) -> Result<(), Broken> {
    let topology = &world.topology;
    for message in all(world, &topology.outcomes).await? {
        if let Some(fact) = recorded(&message) {
            world.recorder.write("harness", fact);
        }
    }
    for message in all_of(world, topology.ledger.as_deref()).await? {
        if let Some(fact) = ledgered(&message) {
            world.recorder.write("harness", fact);
        }
    }
    for message in all(world, &topology.dead).await? {
        if let Some(fact) = parked(world, &message) {
            world.recorder.write("harness", fact);
        }
    }
    for stream in queues(world) {
        let messages = all(world, stream).await?.len() as u64;
        world.recorder.write("harness", Fact::Waiting { stream: stream.to_owned(), messages });
    }
    Ok(())
}

/// Whether no queue holds anything.
pub(super) async fn is_quiet(world: &World) -> bool {
    for stream in queues(world) {
        if !all(world, stream).await.is_ok_and(|messages| messages.is_empty()) {
            return false;
        }
    }
    true
}

fn queues(world: &World) -> [&str; 3] {
    [&world.topology.requests, &world.topology.work, &world.topology.callbacks]
}

async fn all_of(world: &World, stream: Option<&str>) -> Result<Vec<Message>, broker::Error> {
    match stream {
        Some(stream) => all(world, stream).await,
        None => Ok(Vec::new()),
    }
}

async fn all(world: &World, stream: &str) -> Result<Vec<Message>, broker::Error> {
    let mut stored = world.memory.replay(stream, ">", 0).await?;
    let mut messages = Vec::new();
    while let Some(stored) = stored.next().await {
        messages.push(stored?.message);
    }
    Ok(messages)
}

fn recorded(message: &Message) -> Option<Fact> {
    let outcome: Outcome = message.format().decode(&message.payload).ok()?;
    let text = match &outcome.output {
        Some(Output::Chat(output)) => Some(output.text.clone()),
        _ => None,
    };
    Some(Fact::Recorded {
        digest: fingerprint::of_outcome(&outcome),
        request: Key { tenant: outcome.tenant, id: outcome.id },
        status: outcome.status,
        code: outcome.error.map(|error| error.code),
        text,
        calls: outcome.attempts.len() as u64,
        tokens: outcome.usage.total_tokens(),
    })
}

fn ledgered(message: &Message) -> Option<Fact> {
    let entry: LedgerEntry = message.format().decode(&message.payload).ok()?;
    Some(Fact::Ledgered {
        request: Key { tenant: entry.tenant, id: entry.id },
        calls: entry.lines.len() as u64,
        tokens: entry.lines.iter().map(|line| line.usage.total_tokens()).sum(),
    })
}

fn parked(world: &World, message: &Message) -> Option<Fact> {
    let letter: DeadLetter = message.format().decode(&message.payload).ok()?;
    let (_, tenant, id) = world.topology.subjects.parse_dead(&message.subject)?;
    let request = Key { tenant: Tenant::new(tenant).ok()?, id: RequestId::new(id).ok()? };
    Some(Fact::Parked { request, code: letter.reason.code })
}
