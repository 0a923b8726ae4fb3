//! After the run: what the broker keeps, read by the harness itself and written into the history, and the search for
//! planted secrets in everything that the engine wrote.

use std::{io, time::Duration};

use async_nats::jetstream::{self, stream::Stream};
use schemas::{DeadLetter, Outcome, Subjects};
use tokio::time::timeout;

use super::{
    load::{bus_format, output_text},
    rig::{Canaries, Rig},
};
use crate::{
    fingerprint::of_outcome,
    history::{Fact, Key},
    scribe::Scribe,
};

/// Its name in the history.
const NAME: &str = "harness";
/// How long one stream may take to be read.
const READ_MAX: Duration = Duration::from_secs(60);
/// The streams whose messages are work that waits.
const QUEUES: [&str; 3] = ["DYNODE_REQ", "DYNODE_WORK", "DYNODE_CB"];

/// Reads all that is kept.
pub(super) async fn harvest(rig: &Rig, scribe: &Scribe) -> io::Result<()> {
    let streams = rig.bus().await?.streams();
    for name in QUEUES {
        let stream = streams.get_stream(name).await.map_err(io::Error::other)?;
        let messages = stream.cached_info().state.messages;
        scribe.write(NAME, Fact::Waiting { stream: name.to_owned(), messages });
    }
    for (name, keep) in [("DYNODE_RES", outcome as Keep), ("DYNODE_DEAD", letter), ("DYNODE_EVT", nothing)] {
        let stream = streams.get_stream(name).await.map_err(io::Error::other)?;
        let read = read(&stream, name, keep, &rig.canaries, scribe);
        timeout(READ_MAX, read)
            .await
            .map_err(|_| io::Error::other(format!("{name} takes too long to read")))??;
    }
    rig.canaries.look_in_logs(&rig.dir, scribe)
}

/// What is written down of a message; whether it is to be searched for secrets.
type Keep = fn(&jetstream::message::StreamMessage, &Scribe) -> bool;

async fn read(
    stream: &Stream,
    name: &str,
    keep: Keep,
    canaries: &Canaries,
    scribe: &Scribe,
) -> io::Result<()> {
    let state = &stream.cached_info().state;
    for sequence in state.first_sequence..=state.last_sequence {
        // A message that was removed leaves a hole.
        let Ok(message) = stream.direct_get(sequence).await else { continue };
        if keep(&message, scribe) {
            canaries.look_in(name, &String::from_utf8_lossy(&message.payload), scribe);
        }
    }
    canaries.searched(name, scribe);
    Ok(())
}

fn outcome(message: &jetstream::message::StreamMessage, scribe: &Scribe) -> bool {
    let format = bus_format(&Some(message.headers.clone()), &message.payload);
    if let Ok(outcome) = format.decode::<Outcome>(&message.payload) {
        scribe.write(
            NAME,
            Fact::Recorded {
                request: Key { tenant: outcome.tenant.clone(), id: outcome.id.clone() },
                status: outcome.status,
                code: outcome.error.as_ref().map(|error| error.code),
                text: match (&outcome.output, &outcome.error) {
                    (Some(output), _) => output_text(output),
                    (None, error) => error.as_ref().map(|error| error.message.clone()),
                },
                digest: of_outcome(&outcome),
                calls: outcome.attempts.len() as u64,
                tokens: outcome.usage.total_tokens(),
            },
        );
    }
    true
}

/// A parked message is kept word for word, the secret of its callback with it: that is no leak.
fn letter(message: &jetstream::message::StreamMessage, scribe: &Scribe) -> bool {
    let format = bus_format(&Some(message.headers.clone()), &message.payload);
    let subject = message.subject.to_string();
    let of = Subjects::default()
        .parse_dead(&subject)
        .and_then(|(_, tenant, id)| Some(Key { tenant: tenant.parse().ok()?, id: id.parse().ok()? }));
    if let (Some(request), Ok(letter)) = (of, format.decode::<DeadLetter>(&message.payload)) {
        scribe.write(NAME, Fact::Parked { request, code: letter.reason.code });
    }
    false
}

fn nothing(_: &jetstream::message::StreamMessage, _: &Scribe) -> bool {
    true
}
