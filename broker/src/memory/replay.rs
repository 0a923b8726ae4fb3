//! Reads a stream back, step by step, so that a long replay never blocks publishers.

use std::collections::VecDeque;

use futures_util::stream;

use super::handle::Handle;
use crate::subject::Pattern;
use crate::{Error, Replay, Stored};

/// The position of a replay.
pub(super) struct Cursor {
    pub(super) handle: Handle,
    pub(super) stream: String,
    /// The pattern as it was written, and parsed.
    pub(super) text: String,
    pub(super) pattern: Pattern,
    /// The next sequence, and the last as it was when the replay began.
    pub(super) from: u64,
    pub(super) to: u64,
}

/// The messages from `cursor` on. Ends after an error.
pub(super) fn replay(cursor: Cursor) -> Replay {
    Box::pin(stream::unfold((Some(cursor), VecDeque::new()), |(mut rest, mut found)| async move {
        tokio::task::coop::consume_budget().await;
        loop {
            if let Some(stored) = found.pop_front() {
                return Some((Ok(stored), (rest, found)));
            }
            match rest.take()?.step().await {
                Ok((some, cursor)) => (found, rest) = (some, cursor),
                Err(error) => return Some((Err(error), (None, found))),
            }
            tokio::task::yield_now().await;
        }
    }))
}

impl Cursor {
    async fn step(mut self) -> Result<(VecDeque<Stored>, Option<Self>), Error> {
        let step = {
            let mut state = self.handle.ask(|| format!("replay {} of {}", self.text, self.stream)).await?;
            let (_, stream, _) = state.stream(&self.stream)?;
            stream.replay(&self.text, &self.pattern, self.from, self.to)
        };
        let found = step.found.into();
        let Some(next) = step.next else { return Ok((found, None)) };
        self.from = next;
        Ok((found, Some(self)))
    }
}
