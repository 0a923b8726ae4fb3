//! Messages of a work queue that its consumer takes for done. A server whose disk is full moves the consumer's ack
//! floor over a message and cannot write down its removal: after the next start of the server the message is there
//! again, and the server gives it to nobody (nats-server 2.15.1 looks for such messages in interest streams only). A
//! power failure can do the same.
//!
//! Nothing here knows whether such a message was done, so it is redelivered, never removed.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{api, connection::Connection, streams};
use crate::{ConsumerSpec, Error, ErrorKind};

/// How often an idle consumer is checked, at most. A message that two checks have seen is a leftover.
const LOOK_EVERY: Duration = Duration::from_secs(4);

/// What the checks of one consumer have shown.
#[derive(Debug)]
pub(super) struct Leftovers {
    look_at: Instant,
    /// The oldest message that the last check saw, if the consumer had nothing to deliver and nothing at work.
    seen: Option<u64>,
}

/// The fields that we read of a consumer.
#[derive(Deserialize)]
struct Info {
    /// Not delivered yet.
    num_pending: u64,
    /// Delivered, but not settled.
    num_ack_pending: u64,
}

#[derive(Deserialize)]
struct Oldest {
    message: Place,
}

#[derive(Deserialize)]
struct Place {
    seq: u64,
}

impl Leftovers {
    /// For a consumer that has just been opened.
    pub(super) fn new() -> Self {
        Self { look_at: next_look(), seen: None }
    }

    /// The sequence of a message, if any, that is still to be done and that the consumer will never deliver. Asks the
    /// broker once in a while, and returns none in between.
    pub(super) async fn found(
        &mut self,
        connection: &Connection,
        spec: &ConsumerSpec,
    ) -> Result<Option<u64>, Error> {
        if Instant::now() < self.look_at {
            return Ok(None);
        }
        let before = self.seen.take();
        self.look_at = next_look();
        // In this order: a message that arrives in between is gone at the next check, or being worked on.
        if is_quiet(connection, spec).await? {
            self.seen = oldest(connection, spec).await?;
        }
        let Some(left) = self.seen.filter(|_| self.seen == before) else { return Ok(None) };
        // Other streams keep messages that are done.
        let is_work = streams::info(connection, &spec.stream).await?.is_work_queue();
        Ok(Some(left).filter(|_| is_work))
    }
}

/// Not when the other handles of the consumer check: one of them is enough to re-create it.
fn next_look() -> Instant {
    Instant::now() + LOOK_EVERY.mul_f64(1.0 + rand::random::<f64>())
}

/// Deletes the consumer at the broker. The next one of its name is given everything that the stream holds.
pub(super) async fn forget(connection: &Connection, spec: &ConsumerSpec) -> Result<(), Error> {
    let ConsumerSpec { stream, name, .. } = spec;
    let question = format!("CONSUMER.DELETE.{stream}.{name}");
    match api::call::<Value>(connection, &question, &json!({})).await {
        // Another handle was faster.
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether the consumer reports nothing to deliver and nothing at work.
async fn is_quiet(connection: &Connection, spec: &ConsumerSpec) -> Result<bool, Error> {
    let ConsumerSpec { stream, name, .. } = spec;
    let info: Info = api::call(connection, &format!("CONSUMER.INFO.{stream}.{name}"), &json!({})).await?;
    Ok(info.num_pending == 0 && info.num_ack_pending == 0)
}

/// The oldest message for this consumer. Asks the leader of the stream: a follower may be behind.
async fn oldest(connection: &Connection, spec: &ConsumerSpec) -> Result<Option<u64>, Error> {
    let ConsumerSpec { stream, filter, .. } = spec;
    let question = json!({ "seq": 1, "next_by_subj": filter });
    match api::call::<Oldest>(connection, &format!("STREAM.MSG.GET.{stream}"), &question).await {
        Ok(oldest) => Ok(Some(oldest.message.seq)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
