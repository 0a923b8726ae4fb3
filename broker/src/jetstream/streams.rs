//! Creates missing streams, brings others to our limits, and refuses those that promise less than the contract.

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use async_nats::jetstream::stream::{Config, DiscardPolicy, Republish, RetentionPolicy, StorageType};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{api, connection::Connection};
use crate::{Bells, Error, ErrorKind, Retention, Storage, StreamSpec};

/// How many consumers a stream may have: each lane has one. Servers from 2.15 on allow a thousand if a stream names no
/// number, and read "without limit" as that; earlier ones set no limit, and cannot change it afterwards.
const CONSUMERS_MAX: i32 = 1_000_000;

/// The fields that we read of a stream.
#[derive(Deserialize)]
pub(super) struct Info {
    config: Config,
    ts: Option<Timestamp>,
    pub(super) state: State,
}

impl Info {
    /// Whether the stream holds only what is still to be done.
    pub(super) fn is_work_queue(&self) -> bool {
        self.config.retention == RetentionPolicy::WorkQueue
    }
}

/// What a stream holds.
#[derive(Deserialize)]
pub(super) struct State {
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
}

/// One page of a stream's subjects.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    total: usize,
    ts: Option<Timestamp>,
    config: Kept,
    #[serde(default)]
    cluster: Cluster,
    state: Held,
}

#[derive(Default, Deserialize)]
struct Cluster {
    /// None if the server is not in a cluster.
    name: Option<String>,
}

#[derive(Deserialize)]
struct Kept {
    retention: RetentionPolicy,
}

#[derive(Deserialize)]
struct Held {
    #[serde(default)]
    consumer_count: usize,
    subjects: Option<BTreeMap<String, u64>>,
}

/// Makes sure that one stream exists and holds what `spec` promises; returns whether it was created. A new one counts
/// its messages from `first`, or from 1.
pub(super) async fn ensure(
    connection: &Connection,
    spec: &StreamSpec,
    replicas: usize,
    first: Option<u64>,
) -> Result<bool, Error> {
    let name = &spec.name;
    let existing = match info(connection, name).await {
        Ok(info) => info.config,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let config = Config { first_sequence: first, ..config_of(spec, replicas) };
            match create(connection, config).await {
                Ok(()) => return Ok(true),
                // Another process may have been faster: then its stream is verified like any other.
                Err(error) => info(connection, name).await.map_err(|_| cannot_make(spec, error))?.config,
            }
        }
        Err(error) => return Err(error),
    };
    verify(spec, &existing)?;
    let wanted = with_consumers(connection, updated(spec, &existing, replicas));
    match update(connection, &wanted, &existing).await {
        // There is no room to grow into.
        Err(error) if error.kind() == ErrorKind::Full => {
            let (max_bytes, max_consumers) = (existing.max_bytes, existing.max_consumers);
            tracing::warn!(stream = %name, max_bytes, %error, "a stream cannot grow to what it is set to hold");
            update(connection, &Config { max_bytes, max_consumers, ..wanted }, &existing).await?;
        }
        updated => updated?,
    }
    Ok(false)
}

/// Creates a stream; if the account does not allow that many consumers, with as many as it allows.
async fn create(connection: &Connection, config: Config) -> Result<(), Error> {
    let subject = format!("STREAM.CREATE.{}", config.name);
    let wanted = with_consumers(connection, config.clone());
    match api::call::<Value>(connection, &subject, &wanted).await {
        Err(error) if error.kind() == ErrorKind::Full && wanted != config => {
            api::call::<Value>(connection, &subject, &config).await.map(drop)
        }
        made => made.map(drop),
    }
}

/// `config` with room for all lanes, if the server has a limit and the stream names none.
fn with_consumers(connection: &Connection, config: Config) -> Config {
    let is_unnamed = config.max_consumers <= 0 && connection.limits_consumers();
    Config { max_consumers: if is_unnamed { CONSUMERS_MAX } else { config.max_consumers }, ..config }
}

async fn update(connection: &Connection, wanted: &Config, existing: &Config) -> Result<(), Error> {
    if wanted != existing {
        let name = &wanted.name;
        api::call::<Value>(connection, &format!("STREAM.UPDATE.{name}"), wanted).await?;
        tracing::info!(stream = %name, "stream brought to the configured limits");
    }
    Ok(())
}

/// A stream's configuration and state.
pub(super) async fn info(connection: &Connection, stream: &str) -> Result<Info, Error> {
    let info: Info = api::call(connection, &format!("STREAM.INFO.{stream}"), &json!({})).await?;
    connection.clock().hear(info.ts);
    Ok(info)
}

/// The subjects that match `pattern` and hold messages. The server returns only so many at once.
pub(super) async fn subjects(
    connection: &Connection,
    stream: &str,
    pattern: &str,
) -> Result<Vec<(String, u64)>, Error> {
    let mut subjects = BTreeMap::new();
    loop {
        let question = json!({"subjects_filter": pattern, "offset": subjects.len()});
        let page: Page = api::call(connection, &format!("STREAM.INFO.{stream}"), &question).await?;
        connection.clock().hear(page.ts);
        // How followers handle a removal was not tried.
        let is_removable = page.config.retention == RetentionPolicy::WorkQueue && page.cluster.name.is_none();
        connection.ways().hear(stream, page.state.consumer_count, is_removable);
        let told = page.state.subjects.unwrap_or_default();
        let more = !told.is_empty() && subjects.len() + told.len() < page.total;
        subjects.extend(told);
        if !more {
            return Ok(subjects.into_iter().collect());
        }
    }
}

fn cannot_make(spec: &StreamSpec, error: Error) -> Error {
    let mend = match error.kind() {
        ErrorKind::Full => {
            let bytes = spec.bytes_max.unwrap_or_default();
            format!(
                "it wants {bytes} bytes: give the server more JetStream storage, or the stream a lower limit"
            )
        }
        _ => "does another stream take its subjects? then use another prefix".to_owned(),
    };
    Error::new(error.kind(), format!("cannot make stream {}: {mend}", spec.name)).with_source(error)
}

/// The configuration with which we create the stream.
pub(super) fn config_of(spec: &StreamSpec, replicas: usize) -> Config {
    let config = Config {
        name: spec.name.clone(),
        retention: match spec.retention {
            Retention::WorkQueue => RetentionPolicy::WorkQueue,
            Retention::Limits => RetentionPolicy::Limits,
        },
        storage: match spec.storage {
            Storage::File => StorageType::File,
            Storage::Memory => StorageType::Memory,
        },
        max_messages_per_subject: if spec.first_wins { 1 } else { -1 },
        discard_new_per_subject: spec.first_wins,
        max_consumers: -1,
        ..Config::default()
    };
    updated(spec, &config, replicas)
}

/// `existing`, with everything that can be changed set as `spec` says.
fn updated(spec: &StreamSpec, existing: &Config, replicas: usize) -> Config {
    let limit = |value: Option<u64>| value.map_or(-1, |value| i64::try_from(value).unwrap_or(i64::MAX));
    let age = spec.age_max.unwrap_or_default();
    // The server refuses to remember an id for longer than its message.
    let bounded = |window: Duration| if age.is_zero() { window } else { window.min(age) };
    let republish = |bells: &Bells| Republish {
        source: bells.from.clone(),
        destination: bells.to.clone(),
        headers_only: true,
    };
    Config {
        subjects: spec.subjects.clone(),
        republish: spec.bells.as_ref().map(republish).or_else(|| existing.republish.clone()),
        max_age: age,
        max_messages: limit(spec.messages_max),
        max_bytes: limit(spec.bytes_max),
        discard: if spec.discard_old { DiscardPolicy::Old } else { DiscardPolicy::New },
        duplicate_window: bounded(existing.duplicate_window.max(spec.duplicate_window)),
        num_replicas: existing.num_replicas.max(replicas),
        // Direct reads bypass the API's queue.
        allow_direct: true,
        ..existing.clone()
    }
}

/// Checks that an existing stream promises at least what `spec` does. It has an owner, so it stays as it is.
fn verify(spec: &StreamSpec, existing: &Config) -> Result<(), Error> {
    let name = &spec.name;
    let needed = config_of(spec, existing.num_replicas);
    let recreate = format!("remove it with `nats stream rm {name}` once it is empty, and it is made anew");
    let edit = |option: &str| format!("`nats stream edit {name} {option}`");
    same(name, "retention", existing.retention, needed.retention, &recreate)?;
    if needed.storage == StorageType::File {
        same(name, "storage", existing.storage, needed.storage, &recreate)?;
    }
    if needed.discard == DiscardPolicy::New {
        same(name, "discard", existing.discard, DiscardPolicy::New, &edit("--discard=new"))?;
    }
    let (found, want) = (existing.max_messages_per_subject.max(-1), needed.max_messages_per_subject);
    let found = if found == 0 { -1 } else { found };
    same(name, "max_msgs_per_subject", found, want, &edit(&format!("--max-msgs-per-subject={want}")))?;
    if spec.first_wins {
        let found = existing.discard_new_per_subject;
        same(name, "discard_new_per_subject", found, true, &edit("--discard-per-subject"))?;
    }
    if existing.duplicate_window < needed.duplicate_window {
        let seconds = needed.duplicate_window.as_secs_f64();
        let mend = edit(&format!("--dupe-window={seconds}s"));
        return same(name, "duplicate_window", existing.duplicate_window, needed.duplicate_window, &mend);
    }
    Ok(())
}

fn same<T: PartialEq + Debug>(
    stream: &str,
    setting: &str,
    found: T,
    needed: T,
    mend: &str,
) -> Result<(), Error> {
    if found == needed {
        return Ok(());
    }
    let what = format!("stream {stream} has {setting} {found:?}, and {needed:?} is needed: {mend}");
    Err(Error::new(ErrorKind::Invalid, what))
}
