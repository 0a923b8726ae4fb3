//! How a work queue is told that a message is done. On each ack nats-server (2.15.1) checks whether any other consumer
//! of the stream wants the message, about half a microsecond per consumer. A removal asks no consumer and settles the
//! delivery as well, so if there are many consumers, a done message is removed.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;

use super::{api, connection::Connection};
use crate::{Error, ErrorKind};

/// With fewer consumers an ack is believed to cost less than a removal, which is a question in JSON. Estimated.
const MANY: usize = 32;

/// The ways of all streams.
#[derive(Debug, Default)]
pub(super) struct Ways(Mutex<HashMap<String, Arc<Way>>>);

/// How the server is told that messages of one stream are done.
#[derive(Debug)]
pub(super) struct Way {
    subject: String,
    now: AtomicU8,
}

/// By an ack.
const ACK: u8 = 0;
/// By a removal, if the server allows it.
const TRY: u8 = 1;
/// By a removal.
const REMOVE: u8 = 2;
/// By an ack, however many consumers there are: the server allows nothing else.
const ACK_ALWAYS: u8 = 3;

impl Ways {
    /// The way of `stream`.
    pub(super) fn of(&self, stream: &str) -> Arc<Way> {
        let mut ways = self.0.lock();
        let new =
            || Arc::new(Way { subject: format!("STREAM.MSG.DELETE.{stream}"), now: AtomicU8::new(ACK) });
        Arc::clone(ways.entry(stream.to_owned()).or_insert_with(new))
    }

    /// Notes how many consumers `stream` has, and whether messages may be removed from it.
    pub(super) fn hear(&self, stream: &str, consumers: usize, is_removable: bool) {
        let way = self.of(stream);
        let (from, to) = if is_removable && consumers >= MANY { (ACK, TRY) } else { (TRY, ACK) };
        // If it was in neither state, it stays as it is.
        let _ = way.now.compare_exchange(from, to, Relaxed, Relaxed);
        if to == ACK {
            let _ = way.now.compare_exchange(REMOVE, ACK, Relaxed, Relaxed);
        }
    }
}

impl Way {
    /// Removes a done message, if that is the way; returns whether it did. A lost removal means redelivery.
    pub(super) async fn remove(&self, connection: &Connection, sequence: u64) -> Result<bool, Error> {
        let question = || Bytes::from(format!(r#"{{"seq":{sequence},"no_erase":true}}"#));
        match self.now.load(Relaxed) {
            REMOVE => {
                let subject = format!("$JS.API.{}", self.subject);
                connection.tell(&subject, None, None, question()).await.map(|()| true)
            }
            TRY => match api::call_raw::<Value>(connection, &self.subject, question()).await {
                Ok(_) => {
                    self.now.store(REMOVE, Relaxed);
                    Ok(true)
                }
                Err(error) => {
                    self.give_up(&error);
                    Ok(false)
                }
            },
            _ => Ok(false),
        }
    }

    /// A removal failed. A client that may ack may not always remove. After any other failure, such as a message that
    /// another client settled first, the next removal may be tried again.
    fn give_up(&self, error: &Error) {
        let way = if error.kind() == ErrorKind::Denied {
            tracing::warn!(%error, "this client may not remove messages, so each acknowledgement costs the broker more");
            ACK_ALWAYS
        } else {
            ACK
        };
        self.now.store(way, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_are_many_consumers_what_is_done_is_removed() {
        let ways = Ways::default();
        let now = || ways.of("S").now.load(Relaxed);
        ways.hear("S", MANY - 1, true);
        assert_eq!(now(), ACK);
        ways.hear("S", MANY, false);
        assert_eq!(now(), ACK, "any other stream keeps what is done");
        ways.hear("S", MANY, true);
        assert_eq!(now(), TRY);
        ways.of("S").now.store(REMOVE, Relaxed);
        ways.hear("S", MANY + 1, true);
        assert_eq!(now(), REMOVE);
        ways.hear("S", 1, true);
        assert_eq!(now(), ACK);
        ways.of("S").give_up(&Error::new(ErrorKind::Invalid, "there is no such message"));
        assert_eq!(now(), ACK);
        ways.hear("S", MANY, true);
        assert_eq!(now(), TRY, "another may be there");
        ways.of("S").give_up(&Error::new(ErrorKind::Denied, "not permitted"));
        ways.hear("S", MANY, true);
        assert_eq!(now(), ACK_ALWAYS, "it was refused");
    }
}
