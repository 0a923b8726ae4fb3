//! How a work queue is told that a message is done. At each acknowledgement nats-server (2.15.1) goes through all consumers
//! of the stream, whether another wants the message, about half a microsecond each. To remove a message it asks none, and settles
//! its delivery as well: so where there are many consumers, what is done is removed.

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

/// With fewer consumers an acknowledgement is believed to cost less than a removal, which is a question in JSON. Reckoned.
const MANY: usize = 32;

/// What is known of the streams.
#[derive(Debug, Default)]
pub(super) struct Ways(Mutex<HashMap<String, Arc<Way>>>);

/// How it is said of the messages of one stream.
#[derive(Debug)]
pub(super) struct Way {
    subject: String,
    now: AtomicU8,
}

/// By an acknowledgement.
const ACK: u8 = 0;
/// By a removal, if the server allows it.
const TRY: u8 = 1;
/// By a removal.
const REMOVE: u8 = 2;
/// By an acknowledgement, however many consumers there are: the server allows nothing else.
const ACK_ALWAYS: u8 = 3;

impl Ways {
    /// That of `stream`.
    pub(super) fn of(&self, stream: &str) -> Arc<Way> {
        let mut ways = self.0.lock();
        let new =
            || Arc::new(Way { subject: format!("STREAM.MSG.DELETE.{stream}"), now: AtomicU8::new(ACK) });
        Arc::clone(ways.entry(stream.to_owned()).or_insert_with(new))
    }

    /// The server tells that `stream` has so many consumers, and that it may be removed from.
    pub(super) fn hear(&self, stream: &str, consumers: usize, is_removable: bool) {
        let way = self.of(stream);
        let (from, to) = if is_removable && consumers >= MANY { (ACK, TRY) } else { (TRY, ACK) };
        // It stays what it is where it was neither.
        let _ = way.now.compare_exchange(from, to, Relaxed, Relaxed);
        if to == ACK {
            let _ = way.now.compare_exchange(REMOVE, ACK, Relaxed, Relaxed);
        }
    }
}

impl Way {
    /// Removes what is done where that is the way; says whether it did. What is lost of this is delivered again.
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

    /// A removal failed. Whoever may acknowledge may not always remove; of all else, such as a message that somebody else was
    /// done with before, the next may be tried again.
    fn give_up(&self, error: &Error) {
        let way = if error.kind() == ErrorKind::Denied {
            tracing::warn!(%error, "each acknowledgement costs the broker more than it need");
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
