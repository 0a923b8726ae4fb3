//! The body of an answer: one piece, or chunks that are made as they are sent.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::prepared::{Prepared, stamped};

/// The end of a stream.
const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// A body.
pub(super) enum Body {
    Whole(Option<Bytes>),
    Stream(Stream),
}

/// A stream in progress.
pub(super) struct Stream {
    prepared: Rc<Prepared>,
    with_usage: bool,
    began: Instant,
    /// How many pieces it has sent: the chunks, then the end, the usage, and `[DONE]`.
    sent: u32,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Body {
    pub(super) const fn whole(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes))
    }

    pub(super) fn stream(prepared: Rc<Prepared>, with_usage: bool) -> Self {
        let pause = None;
        Self::Stream(Stream { prepared, with_usage, began: Instant::now(), sent: 0, pause })
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = match self.get_mut() {
            Self::Whole(bytes) => bytes.take(),
            Self::Stream(stream) => ready!(stream.next(context)),
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

impl Stream {
    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Prepared::Stream { chunks, gap, frame, end, usage, .. } = &*self.prepared else {
            return Poll::Ready(None);
        };
        // Timed from the start of the stream, so that delays do not add up.
        if self.sent > 0 && self.sent < *chunks && !gap.is_zero() {
            let due = self.began + *gap * self.sent;
            let pause = self.pause.get_or_insert_with(|| Box::pin(sleep_until(due)));
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let piece = match self.sent.checked_sub(*chunks) {
            None => Some(stamped(frame)),
            Some(0) => Some(end.clone()),
            Some(1) if self.with_usage => Some(usage.clone()),
            Some(1) => Some(DONE),
            Some(2) if self.with_usage => Some(DONE),
            Some(_) => None,
        };
        self.sent = self.sent.saturating_add(1);
        Poll::Ready(piece)
    }
}
