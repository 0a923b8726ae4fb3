//! Waits for the end of a request, for doors that answer once.

use schemas::{
    Error, ErrorCode, EventBody,
    event::{Completion, EventKind},
};
use tokio::time::Instant;

use crate::{feed::Feed, frame::Frame};

/// How the request of `feed` ended; `deadline_exceeded` if that is not known at `give_up_at`.
pub(crate) async fn wait(feed: &mut Feed, give_up_at: Instant) -> Result<Completion, Error> {
    loop {
        match tokio::time::timeout_at(give_up_at, feed.next()).await {
            Ok(Some(frame)) if frame.head.event.is_terminal() => return read(&frame),
            Ok(Some(_)) => {}
            Ok(None) => {
                return Err(Error::new(
                    ErrorCode::Internal,
                    "the events of the request stopped before it ended",
                ));
            }
            Err(_) => return Err(late()),
        }
    }
}

/// The completion or the error in a terminal frame.
pub(crate) fn read(frame: &Frame) -> Result<Completion, Error> {
    if matches!(frame.head.event, EventKind::Complete | EventKind::ChatComplete) {
        return frame.body();
    }
    match frame.event()?.body {
        EventBody::Fail { error } => Err(error),
        EventBody::Cancelled { .. } => Err(Error::new(ErrorCode::Cancelled, "the request was cancelled")),
        other => Err(Error::new(ErrorCode::Internal, format!("`{}` is not an end", other.name()))),
    }
}

/// The door stops waiting; the request may still end.
pub(crate) fn late() -> Error {
    let why = "no answer within the deadline; its outcome stays readable at /v1/requests/{id}";
    Error::new(ErrorCode::DeadlineExceeded, why)
}
