//! One direction of one connection: what was read and waits, and when it may go on. The queue is bounded;
//! a full one reads no more, which the sender notices as any TCP sender does.

use std::future::pending;
use std::io::{self, ErrorKind};
use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::Instant;

use super::corruption::Corruption;
use super::counts::{Counts, Fired};
use super::faults::{Hold, Way};
use super::link::{Link, Orders};
use super::queue::Queue;
use super::side::Side;

/// Under a bandwidth, as many bytes pass at once as it allows in this time, so that they flow evenly.
const PACE_QUANTUM: Duration = Duration::from_millis(20);

/// Reads taken off a connection before it closes. A sender that has sent more meets a reset anyway.
const MAX_LAST_READS: usize = 64;

/// One way through a connection.
#[derive(Debug)]
pub(super) struct Direction<'a> {
    side: Side,
    link: &'a Link,
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    faults: Way,
    /// The generation of the orders that it obeys.
    generation: u64,
    cut_due: bool,
    reset_due: bool,
    queue: Queue,
    /// The sender has ended its stream.
    ended: bool,
    /// The receiver was told that the stream has ended.
    closed: bool,
    /// Bytes passed on since the orders came.
    passed: u64,
    /// The stall of these orders has been counted.
    stalled: bool,
    /// When the bandwidth allows the next byte.
    free_at: Instant,
    corruption: Corruption,
    jitter: StdRng,
}

impl<'a> Direction<'a> {
    /// A direction of a connection that was accepted under the orders of the generation `born`.
    pub(super) fn new(
        side: Side,
        (from, to): (ReadHalf<'a>, WriteHalf<'a>),
        link: &'a Link,
        born: u64,
        seed: u64,
    ) -> Self {
        Self {
            side,
            link,
            from,
            to,
            faults: Way::default(),
            generation: born,
            cut_due: false,
            reset_due: false,
            queue: Queue::default(),
            ended: false,
            closed: false,
            passed: 0,
            stalled: false,
            free_at: Instant::now(),
            corruption: Corruption::new(seed),
            // Separate from the corruption, so that the number of reads does not affect that.
            jitter: StdRng::seed_from_u64(!seed),
        }
    }

    /// Goes on under new orders.
    pub(super) fn obey(&mut self, orders: &Orders) {
        self.faults = match self.side {
            Side::Up => orders.faults.up.clone(),
            Side::Down => orders.faults.down.clone(),
        };
        // A strike that was ordered and healed between two looks hits all the same.
        self.cut_due = *orders.cut.of(self.side) > self.generation || self.faults.cut_after == Some(0);
        self.reset_due = *orders.reset.of(self.side) > self.generation || self.faults.reset_after == Some(0);
        self.generation = orders.generation;
        self.passed = 0;
        self.stalled = false;
        self.corruption.set(self.faults.corrupt);
        self.queue.hasten(Instant::now() + self.faults.latency + self.faults.jitter);
        self.free_at = Instant::now();
    }

    /// Whether the connection is to be reset now.
    pub(super) fn strikes_reset(&self) -> bool {
        let due = self.reset_due || self.faults.reset_after.is_some_and(|bytes| bytes <= self.passed);
        if due {
            self.fired(|fired| fired.reset += 1);
        }
        due
    }

    /// Ends the stream if that is due.
    pub(super) async fn cut_if_due(&mut self) -> io::Result<()> {
        let due = self.cut_due || self.faults.cut_after.is_some_and(|bytes| bytes <= self.passed);
        if due && !self.closed {
            self.close().await?;
            self.fired(|fired| fired.cut += 1);
        }
        Ok(())
    }

    /// Whether the receiver was told that the stream has ended.
    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes what has arrived and will not be passed on: a socket closed with such bytes would send a reset.
    pub(super) fn discard_rest(&mut self) {
        let mut scrap = [0; 4096];
        for _ in 0..MAX_LAST_READS {
            if !matches!(self.from.try_read(&mut scrap), Ok(1..)) {
                return;
            }
        }
    }

    /// Waits for the next thing that can be done, and does it. If dropped while it waits, it has done nothing.
    pub(super) async fn step(&mut self) -> io::Result<()> {
        if self.faults.hold == Some(Hold::Stall) && !self.closed {
            return self.stall().await;
        }
        tokio::select! {
            ready = self.from.readable(), if self.may_read() => {
                ready?;
                self.read()
            }
            ready = self.turn(), if self.may_write() => {
                ready?;
                self.write()
            }
            () = self.end(), if self.may_end() => self.close().await,
            // Nothing can be done before the orders change or the other direction ends the connection.
            else => pending().await,
        }
    }

    /// Waits until something is held up, counts that, and waits for new orders.
    async fn stall(&mut self) -> io::Result<()> {
        if !self.stalled {
            if self.queue.is_empty() && !self.ended {
                self.from.readable().await?;
            }
            self.stalled = true;
            self.fired(|fired| fired.stall += 1);
        }
        pending().await
    }

    fn may_read(&self) -> bool {
        !self.ended && (self.closed || !self.queue.is_full())
    }

    fn may_write(&self) -> bool {
        !self.closed && !self.queue.is_empty()
    }

    /// While bytes are swallowed the end is lost as well; unlike them it is told after healing, since otherwise the
    /// connection could never end.
    fn may_end(&self) -> bool {
        self.ended && !self.closed && self.queue.is_empty() && self.faults.hold.is_none()
    }

    /// Waits until the first bytes of the queue may go on.
    async fn turn(&self) -> io::Result<()> {
        let at = self.queue.due().unwrap_or(self.free_at).max(self.free_at);
        tokio::time::sleep_until(at).await;
        self.to.writable().await
    }

    /// Waits until the end of the stream may go on.
    async fn end(&self) {
        if let Some(at) = self.queue.end_due() {
            tokio::time::sleep_until(at).await;
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let extra = self.extra();
        let due = Instant::now() + self.faults.latency + extra;
        let buffer = self.queue.room();
        let start = buffer.len();
        match self.from.try_read_buf(buffer) {
            Ok(0) => {
                self.ended = true;
                self.queue.end_at(due);
                Ok(())
            }
            Ok(_) if self.closed => {
                self.queue.clear();
                Ok(())
            }
            Ok(count) if self.faults.hold == Some(Hold::Swallow) => {
                buffer.truncate(start);
                self.fired(|fired| fired.swallow += count as u64);
                Ok(())
            }
            Ok(_) => {
                let changed = self.corruption.apply(&mut buffer[start..]);
                self.queue.push(due);
                let latency = self.faults.latency;
                self.fired(|fired| {
                    fired.corrupt += changed;
                    fired.latency += u64::from(!latency.is_zero());
                    fired.jitter += u64::from(!extra.is_zero());
                });
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(first) = self.queue.first() else { return Ok(()) };
        let paced = self.queue.due().is_some_and(|due| due < self.free_at);
        let left = |after: Option<u64>| after.map_or(u64::MAX, |bytes| bytes - self.passed);
        let may = (first.len() as u64).min(left(self.faults.cut_after)).min(left(self.faults.reset_after));
        let sliced = self.faults.slice.map_or(may, |slice| may.min(slice.get()));
        let length = self.faults.bandwidth.map_or(sliced, |bandwidth| {
            sliced.min((u128::from(bandwidth.get()) * PACE_QUANTUM.as_millis() / 1_000).max(1) as u64)
        });
        let written = match self.to.try_write(&first[..length as usize]) {
            Ok(written) => written as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        self.queue.advance(written as usize);
        self.passed += written;
        if let Some(bandwidth) = self.faults.bandwidth {
            let takes = Duration::from_secs_f64(written as f64 / bandwidth.get() as f64);
            self.free_at = self.free_at.max(Instant::now()) + takes;
        }
        let side = self.side;
        self.link.count(|counts| {
            *counts.bytes.of_mut(side) += written;
            let fired = counts.fired.of_mut(side);
            fired.slice += u64::from(sliced < may);
            fired.bandwidth += u64::from(paced || length < sliced);
        });
        Ok(())
    }

    /// Tells the receiver that the stream has ended.
    async fn close(&mut self) -> io::Result<()> {
        self.closed = true;
        self.queue.clear();
        self.to.shutdown().await
    }

    /// What jitter adds to the latency of this read.
    fn extra(&mut self) -> Duration {
        let most = self.faults.jitter;
        if most.is_zero() { most } else { most.mul_f64(self.jitter.random()) }
    }

    fn fired(&self, strike: impl FnOnce(&mut Fired)) {
        self.link.count(|counts: &mut Counts| strike(counts.fired.of_mut(self.side)));
    }
}
