//! The words of every answer, written once: a prefix of one text, cut at a token's end.

use std::sync::LazyLock;

use crate::provider::behaviour::MAX_TOKENS;

/// The passage that the text repeats. Nothing in it needs an escape in JSON, so it can be copied into a body as it is.
const PASSAGE: &str = "A stream of work comes in and is carried on from hand to hand, none of it lost and none of \
    it done twice, until each piece has an answer of its own.";

struct Text {
    all: String,
    /// Where each token ends.
    ends: Vec<usize>,
}

static TEXT: LazyLock<Text> = LazyLock::new(|| {
    let (mut all, mut ends) = (String::new(), Vec::new());
    for word in PASSAGE.split(' ').cycle().take(MAX_TOKENS as usize) {
        if !all.is_empty() {
            all.push(' ');
        }
        all.push_str(word);
        ends.push(all.len());
    }
    Text { all, ends }
});

/// The first `tokens` tokens.
pub(super) fn first(tokens: u32) -> &'static str {
    slice(0, end(tokens))
}

/// The token at `index`, with the space before it.
pub(super) fn token(index: u32) -> &'static str {
    slice(end(index), end(index + 1))
}

/// Where the token before `index` ends.
fn end(index: u32) -> usize {
    let Some(before) = index.checked_sub(1) else { return 0 };
    TEXT.ends.get(before as usize).copied().unwrap_or(TEXT.all.len())
}

fn slice(from: usize, to: usize) -> &'static str {
    TEXT.all.get(from..to).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_together_are_the_text() {
        for tokens in [0, 1, 2, 40, MAX_TOKENS] {
            let joined: String = (0..tokens).map(token).collect();
            assert_eq!(joined, first(tokens));
        }
        assert_eq!(first(3), "A stream of");
    }

    #[test]
    fn the_text_needs_no_escape() {
        assert_eq!(serde_json::to_string(first(MAX_TOKENS)).unwrap().len(), first(MAX_TOKENS).len() + 2);
    }
}
