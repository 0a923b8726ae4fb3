//! Makes unit vectors from texts. Each word moves a few places up or down, by its hash: the same text gives the same
//! vector, and texts that share words are near each other.

use schemas::{
    EmbeddingOutput,
    embedding::{EmbeddingInput, Vector},
};

use super::seed::Seed;

/// How many numbers a vector has if neither the request nor the model says.
pub(super) const DIMENSIONS: u32 = 256;

/// How many places one word moves. Few, so that a long text costs little whatever the dimensions.
const PLACES_PER_WORD: usize = 16;

/// The vectors of `input` and how many tokens it has.
pub(super) fn embed(input: &EmbeddingInput, dimensions: u32, seed: Seed) -> (EmbeddingOutput, u64) {
    let mut words = 0;
    let mut of_words = |hashes: &mut dyn Iterator<Item = Seed>| vector(hashes, dimensions, &mut words);
    let mut of_text = |text: &String| {
        of_words(&mut text.split_whitespace().map(|word| seed.with_text(&word.to_lowercase())))
    };
    let embeddings = match input {
        EmbeddingInput::Text(text) => vec![of_text(text)],
        EmbeddingInput::Texts(texts) => texts.iter().map(of_text).collect(),
        EmbeddingInput::Tokens(tokens) => vec![of_words(&mut hashes(seed, tokens))],
        EmbeddingInput::TokenLists(lists) => {
            lists.iter().map(|tokens| of_words(&mut hashes(seed, tokens))).collect()
        }
    };
    (EmbeddingOutput { embeddings }, words)
}

fn hashes(seed: Seed, tokens: &[u32]) -> impl Iterator<Item = Seed> {
    tokens.iter().map(move |token| seed.with(u64::from(*token)))
}

fn vector(hashes: &mut dyn Iterator<Item = Seed>, dimensions: u32, words: &mut u64) -> Vector {
    let mut sums = vec![0.0_f32; dimensions as usize];
    for mut hash in hashes {
        *words += 1;
        for _ in 0..PLACES_PER_WORD {
            let place = hash.below(sums.len());
            sums[place] += if hash.next() & 1 == 0 { 1.0 } else { -1.0 };
        }
    }
    let length = sums.iter().map(|number| number * number).sum::<f32>().sqrt();
    if length == 0.0 {
        // No word at all, or all moves cancelled out: still a unit vector.
        sums[0] = 1.0;
        return Vector(sums);
    }
    Vector(sums.into_iter().map(|number| number / length).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, dimensions: u32) -> Vec<f32> {
        embed(&EmbeddingInput::Text(text.into()), dimensions, Seed::new(1)).0.embeddings.remove(0).0
    }

    fn likeness(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn every_vector_is_a_unit_vector_of_the_wanted_length() {
        for (text, dimensions) in [("one two three", 8), ("x", 1), (" ", 3), ("a b c d e f", 4096)] {
            let vector = of(text, dimensions);
            assert_eq!(vector.len(), dimensions as usize);
            assert!((likeness(&vector, &vector) - 1.0).abs() < 1e-4, "{text:?}");
        }
    }

    #[test]
    fn texts_that_share_words_are_nearer() {
        let [cat, kitten, tax] =
            ["the cat sat on the mat", "the cat lay on the mat", "annual tax report 2025"]
                .map(|text| of(text, 256));
        assert!(likeness(&cat, &kitten) > likeness(&cat, &tax) + 0.3);
    }
}
