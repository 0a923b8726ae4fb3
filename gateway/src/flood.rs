//! How many frames a connection may send that ask for nothing but an answer: pings and their like. They cost their sender
//! nothing, and while nobody reads the answers these pile up. Pure: the time is what the caller says it is.

use std::time::Duration;

use tokio::time::Instant;

/// How many of them are taken within [`SPAN`]. Clients send one in some seconds; one that takes back a page's worth of requests
/// at once sends a few hundred.
const FRAMES_MAX: u32 = 1_000;
/// For so long each is counted, at most.
const SPAN: Duration = Duration::from_secs(10);

/// Those of one connection.
#[derive(Debug)]
pub(crate) struct Flood {
    since: Instant,
    frames: u32,
}

impl Flood {
    /// None yet.
    pub(crate) const fn new(now: Instant) -> Self {
        Self { since: now, frames: 0 }
    }

    /// One more has come; says whether it is one too many.
    pub(crate) fn rises(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since) >= SPAN {
            *self = Self::new(now);
        }
        self.frames = self.frames.saturating_add(1);
        self.frames > FRAMES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_a_moment_goes_on_for_ever_and_a_flood_is_one_at_once() {
        let mut now = Instant::now();
        let mut flood = Flood::new(now);
        for _ in 0..100_000 {
            assert!(!flood.rises(now));
            now += SPAN / FRAMES_MAX;
        }
        now += SPAN;
        for _ in 0..FRAMES_MAX {
            assert!(!flood.rises(now));
        }
        assert!(flood.rises(now));
    }
}
