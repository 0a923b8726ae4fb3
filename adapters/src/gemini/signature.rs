//! Ids of calls that carry a signature.
//!
//! Gemini 3 refuses a conversation whose calls come back without the signature of the thoughts that led to them. OpenAI's
//! shape of a call has one field that every client sends back as it came: the id. So a signature travels in it, and no
//! worker has to remember anything.

/// Stands between id and signature; no id of Gemini's and no base64 has it.
const SEPARATOR: char = '~';

/// The id that the client gets.
pub(super) fn join(id: &str, signature: Option<&str>) -> String {
    match signature {
        Some(signature) => format!("{id}{SEPARATOR}{signature}"),
        None => id.to_owned(),
    }
}

/// The id and the signature that Gemini gets.
pub(super) fn split(id: &str) -> (&str, Option<&str>) {
    match id.split_once(SEPARATOR) {
        Some((id, signature)) => (id, Some(signature)),
        None => (id, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_is_split_again() {
        for (id, signature) in [("call_1", Some("Ab+/=_-")), ("call_1", None), ("", Some("x"))] {
            assert_eq!(split(&join(id, signature)), (id, signature));
        }
        assert_eq!(split("call_of_another_provider"), ("call_of_another_provider", None));
    }
}
