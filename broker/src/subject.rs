//! Subjects and patterns as NATS reads them: tokens joined by dots, `*` for one token, `>` for the rest.

use std::collections::HashMap;

use crate::{Error, ErrorKind};

/// A parsed pattern. A subject without wildcards is the pattern that matches only itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Token>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Named(Box<str>),
    One,
    Rest,
}

impl Pattern {
    /// Reads a pattern; `None` if it has an empty token, white space, or a `>` that is not last.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut tokens = Vec::new();
        for token in text.split('.') {
            if !is_token(token) || tokens.last() == Some(&Token::Rest) {
                return None;
            }
            tokens.push(match token {
                "*" => Token::One,
                ">" => Token::Rest,
                name => Token::Named(name.into()),
            });
        }
        Some(Self(tokens))
    }

    /// Whether the pattern matches only one subject.
    pub(crate) fn is_exact(&self) -> bool {
        self.0.iter().all(|token| matches!(token, Token::Named(_)))
    }

    /// Whether the pattern matches `subject`.
    pub(crate) fn matches(&self, subject: &str) -> bool {
        let mut tokens = subject.split('.');
        for expected in &self.0 {
            match (expected, tokens.next()) {
                (Token::Rest, have) => return have.is_some(),
                (Token::One, Some(_)) => {}
                (Token::Named(name), Some(have)) if **name == *have => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }

    /// Whether some subject matches both patterns.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        for (left, right) in self.0.iter().zip(&other.0) {
            match (left, right) {
                (Token::Rest, _) | (_, Token::Rest) => return true,
                (Token::Named(left), Token::Named(right)) if left != right => return false,
                _ => {}
            }
        }
        self.0.len() == other.0.len()
    }
}

/// Whether a message may be published to `subject`: no empty token, no white space, no wildcard.
fn is_subject(subject: &str) -> bool {
    is_plain(subject) || subject.split('.').all(|token| is_token(token) && token != "*" && token != ">")
}

/// Whether it is certainly a subject, as nearly all are: printable ASCII, no wildcard, no empty token.
fn is_plain(subject: &str) -> bool {
    let mut last = b'.';
    for &byte in subject.as_bytes() {
        if !byte.is_ascii_graphic() || matches!(byte, b'*' | b'>') || (byte == b'.' && last == b'.') {
            return false;
        }
        last = byte;
    }
    last != b'.'
}

/// Checks a subject to publish to; the error says how to mend it.
pub(crate) fn check_subject(subject: &str) -> Result<(), Error> {
    if is_subject(subject) {
        return Ok(());
    }
    let what = format!("{subject:?} is not a subject: tokens joined by dots, no blanks and no wildcards");
    Err(Error::new(ErrorKind::Invalid, what))
}

/// Parses a pattern to subscribe to; the error says how to mend it.
pub(crate) fn parse(pattern: &str) -> Result<Pattern, Error> {
    Pattern::parse(pattern).ok_or_else(|| {
        let what = format!(
            "{pattern:?} is not a pattern: tokens joined by dots, `*` for one, `>` last for the rest"
        );
        Error::new(ErrorKind::Invalid, what)
    })
}

fn is_token(token: &str) -> bool {
    !token.is_empty() && !token.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Patterns by their tokens: the cost of a look-up depends on the subject's length, not on the number of patterns.
#[derive(Debug)]
pub(crate) struct Index<T> {
    here: Vec<T>,
    rest: Vec<T>,
    one: Option<Box<Index<T>>>,
    named: HashMap<Box<str>, Index<T>>,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self { here: Vec::new(), rest: Vec::new(), one: None, named: HashMap::new() }
    }
}

impl<T: Copy + Ord> Index<T> {
    /// Adds `value` under `pattern`.
    pub(crate) fn insert(&mut self, pattern: &Pattern, value: T) {
        let mut node = self;
        for token in &pattern.0 {
            match token {
                Token::Rest => return node.rest.push(value),
                Token::One => node = node.one.get_or_insert_default(),
                Token::Named(name) => node = node.named.entry(name.clone()).or_default(),
            }
        }
        node.here.push(value);
    }

    /// Removes `value` from under `pattern`.
    pub(crate) fn remove(&mut self, pattern: &Pattern, value: T) {
        self.remove_below(&pattern.0, value);
    }

    /// Appends to `found` the values of all patterns that match `subject`, sorted.
    pub(crate) fn find(&self, subject: &str, found: &mut Vec<T>) {
        let start = found.len();
        self.find_below(subject, found);
        found[start..].sort_unstable();
    }

    fn remove_below(&mut self, tokens: &[Token], value: T) {
        match tokens.split_first() {
            None => self.here.retain(|have| *have != value),
            Some((Token::Rest, _)) => self.rest.retain(|have| *have != value),
            Some((Token::One, below)) => {
                if let Some(node) = &mut self.one {
                    node.remove_below(below, value);
                    if node.is_empty() {
                        self.one = None;
                    }
                }
            }
            Some((Token::Named(name), below)) => {
                if let Some(node) = self.named.get_mut(name) {
                    node.remove_below(below, value);
                    if node.is_empty() {
                        self.named.remove(name);
                    }
                }
            }
        }
    }

    fn find_below(&self, subject: &str, found: &mut Vec<T>) {
        let (token, below) = match subject.split_once('.') {
            Some((token, below)) => (token, Some(below)),
            None => (subject, None),
        };
        found.extend(&self.rest);
        for node in self.named.get(token).into_iter().chain(self.one.as_deref()) {
            match below {
                Some(below) => node.find_below(below, found),
                None => found.extend(&node.here),
            }
        }
    }

    /// Whether it holds nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.here.is_empty() && self.rest.is_empty() && self.one.is_none() && self.named.is_empty()
    }
}

#[cfg(test)]
mod tests;
