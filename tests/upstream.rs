//! A provider over HTTP, end to end: what a client asks arrives there, and what it answers comes back.

use chaos::provider::CallOutcome;
use serde_json::{Value, json};

use crate::support::{Chain, Events, client};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Providers that speak OpenAI's API and Anthropic's, the latter in two versions.
async fn start() -> Chain {
    Chain::start(|address| {
        format!(
            r#"
            [providers.upstream]
            kind = "openai_compatible"
            base_url = "http://{address}/v1"
            api_key_env = "UPSTREAM_KEY"
            [providers.upstream.models]
            remote = {{ upstream = "sim:gap=5ms,tokens=12" }}
            vectors = {{ upstream = "sim", action = "embedding.query" }}
            broken = {{ upstream = "sim:status=400" }}
            down = {{ upstream = "sim:status=503,times=1" }}
            torn = {{ upstream = "sim:tokens=12,cut-after=4" }}
            thinker = {{ upstream = "sim:gap=5ms,tokens=20", api = "responses" }}
            thinker-torn = {{ upstream = "sim:tokens=20,cut-after=9,times=1", api = "responses" }}
            thinker-failing = {{ upstream = "sim:tokens=20,error-after=9,times=1", api = "responses" }}
            thinker-late = {{ upstream = "sim:tokens=20,error-after=4,times=1", api = "responses" }}
            thinker-busy = {{ upstream = "sim:tokens=20,status=429,times=1,retry-after=1", api = "responses" }}
            thinker-failed = {{ upstream = "sim:tokens=20,failed,times=1", api = "responses" }}
            thinker-filtered = {{ upstream = "sim:tokens=20,filtered", api = "responses" }}
            thinker-refusing = {{ upstream = "sim:tokens=20,refusal", api = "responses" }}
            [providers.claude]
            kind = "anthropic"
            base_url = "http://{address}/v1"
            api_key_env = "UPSTREAM_KEY"
            [providers.claude.models]
            claude = {{ upstream = "sim:gap=5ms,tokens=12" }}
            claude-busy = {{ upstream = "sim:tokens=12,status=529,times=1,retry-after=1" }}
            claude-failing = {{ upstream = "sim:tokens=12,error-after=5,times=1" }}
            [providers.google]
            kind = "gemini"
            base_url = "http://{address}/v1beta"
            api_key_env = "UPSTREAM_KEY"
            models.gemini = {{ upstream = "sim:gap=5ms,tokens=12" }}
            [providers.claude-of-old]
            kind = "anthropic"
            base_url = "http://{address}/v1"
            api_key_env = "UPSTREAM_KEY"
            headers = {{ "anthropic-version" = "2023-06-01" }}
            [providers.claude-of-old.models]
            old-claude = {{ upstream = "sim:tokens=12" }}
            "#
        )
    })
    .await
}

async fn chat(chain: &Chain, model: &str) -> (u16, Value) {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "x"}]});
    chain.dynode.post("/v1/chat/completions", &body).await
}

#[tokio::test]
async fn a_chat_is_streamed_through_with_its_trace_and_a_key_against_repeats() {
    let chain = start().await;
    let request = client().post(chain.dynode.url() + "/v1/chat/completions").json(&json!({
        "model": "remote", "messages": [{"role": "user", "content": "x"}],
        "stream": true, "stream_options": {"include_usage": true},
    }));
    let events = Events::of(request.header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))).await;
    let mut chunks: Vec<_> = events.rest().await.into_iter().map(|event| event.data.unwrap()).collect();
    assert_eq!(chunks.pop().as_deref(), Some("[DONE]"));
    let chunks: Vec<Value> = chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect();
    assert_eq!(chunks.last().unwrap()["usage"]["completion_tokens"], 12);
    let pieces = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
    let pieces = pieces.filter(|piece| !piece.is_empty()).count();
    assert!((2..=12).contains(&pieces), "those that come late come together: {pieces}");

    let calls =
        chain.calls.wait_until(|calls| calls.iter().all(|c| c.outcome != CallOutcome::InProgress)).await;
    let [call] = &calls[..] else { panic!("{calls:#?}") };
    assert_eq!((call.outcome, call.stream), (CallOutcome::Answered, true));
    assert!(call.idempotency_key.is_some(), "{call:#?}");
    assert!(call.authorization.is_some(), "{call:#?}");
    let traceparent = call.traceparent.as_deref().expect("a traceparent");
    assert_eq!(traceparent.split('-').nth(1), Some(TRACE), "the trace of the client goes on");
}

#[tokio::test]
async fn a_whole_answer_and_vectors_come_through() {
    let chain = start().await;
    let (status, completion) = chat(&chain, "remote").await;
    assert_eq!(status, 200, "{completion:#}");
    assert_eq!(completion["usage"]["completion_tokens"], 12);
    assert_eq!(completion["model"], "remote", "the name that the client uses");
    let body = json!({"model": "vectors", "input": ["a", "b"], "dimensions": 16});
    let (status, list) = chain.dynode.post("/v1/embeddings", &body).await;
    assert_eq!(status, 200, "{list:#}");
    assert_eq!(list["data"][1]["embedding"].as_array().unwrap().len(), 16);
}

#[tokio::test]
async fn what_fails_upstream_is_told_or_got_over() {
    let chain = start().await;
    let (status, refused) = chat(&chain, "broken").await;
    assert!(matches!(status, 400 | 502), "{status} {refused:#}");
    assert!(refused["error"]["message"].is_string());
    assert!(!refused.to_string().contains("k-upstream"));
    let (status, answered) = chat(&chain, "down").await;
    assert_eq!(status, 200, "one 503 is got over: {answered:#}");
    let down: Vec<_> = chain.calls.snapshot().entries.into_iter().filter(|c| !c.stream).collect();
    let keys = down.iter().rev().take(2).map(|call| call.idempotency_key.clone()).collect::<Vec<_>>();
    assert_eq!(keys[0], keys[1], "a repeat says that it is one");
    let (status, torn) = chat(&chain, "torn").await;
    assert!(status >= 500, "{status} {torn:#}");
}

/// The chunks of a streamed chat.
async fn chunks(chain: &Chain, body: &Value) -> Vec<Value> {
    let request = client().post(chain.dynode.url() + "/v1/chat/completions").json(body);
    let mut chunks: Vec<_> =
        Events::of(request).await.rest().await.into_iter().map(|event| event.data.unwrap()).collect();
    assert_eq!(chunks.pop().as_deref(), Some("[DONE]"));
    chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect()
}

fn joined(chunks: &[Value], pointer: &str) -> String {
    chunks.iter().filter_map(|chunk| chunk.pointer(pointer)?.as_str()).collect()
}

#[tokio::test]
async fn how_likely_tokens_are_is_told_by_whoever_knows_it() {
    let chain = start().await;
    for model in ["remote", "gemini"] {
        let mut body = json!({"model": model, "logprobs": true, "top_logprobs": 2, "messages": [{"role": "user", "content": "x"}]});
        let (status, whole) = chain.dynode.post("/v1/chat/completions", &body).await;
        assert_eq!(status, 200, "{model}: {whole:#}");
        let told = whole["choices"][0]["logprobs"]["content"].as_array().unwrap();
        let tokens: String = told.iter().map(|token| token["token"].as_str().unwrap()).collect();
        assert_eq!(tokens, whole["choices"][0]["message"]["content"].as_str().unwrap(), "{model}");
        assert_eq!((told.len(), told[0]["top_logprobs"].as_array().unwrap().len()), (12, 2), "{model}");
        body["stream"] = json!(true);
        let streamed = chunks(&chain, &body).await;
        let pieces =
            streamed.iter().filter_map(|chunk| chunk.pointer("/choices/0/logprobs/content")?.as_array());
        let pieces: String = pieces.flatten().map(|token| token["token"].as_str().unwrap()).collect();
        assert_eq!(pieces, tokens, "{model}");
    }
    let body = json!({"model": "claude", "logprobs": true, "messages": [{"role": "user", "content": "x"}]});
    let (status, refused) = chain.dynode.post("/v1/chat/completions", &body).await;
    assert!(
        status >= 400 && refused["error"]["message"].as_str().unwrap().contains("`logprobs`"),
        "{refused:#}"
    );
}

#[tokio::test]
async fn a_chat_is_translated_for_anthropic_and_its_answer_back() {
    let chain = start().await;
    // The simulator refuses what Anthropic does: a temperature, empty texts, calls without results.
    let mut body = json!({"model": "claude", "temperature": 0.5, "max_tokens": 100, "stop": ["END"], "user": "u-1",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "x"}]});
    let (status, whole) = chain.dynode.post("/v1/chat/completions", &body).await;
    assert_eq!((status, &whole["usage"]["completion_tokens"]), (200, &json!(12)), "{whole:#}");
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let streamed = chunks(&chain, &body).await;
    assert_eq!(streamed.last().unwrap()["usage"], whole["usage"]);
    let text = joined(&streamed, "/choices/0/delta/content");
    assert_eq!(text, whole["choices"][0]["message"]["content"].as_str().unwrap());
    assert_eq!(joined(&streamed, "/choices/0/finish_reason"), "stop");

    let calls = chain.calls.snapshot().entries;
    assert!(
        calls.iter().all(|call| call.path == "/v1/messages" && call.authorization.is_some()),
        "{calls:#?}"
    );
    assert_eq!(calls.iter().map(|call| call.stream).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn a_tool_of_a_chat_is_called_through_anthropic_and_its_result_read() {
    let chain = start().await;
    let parameters =
        json!({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}});
    let tool = json!({"type": "function", "function": {"name": "weather", "parameters": parameters}});
    let mut body = json!({"model": "claude", "tools": [tool], "tool_choice": "required", "reasoning_effort": "low",
        "messages": [{"role": "user", "content": "x"}]});
    let (status, whole) = chain.dynode.post("/v1/chat/completions", &body).await;
    assert_eq!((status, &whole["choices"][0]["finish_reason"]), (200, &json!("tool_calls")), "{whole:#}");
    let message = &whole["choices"][0]["message"];
    let function = json!({"name": "weather", "arguments": "{\"city\":\"sim\"}"});
    assert_eq!(message["tool_calls"][0]["function"], function);

    let result = json!({"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "sunny"});
    body["messages"] = json!([body["messages"][0], message, result]);
    body["tool_choice"] = json!("auto");
    body["stream"] = json!(true);
    let answered = chunks(&chain, &body).await;
    assert_eq!(joined(&answered, "/choices/0/finish_reason"), "stop");
    assert!(!joined(&answered, "/choices/0/delta/content").is_empty());
}

#[tokio::test]
async fn what_was_thought_before_a_tool_was_called_comes_back_to_who_thought_it() {
    let chain = start().await;
    let parameters =
        json!({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}});
    let tool = json!({"type": "function", "function": {"name": "weather", "parameters": parameters}});
    // Each refuses thoughts that are not its own, and Anthropic a turn that called a tool and lacks them.
    for (model, fields) in [
        ("claude", json!({"thinking": {"type": "enabled", "budget_tokens": 1024}})),
        ("thinker", json!({"reasoning": {"effort": "low", "summary": "auto"}})),
    ] {
        for stream in [false, true] {
            let mut body = json!({"model": model, "tools": [tool], "max_tokens": 2_000, "stream": stream,
                "messages": [{"role": "user", "content": "x"}]});
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let id = if stream {
                joined(&chunks(&chain, &body).await, "/choices/0/delta/tool_calls/0/id")
            } else {
                let (_, whole) = chain.dynode.post("/v1/chat/completions", &body).await;
                whole["choices"][0]["message"]["tool_calls"][0]["id"].as_str().unwrap().to_owned()
            };
            assert!(id.contains("--"), "{model}: {id}");
            let call =
                json!({"id": id, "type": "function", "function": {"name": "weather", "arguments": "{}"}});
            let result = json!({"role": "tool", "tool_call_id": id, "content": "sunny"});
            let said = json!({"role": "assistant", "content": null, "tool_calls": [call]});
            body["messages"] = json!([body["messages"][0], said, result]);
            body["stream"] = json!(false);
            let (status, answered) = chain.dynode.post("/v1/chat/completions", &body).await;
            assert_eq!(
                (status, &answered["choices"][0]["finish_reason"]),
                (200, &json!("stop")),
                "{answered:#}"
            );
        }
    }
}

#[tokio::test]
async fn what_fails_at_anthropic_is_told_or_got_over() {
    let chain = start().await;
    let body = |model: &str, stream: bool| json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "x"}]});
    let (status, answered) = chain.dynode.post("/v1/chat/completions", &body("claude-busy", false)).await;
    assert_eq!(status, 200, "one 529 is got over: {answered:#}");
    let (status, answered) = chain.dynode.post("/v1/chat/completions", &body("claude-failing", false)).await;
    assert_eq!(status, 200, "one 500 is got over: {answered:#}");
    let mut several = body("claude", false);
    several["n"] = json!(2);
    let (status, refused) = chain.dynode.post("/v1/chat/completions", &several).await;
    assert!(
        status >= 400 && refused["error"]["message"].as_str().unwrap().contains("`n`"),
        "{status} {refused:#}"
    );
    let mut warm = body("old-claude", false);
    warm["temperature"] = json!(0.5);
    let (status, answered) = chain.dynode.post("/v1/chat/completions", &warm).await;
    assert_eq!((status, &answered["usage"]["completion_tokens"]), (200, &json!(12)), "{answered:#}");
}

#[tokio::test]
async fn a_chat_is_translated_for_the_responses_api_and_its_answer_back() {
    let chain = start().await;
    // The simulator refuses what the API does: names of chat completions, and those that it does not know.
    let mut body = json!({"model": "thinker", "temperature": 0.5, "max_tokens": 100, "seed": 7, "user": "u-1",
        "reasoning_effort": "low", "reasoning": {"summary": "auto"}, "prompt_cache_key": "k",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "word ".repeat(2_000)}]});
    let (status, whole) = chain.dynode.post("/v1/chat/completions", &body).await;
    let usage = &whole["usage"];
    assert_eq!((status, &usage["completion_tokens"]), (200, &json!(24)), "{whole:#}");
    assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 4, "{usage:#}");
    assert!(usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap() >= 1_024, "{usage:#}");
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let streamed = chunks(&chain, &body).await;
    assert_eq!(streamed.last().unwrap()["usage"], *usage);
    let message = &whole["choices"][0]["message"];
    assert_eq!(joined(&streamed, "/choices/0/delta/content"), message["content"].as_str().unwrap());
    assert_eq!(joined(&streamed, "/choices/0/finish_reason"), "stop");

    let parameters =
        json!({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}});
    let tool = json!({"type": "function", "function": {"name": "weather", "parameters": parameters}});
    let mut body = json!({"model": "thinker", "tools": [tool], "tool_choice": "required",
        "messages": [{"role": "user", "content": "x"}]});
    let (status, called) = chain.dynode.post("/v1/chat/completions", &body).await;
    assert_eq!((status, &called["choices"][0]["finish_reason"]), (200, &json!("tool_calls")), "{called:#}");
    let message = &called["choices"][0]["message"];
    assert_eq!(
        message["tool_calls"][0]["function"],
        json!({"name": "weather", "arguments": "{\"city\":\"sim\"}"})
    );
    let result = json!({"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "sunny"});
    body["messages"] = json!([body["messages"][0], message, result]);
    body["tool_choice"] = json!("auto");
    let (status, answered) = chain.dynode.post("/v1/chat/completions", &body).await;
    assert_eq!((status, &answered["choices"][0]["finish_reason"]), (200, &json!("stop")), "{answered:#}");

    let schema = json!({"type": "object", "required": ["people"], "additionalProperties": false,
        "properties": {"people": {"type": "integer"}}});
    let format =
        json!({"type": "json_schema", "json_schema": {"name": "city", "schema": schema, "strict": true}});
    let body = json!({"model": "thinker", "response_format": format, "messages": [{"role": "user", "content": "x"}]});
    let (_, json) = chain.dynode.post("/v1/chat/completions", &body).await;
    assert_eq!(json["choices"][0]["message"]["content"], "{\"people\":1}", "{json:#}");
    assert!(chain.calls.snapshot().entries.iter().all(|call| call.path == "/v1/responses"));
}

#[tokio::test]
async fn what_fails_at_the_responses_api_is_told_or_got_over() {
    let chain = start().await;
    for model in ["thinker-torn", "thinker-failing", "thinker-busy", "thinker-failed"] {
        let (status, answered) = chat(&chain, model).await;
        assert_eq!(status, 200, "{model}: {answered:#}");
        assert_eq!(answered["usage"]["completion_tokens"], 20, "{model}");
    }
    // What breaks before anything of the answer has come is got over unseen.
    let body =
        json!({"model": "thinker-late", "stream": true, "messages": [{"role": "user", "content": "x"}]});
    let streamed = chunks(&chain, &body).await;
    assert_eq!(joined(&streamed, "/choices/0/finish_reason"), "stop", "{streamed:#?}");
    assert_eq!(chain.calls.snapshot().entries.iter().filter(|call| call.stream).count(), 2);
    let (_, filtered) = chat(&chain, "thinker-filtered").await;
    assert_eq!(filtered["choices"][0]["finish_reason"], "content_filter", "{filtered:#}");
    let (_, refusing) = chat(&chain, "thinker-refusing").await;
    assert_eq!(refusing["choices"][0]["message"]["refusal"], "I cannot help with that.", "{refusing:#}");
    let body = json!({"model": "thinker", "stop": ["END"], "messages": [{"role": "user", "content": "x"}]});
    let (status, refused) = chain.dynode.post("/v1/chat/completions", &body).await;
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(status >= 400 && message.contains("`stop`"), "{status} {refused:#}");
}

/// No code and no rebuild: a provider file alone leads to a vendor, and its errors become the contract's.
#[tokio::test]
async fn a_provider_by_a_file_is_served_like_any_other() {
    let chain = Chain::start(|address| {
        format!(
            r#"
            [providers.stock]
            kind = "dynamic"
            file = "pexels"
            base_url = "http://{address}/pexels"
            api_key_env = "UPSTREAM_KEY"
            [providers.hosted]
            kind = "dynamic"
            file = "replicate"
            base_url = "http://{address}/replicate/v1"
            api_key_env = "UPSTREAM_KEY"
            [providers.hosted.models.llama]
            upstream = "meta/meta-llama-3-8b-instruct"
            "#
        )
    })
    .await;
    let dynode = &chain.dynode;

    let search = |id: &str, query: &str| json!({"id": id, "action": "media.search", "payload": {"model": "pexels", "query": query, "per_page": 2}});
    dynode.post("/v1/requests", &search("found", "sea")).await;
    let outcome = dynode.outcome("found").await;
    assert_eq!(outcome["status"], "succeeded", "{outcome:#}");
    assert_eq!(outcome["output"]["items"].as_array().unwrap().len(), 2);
    assert_eq!(outcome["output"]["items"][0]["author"], "Joey Farina");

    let body = json!({"model": "llama", "messages": [{"role": "user", "content": "hi"}]});
    let (status, completion) = dynode.post("/v1/chat/completions", &body).await;
    assert_eq!(status, 200, "{completion:#}");
    assert_eq!(completion["choices"][0]["message"]["content"], "You said: hi");
    assert_eq!(completion["usage"]["completion_tokens"], 3);

    let mut body = body;
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let shown = chunks(&chain, &body).await;
    assert_eq!(joined(&shown, "/choices/0/delta/content"), "You said: hi");
    assert_eq!(shown.last().unwrap()["usage"]["completion_tokens"], 3);
}
