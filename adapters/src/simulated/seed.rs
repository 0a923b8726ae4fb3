//! Random numbers that are the same on every machine and in every version: FNV-1a takes inputs in, SplitMix64 gives
//! numbers out. A crate's generator may change its numbers with its version, and with them every recorded answer.

/// The prime of 64-bit FNV-1a.
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// The step of SplitMix64: 2⁶⁴ divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The state of the generator. Copies give the same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seed(u64);

impl Seed {
    pub(super) fn new(number: u64) -> Self {
        Self(0xcbf2_9ce4_8422_2325).with(number)
    }

    /// Another seed, made from this one and `number`.
    pub(super) fn with(self, number: u64) -> Self {
        self.with_bytes(&number.to_le_bytes())
    }

    /// Another seed, made from this one and `text`.
    pub(super) fn with_text(self, text: &str) -> Self {
        self.with_bytes(text.as_bytes())
    }

    fn with_bytes(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)))
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next number below `bound`; the tiny bias of the remainder does not matter here.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// A number from 0 to 1, 1 excluded.
    pub(super) fn fraction(mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_every_version() {
        let mut seed = Seed(0);
        assert_eq!([seed.next(), seed.next()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }

    #[test]
    fn fractions_are_spread_evenly() {
        let below = (0..10_000).filter(|n| Seed::new(7).with(*n).fraction() < 0.25).count();
        assert!((2_300..2_700).contains(&below), "{below} of 10000 below a quarter");
    }
}
