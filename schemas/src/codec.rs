//! JSON and MessagePack: detects, encodes and decodes them, and refuses bad input with the path of the fault.
//!
//! MessagePack is written with field names, so that both formats have the same shape. Both decoders stop at the same
//! depth of nesting and refuse trailing bytes.

use std::io::{Cursor, ErrorKind::UnexpectedEof};

use bytes::Bytes;
use rmp_serde::decode::{Error::InvalidMarkerRead, ReadRefReader};
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::Value;

use crate::{Error, ErrorCode};

/// How deep a message may nest: `serde_json`'s limit, for MessagePack too, so that whatever was read in one format can
/// be read in the other, and no nesting exhausts the reader's stack.
const DEPTH_MAX: usize = 128;

/// How a message body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Format {
    /// UTF-8 JSON.
    #[default]
    Json,
    /// MessagePack with field names.
    MessagePack,
}

impl Format {
    /// The media type, as sent in `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MessagePack => "application/msgpack",
        }
    }

    /// The format that a `Content-Type` names; `None` if it names neither.
    pub fn from_content_type(value: &str) -> Option<Self> {
        let media = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media.as_str() {
            "application/json" | "text/json" => Some(Self::Json),
            "application/msgpack" | "application/x-msgpack" | "application/vnd.msgpack" => {
                Some(Self::MessagePack)
            }
            other => other.ends_with("+json").then_some(Self::Json),
        }
    }

    /// The format of a body by its `Content-Type` or, without one, by its first byte: a MessagePack map begins with a
    /// byte that no JSON text begins with.
    pub fn detect(content_type: Option<&str>, body: &[u8]) -> Self {
        content_type.and_then(Self::from_content_type).unwrap_or_else(|| match body.first() {
            Some(0x80..=0x9f | 0xc0..=0xdf) => Self::MessagePack,
            _ => Self::Json,
        })
    }

    /// Whether a body is a list, by its first byte.
    pub fn is_list(self, body: &[u8]) -> bool {
        match self {
            Self::Json => body.trim_ascii_start().first() == Some(&b'['),
            Self::MessagePack => matches!(body.first(), Some(0x90..=0x9f | 0xdc | 0xdd)),
        }
    }

    /// Writes `value`.
    pub fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<Bytes, Error> {
        let internal = |why: String| Error::new(ErrorCode::Internal, format!("could not encode: {why}"));
        match self {
            Self::Json => serde_json::to_vec(value).map(Bytes::from).map_err(|e| internal(e.to_string())),
            Self::MessagePack => {
                rmp_serde::to_vec_named(value).map(Bytes::from).map_err(|e| internal(e.to_string()))
            }
        }
    }

    /// Reads a `T` from the whole of `body`. The error's `param` is the path of the offending field.
    pub fn decode<T: DeserializeOwned>(self, body: &[u8]) -> Result<T, Error> {
        // Tracking the path costs more than reading, so valid input is read without it.
        match self {
            Self::Json => serde_json::from_slice(body).or_else(|_| json_with_path(body)),
            Self::MessagePack => {
                let mut reader = rmp_serde::Deserializer::from_read_ref(body);
                reader.set_max_depth(DEPTH_MAX);
                match T::deserialize(&mut reader) {
                    Ok(value) if is_at_its_end(&mut reader) => Ok(value),
                    _ => message_pack_with_path(body),
                }
            }
        }
    }
}

fn json_with_path<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let invalid =
        |why: &serde_json::Error| Error::new(ErrorCode::InvalidRequest, format!("invalid JSON: {why}"));
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|e| match e.inner().is_data() {
        true => at_path(e, "", "JSON"),
        // If the text breaks off, there is no field to blame.
        false => invalid(e.inner()),
    })?;
    reader.end().map_err(|error| invalid(&error))?;
    Ok(value)
}

/// Whether nothing follows. Only the slower of the two readers reports its position.
fn is_at_its_end<'de>(reader: &mut rmp_serde::Deserializer<ReadRefReader<'de, [u8]>>) -> bool {
    matches!(IgnoredAny::deserialize(reader), Err(InvalidMarkerRead(why)) if why.kind() == UnexpectedEof)
}

fn message_pack_with_path<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let mut reader = rmp_serde::Deserializer::new(Cursor::new(body));
    reader.set_max_depth(DEPTH_MAX);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|e| at_path(e, "", "MessagePack"))?;
    match body.len() as u64 - reader.position() {
        0 => Ok(value),
        extra => {
            let why = format!("invalid MessagePack: {extra} bytes follow the message");
            Err(Error::new(ErrorCode::InvalidRequest, why))
        }
    }
}

/// Reads a typed view of `value` without consuming it; paths in errors begin with `root`.
pub fn view<'de, T: Deserialize<'de>>(value: &'de Value, root: &str) -> Result<T, Error> {
    T::deserialize(value)
        .or_else(|_| serde_path_to_error::deserialize(value).map_err(|error| at_path(error, root, "JSON")))
}

/// Reads a `T` out of `value`; paths in errors begin with `root`.
pub fn from_value<T: DeserializeOwned>(value: Value, root: &str) -> Result<T, Error> {
    serde_path_to_error::deserialize(value).map_err(|error| at_path(error, root, "JSON"))
}

fn at_path<E: std::fmt::Display>(error: serde_path_to_error::Error<E>, root: &str, format: &str) -> Error {
    let path = error.path().to_string();
    let why = error.into_inner().to_string();
    // serde blames the object; the sender looks for the missing field.
    let missing = why.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let parts = [root, path.trim_start_matches('.'), missing.unwrap_or_default()];
    let param = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
    match (param.is_empty(), missing) {
        (true, _) => Error::new(ErrorCode::InvalidRequest, format!("invalid {format}: {why}")),
        (false, Some(_)) => Error::invalid(param, "is required"),
        (false, None) => Error::invalid(param, why),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::Request;

    #[test]
    fn formats_are_told_apart_without_a_content_type() {
        let value = json!({"action": "auto", "payload": {}});
        for format in [Format::Json, Format::MessagePack] {
            let body = format.encode(&value).unwrap();
            assert_eq!(Format::detect(None, &body), format);
            assert_eq!(Format::detect(Some(format.content_type()), &body), format);
        }
    }

    #[test]
    fn trailing_bytes_are_refused() {
        for format in [Format::Json, Format::MessagePack] {
            let mut body = format.encode(&json!({"a": 1})).unwrap().to_vec();
            body.push(b'1');
            assert!(format.decode::<Value>(&body).is_err(), "{format:?}");
        }
    }

    #[test]
    fn errors_name_the_path() {
        let body = br#"{"action":"chat.completion","payload":{},"deadline_ms":"soon"}"#;
        let error = Format::Json.decode::<Request>(body).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("deadline_ms"), "{error:?}");
    }

    #[test]
    fn a_missing_field_is_named_and_a_text_that_breaks_off_names_none() {
        let missing = Format::Json.decode::<Request>(br#"{"action":"auto"}"#).unwrap_err();
        assert_eq!(
            (missing.param.as_deref(), missing.message.as_str()),
            (Some("payload"), "payload: is required")
        );
        let cut = Format::Json.decode::<Request>(br#"{"action":"#).unwrap_err();
        assert_eq!((cut.param.as_deref(), cut.message.starts_with("invalid JSON")), (None, true), "{cut}");
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..512)) {
            for format in [Format::Json, Format::MessagePack] {
                let _ = format.decode::<Request>(&body);
                let _ = format.decode::<crate::Event>(&body);
                let _ = format.decode::<crate::Outcome>(&body);
            }
        }
    }
}
