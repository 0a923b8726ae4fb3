//! Answers that are none, end to end: providers that misbehave, and what a client gets of them.

use chaos::provider::CallOutcome;
use serde_json::{Value, json};

use crate::support::Chain;

/// The models of both providers do as their names say.
async fn start() -> Chain {
    Chain::start(|address| {
        format!(
            r#"
            [providers.ollama]
            kind = "ollama"
            base_url = "http://{address}/api"
            api_key_env = "UPSTREAM_KEY"
            [providers.ollama.models]
            fenced = {{ upstream = "sim:fenced" }}
            prose = {{ upstream = "sim:prose,tokens=3" }}
            prose-once = {{ upstream = "sim:prose,times=1" }}
            empty = {{ upstream = "sim:empty" }}
            slow = {{ upstream = "sim:first=30s" }}
            [providers.gemini]
            kind = "gemini"
            base_url = "http://{address}/v1beta"
            api_key_env = "UPSTREAM_KEY"
            [providers.gemini.models]
            quick = {{ upstream = "sim:tokens=3" }}
            "#
        )
    })
    .await
}

fn asked(model: &str) -> Value {
    let schema = json!({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "place", "schema": schema}});
    json!({"model": model, "response_format": format, "messages": [{"role": "user", "content": "x"}]})
}

/// The outcome of a request that names its models.
async fn outcome(chain: &Chain, id: &str, payload: Value, route: Value) -> Value {
    let request = json!({"id": id, "action": "chat.completion", "payload": payload, "route": route});
    let (status, accepted) = chain.dynode.post("/v1/requests", &request).await;
    assert_eq!(status, 202, "{accepted:#}");
    chain.dynode.outcome(id).await
}

#[tokio::test]
async fn json_comes_as_it_was_asked_for_or_with_the_reason_why_not() {
    let chain = start().await;
    for model in ["fenced", "prose-once"] {
        let whole = chain.ask(&asked(model)).await;
        assert_eq!(whole["choices"][0]["message"]["content"], "{\"city\":\"sim\"}", "{model}");
    }
    assert_eq!(chain.calls.snapshot().entries.len(), 3, "once, and twice");

    let (status, refused) = chain.dynode.post("/v1/chat/completions", &asked("prose")).await;
    assert_eq!((status, &refused["error"]["code"]), (502, &json!("invalid_output")), "{refused:#}");
    let outcome = outcome(&chain, "prose", asked("prose"), json!({})).await;
    assert_eq!(outcome["output"]["text"], "A stream of", "{outcome:#}");
    assert_eq!(outcome["attempts"].as_array().unwrap().len(), 2);

    let mut bad = asked("fenced");
    bad["response_format"]["json_schema"]["schema"]["properties"]["city"]["type"] = "strnig".into();
    let (status, refused) = chain.dynode.post("/v1/chat/completions", &bad).await;
    let at = "payload.response_format.json_schema.schema.properties.city.type";
    let told = refused["error"]["param"].as_str().unwrap();
    assert!(status == 400 && at.ends_with(told), "{status} {refused:#}");
}

#[tokio::test]
async fn the_next_is_asked_after_nothing_and_beside_silence() {
    let chain = start().await;
    let payload =
        || json!({"model": "quick", "messages": [{"role": "user", "content": "x"}], "stream": true});
    let route = json!({"waterfall": ["ollama/empty", "gemini/quick"]});
    let after_nothing = outcome(&chain, "empty", payload(), route).await;
    assert_eq!(after_nothing["output"]["text"], "A stream of", "{after_nothing:#}");
    assert_eq!(after_nothing["attempts"][0]["error"]["code"], "invalid_output");

    let route = json!({"waterfall": ["ollama/slow", "gemini/quick"], "hedge_ms": 100});
    let hedged = outcome(&chain, "slow", payload(), route).await;
    assert_eq!((&hedged["provider"], &hedged["output"]["text"]), (&json!("gemini"), &json!("A stream of")));
    assert_eq!(hedged["attempts"][0]["error"]["code"], "cancelled", "{hedged:#}");
    assert_eq!(hedged["attempts"][0]["usage"]["estimated"], true);
    let calls =
        chain.calls.wait_until(|calls| calls.iter().all(|c| c.outcome != CallOutcome::InProgress)).await;
    assert_ne!(calls[2].outcome, CallOutcome::Answered, "it was given up: {calls:#?}");
}
