//! Reads the counts in providers' usage reports. A count that is absent, or makes no sense, is none: it never fails an
//! answer that was paid for, and Dynode estimates it instead.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

/// No call uses more than this of anything. Dynode does not believe a higher count: bills and limits depend on it.
const COUNT_MAX: u64 = 1_000_000_000;

/// `number` as a count, if it is plausible.
pub(crate) fn believable(number: f64) -> Option<u64> {
    (number.is_finite() && (0.0..=COUNT_MAX as f64).contains(&number)).then_some(number.round() as u64)
}

/// Reads a count; for `deserialize_with`, together with `default`.
pub(crate) fn count<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    Ok(Value::deserialize(input)?.as_f64().and_then(believable))
}

/// Reads a count; 0 if there is none.
pub(crate) fn count_or_zero<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
    count(input).map(Option::unwrap_or_default)
}

/// Reads a part of a report; none if it does not have the expected form.
pub(crate) fn part<'de, D: Deserializer<'de>, T: DeserializeOwned>(input: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<Value>::deserialize(input)?.and_then(|part| serde_json::from_value(part).ok()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_makes_no_sense_is_no_count() {
        let read = |value: Value| count(value).unwrap();
        assert_eq!(read(json!(7)), Some(7));
        assert_eq!(read(json!(7.0)), Some(7));
        assert_eq!(read(json!(0)), Some(0));
        for absurd in [
            json!(-1),
            json!(1e30),
            json!(u64::MAX),
            json!(1_000_000_001),
            json!("7"),
            json!(null),
            json!([]),
        ] {
            assert_eq!(read(absurd.clone()), None, "{absurd}");
        }
    }
}
