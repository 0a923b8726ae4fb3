//! A stream that is written before it is played, for answers whose chunks have little in common.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::exchange::Script;

/// The chunks that are still to come.
pub(super) struct Frames {
    rest: VecDeque<(Bytes, bool)>,
    chunks: u32,
    media_type: Option<&'static str>,
}

impl Frames {
    /// Events or lines.
    pub(super) const fn new() -> Self {
        Self { rest: VecDeque::new(), chunks: 0, media_type: None }
    }

    /// The bytes of a file.
    pub(super) const fn of_file(media_type: &'static str) -> Self {
        Self { rest: VecDeque::new(), chunks: 0, media_type: Some(media_type) }
    }

    /// Adds a chunk; `paced` if it is a token that comes one gap after the one before it.
    pub(super) fn push(&mut self, chunk: impl Into<Bytes>, paced: bool) {
        self.rest.push_back((chunk.into(), paced));
        self.chunks = self.chunks.saturating_add(1);
    }
}

impl Script for Frames {
    fn chunks(&self) -> u32 {
        self.chunks
    }

    fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    fn next_is_paced(&self) -> bool {
        self.rest.front().is_some_and(|(_, paced)| *paced)
    }

    fn write_next(&mut self, out: &mut BytesMut) {
        if let Some((chunk, _)) = self.rest.pop_front() {
            out.extend_from_slice(&chunk);
        }
    }

    fn media_type(&self) -> Option<&'static str> {
        self.media_type
    }
}
