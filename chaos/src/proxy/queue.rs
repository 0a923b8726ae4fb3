//! Bytes on their way through one direction, each read with its own time of arrival. Bounded in bytes and in
//! reads; an empty queue holds no memory.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use tokio::time::Instant;

/// The most bytes that wait. With it a latency of half a second still lets half a megabyte a second through.
const MAX_QUEUED_BYTES: usize = 256 * 1024;

/// The most reads that wait; a read of a single byte costs sixty bytes more.
const MAX_QUEUED_READS: usize = 4_096;

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// With less room than this a new buffer begins. Reads share a buffer, so that small ones do not each hold a large one.
const MIN_ROOM_BYTES: usize = 1024;

/// The reads that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    reads: VecDeque<Read>,
    bytes: usize,
    buffer: BytesMut,
    end: Option<Instant>,
}

#[derive(Debug)]
struct Read {
    due: Instant,
    bytes: Bytes,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.reads.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MAX_QUEUED_BYTES || self.reads.len() >= MAX_QUEUED_READS
    }

    /// The buffer to read into, after what it holds already.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() - self.buffer.len() < MIN_ROOM_BYTES {
            self.buffer.reserve(READ_BYTES);
        }
        &mut self.buffer
    }

    /// Queues what was read into the buffer, to arrive at `due` or after what was read before.
    pub(super) fn push(&mut self, due: Instant) {
        let bytes = self.buffer.split().freeze();
        self.bytes += bytes.len();
        self.reads.push_back(Read { due, bytes });
    }

    /// The oldest bytes.
    pub(super) fn first(&self) -> Option<&[u8]> {
        self.reads.front().map(|read| &read.bytes[..])
    }

    /// When the oldest bytes arrive.
    pub(super) fn due(&self) -> Option<Instant> {
        self.reads.front().map(|read| read.due)
    }

    /// Forgets the oldest `count` bytes, all of one read.
    pub(super) fn advance(&mut self, count: usize) {
        let Some(first) = self.reads.front_mut() else { return };
        first.bytes.advance(count);
        self.bytes -= count;
        if first.bytes.is_empty() {
            self.reads.pop_front();
        }
        if self.reads.is_empty() {
            self.release();
        }
    }

    /// Nothing comes after what was pushed; the end itself arrives at `due`.
    pub(super) fn end_at(&mut self, due: Instant) {
        self.end = Some(due);
        if self.reads.is_empty() {
            self.release();
        }
    }

    /// When the end arrives.
    pub(super) const fn end_due(&self) -> Option<Instant> {
        self.end
    }

    /// Lets nothing arrive later than `latest`.
    pub(super) fn hasten(&mut self, latest: Instant) {
        for read in &mut self.reads {
            read.due = read.due.min(latest);
        }
        self.end = self.end.map(|end| end.min(latest));
    }

    /// Forgets everything that waits, and what is in the buffer.
    pub(super) fn clear(&mut self) {
        self.bytes = 0;
        self.release();
    }

    fn release(&mut self) {
        self.reads = VecDeque::new();
        self.buffer = BytesMut::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(queue: &mut Queue, bytes: &[u8]) {
        queue.room().extend_from_slice(bytes);
        queue.push(Instant::now());
    }

    #[tokio::test]
    async fn it_is_full_of_bytes_or_of_reads_and_then_has_room_again() {
        for (read, most) in [(READ_BYTES, MAX_QUEUED_BYTES), (1, MAX_QUEUED_READS)] {
            let mut queue = Queue::default();
            let reads = most / read;
            for _ in 0..reads {
                assert!(!queue.is_full());
                fill(&mut queue, &vec![7; read]);
            }
            assert!(queue.is_full());
            queue.advance(read);
            assert!(!queue.is_full());
        }
    }

    #[tokio::test]
    async fn small_reads_share_their_memory_and_an_empty_queue_holds_none() {
        let mut queue = Queue::default();
        let first = queue.room().as_ptr();
        for byte in 0..100 {
            fill(&mut queue, &[byte]);
        }
        assert_eq!(queue.room().as_ptr() as usize - first as usize, 100);
        for byte in 0..100 {
            assert_eq!(queue.first(), Some(&[byte][..]));
            queue.advance(1);
        }
        assert_eq!((queue.buffer.capacity(), queue.reads.capacity(), queue.bytes), (0, 0, 0));
    }
}
