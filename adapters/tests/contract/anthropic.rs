//! The scenes as Anthropic's API sends them, and what it is sent.

use super::{
    both::Scene,
    server::{Act, Seen, Server, end, named_event as event, reply, stream_head},
    *,
};

fn start() -> Act {
    let usage = json!({"input_tokens": 2, "output_tokens": 1});
    event(&json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
        "model": "m-1", "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage}}))
}

fn open(block: Value) -> Act {
    event(&json!({"type": "content_block_start", "index": 0, "content_block": block}))
}

fn piece(delta: Value) -> Act {
    event(&json!({"type": "content_block_delta", "index": 0, "delta": delta}))
}

fn text(text: &str) -> Act {
    piece(json!({"type": "text_delta", "text": text}))
}

/// The head, the beginning and the first block, which is one of text.
fn begun() -> Vec<Act> {
    vec![stream_head(), start(), open(json!({"type": "text", "text": ""})), event(&json!({"type": "ping"}))]
}

fn ended(reason: &str) -> Vec<Act> {
    let delta = json!({"stop_reason": reason, "stop_sequence": null});
    vec![
        event(&json!({"type": "content_block_stop", "index": 0})),
        event(&json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 4}})),
        event(&json!({"type": "message_stop"})),
        end(),
    ]
}

/// What the API sends in that scene; none where it has no such action.
pub(super) fn acts(scene: Scene) -> Option<Vec<Act>> {
    let words = |words: &[&str]| words.iter().map(|word| text(word)).collect::<Vec<_>>();
    let json = |json: &str| piece(json!({"type": "input_json_delta", "partial_json": json}));
    Some(match scene {
        Scene::Streams => [begun(), words(&["You said:", " hello", " there"]), ended("end_turn")].concat(),
        Scene::Answers => {
            let content = json!([{"type": "text", "text": "You said: hello there"}]);
            let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m-1",
                "content": content, "stop_reason": "end_turn", "stop_sequence": null,
                "usage": {"input_tokens": 2, "output_tokens": 4}});
            vec![reply(200, "content-type: application/json\r\n", &message.to_string())]
        }
        Scene::CallsATool => {
            let call = json!({"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}});
            let begun =
                vec![stream_head(), start(), open(call), json(""), json("{\"city\":"), json("\"city\"}")];
            [begun, ended("tool_use")].concat()
        }
        Scene::Refuses => {
            let error = json!({"type": "rate_limit_error", "message": "slower"});
            let body = json!({"type": "error", "error": error, "request_id": "req_1"});
            vec![reply(429, "retry-after-ms: 1500\r\n", &body.to_string())]
        }
        Scene::BreaksAfterTwo => [begun(), words(&["You", " said:"]), vec![Act::Close]].concat(),
        Scene::StallsAfterTwo => [begun(), words(&["You", " said:"]), vec![Act::Hang]].concat(),
        Scene::Embeds => return None,
    })
}

#[tokio::test]
async fn the_call_carries_version_and_key_and_the_question_in_its_form() {
    let mut server = Server::start([begun(), vec![text("a")], ended("end_turn")].concat()).await;
    let rows = [
        (json!({}), ["authorization: Bearer sk-canary", "anthropic-version: 2026-10-21"], false),
        (
            json!({"anthropic-version": "2023-06-01"}),
            ["x-api-key: sk-canary", "anthropic-version: 2023-06-01"],
            true,
        ),
    ];
    for (headers, lines, warm) in rows {
        let adapter =
            provider(json!({"kind": "anthropic", "base_url": server.base_url, "api_key": "sk-canary",
            "headers": headers, "models": {"m": {}}}));
        let items = all(&*adapter, chat(json!({"stream": true, "temperature": 0.5}))).await;
        assert_eq!(output(&items).text, "a");
        let Seen::Request { head, body, .. } = server.seen().await else { panic!() };
        assert!(head.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{head}");
        for line in [&lines[..], &["accept: text/event-stream", "content-type: application/json"]].concat() {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {head}");
        }
        assert_eq!(head.contains("\r\nx-api-key:"), warm, "{head}");
        let content = json!([{"type": "text", "text": "hello there"}]);
        let mut expected = json!({"model": "m", "max_tokens": 16_384, "stream": true,
            "messages": [{"role": "user", "content": content}]});
        if warm {
            expected["temperature"] = json!(0.5);
        }
        assert_eq!(body, expected);
    }
}
