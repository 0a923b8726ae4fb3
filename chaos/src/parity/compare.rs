//! Two documents beside each other: where they differ first, and where else.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

/// How far two numbers may be from each other.
const NUMBERS_APART_MAX: f64 = 1e-6;
/// The parts in which neighbours may be joined: the pieces of a stream.
const JOINED: [&str; 2] = ["/pieces/", "/calls/"];
/// The most differences that are told of one pair; the first is the one to read.
const DIFFERENCES_MAX: usize = 20;

/// One place at which they differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Where, as a JSON pointer.
    pub at: String,
    /// What is there on the WebSocket; null where nothing is.
    pub reference: Value,
    /// What is there on this handle.
    pub here: Value,
}

/// Where `here` is not as `reference`, in the order of the document.
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
        (Value::Array(left), Value::Array(right)) if JOINED.iter().any(|part| at.starts_with(part)) => {
            are_joined(left, right)
        }
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

/// Whether two lists of pieces are the same but for neighbours that one side has as one.
fn are_joined(left: &[Value], right: &[Value]) -> bool {
    let texts = |list: &[Value]| -> Option<Vec<String>> {
        list.iter().map(|piece| piece.as_str().map(str::to_owned)).collect()
    };
    let (Some(left), Some(right)) = (texts(left), texts(right)) else { return left == right };
    let ends = |list: &[String]| -> BTreeSet<usize> {
        list.iter()
            .scan(0, |end, piece| {
                *end += piece.len();
                Some(*end)
            })
            .collect()
    };
    let (left_ends, right_ends) = (ends(&left), ends(&right));
    left.concat() == right.concat() && (left_ends.is_subset(&right_ends) || right_ends.is_subset(&left_ends))
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
    fn pieces_may_be_joined_on_one_side_and_nothing_else_may() {
        let pieces = |list: Value| json!({"pieces": {"0": list}});
        let whole = pieces(json!(["a", "b", "cd"]));
        assert_eq!(places(whole.clone(), pieces(json!(["ab", "cd"]))), [""; 0]);
        assert_eq!(places(pieces(json!(["abcd"])), whole.clone()), [""; 0]);
        for wrong in [json!(["ab", "c", "d"]), json!(["a", "b"]), json!(["a", "b", "dc"])] {
            assert_eq!(places(whole.clone(), pieces(wrong.clone())), ["/pieces/0"], "{wrong}");
        }
        assert_eq!(places(json!({"running": ["a", "b"]}), json!({"running": ["ab"]})), ["/running"]);
    }
}
