//! Prepares the requests of a scenario as bytes: made once, sent again and again.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::bench::scenario::Work;

/// The question of every chat: about 60 words, a short question of a person with an application's instructions.
const QUESTION: &str = "You are the assistant of a shop. Answer in one short sentence, and only from what you know of \
    the shop. The shop sells tea, coffee and chocolate, is open from nine to six on weekdays and from ten to four on \
    Saturdays, and sends parcels within two days. The customer asks: when can I come by on Saturday, and do you have \
    green tea from Japan at the moment?";

/// The body of an HTTP request for OpenAI's API.
pub(crate) fn body(work: Work, model: &str) -> Bytes {
    let body = match work {
        Work::Embeddings { batch } => json!({
            "model": model,
            "input": (0..batch).map(|text| format!("{text}: {QUESTION}")).collect::<Vec<_>>(),
            "encoding_format": "base64",
        }),
        Work::Stream { .. } | Work::Socket { .. } => chat(model, true),
        Work::Chat { .. } | Work::ChatFor { .. } | Work::Publish { .. } => chat(model, false),
    };
    body.to_string().into()
}

/// The path of that request.
pub(crate) const fn path(work: Work) -> &'static str {
    match work {
        Work::Embeddings { .. } => "/v1/embeddings",
        _ => "/v1/chat/completions",
    }
}

/// A request to publish, without its id, which is in a header.
pub(crate) fn envelope(model: &str) -> Bytes {
    json!({"action": "chat.completion", "payload": chat(model, false)}).to_string().into()
}

/// A WebSocket request, in two halves around its id.
pub(crate) fn frame(model: &str) -> (String, String) {
    let payload = chat(model, true);
    (r#"{"id":""#.to_owned(), format!(r#"","action":"chat.completion","payload":{payload}}}"#))
}

fn chat(model: &str, stream: bool) -> Value {
    let mut chat = json!({"model": model, "messages": [{"role": "user", "content": QUESTION}]});
    if stream && let Some(fields) = chat.as_object_mut() {
        fields.insert("stream".into(), true.into());
    }
    chat
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_json_around_its_id() {
        let (head, tail) = frame("stream-0-50-0");
        let frame: Value = serde_json::from_str(&format!("{head}a-1{tail}")).unwrap();
        assert_eq!((&frame["id"], &frame["payload"]["stream"]), (&json!("a-1"), &json!(true)));
    }

    #[test]
    fn bodies_are_what_the_work_asks_for() {
        let body = |work: Work| serde_json::from_slice::<Value>(&body(work, &work.model())).unwrap();
        assert_eq!(body(Work::Chat { delay_ms: 60 })["model"], "chat-60");
        assert_eq!(body(Work::Embeddings { batch: 64 })["input"].as_array().unwrap().len(), 64);
    }
}
