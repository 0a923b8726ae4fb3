//! Messages of a work queue that its consumer takes for done. A server whose disk is full moves the consumer's floor
//! over a message and cannot write down that it is removed: with the next start of the server it is there again, and
//! nobody is ever given it (nats-server 2.15.1 looks for such messages in interest streams only). A power failure can
//! do the same.
//!
//! Whether it was done is not known here, so it is delivered again: never removed.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{api, connection::Connection, streams};
use crate::{ConsumerSpec, Error, ErrorKind};

/// How often a consumer that has nothing to give is looked after, at most. A message is left over that two looks have seen.
const LOOK_EVERY: Duration = Duration::from_secs(4);

/// What the looks after one consumer have shown.
#[derive(Debug)]
pub(super) struct Leftovers {
    look_at: Instant,
    /// The oldest message that the last look saw, of a consumer that had nothing to deliver and nothing at work.
    seen: Option<u64>,
}

/// What we read of a consumer.
#[derive(Deserialize)]
struct Info {
    /// Not delivered yet.
    num_pending: u64,
    /// Delivered, and not settled.
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
    /// Of a consumer that has just been opened.
    pub(super) fn new() -> Self {
        Self { look_at: next_look(), seen: None }
    }

    /// Whether the stream holds a message that is to be worked on, and that its consumer will never deliver; which. Asks
    /// the broker once in a while, and says no in between.
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
        // In this order: what comes in between is not there at the next look, or its consumer is at work on it then.
        if is_quiet(connection, spec).await? {
            self.seen = oldest(connection, spec).await?;
        }
        let Some(left) = self.seen.filter(|_| self.seen == before) else { return Ok(None) };
        // Any other stream keeps what is done.
        let is_work = streams::info(connection, &spec.stream).await?.is_work_queue();
        Ok(Some(left).filter(|_| is_work))
    }
}

/// Not when others look who share the consumer: one of them is enough to make it anew.
fn next_look() -> Instant {
    Instant::now() + LOOK_EVERY.mul_f64(1.0 + rand::random::<f64>())
}

/// Has the broker forget the consumer. The next one of its name is given all that the stream holds.
pub(super) async fn forget(connection: &Connection, spec: &ConsumerSpec) -> Result<(), Error> {
    let ConsumerSpec { stream, name, .. } = spec;
    let question = format!("CONSUMER.DELETE.{stream}.{name}");
    match api::call::<Value>(connection, &question, &json!({})).await {
        // Another who shares it was faster.
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether it says that it has nothing to deliver and that nothing of it is at work.
async fn is_quiet(connection: &Connection, spec: &ConsumerSpec) -> Result<bool, Error> {
    let ConsumerSpec { stream, name, .. } = spec;
    let info: Info = api::call(connection, &format!("CONSUMER.INFO.{stream}.{name}"), &json!({})).await?;
    Ok(info.num_pending == 0 && info.num_ack_pending == 0)
}

/// The oldest message that is for this consumer. Asked of the one who leads the stream: a follower may be behind.
async fn oldest(connection: &Connection, spec: &ConsumerSpec) -> Result<Option<u64>, Error> {
    let ConsumerSpec { stream, filter, .. } = spec;
    let question = json!({ "seq": 1, "next_by_subj": filter });
    match api::call::<Oldest>(connection, &format!("STREAM.MSG.GET.{stream}"), &question).await {
        Ok(oldest) => Ok(Some(oldest.message.seq)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
