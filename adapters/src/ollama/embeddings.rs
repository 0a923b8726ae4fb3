//! Embeddings by `POST embed`: sends the texts, and reads the vectors in their order.

use schemas::{EmbeddingRequest, Usage, embedding::Vector};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Call, Error, Finished, counts,
    embeddings::{Ask, texts},
    endpoint::Endpoint,
    failure,
};

/// Ollama's own fields; they go out as they come.
const OWN: [&str; 3] = ["truncate", "keep_alive", "options"];

#[derive(Debug, Deserialize)]
struct Reply {
    model: Option<String>,
    embeddings: Vec<Vec<f32>>,
    #[serde(default, deserialize_with = "counts::count")]
    prompt_eval_count: Option<u64>,
}

/// The body.
pub(super) fn body(endpoint: &Endpoint, call: &Call, request: &EmbeddingRequest) -> Result<Value, Error> {
    let mut body = json!({"model": call.model, "input": texts(endpoint, &request.input)?});
    if let Some(dimensions) = request.dimensions {
        body["dimensions"] = dimensions.into();
    }
    for field in OWN {
        if let Some(value) = call.payload.get(field) {
            body[field] = value.clone();
        }
    }
    Ok(body)
}

/// Reads a reply.
pub(super) fn read(endpoint: &Endpoint, ask: Ask, body: &[u8]) -> Result<Finished, Error> {
    let reply: Reply = serde_json::from_slice(body).map_err(|error| {
        failure::of_reply(endpoint, body, &format!("sent what is not a list of embeddings: {error}"))
    })?;
    let usage = reply.prompt_eval_count.map(|input_tokens| Usage { input_tokens, ..Usage::default() });
    let embeddings = reply.embeddings.into_iter().map(Vector).collect();
    ask.finish(endpoint, embeddings, usage, reply.model)
}

#[cfg(test)]
mod tests {
    use schemas::{Action, Output};

    use super::*;
    use crate::{Remedy, endpoint::tests::endpoint};

    fn ask(payload: Value) -> Result<(Ask, Value), Error> {
        let call = Call {
            action: Action::EmbeddingQuery,
            model: "nomic".into(),
            payload,
            deadline: tokio::time::Instant::now(),
            idempotency_key: "k".into(),
            key: 0,
            traceparent: None,
            webhook: None,
        };
        let (ask, request) = Ask::new("p", &call)?;
        Ok((ask, body(&endpoint(), &call, &request)?))
    }

    #[test]
    fn texts_go_out_and_tokens_do_not() {
        let payload = json!({"model": "m", "input": "a", "dimensions": 4, "truncate": false, "encoding_format": "float"});
        let expected = json!({"model": "nomic", "input": ["a"], "dimensions": 4, "truncate": false});
        assert_eq!(ask(payload).unwrap().1, expected);
        assert_eq!(ask(json!({"model": "m", "input": [1, 2]})).unwrap_err().remedy, Remedy::FallBack);
    }

    #[test]
    fn vectors_come_with_what_was_read() {
        let of = |reply: Value| {
            let ask = ask(json!({"model": "m", "input": ["a", "b"]})).unwrap().0;
            read(&endpoint(), ask, reply.to_string().as_bytes())
        };
        let reply = json!({"model": "nomic:latest", "embeddings": [[1, 2], [3, 4]], "prompt_eval_count": 2});
        let finished = of(reply).unwrap();
        assert_eq!((finished.model.as_str(), finished.usage.input_tokens), ("nomic:latest", 2));
        let Output::Embeddings(output) = finished.output else { panic!() };
        assert_eq!(output.embeddings, [Vector(vec![1.0, 2.0]), Vector(vec![3.0, 4.0])]);
        assert!(of(json!({"embeddings": [[1], [2]]})).unwrap().usage.estimated);
        assert_eq!(of(json!({"embeddings": [[1]]})).unwrap_err().remedy, Remedy::Retry);
        assert_eq!(
            of(json!({"error": "server busy, please try again"})).unwrap_err().remedy,
            Remedy::Throttle
        );
    }
}
