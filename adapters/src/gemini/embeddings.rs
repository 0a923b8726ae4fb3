//! Embeddings by `batchEmbedContents`: one request per input, and the vectors in the order of the inputs.

use schemas::{EmbeddingRequest, Usage, embedding::Vector};
use serde_json::{Value, json};

use super::{resource, wire::EmbeddingReply};
use crate::{
    Call, Error, Finished,
    embeddings::{Ask, texts},
    endpoint::Endpoint,
    failure,
};

/// The most inputs in one call, as Gemini's own error says. More are refused, not split into several calls: one permit
/// of the governor is one call.
const INPUTS_MAX: usize = 100;

/// Gemini's own field for a vector's purpose; it goes out as it comes.
const TASK: &str = "taskType";

/// The body.
pub(super) fn body(endpoint: &Endpoint, call: &Call, request: &EmbeddingRequest) -> Result<Value, Error> {
    let texts = texts(endpoint, &request.input)?;
    if texts.len() > INPUTS_MAX {
        let why =
            format!("payload.input: takes at most {INPUTS_MAX} inputs in one call, not {}", texts.len());
        return Err(endpoint.cannot(&why));
    }
    let model = resource(&call.model);
    let one = |text: &str| {
        let mut one = json!({"model": model, "content": {"parts": [{"text": text}]}});
        if let Some(dimensions) = request.dimensions {
            one["outputDimensionality"] = dimensions.into();
        }
        if let Some(task) = call.payload.get(TASK) {
            one[TASK] = task.clone();
        }
        one
    };
    Ok(json!({"requests": texts.into_iter().map(one).collect::<Vec<_>>()}))
}

/// Reads a reply. Gemini truncates a shortened vector; this scales it back to a length of one, since the dot product of
/// two truncated vectors would mean nothing.
pub(super) fn read(endpoint: &Endpoint, ask: Ask, shortened: bool, body: &[u8]) -> Result<Finished, Error> {
    let reply: EmbeddingReply = serde_json::from_slice(body).map_err(|error| {
        failure::of_reply(endpoint, body, &format!("sent what is not a list of embeddings: {error}"))
    })?;
    let vector = |values: Vec<f32>| Vector(if shortened { normalised(values) } else { values });
    let embeddings = reply.embeddings.into_iter().map(|embedding| vector(embedding.values)).collect();
    let usage = reply.usage_metadata.map(Usage::from).filter(|usage| usage.input_tokens > 0);
    ask.finish(endpoint, embeddings, usage, None)
}

fn normalised(mut values: Vec<f32>) -> Vec<f32> {
    let length = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        values.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    }
    values
}

#[cfg(test)]
mod tests {
    use schemas::{Action, Output};

    use super::*;
    use crate::{Remedy, endpoint::tests::endpoint};

    fn call(payload: Value) -> Call {
        Call {
            action: Action::EmbeddingQuery,
            model: "gemini-embedding-001".into(),
            payload,
            deadline: tokio::time::Instant::now(),
            idempotency_key: "k".into(),
            key: 0,
            traceparent: None,
            webhook: None,
        }
    }

    fn ask(payload: Value) -> Result<(Ask, Value), Error> {
        let call = call(payload);
        let (ask, request) = Ask::new("p", &call)?;
        Ok((ask, body(&endpoint(), &call, &request)?))
    }

    #[test]
    fn each_input_is_a_request_of_its_own() {
        let payload = json!({"model": "m", "input": ["a", "b"], "dimensions": 2, "taskType": "CLUSTERING",
            "encoding_format": "base64"});
        let one = |text: &str| {
            json!({"model": "models/gemini-embedding-001", "content": {"parts": [{"text": text}]},
                "outputDimensionality": 2, "taskType": "CLUSTERING"})
        };
        assert_eq!(ask(payload).unwrap().1, json!({"requests": [one("a"), one("b")]}));
    }

    #[test]
    fn tokens_and_too_many_inputs_are_for_another_provider() {
        for input in [json!([1, 2]), json!([[1], [2]]), json!(vec!["a"; 101])] {
            let error = ask(json!({"model": "m", "input": input})).unwrap_err();
            assert_eq!(error.remedy, Remedy::FallBack, "{error}");
        }
        assert!(ask(json!({"model": "m", "input": vec!["a"; 100]})).is_ok());
    }

    #[test]
    fn shortened_vectors_have_the_length_of_one_again_and_others_are_left_alone() {
        let reply = json!({"embeddings": [{"values": [3, 4]}, {"values": [0, 0]}]}).to_string();
        let vectors = |shortened| {
            let ask = ask(json!({"model": "m", "input": ["a", "b"]})).unwrap().0;
            match read(&endpoint(), ask, shortened, reply.as_bytes()).unwrap().output {
                Output::Embeddings(output) => {
                    output.embeddings.into_iter().map(|it| it.0).collect::<Vec<_>>()
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(vectors(true), [[0.6, 0.8], [0.0, 0.0]]);
        assert_eq!(vectors(false), [[3.0, 4.0], [0.0, 0.0]]);
    }

    #[test]
    fn a_reply_that_does_not_fit_is_an_error() {
        let rows = [
            (json!({"embeddings": [{"values": [1]}]}), Remedy::Retry),
            (json!({"embeddings": [{"values": [1]}, {"values": []}]}), Remedy::Retry),
            (json!({"embeddings": [{"values": [1]}, {"values": [1]}, {"values": [1]}]}), Remedy::Retry),
            (json!({"embeddings": null}), Remedy::Retry),
            (
                json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "m"}}),
                Remedy::Throttle,
            ),
        ];
        for (reply, remedy) in rows {
            let ask = ask(json!({"model": "m", "input": ["a", "b"]})).unwrap().0;
            let error = read(&endpoint(), ask, false, reply.to_string().as_bytes()).unwrap_err();
            assert_eq!(error.remedy, remedy, "{reply}: {error}");
        }
    }
}
