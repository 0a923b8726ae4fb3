//! What providers say was used, and what they say that cannot be: an answer that was paid for is never lost for it, and
//! nobody is billed for what was made up.

use schemas::Usage;

use super::{
    server::{Server, reply},
    *,
};

/// Whole replies of each kind, each with a place for two counts.
fn said(kind: &str, input: &Value, output: &Value) -> String {
    let reply = match kind {
        "openai_compatible" => {
            let message = json!({"role": "assistant", "content": "Hello there"});
            json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": input, "completion_tokens": output, "total_tokens": null}})
        }
        "gemini" => json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "Hello there"}]},
            "finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": input, "candidatesTokenCount": output}}),
        "ollama" => {
            json!({"model": "m", "message": {"role": "assistant", "content": "Hello there"}, "done": true,
            "done_reason": "stop", "prompt_eval_count": input, "eval_count": output})
        }
        _ => {
            json!({"id": "msg", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "Hello there"}],
            "usage": {"input_tokens": input, "output_tokens": output}})
        }
    };
    reply.to_string()
}

async fn used(kind: &str, body: &str) -> Usage {
    let server = Server::start(vec![reply(200, "content-type: application/json\r\n", body)]).await;
    let table = json!({"kind": kind, "base_url": server.base_url, "models": {"m": {}}});
    let items = all(&*provider(table), chat(json!({}))).await;
    assert_eq!(output(&items).text, "Hello there", "{kind}: {body}");
    match items.last() {
        Some(Ok(Progress::Finished(finished))) => finished.usage,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_said_is_counted_and_what_cannot_be_is_not() {
    for kind in ["openai_compatible", "anthropic", "gemini", "ollama"] {
        let usage = used(kind, &said(kind, &json!(3), &json!(2))).await;
        assert_eq!((usage.input_tokens, usage.output_tokens, usage.estimated), (3, 2, false), "{kind}");
        for absurd in
            [json!(null), json!(-7), json!(1e30), json!(u64::MAX), json!("many"), json!([]), json!({"a": 1})]
        {
            let usage = used(kind, &said(kind, &absurd, &absurd)).await;
            assert!(usage.input_tokens < 100 && usage.output_tokens < 100, "{kind}: {absurd}: {usage:?}");
            assert!(usage.output_tokens > 0 && usage.estimated, "{kind}: {absurd}: {usage:?}");
        }
    }
    for whole in [json!("none"), json!([1]), json!(null)] {
        let body = said("openai_compatible", &json!(0), &json!(0));
        let mut reply: Value = serde_json::from_str(&body).unwrap();
        reply["usage"] = whole;
        assert!(used("openai_compatible", &reply.to_string()).await.estimated);
    }
}
