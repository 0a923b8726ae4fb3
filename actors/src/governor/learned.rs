//! Remembers what a provider says is left of a key's limits. It only ever holds calls back: the configured limits hold
//! as well. Pure.

use std::time::Duration;

use adapters::{Left, Limits};
use tokio::time::Instant;

/// The newest report, less what has started since.
#[derive(Debug, Default)]
pub(super) struct Learned {
    requests: Option<Cap>,
    tokens: Option<Cap>,
}

#[derive(Debug)]
struct Cap {
    left: u64,
    until: Instant,
}

impl Learned {
    /// The provider has reported what is left.
    pub(super) fn hear(&mut self, limits: Limits, now: Instant) {
        let cap = |said: Left| Cap { left: said.count, until: now + said.lasts };
        let Limits { requests, tokens } = limits;
        self.requests = requests.map(cap).or(self.requests.take());
        self.tokens = tokens.map(cap).or(self.tokens.take());
    }

    /// How long until a call of `tokens` tokens may start.
    pub(super) fn wait(&self, tokens: u64, now: Instant) -> Duration {
        let of = |cap: &Option<Cap>, wanted| match cap {
            Some(cap) if cap.left < wanted => cap.until.saturating_duration_since(now),
            _ => Duration::ZERO,
        };
        of(&self.requests, 1).max(of(&self.tokens, tokens))
    }

    /// A call of `tokens` tokens starts.
    pub(super) fn take(&mut self, tokens: u64, now: Instant) {
        for (cap, taken) in [(&mut self.requests, 1), (&mut self.tokens, tokens)] {
            if cap.as_ref().is_some_and(|cap| cap.until <= now) {
                *cap = None;
            }
            if let Some(cap) = cap {
                cap.left = cap.left.saturating_sub(taken);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_left_is_used_up_and_comes_back_at_the_reset() {
        let (mut learned, now) = (Learned::default(), Instant::now());
        assert_eq!(learned.wait(9_999, now), Duration::ZERO);
        let requests = Some(Left { count: 2, lasts: SECOND * 5 });
        let tokens = Some(Left { count: 100, lasts: SECOND * 30 });
        learned.hear(Limits { requests, tokens }, now);
        assert_eq!(learned.wait(101, now), SECOND * 30);
        for _ in 0..2 {
            assert_eq!(learned.wait(50, now), Duration::ZERO);
            learned.take(50, now);
        }
        assert_eq!(learned.wait(0, now + SECOND), SECOND * 4);
        assert_eq!(learned.wait(1, now + SECOND * 6), SECOND * 24);
        assert_eq!(learned.wait(1, now + SECOND * 30), Duration::ZERO);
    }

    #[test]
    fn the_newest_word_counts_and_what_it_leaves_out_stays() {
        let (mut learned, now) = (Learned::default(), Instant::now());
        let left = |count| Some(Left { count, lasts: SECOND * 5 });
        learned.hear(Limits { requests: left(0), tokens: left(0) }, now);
        learned.hear(Limits { requests: left(1), tokens: None }, now);
        assert_eq!(learned.wait(0, now), Duration::ZERO);
        assert_eq!(learned.wait(1, now), SECOND * 5);
    }
}
