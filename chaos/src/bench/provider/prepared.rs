//! The prepared answers, by model name: `chat-<delay>`, `stream-<first>-<chunks>-<gap>`, `embed-<batch>`, all times in
//! milliseconds.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::bench::load::marks;

/// The length of a vector.
const DIMENSIONS: u16 = 1_536;
/// Marks where a frame carries its send time.
const PLACE: &str = "@MARK";
/// The largest answer to prepare: a model name must not exhaust the memory.
const CHUNKS_MAX: u32 = 100_000;
const BATCH_MAX: u32 = 2_048;

/// The answer of one model.
#[derive(Debug)]
pub(super) enum Prepared {
    /// One body.
    Whole { delay: Duration, body: Bytes },
    /// Many frames, each but the last with its send time in the middle.
    Stream { first: Duration, chunks: u32, gap: Duration, frame: (Bytes, Bytes), end: Bytes, usage: Bytes },
}

impl Prepared {
    /// The answer of a model with this name; `None` if there is no such model.
    pub(super) fn of(model: &str) -> Option<Self> {
        let (kind, numbers) = model.split_once('-')?;
        let numbers: Vec<u32> =
            numbers.split('-').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        let ms = |ms: u32| Duration::from_millis(ms.into());
        match (kind, numbers.as_slice()) {
            ("chat", [delay]) => Some(Self::Whole { delay: ms(*delay), body: chat(model) }),
            ("embed", [batch]) if *batch <= BATCH_MAX => {
                Some(Self::Whole { delay: Duration::ZERO, body: vectors(model, *batch) })
            }
            ("stream", [first, chunks, gap]) if *chunks <= CHUNKS_MAX => {
                Some(stream(model, ms(*first), *chunks, ms(*gap)))
            }
            _ => None,
        }
    }
}

fn chat(model: &str) -> Bytes {
    let text =
        "On Saturday we are open from ten to four, and yes, there is fresh Sencha from Japan on the shelf.";
    let body = json!({
        "id": "chatcmpl-bench", "object": "chat.completion", "created": 1_790_000_000, "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 90, "completion_tokens": 24, "total_tokens": 114},
    });
    body.to_string().into()
}

fn vectors(model: &str, batch: u32) -> Bytes {
    let vector: Vec<u8> = (0..DIMENSIONS).flat_map(|place| (f32::from(place) / 1e5).to_le_bytes()).collect();
    let vector = STANDARD.encode(vector);
    let data: Vec<_> =
        (0..batch).map(|index| json!({"object": "embedding", "index": index, "embedding": vector})).collect();
    let usage = json!({"prompt_tokens": 90 * batch, "total_tokens": 90 * batch});
    json!({"object": "list", "data": data, "model": model, "usage": usage}).to_string().into()
}

fn stream(model: &str, first: Duration, chunks: u32, gap: Duration) -> Prepared {
    let chunk = |choices: Value, usage: Value| {
        json!({
            "id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": model,
            "choices": choices, "usage": usage,
        })
    };
    let piece =
        json!([{"index": 0, "delta": {"role": "assistant", "content": PLACE}, "finish_reason": null}]);
    let piece = format!("data: {}\n\n", chunk(piece, Value::Null));
    // The mark is present: it was put there above.
    let (head, tail) = piece.split_once(PLACE).unwrap_or_default();
    let frame = (Bytes::copy_from_slice(head.as_bytes()), Bytes::copy_from_slice(tail.as_bytes()));
    let finish = json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]);
    let end = format!("data: {}\n\n", chunk(finish, Value::Null));
    let used = json!({"prompt_tokens": 90, "completion_tokens": chunks, "total_tokens": 90 + chunks});
    let usage = format!("data: {}\n\n", chunk(json!([]), used));
    Prepared::Stream { first, chunks, gap, frame, end: end.into(), usage: usage.into() }
}

/// A chunk with the current time.
pub(super) fn stamped((head, tail): &(Bytes, Bytes)) -> Bytes {
    let mut chunk = Vec::with_capacity(head.len() + 1 + marks::DIGITS + tail.len());
    chunk.extend_from_slice(head);
    chunk.push(marks::MARK);
    let mut digits = [b'0'; marks::DIGITS];
    let mut rest = marks::now_us();
    for digit in digits.iter_mut().rev() {
        // Less than ten.
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
    chunk.extend_from_slice(&digits);
    chunk.extend_from_slice(tail);
    chunk.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scenarios;

    #[test]
    fn every_model_of_the_scenarios_is_prepared() {
        for work in scenarios::ALL.iter().flat_map(|scenario| scenario.works()) {
            assert!(Prepared::of(&work.model()).is_some(), "{work:?}");
        }
        for name in ["chat", "chat-x", "chat-1-2", "stream-0-50", "embed-99999", "gpt-4"] {
            assert!(Prepared::of(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_chunk_is_json_with_its_time() {
        let Some(Prepared::Stream { frame, .. }) = Prepared::of("stream-0-50-0") else { panic!("no stream") };
        let chunk = stamped(&frame);
        let json = chunk.strip_prefix(b"data: ").unwrap();
        let json: Value = serde_json::from_slice(json).unwrap();
        let content = json["choices"][0]["delta"]["content"].as_str().unwrap();
        let sent: u64 = content.strip_prefix('@').unwrap().parse().unwrap();
        assert!(marks::now_us().abs_diff(sent) < 60_000_000);
    }
}
