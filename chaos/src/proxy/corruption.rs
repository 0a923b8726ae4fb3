//! Decides which bytes of a direction are changed, by the seed and by their place, never by how they were
//! read. Pure.

use std::num::NonZeroU32;

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Changes one byte in `one_in`, on average.
#[derive(Debug)]
pub(super) struct Corruption {
    random: StdRng,
    one_in: Option<NonZeroU32>,
    /// How many bytes pass unharmed before the next one that is changed.
    spared: u64,
}

impl Corruption {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), one_in: None, spared: 0 }
    }

    /// Goes on with this rate.
    pub(super) fn set(&mut self, one_in: Option<NonZeroU32>) {
        self.one_in = one_in;
        self.spared = self.draw();
    }

    /// Changes the bytes that are to be changed among the next ones, and returns how many these were.
    pub(super) fn apply(&mut self, bytes: &mut [u8]) -> u64 {
        if self.one_in.is_none() {
            return 0;
        }
        let (mut at, mut changed) = (0, 0);
        while let Ok(skip) = usize::try_from(self.spared)
            && let Some(byte) = bytes.get_mut(at..).and_then(|rest| rest.get_mut(skip))
        {
            // Never by zero, which would change nothing.
            *byte ^= self.random.random_range(1..=u8::MAX);
            changed += 1;
            at += skip + 1;
            self.spared = self.draw();
        }
        self.spared -= (bytes.len() - at) as u64;
        changed
    }

    /// The length of a run without a hit if each byte is hit with the same probability.
    fn draw(&mut self) -> u64 {
        let Some(one_in) = self.one_in else { return 0 };
        if one_in.get() == 1 {
            return 0;
        }
        let survival = 1.0 - 1.0 / f64::from(one_in.get());
        // Never zero, which has no logarithm. The cast saturates.
        let drawn: f64 = 1.0 - self.random.random::<f64>();
        (drawn.ln() / survival.ln()) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BYTES: usize = 100_000;

    fn corrupted(seed: u64, one_in: u32, pieces: impl Iterator<Item = usize>) -> Vec<u8> {
        let mut corruption = Corruption::new(seed);
        corruption.set(NonZeroU32::new(one_in));
        let mut bytes = vec![0; BYTES];
        let (mut rest, mut changed) = (&mut bytes[..], 0);
        for piece in pieces {
            let (now, later) = rest.split_at_mut(piece.min(rest.len()));
            changed += corruption.apply(now);
            rest = later;
        }
        changed += corruption.apply(rest);
        assert_eq!(changed, bytes.iter().filter(|byte| **byte != 0).count() as u64);
        bytes
    }

    #[test]
    fn the_rate_is_what_was_asked_for() {
        let hits = |one_in| corrupted(7, one_in, [].into_iter()).iter().filter(|byte| **byte != 0).count();
        assert_eq!(hits(1), BYTES);
        assert!((900..1_100).contains(&hits(100)), "{}", hits(100));
        assert!((49_000..51_000).contains(&hits(2)), "{}", hits(2));
    }

    #[test]
    fn without_a_rate_nothing_is_changed() {
        let mut bytes = [1, 2, 3];
        assert_eq!(Corruption::new(1).apply(&mut bytes), 0);
        assert_eq!(bytes, [1, 2, 3]);
    }

    proptest! {
        #[test]
        fn how_bytes_were_read_does_not_matter(
            seed: u64,
            one_in in 1_u32..2_000,
            pieces in proptest::collection::vec(0_usize..3_000, 0..80),
        ) {
            prop_assert_eq!(corrupted(seed, one_in, pieces.into_iter()), corrupted(seed, one_in, [].into_iter()));
        }
    }
}
