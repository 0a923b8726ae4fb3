//! Tracks whether a connection is used, so that no idle client holds a place for ever. A request counts from its head
//! to the last byte of its answer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    response::Response,
};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// How much one connection is used.
#[derive(Debug, Clone)]
pub(crate) struct Use(Arc<Mutex<State>>);

#[derive(Debug, Clone, Copy)]
struct State {
    requests: usize,
    /// When the last request began or ended.
    since: Instant,
}

/// One request that is being answered.
#[derive(Debug)]
pub(crate) struct Turn(Use);

impl Use {
    /// A new connection.
    pub(crate) fn begin() -> Self {
        Self(Arc::new(Mutex::new(State { requests: 0, since: Instant::now() })))
    }

    /// A request has come.
    pub(crate) fn turn(&self) -> Turn {
        self.change(|requests| requests + 1);
        Turn(self.clone())
    }

    /// Waits until there has been no request for `time`. Requests do not wake it; it looks again at the earliest time
    /// that could be due.
    pub(crate) async fn idle_for(&self, time: Duration) {
        loop {
            let (State { requests, since }, now) = (*self.0.lock(), Instant::now());
            let due = if requests == 0 { since + time } else { now + time };
            if due <= now {
                return;
            }
            sleep_until(due).await;
        }
    }

    fn change(&self, count: impl Fn(usize) -> usize) {
        let mut state = self.0.lock();
        *state = State { requests: count(state.requests), since: Instant::now() };
    }
}

impl Turn {
    /// Counts until the body of `response` has gone out, or is dropped.
    pub(crate) fn until_sent(self, response: Response) -> Response {
        response.map(|body| Body::new(Sending { body, _turn: self }))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.change(|requests| requests.saturating_sub(1));
    }
}

struct Sending {
    body: Body,
    _turn: Turn,
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    const TIME: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_only_between_its_answers() {
        let used = Use::begin();
        let began = Instant::now();
        let turn = used.turn();
        let asked = async {
            tokio::time::sleep(TIME * 3).await;
            let response = turn.until_sent(Response::new(Body::from("x")));
            tokio::time::sleep(TIME * 3).await;
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "x");
        };
        tokio::join!(asked, used.idle_for(TIME));
        assert_eq!(began.elapsed(), TIME * 7, "from when the answer was out");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_keeps_its_length() {
        let response = Use::begin().turn().until_sent(Response::new(Body::from("four")));
        assert_eq!(response.body().size_hint().exact(), Some(4));
    }
}
