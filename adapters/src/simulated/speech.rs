//! Makes simulated speech: a tone for each character, as a WAV that states its length before it is made.

use std::f64::consts::TAU;

use super::seed::Seed;

/// Samples per second.
const RATE: u32 = 16_000;
/// The length of a character.
const CHARACTER_MS: u32 = 60;
const CHARACTER_SAMPLES: u32 = RATE / 1000 * CHARACTER_MS;
/// The most characters to speak: half a minute.
const CHARACTERS_MAX: usize = 500;
const SAMPLE_BYTES: u32 = 2;
/// The number of tones, and the lowest one in Hz.
const TONES: usize = 24;
const LOWEST_HZ: f64 = 220.0;
const LOUDNESS: f64 = 8_000.0;

/// A text to speak.
#[derive(Debug)]
pub(super) struct Speech {
    characters: Vec<char>,
    seed: Seed,
}

impl Speech {
    pub(super) fn new(text: &str, seed: Seed) -> Self {
        Self { characters: text.chars().take(CHARACTERS_MAX).collect(), seed }
    }

    /// How long it is, in milliseconds.
    pub(super) fn milliseconds(&self) -> u64 {
        self.characters.len() as u64 * u64::from(CHARACTER_MS)
    }

    /// The header of the WAV.
    pub(super) fn head(&self) -> Vec<u8> {
        let bytes = self.characters.len() as u32 * CHARACTER_SAMPLES * SAMPLE_BYTES;
        let mut head = b"RIFF".to_vec();
        head.extend((bytes + 36).to_le_bytes());
        head.extend(b"WAVEfmt ");
        // 16 bytes follow: PCM, one channel, samples and bytes per second, bytes and bits per sample.
        head.extend(16_u32.to_le_bytes());
        head.extend([1_u16.to_le_bytes(), 1_u16.to_le_bytes()].concat());
        head.extend([RATE.to_le_bytes(), (RATE * SAMPLE_BYTES).to_le_bytes()].concat());
        head.extend([2_u16.to_le_bytes(), 16_u16.to_le_bytes()].concat());
        head.extend(b"data");
        head.extend(bytes.to_le_bytes());
        head
    }

    /// The samples, one item per character.
    pub(super) fn samples(self) -> impl Iterator<Item = Vec<u8>> {
        let Self { characters, seed } = self;
        characters.into_iter().map(move |character| tone(character, seed))
    }
}

/// The same tone for the same letter; silence for anything but letters and digits.
fn tone(character: char, seed: Seed) -> Vec<u8> {
    let place = seed.with(u64::from(u32::from(character))).below(TONES);
    let hertz = LOWEST_HZ * (place as f64 / 12.0).exp2();
    let loudness = if character.is_alphanumeric() { LOUDNESS } else { 0.0 };
    let sample = |number: u32| {
        // The tone swells and fades, so that nothing clicks.
        let swell = (TAU / 2.0 * f64::from(number) / f64::from(CHARACTER_SAMPLES)).sin();
        (loudness * swell * (TAU * hertz * f64::from(number) / f64::from(RATE)).sin()) as i16
    };
    (0..CHARACTER_SAMPLES).flat_map(|number| sample(number).to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_says_how_long_it_is() {
        let speech = Speech::new("Hi!", Seed::new(1));
        assert_eq!(speech.milliseconds(), 180);
        let head = speech.head();
        let samples: Vec<u8> = speech.samples().flatten().collect();
        assert_eq!((head.len(), &head[..4], &head[8..12]), (44, &b"RIFF"[..], &b"WAVE"[..]));
        assert_eq!(u32::from_le_bytes(head[40..].try_into().unwrap()) as usize, samples.len());
        assert_eq!(u32::from_le_bytes(head[4..8].try_into().unwrap()) as usize, samples.len() + 36);
        assert!(samples.iter().any(|byte| *byte != 0));
    }
}
