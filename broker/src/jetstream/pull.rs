//! What comes back for a pull: messages, and status messages about the pull itself.

use async_nats::{Message, StatusCode};

/// What a message on a consumer's inbox is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A message of the stream.
    Delivery,
    /// A sign of life.
    Heartbeat,
    /// A pull has ended: there is nothing more, or its time is up.
    Ended,
}

/// Why pulls must start afresh.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// Also if nobody answers for the consumer.
    #[error("the consumer is gone")]
    Gone,
    /// The server restarts, or its cluster has a new leader.
    #[error("the server dropped the pulls")]
    Lost,
    /// The server is frozen, or has forgotten the pulls.
    #[error("the server gave no sign of life")]
    Silent,
    /// The server would refuse the next pull as well.
    #[error("the server will not have it: {0}")]
    Refused(String),
}

impl Heard {
    /// Classifies `message`.
    pub(super) fn of(message: &Message) -> Result<Self, Trouble> {
        let Some(status) = message.status else { return Ok(Self::Delivery) };
        let description = message.description.as_deref().unwrap_or_default();
        let says = |words: &str| description.to_ascii_lowercase().contains(words);
        let refused = || Trouble::Refused(format!("{status} {description}"));
        match status {
            StatusCode::IDLE_HEARTBEAT => Ok(Self::Heartbeat),
            StatusCode::NO_RESPONDERS => Err(Trouble::Gone),
            StatusCode::REQUEST_TERMINATED if says("consumer deleted") => Err(Trouble::Gone),
            StatusCode::REQUEST_TERMINATED if says("leadership change") || says("server shutdown") => {
                Err(Trouble::Lost)
            }
            // Any other end by 409 comes at once, and would come again at once.
            StatusCode::REQUEST_TERMINATED if !says("batch completed") => Err(refused()),
            StatusCode::TIMEOUT | StatusCode::NOT_FOUND | StatusCode::REQUEST_TERMINATED => Ok(Self::Ended),
            _ => Err(refused()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, description: &str) -> Message {
        Message {
            subject: "_INBOX.x".into(),
            reply: None,
            payload: bytes::Bytes::new(),
            headers: None,
            status: Some(StatusCode::try_from(code).unwrap()),
            description: Some(description.to_owned()),
            length: 0,
        }
    }

    #[test]
    fn every_status_has_its_meaning() {
        let heard = |code, description| Heard::of(&status(code, description));
        assert_eq!(heard(100, "Idle Heartbeat"), Ok(Heard::Heartbeat));
        assert_eq!(heard(404, "No Messages"), Ok(Heard::Ended));
        assert_eq!(heard(408, "Request Timeout"), Ok(Heard::Ended));
        assert_eq!(heard(409, "Batch Completed"), Ok(Heard::Ended));
        assert_eq!(heard(409, "Consumer Deleted"), Err(Trouble::Gone));
        assert_eq!(heard(503, ""), Err(Trouble::Gone));
        assert_eq!(heard(409, "Leadership Change"), Err(Trouble::Lost));
        for (code, description) in
            [(409, "Exceeded MaxWaiting"), (409, "Consumer is push based"), (400, "Bad Request")]
        {
            assert!(matches!(heard(code, description), Err(Trouble::Refused(_))));
        }
    }
}
