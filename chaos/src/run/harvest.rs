//! Collects what the broker keeps after the run: the harness reads it, writes it into the history, and searches all
//! that the engine wrote for planted secrets.

use std::{io, time::Duration};

use async_nats::jetstream::{self, message::StreamMessage, stream::Stream};
use schemas::{DeadLetter, Outcome, Subjects};
use tokio::time::{Instant, sleep, timeout};

use super::{
    load::{Ground, bus_format, outcome_of, output_text},
    rig::{Canaries, Own, Rig, Sought},
};
use crate::{
    fingerprint::of_outcome,
    history::{Fact, Key},
    scribe::Scribe,
};

/// The harness's name in the history.
const NAME: &str = "harness";
/// How long reading one stream may take.
const READ_MAX: Duration = Duration::from_secs(60);
/// How often to poll the queues; there is no notification when they are empty.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The streams that hold waiting work.
const QUEUES: [&str; 3] = ["DYNODE_REQ", "DYNODE_WORK", "DYNODE_CB"];

/// The streams, what to record of each message, and which secrets a message must not contain.
const KEPT: [(&str, Keep, Sought); 8] = [
    ("DYNODE_RES", outcome, Sought::All),
    // The readers of events have recorded them.
    ("DYNODE_EVT", nothing, Sought::All),
    ("DYNODE_USE", nothing, Sought::All),
    ("KV_DYNODE_KEYS", nothing, Sought::All),
    ("DYNODE_DEAD", letter, Sought::ButCallbackKey),
    ("DYNODE_REQ", nothing, Sought::ButCallbackKey),
    ("DYNODE_WORK", nothing, Sought::ButCallbackKey),
    ("DYNODE_CB", nothing, Sought::ButCallbackKey),
];

/// Records a message.
type Keep = fn(&StreamMessage, &Scribe);

/// Reads everything that is kept.
pub(super) async fn harvest(rig: &Rig, own: &Own, scribe: &Scribe) -> io::Result<()> {
    let streams = own.bus().await?.streams();
    for name in QUEUES {
        let messages = stream(&streams, name).await?.cached_info().state.messages;
        scribe.write(NAME, Fact::Waiting { stream: name.to_owned(), messages });
    }
    for (name, keep, sought) in KEPT {
        let stream = stream(&streams, name).await?;
        let read = read(&stream, (name, keep, sought), &rig.canaries, scribe);
        timeout(READ_MAX, read)
            .await
            .map_err(|_| io::Error::other(format!("{name} takes too long to read")))?;
    }
    rig.canaries.look_in_logs(&rig.dir, scribe)
}

/// Waits until all queues are empty, or until `until`: work without readers must end as well.
pub(super) async fn settled(own: &Own, until: Instant) -> io::Result<()> {
    let streams = own.bus().await?.streams();
    while Instant::now() < until {
        let mut waiting = 0;
        for name in QUEUES {
            waiting += stream(&streams, name).await?.cached_info().state.messages;
        }
        if waiting == 0 {
            return Ok(());
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Asks a given gateway for the outcome of each request that it accepted: its broker is not ours to read.
pub(super) async fn harvest_given(ground: &Ground, scribe: &Scribe) {
    for key in ground.accepted() {
        if let Some(outcome) = outcome_of(ground, &key).await {
            record(&outcome, &key, scribe);
        }
    }
}

async fn stream(streams: &jetstream::Context, name: &str) -> io::Result<Stream> {
    streams.get_stream(name).await.map_err(|error| io::Error::other(format!("cannot read {name}: {error}")))
}

async fn read(
    stream: &Stream,
    (name, keep, sought): (&str, Keep, Sought),
    canaries: &Canaries,
    scribe: &Scribe,
) {
    let state = &stream.cached_info().state;
    for sequence in state.first_sequence..=state.last_sequence {
        // A removed message leaves a gap.
        let Ok(message) = stream.direct_get(sequence).await else { continue };
        keep(&message, scribe);
        let headers = message.headers.iter().flat_map(|(_, values)| values).map(ToString::to_string);
        for text in headers.chain([String::from_utf8_lossy(&message.payload).into_owned()]) {
            canaries.look_in(name, &text, sought, scribe);
        }
    }
    canaries.searched(name, sought, scribe);
}

fn outcome(message: &StreamMessage, scribe: &Scribe) {
    let format = bus_format(Some(&message.headers), &message.payload);
    if let Ok(outcome) = format.decode::<Outcome>(&message.payload) {
        let key = Key { tenant: outcome.tenant.clone(), id: outcome.id.clone() };
        record(&outcome, &key, scribe);
    }
}

fn record(outcome: &Outcome, key: &Key, scribe: &Scribe) {
    let fact = Fact::Recorded {
        request: key.clone(),
        status: outcome.status,
        code: outcome.error.as_ref().map(|error| error.code),
        text: match (&outcome.output, &outcome.error) {
            (Some(output), _) => output_text(output),
            (None, error) => error.as_ref().map(|error| error.message.clone()),
        },
        digest: of_outcome(outcome),
        calls: outcome.attempts.len() as u64,
        tokens: outcome.usage.total_tokens(),
    };
    scribe.write(NAME, fact);
}

fn letter(message: &StreamMessage, scribe: &Scribe) {
    let format = bus_format(Some(&message.headers), &message.payload);
    let subject = message.subject.to_string();
    let of = Subjects::default()
        .parse_dead(&subject)
        .and_then(|(_, tenant, id)| Some(Key { tenant: tenant.parse().ok()?, id: id.parse().ok()? }));
    if let (Some(request), Ok(letter)) = (of, format.decode::<DeadLetter>(&message.payload)) {
        scribe.write(NAME, Fact::Parked { request, code: letter.reason.code });
    }
}

const fn nothing(_: &StreamMessage, _: &Scribe) {}
