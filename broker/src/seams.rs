//! Time, randomness and ids, passed in so that a whole engine can run in one seeded simulation with a paused clock.
//!
//! Durations and deadlines use `tokio::time` (monotonic, and pausable). [`Clock`] is only for what people and other
//! machines read: timestamps in outcomes, absolute deadlines, signatures.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};
use schemas::RequestId;
use tokio::time::Instant;
use uuid::Builder;

/// The wall clock.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time of day.
    fn now(&self) -> Timestamp;
}

/// A source of random numbers.
pub trait Random: Send + Sync + fmt::Debug {
    /// 64 random bits.
    fn next_u64(&self) -> u64;
}

/// Everything that differs between a real run and a simulated one, except the broker and the network.
#[derive(Debug, Clone)]
pub struct Seams {
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Random numbers.
    pub random: Arc<dyn Random>,
}

impl Seams {
    /// The machine's clock and entropy.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) }
    }

    /// A clock that starts at `start` and advances with tokio's, and random numbers derived from `seed`.
    pub fn simulated(seed: u64, start: Timestamp) -> Self {
        let clock = SimulatedClock { start, origin: Instant::now() };
        Self {
            clock: Arc::new(clock),
            random: Arc::new(SeededRandom(Mutex::new(StdRng::seed_from_u64(seed)))),
        }
    }

    /// A fresh request id: `req_` and a UUID of version 7, so that ids sort by time.
    pub fn request_id(&self) -> RequestId {
        let milliseconds = u64::try_from(self.clock.now().as_millisecond()).unwrap_or_default();
        let mut bits = [0; 10];
        bits[..8].copy_from_slice(&self.random.next_u64().to_le_bytes());
        bits[8..].copy_from_slice(&self.random.next_u64().to_le_bytes()[..2]);
        let uuid = Builder::from_unix_timestamp_millis(milliseconds, &bits).into_uuid();
        RequestId::new(format!("req_{}", uuid.simple()))
            .unwrap_or_else(|_| unreachable!("hex digits are a token"))
    }

    /// A number from 0 to 1, for jitter.
    pub fn fraction(&self) -> f64 {
        (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[derive(Debug)]
struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

#[derive(Debug)]
struct SystemRandom;

impl Random for SystemRandom {
    fn next_u64(&self) -> u64 {
        rand::random()
    }
}

#[derive(Debug)]
struct SimulatedClock {
    start: Timestamp,
    origin: Instant,
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        self.start.checked_add(self.origin.elapsed()).unwrap_or(Timestamp::MAX)
    }
}

#[derive(Debug)]
struct SeededRandom(Mutex<StdRng>);

impl Random for SeededRandom {
    fn next_u64(&self) -> u64 {
        self.0.lock().next_u64()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn simulated_time_and_numbers_follow_from_clock_and_seed() {
        let one = Seams::simulated(7, Timestamp::UNIX_EPOCH);
        let two = Seams::simulated(7, Timestamp::UNIX_EPOCH);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(one.clock.now(), Timestamp::from_second(5).unwrap());
        assert_eq!(one.request_id(), two.request_id());
    }
}
