//! Bytes of foreigners: whatever they are, they are read or refused, and what was read is written back alike.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{fs, path::Path, thread};

use proptest::{collection::vec, prelude::*, sample::Index};
use schemas::{
    Backpressure, CallbackJob, DeadLetter, ErrorCode, Event, Format, Heartbeat, Outcome, Request, Work,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The stack of a worker thread of the runtime, which decodes what comes.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// A message of the golden files in both formats.
fn messages() -> Vec<Value> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut messages = Vec::new();
    for entry in fs::read_dir(golden).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let body = text.rsplit("---\n").next().unwrap();
        if let Some((json, _)) = body.split_once("\n\nMessagePack:") {
            messages.push(serde_json::from_str(json).unwrap());
        }
    }
    assert!(messages.len() > 10, "the golden files were not found");
    messages
}

/// What a foreigner makes of a message: bytes changed, put in, taken out, and the rest cut off.
#[derive(Debug, Clone)]
enum Harm {
    Change(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
}

impl Harm {
    fn done_to(&self, body: &mut Vec<u8>) {
        if body.is_empty() {
            return;
        }
        match self {
            Self::Change(at, byte) => *at.get_mut(body) = *byte,
            Self::Insert(at, byte) => body.insert(at.index(body.len()), *byte),
            Self::Remove(at) => _ = body.remove(at.index(body.len())),
            Self::Cut(at) => body.truncate(at.index(body.len())),
        }
    }
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Harm::Change(at, byte)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Harm::Insert(at, byte)),
        2 => any::<Index>().prop_map(Harm::Remove),
        1 => any::<Index>().prop_map(Harm::Cut),
    ]
}

/// Reads `body` as a `T`, and checks that what was read survives the wire; a refusal must say why.
fn check<T: Serialize + DeserializeOwned>(body: &[u8]) {
    for format in [Format::Json, Format::MessagePack] {
        match format.decode::<T>(body) {
            Ok(read) => {
                // Compared as bytes: a message may hold numbers that equal nothing.
                let written = Format::MessagePack.encode(&read).unwrap();
                let again = Format::MessagePack.decode::<T>(&written).unwrap();
                assert_eq!(Format::MessagePack.encode(&again).unwrap(), written, "{body:?}");
            }
            Err(error) => {
                assert_eq!(error.code, ErrorCode::InvalidRequest);
                assert!(!error.message.is_empty());
            }
        }
    }
}

fn check_all(body: &[u8]) {
    check::<Request>(body);
    check::<Event>(body);
    check::<Outcome>(body);
    check::<Work>(body);
    check::<CallbackJob>(body);
    check::<DeadLetter>(body);
    check::<Heartbeat>(body);
    check::<Backpressure>(body);
}

proptest! {
    #[test]
    fn a_harmed_message_is_read_or_refused(
        which: Index,
        packed: bool,
        harms in vec(harm(), 1..6),
    ) {
        let messages = messages();
        let format = if packed { Format::MessagePack } else { Format::Json };
        let mut body = format.encode(which.get(&messages)).unwrap().to_vec();
        harms.iter().for_each(|harm| harm.done_to(&mut body));
        check_all(&body);
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in vec(any::<u8>(), 0..64)) {
        check_all(&body);
    }
}

/// What nests deeper than the decoders go is refused before the stack is spent.
#[test]
fn no_nesting_ends_the_process() {
    let decode = || {
        for depth in [100, 125, 500, 1_000, 100_000] {
            let json = "[".repeat(depth) + &"]".repeat(depth);
            let packed = [vec![0x91; depth], vec![0xc0]].concat();
            for body in [nested(Format::Json, depth), nested(Format::MessagePack, depth), json.into(), packed]
            {
                check::<Request>(&body);
                check::<Value>(&body);
            }
        }
    };
    thread::Builder::new().stack_size(STACK_BYTES).spawn(decode).unwrap().join().unwrap();
}

/// Otherwise a request would be accepted that no worker can read.
#[test]
fn a_request_that_may_enter_can_travel_on_inside_of_other_messages() {
    for format in [Format::Json, Format::MessagePack] {
        let deepest = (1..200).rev().find_map(|depth| {
            let request: Request = format.decode(&nested(format, depth)).ok()?;
            request.check().ok().map(|()| request)
        });
        let body = format.encode(&deepest.unwrap()).unwrap();
        let mut inside: Value =
            Format::Json.decode(&body).or_else(|_| Format::MessagePack.decode(&body)).unwrap();
        for _ in 0..10 {
            inside = serde_json::json!({ "inside": inside });
            for format in [Format::Json, Format::MessagePack] {
                assert!(format.decode::<Value>(&format.encode(&inside).unwrap()).is_ok(), "{format:?}");
            }
        }
    }
}

/// A request whose payload holds so many lists, each in the next.
fn nested(format: Format, depth: usize) -> Vec<u8> {
    match format {
        Format::Json => {
            let lists = "[".repeat(depth) + &"]".repeat(depth);
            format!(r#"{{"action":"auto","payload":{{"model":"m","x":{lists}}}}}"#).into_bytes()
        }
        Format::MessagePack => {
            let head = &b"\x82\xa6action\xa4auto\xa7payload\x82\xa5model\xa1m\xa1x"[..];
            [head, &vec![0x91; depth], &[0xc0]].concat()
        }
    }
}
