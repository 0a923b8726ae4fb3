//! Reads and discards request bodies that no handler has read. A client that is refused because of its head is still
//! sending its body; an unread body closes the connection, and the client's next request on it is lost. So the gateway
//! reads and discards a short rest; for a longer one, the answer says that the connection closes.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{HeaderValue, Version, header},
    response::Response,
};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;

/// How much of a body is read only to discard it: its sender may be unknown.
const BYTES_MAX: u64 = 256 * 1024;
/// How long it may be read: a refused client should not wait for its refusal.
const TIME_MAX: Duration = Duration::from_secs(2);

/// What is left of a body on loan.
pub(crate) struct Remainder {
    rest: Arc<Mutex<Option<Body>>>,
    /// The client asks first whether to send its body, so it has not begun to.
    waits: bool,
    version: Version,
}

/// The same request with its body on loan.
pub(crate) fn lend(request: Request) -> (Request, Remainder) {
    let rest = Arc::new(Mutex::new(None));
    let (waits, version) = (request.headers().contains_key(header::EXPECT), request.version());
    let remainder = Remainder { rest: Arc::clone(&rest), waits, version };
    if request.body().is_end_stream() {
        return (request, remainder);
    }
    (request.map(|body| Body::new(Lent { body, looked_at: false, rest })), remainder)
}

impl Remainder {
    /// Reads the body to its end if no handler has read any of it; marks the response if its connection closes.
    pub(crate) async fn read_on(self, mut response: Response) -> Response {
        let Some(body) = self.rest.lock().take() else { return response };
        if (self.waits || !is_read(body).await) && self.version < Version::HTTP_2 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Whether all of `body` arrives within the limits.
async fn is_read(mut body: Body) -> bool {
    let read = async {
        let mut length = body.size_hint().lower();
        while length <= BYTES_MAX {
            match body.frame().await {
                Some(Ok(frame)) => length += frame.data_ref().map_or(0, |data| data.len() as u64),
                Some(Err(_)) => return false,
                None => return true,
            }
        }
        false
    };
    tokio::time::timeout(TIME_MAX, read).await.unwrap_or(false)
}

/// A body on loan: it comes back if nobody has read any of it.
struct Lent {
    body: Body,
    looked_at: bool,
    rest: Arc<Mutex<Option<Body>>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.looked_at {
            *self.rest.lock() = Some(std::mem::take(&mut self.body));
        }
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.looked_at = true;
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
