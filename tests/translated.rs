//! Providers that speak neither OpenAI's API nor ours, end to end: an OpenAI chat goes in and comes out, whatever is spoken
//! in between.

use serde_json::{Value, json};

use crate::support::Chain;

/// The models of one kind, as they are configured below.
const KINDS: [(&str, &str); 2] = [("gemini", "/v1beta/models/{model}:"), ("ollama", "/api/chat")];

/// Providers of both kinds.
async fn start() -> Chain {
    let table = |kind: &str, base: &str| {
        format!(
            r#"
            [providers.{kind}]
            kind = "{kind}"
            base_url = "http://{base}"
            api_key_env = "UPSTREAM_KEY"
            [providers.{kind}.models]
            {kind}-chat = {{ upstream = "sim:gap=5ms,tokens=12" }}
            {kind}-vectors = {{ upstream = "sim", action = "embedding.query" }}
            {kind}-down = {{ upstream = "sim:tokens=12,status=503,times=1,retry-after=1" }}
            {kind}-failing = {{ upstream = "sim:tokens=12,error-after=5,times=1" }}
            "#
        )
    };
    Chain::start(|address| {
        table("gemini", &format!("{address}/v1beta")) + &table("ollama", &format!("{address}/api"))
    })
    .await
}

fn joined(chunks: &[Value], pointer: &str) -> String {
    chunks.iter().filter_map(|chunk| chunk.pointer(pointer)?.as_str()).collect()
}

#[tokio::test]
async fn a_chat_is_translated_and_its_answer_back() {
    let chain = start().await;
    for (kind, path) in KINDS {
        let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}});
        let content = json!([{"type": "text", "text": "x"}, image]);
        let mut body = json!({"model": format!("{kind}-chat"), "temperature": 0.5, "max_tokens": 100, "stop": ["END"],
            "user": "u-1", "seed": 7, "messages": [{"role": "system", "content": "be brief"},
            {"role": "user", "content": content}]});
        let whole = chain.ask(&body).await;
        assert_eq!(whole["usage"]["completion_tokens"], 12, "{whole:#}");
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
        let streamed = chain.stream(&body).await;
        assert_eq!(streamed.last().unwrap()["usage"], whole["usage"], "{kind}");
        let text = joined(&streamed, "/choices/0/delta/content");
        assert_eq!(text, whole["choices"][0]["message"]["content"].as_str().unwrap(), "{kind}");
        assert_eq!(joined(&streamed, "/choices/0/finish_reason"), "stop", "{kind}");
        let calls: Vec<_> =
            chain.calls.snapshot().entries.into_iter().filter(|call| call.path.starts_with(path)).collect();
        assert_eq!(calls.iter().map(|call| call.stream).collect::<Vec<_>>(), [false, true], "{kind}");
        assert!(calls.iter().all(|call| call.authorization.is_some()), "{calls:#?}");
    }
}

#[tokio::test]
async fn a_tool_is_called_and_its_result_read() {
    let chain = start().await;
    let parameters =
        json!({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}});
    let tool = json!({"type": "function", "function": {"name": "weather", "parameters": parameters}});
    for (kind, _) in KINDS {
        let mut body = json!({"model": format!("{kind}-chat"), "tools": [tool], "reasoning_effort": "low",
            "messages": [{"role": "user", "content": "x"}]});
        let whole = chain.ask(&body).await;
        let choice = &whole["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls", "{kind}: {whole:#}");
        let call = &choice["message"]["tool_calls"][0];
        assert_eq!(call["function"], json!({"name": "weather", "arguments": "{\"city\":\"sim\"}"}), "{kind}");

        // The simulator refuses a call that comes back without what Gemini signed it with.
        let result = json!({"role": "tool", "tool_call_id": call["id"], "content": "sunny"});
        body["messages"] = json!([body["messages"][0], choice["message"], result]);
        body["stream"] = json!(true);
        let answered = chain.stream(&body).await;
        assert_eq!(joined(&answered, "/choices/0/finish_reason"), "stop", "{kind}");
        assert!(!joined(&answered, "/choices/0/delta/content").is_empty(), "{kind}");
    }
}

#[tokio::test]
async fn answers_keep_to_a_schema_and_texts_become_vectors() {
    let chain = start().await;
    for (kind, _) in KINDS {
        let schema =
            json!({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}});
        let format = json!({"type": "json_schema", "json_schema": {"name": "place", "schema": schema}});
        let whole = chain
            .ask(&json!({"model": format!("{kind}-chat"), "response_format": format,
                "messages": [{"role": "user", "content": "x"}]}))
            .await;
        assert_eq!(whole["choices"][0]["message"]["content"], "{\"city\":\"sim\"}", "{kind}");

        let body = json!({"model": format!("{kind}-vectors"), "input": ["a", "b"], "dimensions": 16});
        let (status, list) = chain.dynode.post("/v1/embeddings", &body).await;
        assert_eq!(status, 200, "{list:#}");
        let vector = list["data"][1]["embedding"].as_array().unwrap();
        let length: f64 = vector.iter().map(|value| value.as_f64().unwrap().powi(2)).sum();
        assert!(vector.len() == 16 && (length - 1.0).abs() < 1e-3, "{kind}: {length}");
    }
}

#[tokio::test]
async fn what_fails_is_told_or_got_over() {
    let chain = start().await;
    for (kind, _) in KINDS {
        for model in ["down", "failing"] {
            let body =
                json!({"model": format!("{kind}-{model}"), "messages": [{"role": "user", "content": "x"}]});
            assert_eq!(chain.ask(&body).await["usage"]["completion_tokens"], 12, "{kind}: {model}");
        }
        let url = json!({"type": "image_url", "image_url": {"url": "https://x.test/a.png"}});
        let body = json!({"model": format!("{kind}-chat"), "messages": [{"role": "user", "content": [url]}]});
        let (status, refused) = chain.dynode.post("/v1/chat/completions", &body).await;
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(status >= 400 && message.contains("`data:`"), "{kind}: {status} {refused:#}");
    }
}
