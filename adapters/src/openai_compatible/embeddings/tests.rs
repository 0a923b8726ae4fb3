use schemas::{Action, ErrorCode, Output};
use serde_json::json;

use super::*;
use crate::{Remedy, endpoint::tests::endpoint};

fn call(payload: Value) -> Call {
    Call {
        action: Action::EmbeddingQuery,
        model: "upstream".into(),
        payload,
        deadline: tokio::time::Instant::now(),
        idempotency_key: "k".into(),
        key: 0,
        traceparent: None,
        webhook: None,
    }
}

fn of_two(reply: Value) -> Result<Finished, Error> {
    let ask = Ask::new("p", &call(json!({"model": "m", "input": ["12345678", "1234"]}))).unwrap().0;
    read(&endpoint(), ask, reply.to_string().as_bytes())
}

fn vectors(finished: &Finished) -> Vec<Vec<f32>> {
    match &finished.output {
        Output::Embeddings(output) => output.embeddings.iter().map(|vector| vector.0.clone()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn base64_is_asked_for_whatever_the_client_wants() {
    let call =
        call(json!({"model": "m", "input": "a", "encoding_format": "float", "dimensions": 8, "user": "u"}));
    let body = body(&call);
    let expected =
        json!({"model": "upstream", "input": "a", "encoding_format": "base64", "dimensions": 8, "user": "u"});
    assert_eq!(body, expected);
}

#[test]
fn both_forms_are_read_and_put_in_order() {
    // 0.5 and -1.0 as little-endian floats.
    let reply = json!({"data": [{"index": 1, "embedding": "AAAAPwAAgL8="}, {"index": 0, "embedding": [1, 2.5]}],
        "model": "m-1", "usage": {"prompt_tokens": 4, "total_tokens": 4}});
    let finished = of_two(reply).unwrap();
    assert_eq!(vectors(&finished), [vec![1.0, 2.5], vec![0.5, -1.0]]);
    assert_eq!(
        (finished.model.as_str(), finished.usage.input_tokens, finished.usage.estimated),
        ("m-1", 4, false)
    );
}

#[test]
fn without_usage_it_is_estimated() {
    let reply = json!({"data": [{"embedding": [1]}, {"embedding": [2]}]});
    let finished = of_two(reply).unwrap();
    assert_eq!((finished.usage.input_tokens, finished.usage.estimated), (3, true));
    assert_eq!(finished.model, "upstream");
}

#[test]
fn a_reply_that_does_not_fit_the_question_is_an_error() {
    let one = json!({"index": 0, "embedding": [1]});
    let rows = [
        json!({"data": [one]}),
        json!({"data": [one, one]}),
        json!({"data": [one, {"index": 2, "embedding": [1]}]}),
        json!({"data": [one, {"index": 1, "embedding": []}]}),
        json!({"data": [one, {"index": 1, "embedding": "AAAA"}]}),
        json!({"data": [one, {"index": 1, "embedding": [null]}]}),
        json!({"data": null}),
        json!("hello"),
    ];
    for reply in rows {
        let error = of_two(reply.clone()).unwrap_err();
        assert_eq!((error.code, error.remedy), (ErrorCode::ProviderError, Remedy::Retry), "{reply}: {error}");
    }
    let error = of_two(json!({"error": {"message": "m", "code": "rate_limit_exceeded"}})).unwrap_err();
    assert_eq!(error.remedy, Remedy::Throttle);
}

#[test]
fn a_payload_that_is_no_question_is_named() {
    let error = Ask::new("p", &call(json!({"model": "m", "input": 7}))).unwrap_err();
    assert_eq!((error.code, error.remedy), (ErrorCode::InvalidRequest, Remedy::Fatal));
    assert!(error.message.contains("payload.input"), "{error}");
}
