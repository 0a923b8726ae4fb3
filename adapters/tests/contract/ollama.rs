//! The scenes as Ollama sends them, and what it is sent.

use super::{
    both::Scene,
    server::{Act, Seen, Server, end, line, reply, stream_head},
    *,
};

fn answer(message: Value) -> Value {
    json!({"model": "m-1", "created_at": "2026-11-28T04:00:00Z", "message": message, "done": false})
}

fn text(text: &str) -> Act {
    line(&answer(json!({"role": "assistant", "content": text})))
}

fn done(text: &str) -> Value {
    let mut done = answer(json!({"role": "assistant", "content": text}));
    let end = json!({"done": true, "done_reason": "stop", "prompt_eval_count": 2, "eval_count": 4});
    done.as_object_mut().unwrap().extend(end.as_object().unwrap().clone());
    done
}

/// What the server sends in that scene.
pub(super) fn acts(scene: Scene) -> Vec<Act> {
    let json = "content-type: application/json; charset=utf-8\r\n";
    match scene {
        Scene::Streams => {
            vec![stream_head(), text("You said:"), text(" hello"), text(" there"), line(&done("")), end()]
        }
        Scene::Answers => vec![reply(200, json, &done("You said: hello there").to_string())],
        Scene::CallsATool => {
            let call = json!({"id": "call_1", "function": {"index": 0, "name": "weather", "arguments": {"city": "city"}}});
            let message = json!({"role": "assistant", "content": "", "tool_calls": [call]});
            vec![stream_head(), line(&answer(message)), line(&done("")), end()]
        }
        Scene::Refuses => {
            vec![reply(429, "retry-after-ms: 1500\r\n", r#"{"error":"too many requests"}"#)]
        }
        Scene::BreaksAfterTwo => vec![stream_head(), text("You"), text(" said:"), Act::Close],
        Scene::StallsAfterTwo => vec![stream_head(), text("You"), text(" said:"), Act::Hang],
        Scene::Embeds => {
            let vectors = json!([[1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]]);
            let body = json!({"model": "m-1", "embeddings": vectors, "prompt_eval_count": 2});
            vec![reply(200, json, &body.to_string())]
        }
    }
}

#[tokio::test]
async fn the_call_says_whether_it_streams_since_ollama_would_anyway() {
    let mut server = Server::start(vec![stream_head(), text("a"), line(&done("")), end()]).await;
    let adapter = provider(
        json!({"kind": "ollama", "base_url": server.base_url, "api_key": "canary", "models": {"m": {}}}),
    );
    for streamed in [true, false] {
        all(&*adapter, chat(json!({ "stream": streamed }))).await;
        let Seen::Request { head, body, .. } = server.seen().await else { panic!() };
        assert!(head.starts_with("POST /v1/chat HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nauthorization: Bearer canary\r\n"), "{head}");
        let messages = json!([{"role": "user", "content": "hello there"}]);
        assert_eq!(body, json!({"model": "m", "messages": messages, "stream": streamed}));
    }
}

#[tokio::test]
async fn a_server_that_keeps_the_body_open_does_not_hold_the_answer_back() {
    let server = Server::start(vec![stream_head(), text("a"), line(&done("")), Act::Hang]).await;
    let adapter = provider(json!({"kind": "ollama", "base_url": server.base_url, "models": {"m": {}}}));
    assert_eq!(output(&all(&*adapter, chat(json!({"stream": true}))).await).text, "a");
}
