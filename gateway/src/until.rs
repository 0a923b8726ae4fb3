//! A body that ends with its reader's API key: a stream lasts no longer than the key with which it was requested.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::header,
    response::Response,
};
use hyper::body::{Frame, SizeHint};
use schemas::{Error, ErrorCode};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{refusal, sse};

/// Why an answer ends early.
pub(crate) const REVOKED: &str = "the API key was revoked or has expired";

struct Until {
    body: Body,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The last event, if the format of the body allows one.
    farewell: Option<Bytes>,
    is_over: bool,
}

/// The same response; if its body is still to come, the body ends with `ended`.
pub(crate) fn ends_with(response: Response, ended: CancellationToken) -> Response {
    let is_there = response.body().size_hint().exact().is_some();
    if is_there {
        return response;
    }
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_sse = kind.is_some_and(|kind| kind.starts_with("text/event-stream"));
    let farewell = is_sse.then(|| {
        let error = Error::new(ErrorCode::Unauthorized, REVOKED);
        sse::data(&refusal::text(&error))
    });
    let ended = Box::pin(ended.cancelled_owned());
    response.map(|body| Body::new(Until { body, ended, farewell, is_over: false }))
}

impl HttpBody for Until {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if self.ended.as_mut().poll(context).is_ready() {
            self.is_over = true;
            return Poll::Ready(Some(match self.farewell.take() {
                Some(farewell) => Ok(Frame::data(farewell)),
                // A client that reads a file must not take a part of it for the whole.
                None => Err(axum::Error::new(std::io::Error::other(REVOKED))),
            }));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
