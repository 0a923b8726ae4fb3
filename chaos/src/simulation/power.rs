//! What a power failure took, message by message, and what that excuses: findings about the requests whose messages
//! were not synced, and no others.

use std::collections::{BTreeMap, BTreeSet};

use broker::{Message, memory, message::MESSAGE_ID};
use schemas::{RequestId, Tenant};
use serde::Deserialize;

use super::world::World;
use crate::{
    Guarantee,
    checker::Finding,
    history::{Entry, Fact, Key, Undoing},
};

/// The way of a request to its outcome: one of these holds it, and if that is gone, so is the request.
const WAY: [&str; 3] = ["req", "work", "res"];

/// Writes down what the power failure, or the kill, of this moment has undone.
pub(super) fn tell(world: &World) {
    for memory::Undone { message, what } in world.memory.undone() {
        let Some((request, kind)) = owner(world, &message) else { continue };
        let what = match what {
            memory::Undoing::Stored => Undoing::Stored,
            memory::Undoing::Removed => Undoing::Removed,
            memory::Undoing::Delivered => Undoing::Delivered,
        };
        world.recorder.write("nemesis", Fact::Undone { request, kind: kind.to_owned(), what });
    }
}

/// The request that owns a message, and the kind of the message.
fn owner<'a>(world: &World, message: &'a Message) -> Option<(Key, &'a str)> {
    let subjects = &world.topology.subjects;
    let kind = message.subject.split('.').nth(1)?;
    let key = match kind {
        "req" => Key { tenant: subjects.request_tenant(&message.subject)?, id: named(message)? },
        "work" | "use" => {
            Key { tenant: Tenant::new(message.subject.rsplit('.').next()?).ok()?, id: named(message)? }
        }
        "dead" => {
            let (_, tenant, id) = subjects.parse_dead(&message.subject)?;
            Key { tenant: Tenant::new(tenant).ok()?, id: RequestId::new(id).ok()? }
        }
        kind => {
            let (tenant, id) = subjects.parse_request_key(kind, &message.subject)?;
            Key { tenant, id }
        }
    };
    Some((key, kind))
}

/// The id in a body; if the body cannot be read, the one in the message id.
fn named(message: &Message) -> Option<RequestId> {
    #[derive(Deserialize)]
    struct Named {
        id: RequestId,
    }
    let named = message.format().decode::<Named>(&message.payload).ok().map(|named| named.id);
    named.or_else(|| RequestId::new(message.headers.get(MESSAGE_ID)?.split('.').nth(1)?).ok())
}

/// What was lost of each request.
#[derive(Debug, Default)]
pub(super) struct Lost<'a>(BTreeMap<&'a Key, BTreeSet<(&'a str, Undoing)>>);

impl<'a> Lost<'a> {
    /// The losses that `history` tells.
    pub(super) fn of(history: &'a [Entry]) -> Self {
        let mut lost = Self::default();
        for entry in history {
            if let Fact::Undone { request, kind, what } = &entry.fact {
                lost.0.entry(request).or_default().insert((kind, *what));
            }
        }
        lost
    }

    /// Whether a finding follows from these losses.
    pub(super) fn excuses(&self, finding: &Finding) -> bool {
        let Some(undone) = finding.request.as_ref().and_then(|request| self.0.get(request)) else {
            return false;
        };
        let gone = |kinds: &[&str]| kinds.iter().any(|kind| undone.contains(&(*kind, Undoing::Stored)));
        let any = |kinds: &[&str]| undone.iter().any(|(kind, _)| kinds.contains(kind));
        match (finding.guarantee, finding.kind) {
            // The message that carried it is gone; a reader that waits for it hears no more.
            (Guarantee::I1, "lost_prefix" | "lost_middle" | "lost_tail")
            | (Guarantee::I5, "no_end")
            | (Guarantee::I12, "not_redelivered")
            // Nobody knows any more that its id is in use.
            | (Guarantee::I3, "conflict_accepted") => gone(&WAY),
            // It had ended, and ends anew.
            (Guarantee::I3, "two_ends" | "two_answers") | (Guarantee::I11, "other_outcome") => gone(&["res"]),
            // Its delivery count is forgotten, and with its events what readers were told.
            (Guarantee::I4, "too_many_calls") | (Guarantee::I5, _) => any(&WAY),
            // Its entry or its outcome was not synced; without its outcome it ended anew, with another entry.
            (Guarantee::I10, "not_in_the_ledger" | "other_in_the_ledger" | "twice_in_the_ledger") => {
                gone(&["use", "res", "work", "req"])
            }
            // The message that was to see to its callback is gone.
            (Guarantee::I11, "missing") => gone(&["req", "work", "cb", "dead"]),
            _ => false,
        }
    }
}
