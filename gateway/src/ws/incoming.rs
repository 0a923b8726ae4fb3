//! Parses what a WebSocket client sends.

use schemas::{Action, Error, ErrorCode, Format, Request, SocketControl};
use serde::Deserialize;
use serde_json::Value;

use crate::native;

/// The longest id of an unusable frame that is repeated to its sender.
const SHOWN_ID_BYTES_MAX: usize = 128;

/// One frame of a client.
#[derive(Debug, PartialEq)]
pub(crate) enum Incoming {
    /// A request, and how many bytes of its frames the client accepts.
    Submit(Box<Request>, Option<u64>),
    Control(SocketControl),
}

/// A frame that cannot be used, and its id if it has one.
#[derive(Debug, PartialEq)]
pub(crate) struct Unusable {
    pub(crate) id: Option<String>,
    pub(crate) error: Error,
}

/// The fields of a request that concern only this socket.
#[derive(Deserialize)]
struct Flow {
    #[serde(default)]
    credit: Option<u64>,
}

/// Reads one frame.
pub(crate) fn parse(format: Format, bytes: &[u8]) -> Result<Incoming, Unusable> {
    let value: Value = format.decode(bytes).map_err(|error| Unusable { id: None, error })?;
    let id = value
        .get("id")
        .and_then(Value::as_str)
        .filter(|id| id.len() <= SHOWN_ID_BYTES_MAX)
        .map(str::to_owned);
    read(value).map_err(|error| Unusable { id, error })
}

fn read(value: Value) -> Result<Incoming, Error> {
    if !value.is_object() {
        return Err(Error::new(ErrorCode::InvalidRequest, schemas::request::EXPECTED));
    }
    let action = value.get("action").and_then(Value::as_str);
    if let Some(control) = action.and_then(|action| SocketControl::read(action, &value)) {
        return control.map(Incoming::Control);
    }
    let Flow { credit } = schemas::codec::view(&value, "")?;
    native::parse(value).map(|request| Incoming::Submit(Box::new(streaming(request)), credit))
}

/// A chat on a socket streams unless it says otherwise: a client that opens a socket wants to see the answer arrive.
fn streaming(mut request: Request) -> Request {
    if request.action == Action::ChatCompletion
        && let Some(payload) = request.payload.as_object_mut()
    {
        payload.entry("stream").or_insert(Value::Bool(true));
    }
    request
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::{RequestId, socket::Resume};

    use super::*;

    fn unusable(text: &str) -> Unusable {
        parse(Format::Json, text.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_refusal_names_its_request_and_its_field() {
        let unknown = unusable(r#"{"id":"a","action":"dance"}"#);
        assert_eq!((unknown.id.as_deref(), unknown.error.param.as_deref()), (Some("a"), Some("action")));
        assert_eq!(unusable("{").id, None);
        let long = "a".repeat(SHOWN_ID_BYTES_MAX + 1);
        assert_eq!(unusable(&format!(r#"{{"id":"{long}","action":"dance"}}"#)).id, None);
        assert_eq!(
            unusable(r#"{"id":"a b","action":"auto","payload":{}}"#).error.param.as_deref(),
            Some("id")
        );
        assert_eq!(unusable(r#"{"id":"a","payload":{}}"#).error.param.as_deref(), Some("action"));
        assert_eq!(
            unusable(r#"{"id":"a","action":"resume","attempt":-1,"after":0}"#).error.param.as_deref(),
            Some("attempt")
        );
        for credit in ["-1", "1.5", "\"much\""] {
            let frame = format!(r#"{{"id":"a","action":"auto","payload":{{}},"credit":{credit}}}"#);
            assert_eq!(unusable(&frame).error.param.as_deref(), Some("credit"), "{credit}");
        }
        assert_eq!(unusable(r#"{"action":"join","session":"a b"}"#).error.param.as_deref(), Some("session"));
        assert_eq!(
            unusable(r#"{"id":"a","action":"credit","bytes":0}"#).error.param.as_deref(),
            Some("bytes")
        );
    }

    #[test]
    fn a_chat_streams_unless_it_says_otherwise() {
        let streams = |payload: &str| {
            let text = format!(r#"{{"action":"chat.completion","payload":{payload}}}"#);
            let Ok(Incoming::Submit(request, None)) = parse(Format::Json, text.as_bytes()) else {
                panic!("no request")
            };
            request.wants_stream()
        };
        assert!(streams(r#"{"model":"m"}"#));
        assert!(!streams(r#"{"model":"m","stream":false}"#));
    }

    #[test]
    fn both_formats_say_the_same() {
        let value = serde_json::json!({"action": "resume", "id": "a", "attempt": 2, "after": 7, "credit": 9});
        let id = RequestId::new("a").unwrap();
        let resume = SocketControl::Resume(Resume { id, attempt: 2, after: 7, credit: Some(9) });
        for format in [Format::Json, Format::MessagePack] {
            let parsed = parse(format, &format.encode(&value).unwrap());
            assert_eq!(parsed, Ok(Incoming::Control(resume.clone())));
        }
    }

    /// Frames of every kind, as a client would send them.
    const FRAMES: [&str; 9] = [
        r#"{"id":"a","action":"chat.completion","payload":{"model":"m","messages":[]},"deadline_ms":5}"#,
        r#"{"action":"cancel","id":"a"}"#,
        r#"{"action":"resume","id":"a","attempt":1,"after":3}"#,
        r#"{"action":"credit","id":"a","bytes":7}"#,
        r#"{"action":"system.health","id":null}"#,
        r#"{"action":"join","session":"s-1"}"#,
        r#"{"action":"status","id":"q"}"#,
        r#"{"action":"estimate","request":{"action":"auto","payload":{"model":"m"}}}"#,
        r#"{"action":"embedding.query","payload":{"model":"m","input":[[1]]},"route":{"max_cost_usd":0.1}}"#,
    ];

    proptest! {
        #[test]
        fn a_harmed_frame_is_read_or_refused_with_a_reason(
            which in 0..FRAMES.len(),
            packed: bool,
            harms in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0..3), 1..5),
        ) {
            let frame: Value = serde_json::from_str(FRAMES[which]).unwrap();
            let format = if packed { Format::MessagePack } else { Format::Json };
            let mut body = format.encode(&frame).unwrap().to_vec();
            for (at, byte, how) in harms {
                let at = at.index(body.len());
                match how {
                    0 => body[at] = byte,
                    1 => body.insert(at, byte),
                    _ if body.len() > 1 => drop(body.remove(at)),
                    _ => {}
                }
            }
            if let Err(Unusable { id, error }) = parse(format, &body) {
                prop_assert_eq!(error.code, ErrorCode::InvalidRequest);
                prop_assert!(!error.message.is_empty());
                prop_assert!(id.is_none_or(|id| id.len() <= SHOWN_ID_BYTES_MAX));
            }
        }

        #[test]
        fn no_frame_panics(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = parse(Format::Json, &bytes);
            let _ = parse(Format::MessagePack, &bytes);
        }
    }
}
