//! Compares two documents: where they differ first, and where else.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

/// How far apart two numbers may be.
const NUMBERS_APART_MAX: f64 = 1e-6;
/// The part in which neighbours may be joined: the pieces of a stream.
const JOINED: &str = "/pieces/";
/// The most differences reported for one pair; the first is the one to read.
const DIFFERENCES_MAX: usize = 20;

/// One place at which they differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Where, as a JSON pointer.
    pub at: String,
    /// What the WebSocket has there; null if nothing.
    pub reference: Value,
    /// What this handle has there.
    pub here: Value,
}

/// Where `here` differs from `reference`, in the order of the document.
pub(super) fn differences(reference: &Value, here: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", reference, here, &mut found);
    found.truncate(DIFFERENCES_MAX);
    found
}

fn compare(at: &str, reference: &Value, here: &Value, found: &mut Vec<Difference>) {
    let is_same = match (reference, here) {
        (Value::Object(_), Value::Object(_)) => {
            let names = |value: &Value| -> Vec<String> {
                value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
            };
            let names: BTreeSet<_> = names(reference).into_iter().chain(names(here)).collect();
            for name in names {
                compare(&format!("{at}/{name}"), &reference[&name], &here[&name], found);
            }
            true
        }
        (Value::Array(left), Value::Array(right)) if at.contains(JOINED) => are_joined(left, right),
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{at}/{index}"), left, right, found);
            }
            true
        }
        (Value::Number(left), Value::Number(right)) => {
            let apart = left.as_f64().zip(right.as_f64()).map(|(left, right)| (left - right).abs());
            left == right || apart.is_some_and(|apart| apart <= NUMBERS_APART_MAX)
        }
        (left, right) => left == right,
    };
    if !is_same {
        found.push(Difference { at: at.to_owned(), reference: reference.clone(), here: here.clone() });
    }
}

/// Whether two lists of pieces (a text, and how many it joins) are equal apart from joined pieces: where only one side
/// has an end, the other side's piece around it must not be known to be a single one.
fn are_joined(left: &[Value], right: &[Value]) -> bool {
    let (Some(left), Some(right)) = (pieces(left), pieces(right)) else { return left == right };
    let whole =
        |pieces: &[(String, Option<u64>)]| pieces.iter().map(|(text, _)| text.as_str()).collect::<String>();
    whole(&left) == whole(&right) && may_end(&left, &right) && may_end(&right, &left)
}

fn pieces(list: &[Value]) -> Option<Vec<(String, Option<u64>)>> {
    list.iter().map(|piece| serde_json::from_value(piece.clone()).ok()).collect()
}

/// Whether each end of `these` is an end of `those`, or inside one of them that may be joined.
fn may_end(these: &[(String, Option<u64>)], those: &[(String, Option<u64>)]) -> bool {
    let mut spans = those.iter().scan(0, |end, (text, joined)| {
        *end += text.len();
        Some((*end, *joined != Some(1)))
    });
    let (mut end, mut span) = (0, spans.next());
    these.iter().all(|(text, _)| {
        end += text.len();
        while span.is_some_and(|(until, _)| until < end) {
            span = spans.next();
        }
        span.is_none_or(|(until, may_be_joined)| until == end || may_be_joined)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn places(reference: Value, here: Value) -> Vec<String> {
        differences(&reference, &here).into_iter().map(|difference| difference.at).collect()
    }

    #[test]
    fn the_first_difference_is_named_by_its_place() {
        let reference = json!({"error": {"code": "a", "param": "x"}, "numbers": [1, 2]});
        assert_eq!(places(reference.clone(), reference.clone()), [""; 0]);
        let here = json!({"error": {"code": "b", "param": "x"}, "numbers": [1, 3], "more": true});
        assert_eq!(places(reference.clone(), here), ["/error/code", "/more", "/numbers/1"]);
        assert_eq!(places(reference, json!({"numbers": [1]})), ["/error", "/numbers"]);
    }

    #[test]
    fn numbers_may_be_a_millionth_apart() {
        assert_eq!(places(json!([0.5, 1]), json!([0.500_000_9, 1.0])), [""; 0]);
        assert_eq!(places(json!([0.5]), json!([0.500_002])), ["/0"]);
    }

    #[test]
    fn pieces_may_be_joined_where_that_is_told_or_not_known() {
        let pieces = |list: Value| json!({"pieces": {"0": list}});
        let single = pieces(json!([["a", 1], ["b", 1], ["cd", 1]]));
        for same in [
            json!([["ab", 2], ["cd", 1]]),
            json!([["abcd", 3]]),
            json!([["a", null], ["bcd", null]]),
            json!([["a", 1], ["b", 1], ["cd", 1]]),
        ] {
            assert_eq!(places(single.clone(), pieces(same.clone())), [""; 0], "{same}");
            assert_eq!(places(pieces(same.clone()), single.clone()), [""; 0], "{same}");
        }
        for wrong in [
            json!([["ab", 1], ["cd", 1]]),
            json!([["a", null], ["b", null], ["c", null], ["d", null]]),
            json!([["a", 1], ["b", 1]]),
            json!([["a", 1], ["b", 1], ["dc", 1]]),
        ] {
            assert_eq!(places(single.clone(), pieces(wrong.clone())), ["/pieces/0"], "{wrong}");
        }
        let both = (pieces(json!([["ab", 2], ["cd", 1]])), pieces(json!([["a", 1], ["bcd", 2]])));
        assert_eq!(places(both.0, both.1), [""; 0], "each is joined where the other is not");
    }
}
