//! The reply subject of a delivery: what it says about the message, and how the message is settled on it.

use std::{sync::Arc, time::Duration};

use async_nats::{Message, Subject};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use super::{connection::Connection, done::Way, wire::from_nats};
use crate::{Error, ErrorKind, Lease, Settle, Settlement};

/// A confirmation takes a millisecond; after this it was lost, and the lease may be too.
const CONFIRM_MAX: Duration = Duration::from_secs(2);

/// What a reply subject says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Delivery {
    deliveries: u32,
    sequence: u64,
    stored_at: Timestamp,
    pending: u64,
}

/// A lease on a message that was delivered in `session`; none if the message is not a stream's delivery.
pub(super) fn lease(
    connection: &Arc<Connection>,
    session: u64,
    way: &Arc<Way>,
    mut message: Message,
) -> Option<Lease> {
    let reply = message.reply.take()?;
    let delivery = parse(&reply)?;
    let settle = Reply {
        connection: Arc::clone(connection),
        way: Arc::clone(way),
        session,
        sequence: delivery.sequence,
        subject: reply,
    };
    let mut lease = Lease::new(from_nats(message), delivery.sequence, delivery.deliveries, Arc::new(settle));
    lease.stored_at = delivery.stored_at;
    lease.pending = delivery.pending;
    Some(lease)
}

/// `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<consumer sequence>.<nanoseconds>.<pending>`; newer servers add
/// domain and account after `ACK`, and more at the end.
fn parse(subject: &str) -> Option<Delivery> {
    let mut tokens = subject.strip_prefix("$JS.ACK.")?.split('.');
    let skipped = if subject.split('.').count() >= 11 { 4 } else { 2 };
    tokens.nth(skipped - 1)?;
    let deliveries = tokens.next()?.parse().ok()?;
    let sequence = tokens.next()?.parse().ok()?;
    let nanoseconds = tokens.nth(1)?.parse().ok()?;
    let pending = tokens.next()?.parse().ok()?;
    let stored_at = Timestamp::from_nanosecond(nanoseconds).ok()?;
    Some(Delivery { deliveries, sequence, stored_at, pending })
}

/// Settles one delivery.
struct Reply {
    connection: Arc<Connection>,
    way: Arc<Way>,
    /// The session in which it was delivered.
    session: u64,
    sequence: u64,
    subject: Subject,
}

#[async_trait]
impl Settle for Reply {
    async fn settle(&self, settlement: Settlement) -> Result<(), Error> {
        match settlement {
            // If one is lost, the message is redelivered. Without a connection the client keeps a few for the next one.
            Settlement::Ack => self.done().await,
            Settlement::RetryAfter(delay) if delay.is_zero() => self.tell(Bytes::from_static(b"-NAK")).await,
            Settlement::RetryAfter(delay) => {
                self.tell(format!("-NAK {{\"delay\":{}}}", delay.as_nanos()).into()).await
            }
            // Callers that rely on these must know that they arrived.
            Settlement::Reject => self.confirm(Bytes::from_static(b"+TERM")).await,
            Settlement::Renew => self.confirm(Bytes::from_static(b"+WPI")).await,
        }
    }
}

impl Reply {
    /// Removes the message, or acks it. After a reconnect the server may have another message under this sequence,
    /// which a removal would hit and this ack would not.
    async fn done(&self) -> Result<(), Error> {
        let is_same = self.connection.number() == self.session;
        if is_same && self.way.remove(&self.connection, self.sequence).await? {
            return Ok(());
        }
        self.tell(Bytes::from_static(b"+ACK")).await
    }

    async fn tell(&self, word: Bytes) -> Result<(), Error> {
        self.connection.tell(&self.subject, None, None, word).await
    }

    async fn confirm(&self, word: Bytes) -> Result<(), Error> {
        self.connection.must_be_up()?;
        let answer = self.connection.requests().ask(&self.subject, None, word, CONFIRM_MAX).await;
        answer.map(drop).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::new(ErrorKind::NotFound, "the consumer of this lease is gone"),
            _ => error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_reply_subject_are_read() {
        let stored_at = Timestamp::from_nanosecond(1_700_000_000_000_000_001).unwrap();
        let delivery = Some(Delivery { deliveries: 2, sequence: 30, stored_at, pending: 7 });
        assert_eq!(parse("$JS.ACK.S.c.2.30.4.1700000000000000001.7"), delivery);
        assert_eq!(parse("$JS.ACK.hub.acc.S.c.2.30.4.1700000000000000001.7.token"), delivery);
        assert_eq!(parse("$JS.ACK._.acc.S.c.2.30.4.1700000000000000001.7"), delivery);
        assert_eq!(parse("_INBOX.x.1"), None);
        assert_eq!(parse("$JS.ACK.S.c.2"), None);
    }
}
