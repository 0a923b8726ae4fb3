//! What comes back for a pull: messages, and status messages about the pull itself.

use async_nats::{Message, StatusCode, header::HeaderValue};

/// What a message on a consumer's inbox is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A delivery.
    Message,
    /// A sign of life.
    Heartbeat,
    /// A pull has ended with so many messages not delivered.
    Ended {
        /// How many.
        unfilled: usize,
    },
    /// The consumer is gone.
    Gone,
    /// The pulls are gone: the server restarts, or another of its cluster leads.
    Lost,
    /// The server will not have the pull.
    Refused(String),
}

impl Heard {
    /// Tells what `message` is.
    pub(super) fn of(message: &Message) -> Self {
        let Some(status) = message.status else { return Self::Message };
        let description = message.description.as_deref().unwrap_or_default();
        let says = |words: &str| description.to_ascii_lowercase().contains(words);
        match status {
            StatusCode::IDLE_HEARTBEAT => Self::Heartbeat,
            StatusCode::NO_RESPONDERS => Self::Gone,
            StatusCode::REQUEST_TERMINATED if says("consumer deleted") => Self::Gone,
            StatusCode::REQUEST_TERMINATED if says("leadership change") || says("server shutdown") => {
                Self::Lost
            }
            // Any other end by 409 comes at once, and would come again at once.
            StatusCode::REQUEST_TERMINATED if !says("batch completed") => refused(status, description),
            StatusCode::TIMEOUT | StatusCode::NOT_FOUND | StatusCode::REQUEST_TERMINATED => unfilled(message)
                .map_or_else(|| refused(status, description), |unfilled| Self::Ended { unfilled }),
            _ => refused(status, description),
        }
    }
}

fn refused(status: StatusCode, description: &str) -> Heard {
    Heard::Refused(format!("{status} {description}"))
}

fn unfilled(message: &Message) -> Option<usize> {
    let headers = message.headers.as_ref()?;
    headers.get("Nats-Pending-Messages").map(HeaderValue::as_str)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use async_nats::HeaderMap;

    use super::*;

    fn status(code: u16, description: &str, unfilled: Option<&str>) -> Message {
        let mut headers = HeaderMap::new();
        if let Some(unfilled) = unfilled {
            headers.insert("Nats-Pending-Messages", unfilled);
        }
        Message {
            subject: "_INBOX.x".into(),
            reply: None,
            payload: bytes::Bytes::new(),
            headers: Some(headers),
            status: Some(StatusCode::try_from(code).unwrap()),
            description: Some(description.to_owned()),
            length: 0,
        }
    }

    #[test]
    fn every_status_has_its_meaning() {
        assert_eq!(Heard::of(&status(100, "Idle Heartbeat", None)), Heard::Heartbeat);
        assert_eq!(Heard::of(&status(408, "Request Timeout", Some("7"))), Heard::Ended { unfilled: 7 });
        assert_eq!(Heard::of(&status(409, "Consumer Deleted", Some("7"))), Heard::Gone);
        assert_eq!(Heard::of(&status(409, "Leadership Change", Some("7"))), Heard::Lost);
        assert_eq!(Heard::of(&status(409, "Batch Completed", Some("0"))), Heard::Ended { unfilled: 0 });
        assert!(matches!(Heard::of(&status(409, "Exceeded MaxWaiting", None)), Heard::Refused(_)));
        assert!(matches!(Heard::of(&status(409, "Consumer is push based", Some("7"))), Heard::Refused(_)));
        assert_eq!(Heard::of(&status(503, "", None)), Heard::Gone);
        assert!(matches!(Heard::of(&status(400, "Bad Request", None)), Heard::Refused(_)));
    }
}
