//! Makes text and cuts it into tokens. A token is a word with the white space before it: joined, they are the text.

use super::seed::Seed;

/// The longest token. A text without any white space must still come in pieces.
const TOKEN_BYTES_MAX: usize = 32;

/// The words of made-up text.
const WORDS: [&str; 40] = [
    "a", "all", "and", "answer", "as", "before", "but", "carries", "each", "electron", "even", "every",
    "first", "from", "gives", "has", "in", "into", "is", "it", "light", "many", "more", "no", "node", "not",
    "of", "on", "one", "order", "pulse", "signal", "so", "stage", "than", "that", "the", "then", "to",
    "turns",
];

/// Words in a made-up sentence.
const SENTENCE_WORDS: u32 = 12;

/// The first token of `text`; empty only if `text` is.
pub(super) fn first_token(text: &str) -> &str {
    let start = text.len() - text.trim_start().len();
    let end = text[start..].find(char::is_whitespace).map_or(text.len(), |length| start + length);
    // White space at the very end belongs to the last word.
    let end = if text[end..].trim_start().is_empty() { text.len() } else { end };
    &text[..text.floor_char_boundary(end.min(TOKEN_BYTES_MAX))]
}

/// How many tokens `text` has.
pub(super) fn count(mut text: &str) -> u64 {
    let mut tokens = 0;
    while !text.is_empty() {
        text = &text[first_token(text).len()..];
        tokens += 1;
    }
    tokens
}

/// A text of exactly that many tokens.
pub(super) fn made_up(tokens: u32, mut seed: Seed) -> String {
    let mut text = String::new();
    for position in 0..tokens {
        let word = WORDS[seed.below(WORDS.len())];
        match position % SENTENCE_WORDS {
            0 => {
                text.push_str(if position == 0 { "" } else { ". " });
                text.push_str(&word[..1].to_uppercase());
                text.push_str(&word[1..]);
            }
            _ => {
                text.push(' ');
                text.push_str(word);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_made_up_text_has_the_wanted_length() {
        for tokens in [0, 1, 12, 13, 100] {
            assert_eq!(count(&made_up(tokens, Seed::new(1))), u64::from(tokens));
        }
    }

    proptest! {
        #[test]
        fn tokens_joined_are_the_text(text in "[a-zä😀 \n]{0,200}") {
            let (mut rest, mut joined) = (text.as_str(), String::new());
            while !rest.is_empty() {
                let token = first_token(rest);
                prop_assert!(!token.is_empty() && token.len() <= TOKEN_BYTES_MAX);
                joined.push_str(token);
                rest = &rest[token.len()..];
            }
            prop_assert_eq!(joined, text);
        }
    }
}
