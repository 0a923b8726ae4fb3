//! The scenes as OpenAI's Responses API sends them, and what it is sent.

use super::{
    both::Scene,
    server::{Act, Seen, Server, end, named_event, reply, stream_head},
    *,
};

const USAGE: &str = r#"{"input_tokens": 2, "output_tokens": 4, "total_tokens": 6}"#;

fn event(kind: &str, fields: Value) -> Act {
    let mut event = json!({"type": format!("response.{kind}"), "sequence_number": 0});
    event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    named_event(&event)
}

fn response(status: &str, output: Value) -> Value {
    let usage: Value = if status == "completed" { serde_json::from_str(USAGE).unwrap() } else { Value::Null };
    json!({"id": "resp_1", "object": "response", "model": "m-1", "status": status, "error": null,
        "incomplete_details": null, "output": output, "usage": usage})
}

fn message(status: &str, content: Value) -> Value {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": content})
}

fn text(text: &str) -> Act {
    let place =
        json!({"item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": text, "logprobs": []});
    event("output_text.delta", place)
}

fn begun(item: Value) -> Vec<Act> {
    vec![
        stream_head(),
        event("created", json!({"response": response("in_progress", json!([]))})),
        event("in_progress", json!({"response": response("in_progress", json!([]))})),
        event("output_item.added", json!({"output_index": 0, "item": item})),
    ]
}

/// What has come stands in the end again, and is not taken twice.
fn ended(item: Value) -> Vec<Act> {
    vec![
        event("output_item.done", json!({"output_index": 0, "item": item})),
        event("completed", json!({"response": response("completed", json!([item]))})),
        end(),
    ]
}

/// What the API sends in that scene; none where it has no such action.
pub(super) fn acts(scene: Scene) -> Option<Vec<Act>> {
    let words = |words: &[&str]| words.iter().map(|word| text(word)).collect::<Vec<_>>();
    let said = json!([{"type": "output_text", "text": "You said: hello there", "annotations": []}]);
    let opened = || begun(message("in_progress", json!([])));
    Some(match scene {
        Scene::Streams => {
            let words = words(&["You said:", " hello", " there"]);
            [opened(), words, ended(message("completed", said))].concat()
        }
        Scene::Answers => {
            let whole = response("completed", json!([message("completed", said)]));
            vec![reply(200, "content-type: application/json\r\n", &whole.to_string())]
        }
        Scene::CallsATool => {
            let call = |arguments: &str| {
                json!({"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "weather",
                    "arguments": arguments})
            };
            let piece = |text: &str| {
                event(
                    "function_call_arguments.delta",
                    json!({"item_id": "fc_1", "output_index": 0, "delta": text}),
                )
            };
            let whole = r#"{"city":"city"}"#;
            let done = event("function_call_arguments.done", json!({"output_index": 0, "arguments": whole}));
            let pieces = vec![piece("{\"city\":"), piece("\"city\"}"), done];
            [begun(call("")), pieces, ended(call(whole))].concat()
        }
        Scene::Refuses => {
            let body =
                r#"{"error":{"message":"slower","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#;
            vec![reply(429, "retry-after-ms: 1500\r\n", body)]
        }
        Scene::BreaksAfterTwo => [opened(), words(&["You", " said:"]), vec![Act::Close]].concat(),
        Scene::StallsAfterTwo => [opened(), words(&["You", " said:"]), vec![Act::Hang]].concat(),
        Scene::Embeds => return None,
    })
}

#[tokio::test]
async fn the_call_goes_to_its_own_path_in_its_own_form() {
    let mut server = Server::start(acts(Scene::Streams).unwrap()).await;
    let adapter =
        provider(json!({"kind": "openai_compatible", "base_url": server.base_url, "api_key": "sk-canary",
        "models": {"m": {"api": "responses"}, "other": {}}}));
    all(&*adapter, chat(json!({"stream": true, "max_tokens": 50, "reasoning_effort": "low"}))).await;
    let Seen::Request { head, body, .. } = server.seen().await else { panic!() };
    assert!(head.starts_with("POST /v1/responses HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nauthorization: Bearer sk-canary\r\n"), "{head}");
    let content = json!([{"type": "input_text", "text": "hello there"}]);
    let expected = json!({"model": "m", "stream": true, "store": false, "max_output_tokens": 50,
        "reasoning": {"effort": "low"},
        "input": [{"type": "message", "role": "user", "content": content}]});
    assert_eq!(body, expected);
    all(&*adapter, Call { model: "other".into(), ..chat(json!({})) }).await;
    let Seen::Request { head, .. } = server.seen().await else { panic!() };
    assert!(head.starts_with("POST /v1/chat/completions "), "{head}");
}

#[tokio::test]
async fn an_end_before_its_time_says_why_and_a_failure_is_none() {
    let ends = |status: &str, fields: Value| {
        let mut whole = response(status, json!([]));
        whole.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        [
            begun(message("in_progress", json!([]))),
            vec![text("a"), event(status, json!({"response": whole})), end()],
        ]
        .concat()
    };
    for (reason, finish) in [("max_output_tokens", "length"), ("content_filter", "content_filter")] {
        let acts = ends("incomplete", json!({"incomplete_details": {"reason": reason}}));
        let server = Server::start(acts).await;
        let adapter = provider(json!({"kind": "openai_compatible", "base_url": server.base_url,
            "models": {"m": {"api": "responses"}}}));
        let output = output(&all(&*adapter, chat(json!({"stream": true}))).await);
        assert_eq!((output.text.as_str(), output.finish_reason.unwrap().as_str()), ("a", finish));
    }
    let acts = ends("failed", json!({"error": {"code": "server_error", "message": "sorry"}}));
    let server = Server::start(acts).await;
    let adapter = provider(json!({"kind": "openai_compatible", "base_url": server.base_url,
        "models": {"m": {"api": "responses"}}}));
    let items = all(&*adapter, chat(json!({"stream": true}))).await;
    assert_eq!((deltas(&items).len(), failure(&items).remedy), (1, adapters::Remedy::Retry), "{items:?}");
}
