//! The scenes as Gemini sends them, and what it is sent.

use super::{
    both::Scene,
    server::{Act, Seen, Server, end, event, reply, stream_head},
    *,
};

fn usage() -> Value {
    json!({"promptTokenCount": 2, "candidatesTokenCount": 4, "totalTokenCount": 6})
}

fn answer(part: Value, reason: Value) -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": reason, "index": 0}],
        "usageMetadata": usage(), "modelVersion": "m-1", "responseId": "r"})
}

fn text(text: &str) -> Act {
    event(&answer(json!({ "text": text }), Value::Null))
}

fn stop() -> Act {
    event(&answer(json!({"text": ""}), json!("STOP")))
}

/// What the API sends in that scene.
pub(super) fn acts(scene: Scene) -> Vec<Act> {
    let json = "content-type: application/json; charset=UTF-8\r\n";
    match scene {
        Scene::Streams => {
            vec![stream_head(), text("You said:"), text(" hello"), text(" there"), stop(), end()]
        }
        Scene::Answers => {
            let whole = answer(json!({"text": "You said: hello there"}), json!("STOP"));
            vec![reply(200, json, &whole.to_string())]
        }
        Scene::CallsATool => {
            let call = json!({"functionCall": {"id": "fc1", "name": "weather", "args": {"city": "city"}}});
            vec![stream_head(), event(&answer(call, Value::Null)), stop(), end()]
        }
        Scene::Refuses => {
            let delay = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.5s"}]);
            let error =
                json!({"code": 429, "message": "slower", "status": "RESOURCE_EXHAUSTED", "details": delay});
            vec![reply(429, json, &json!({ "error": error }).to_string())]
        }
        Scene::BreaksAfterTwo => vec![stream_head(), text("You"), text(" said:"), Act::Close],
        Scene::StallsAfterTwo => vec![stream_head(), text("You"), text(" said:"), Act::Hang],
        Scene::Embeds => {
            let vectors = json!([{"values": [1, 0, 0, 0]}, {"values": [0.5, 0.5, 0.5, 0.5]}]);
            let body = json!({"embeddings": vectors, "usageMetadata": {"promptTokenCount": 2}});
            vec![reply(200, json, &body.to_string())]
        }
    }
}

#[tokio::test]
async fn the_call_names_model_and_method_in_its_path_and_hides_its_key_in_a_header() {
    let mut server = Server::start(vec![stream_head(), text("a"), stop(), end()]).await;
    let adapter = provider(json!({"kind": "gemini", "base_url": server.base_url, "api_key": "canary",
        "models": {"m": {}}}));
    for (fields, path) in [
        (json!({"stream": true}), "/v1/models/m:streamGenerateContent?alt=sse"),
        (json!({}), "/v1/models/m:generateContent"),
    ] {
        all(&*adapter, chat(fields)).await;
        let Seen::Request { head, body, .. } = server.seen().await else { panic!() };
        assert!(head.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{head}");
        assert!(head.contains("\r\nx-goog-api-key: canary\r\n"), "{head}");
        assert!(!head.contains("authorization"), "{head}");
        assert_eq!(body, json!({"contents": [{"role": "user", "parts": [{"text": "hello there"}]}]}));
    }
}

#[tokio::test]
async fn an_error_in_a_stream_is_told_as_what_it_is() {
    let error = json!({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}});
    let text_of_it = serde_json::to_string_pretty(&error).unwrap();
    let chunk = format!("{:x}\r\n{text_of_it}\r\n", text_of_it.len());
    let server = Server::start(vec![stream_head(), text("a"), Act::Send(chunk.into()), end()]).await;
    let adapter = provider(json!({"kind": "gemini", "base_url": server.base_url, "models": {"m": {}}}));
    let items = all(&*adapter, chat(json!({"stream": true}))).await;
    // The last line ends with the body.
    assert_eq!(failure(&items).upstream_status, Some(503), "{items:?}");
}
