//! Makes and splits call ids that carry a signature.
//!
//! Gemini 3 refuses a conversation whose calls come back without the signature of the thoughts that led to them. In
//! OpenAI's format, every client sends one field of a call back unchanged: the id. So the signature travels in it, and
//! no worker has to remember anything.

/// Separates id and signature; it occurs neither in Gemini's ids nor in base64.
const SEPARATOR: char = '~';

/// The id to give to the client.
pub(super) fn join(id: &str, signature: Option<&str>) -> String {
    match signature {
        Some(signature) => format!("{id}{SEPARATOR}{signature}"),
        None => id.to_owned(),
    }
}

/// The id and the signature to give to Gemini.
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
