//! Finds the send times that the provider writes into each chunk, without parsing the answer: `@` and sixteen digits,
//! microseconds since 1970. An engine may split, join and wrap chunks; the marks stay whole.

use std::time::{SystemTime, UNIX_EPOCH};

use memchr::memchr;

/// The start of a mark. It occurs nowhere else in an answer.
pub(crate) const MARK: u8 = b'@';
/// Digits of a mark: enough until the year 2286.
pub(crate) const DIGITS: usize = 16;

/// Microseconds since 1970, by the clock that all processes on a machine share.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Finds the marks of one answer, which arrives in pieces.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// The partial mark at the end of the last piece: its value and its number of digits; `None` outside a mark.
    open: Option<(u64, usize)>,
}

impl Marks {
    /// Calls `found` with the time of each mark in this piece.
    pub(crate) fn read(&mut self, mut piece: &[u8], mut found: impl FnMut(u64)) {
        loop {
            let Some((mut value, mut digits)) = self.open else {
                let Some(at) = memchr(MARK, piece) else { return };
                piece = piece.get(at + 1..).unwrap_or_default();
                self.open = Some((0, 0));
                continue;
            };
            while digits < DIGITS {
                match piece.split_first() {
                    Some((digit @ b'0'..=b'9', rest)) => {
                        value = value * 10 + u64::from(digit - b'0');
                        (digits, piece) = (digits + 1, rest);
                    }
                    // Not a mark after all.
                    Some(_) => break,
                    None => {
                        self.open = Some((value, digits));
                        return;
                    }
                }
            }
            self.open = None;
            if digits == DIGITS {
                found(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(pieces: &[&str]) -> Vec<u64> {
        let (mut marks, mut found) = (Marks::default(), Vec::new());
        pieces.iter().for_each(|piece| marks.read(piece.as_bytes(), |us| found.push(us)));
        found
    }

    #[test]
    fn marks_are_found_wherever_the_pieces_are_cut() {
        let text = r#"data: {"content":"@1732790000123456@1732790000123457"} x"#;
        let all = [1_732_790_000_123_456, 1_732_790_000_123_457];
        assert_eq!(marks(&[text]), all);
        for cut in 0..text.len() {
            let (left, right) = text.split_at(cut);
            assert_eq!(marks(&[left, right]), all, "cut at {cut}");
        }
        assert_eq!(marks(&text.split("").collect::<Vec<_>>()), all);
    }

    #[test]
    fn what_looks_like_one_is_none() {
        assert_eq!(marks(&["a@b @12345 @@1732790000123456"]), [1_732_790_000_123_456]);
        assert_eq!(marks(&["@173279000012345x"]), [0; 0]);
    }

    #[test]
    fn now_has_the_digits_of_a_mark() {
        assert_eq!(now_us().to_string().len(), DIGITS);
    }
}
