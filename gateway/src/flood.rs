//! Limits how many frames a connection may send that only ask for an answer: pings and their like. They cost their
//! sender nothing, and the answers pile up while nobody reads them. Pure: the caller passes the time.

use std::time::Duration;

use tokio::time::Instant;

/// How many such frames are accepted within [`SPAN`]. Clients send one every few seconds; one that resets a page's
/// worth of requests at once sends a few hundred.
const FRAMES_MAX: u32 = 1_000;
/// For how long each frame is counted, at most.
const SPAN: Duration = Duration::from_secs(10);

/// The frames of one connection.
#[derive(Debug)]
pub(crate) struct Flood {
    since: Instant,
    frames: u32,
}

impl Flood {
    /// No frames yet.
    pub(crate) const fn new(now: Instant) -> Self {
        Self { since: now, frames: 0 }
    }

    /// Counts one more frame; returns whether it is one too many.
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
