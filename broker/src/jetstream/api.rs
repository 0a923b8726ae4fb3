//! The JetStream API: JSON questions, JSON answers, and what its error codes mean.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::connection::Connection;
use crate::{Error, ErrorKind};

/// The API answers in a millisecond; after this the server is frozen or gone.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(2);

/// An error as the server reports it. The words vary, the codes do not.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ApiError {
    /// An HTTP status.
    #[serde(default)]
    code: u16,
    /// The exact code.
    #[serde(default)]
    err_code: u16,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct Envelope {
    error: Option<ApiError>,
}

impl ApiError {
    /// Converts it into our error; `what` says what was being done.
    pub(super) fn into_error(self, what: &str) -> Error {
        let Self { code, err_code, description } = self;
        let kind = match err_code {
            // Only the words distinguish these two: a subject that already holds its one message, and a full stream.
            10077 if description.contains("per subject") => ErrorKind::Exists,
            10077 | 10002 | 10023 | 10026 | 10028 | 10047 => ErrorKind::Full,
            // JetStream is off, has no leader just now, or is still removing a consumer of that name: nothing is full.
            10008 | 10012 | 10039 | 10076 => ErrorKind::Disconnected,
            10071 | 10164 => ErrorKind::WrongRevision,
            10014 | 10037 | 10043 | 10059 => ErrorKind::NotFound,
            10054 => ErrorKind::TooLarge,
            _ => match code {
                503 => ErrorKind::Full,
                404 => ErrorKind::NotFound,
                _ => ErrorKind::Invalid,
            },
        };
        Error::new(kind, format!("{what}: {description} (code {err_code})"))
    }
}

/// Asks `$JS.API.<subject>`.
pub(super) async fn call<T: DeserializeOwned>(
    connection: &Connection,
    subject: &str,
    question: &(impl Serialize + Sync),
) -> Result<T, Error> {
    let payload = serde_json::to_vec(question).map_err(|error| unreadable(subject, error))?;
    call_raw(connection, subject, payload.into()).await
}

/// The same with a question that is already JSON.
pub(super) async fn call_raw<T: DeserializeOwned>(
    connection: &Connection,
    subject: &str,
    question: Bytes,
) -> Result<T, Error> {
    let subject = format!("$JS.API.{subject}");
    connection.must_be_up()?;
    let answer = connection.requests().ask(&subject, None, question, ANSWER_MAX).await?;
    let envelope: Envelope =
        serde_json::from_slice(&answer.payload).map_err(|error| unreadable(&subject, error))?;
    match envelope.error {
        Some(error) => Err(error.into_error(&subject)),
        None => serde_json::from_slice(&answer.payload).map_err(|error| unreadable(&subject, error)),
    }
}

/// The error for a question or an answer that is not what it should be.
pub(super) fn unreadable(subject: &str, error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Invalid, format!("cannot read what the broker answers on {subject}"))
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: u16, err_code: u16, description: &str) -> ErrorKind {
        ApiError { code, err_code, description: description.to_owned() }.into_error("test").kind()
    }

    #[test]
    fn a_taken_subject_is_told_from_a_full_stream() {
        assert_eq!(kind(503, 10077, "maximum messages per subject exceeded"), ErrorKind::Exists);
        assert_eq!(kind(503, 10077, "maximum messages exceeded"), ErrorKind::Full);
        assert_eq!(kind(503, 10077, "maximum bytes exceeded"), ErrorKind::Full);
        assert_eq!(kind(503, 10023, "insufficient resources"), ErrorKind::Full);
        assert_eq!(kind(503, 10008, "JetStream system temporarily unavailable"), ErrorKind::Disconnected);
        assert_eq!(kind(500, 10012, "error creating store for consumer"), ErrorKind::Disconnected);
        assert_eq!(kind(400, 10002, "resource limits exceeded for account"), ErrorKind::Full);
        assert_eq!(kind(400, 10026, "maximum consumers limit reached"), ErrorKind::Full);
        assert_eq!(kind(400, 10071, "wrong last sequence: 3"), ErrorKind::WrongRevision);
        assert_eq!(kind(404, 10059, "stream not found"), ErrorKind::NotFound);
        assert_eq!(kind(400, 10065, "subjects overlap"), ErrorKind::Invalid);
    }
}
