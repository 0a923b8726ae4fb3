//! A provider by a file of one's own: chats that stream, vectors, forms, results apart from polls.

use std::io::Write;

use adapters::Remedy;
use schemas::{ErrorCode, Usage, chat::FinishReason};

use super::{
    server::{Act, Seen, Server, done, end, event, reply, stream_head},
    *,
};

const FILE: &str = r#"
key = { header = "x-key", variable = "NOT_READ" }
[models]
m = { call = "chat" }
l = { call = "lines" }
v = { call = "vectors" }
t = { call = "tool" }

[calls.chat]
action = "chat.completion"
[calls.chat.request]
path = "generate"
json = { model = "{{ model }}", turns = "{{ payload.messages }}", stream = "{{ payload.stream | default(false) }}" }
[calls.chat.reply]
text = "{{ reply.text }}"
finish_reason = "{{ reply.why }}"
usage = { input_tokens = "{{ reply.tokens.in }}", output_tokens = "{{ reply.tokens.out }}" }
[calls.chat.stream]
framing = "events"
text = "{{ reply.text }}"
reasoning = "{{ reply.thought }}"
finish_reason = "{{ reply.why }}"
usage = { output_tokens = "{{ reply.tokens.out }}" }

[calls.lines]
action = "chat.completion"
[calls.lines.request]
path = "generate"
json = { turns = "{{ payload.messages }}" }
[calls.lines.reply]
text = "{{ reply.text }}"
[calls.lines.stream]
framing = "lines"
text = "{{ reply.text }}"
finish_reason = "{{ 'stop' if reply.done else none }}"

[calls.vectors]
action = "embedding.query"
[calls.vectors.request]
path = "embed"
form = { text = "{{ payload.input }}" }
[calls.vectors.reply]
vectors = "{{ reply.items | map(attribute='vector') | list }}"

[calls.tool]
action = "tool.invoke"
[calls.tool.request]
method = "PUT"
path = "jobs/{{ payload.name }}"
[calls.tool.poll]
path = "jobs/{{ submitted.id }}"
state = "{{ reply.state }}"
pending = ["on"]
done = ["off"]
every_ms = 50
[calls.tool.result]
method = "GET"
path = "jobs/{{ submitted.id }}/result"
[calls.tool.reply]
output = { all = "{{ reply }}", first = "{{ reply.state }}" }

[refusal]
message = "{{ reply.oops }}"
[[errors]]
status = 200
when = "{{ reply.oops }}"
code = "provider_unavailable"
remedy = "retry"
says = "broke down"
"#;

fn by_file(base_url: &str) -> (tempfile::NamedTempFile, Arc<dyn Adapter>) {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(FILE.as_bytes()).unwrap();
    let table =
        json!({"kind": "dynamic", "file": file.path(), "base_url": base_url, "api_key": "k-canary-0123"});
    let adapter = provider(table);
    (file, adapter)
}

async fn asked(acts: Vec<Act>, call: Call) -> (Vec<Result<Progress, Error>>, Server) {
    let server = Server::start(acts).await;
    let (_file, adapter) = by_file(&server.base_url);
    (all(&*adapter, call).await, server)
}

fn usage(items: &[Result<Progress, Error>]) -> Usage {
    match items.last() {
        Some(Ok(Progress::Finished(finished))) => finished.usage,
        other => panic!("{other:?}"),
    }
}

fn streamed() -> Call {
    chat(json!({"stream": true}))
}

#[tokio::test]
async fn a_chat_of_events_is_streamed() {
    let acts = vec![
        stream_head(),
        event(&json!({"thought": "hm"})),
        event(&json!({"text": "Hel"})),
        event(&json!({"text": "lo", "why": null})),
        event(&json!({"why": "length", "tokens": {"out": 2}})),
        done(),
        end(),
    ];
    let (items, mut server) = asked(acts, streamed()).await;
    let shown = deltas(&items);
    assert_eq!((&*shown[0].reasoning, &*shown[0].delta), ("hm", ""), "the first is told at once");
    assert_eq!(shown.iter().map(|delta| &*delta.delta).collect::<String>(), "Hello");
    let output = output(&items);
    assert_eq!((output.text.as_str(), output.finish_reason.unwrap().as_str()), ("Hello", "length"));
    assert_eq!(usage(&items).output_tokens, 2);
    let Seen::Request { head, body, .. } = server.seen().await else { panic!() };
    assert!(
        head.contains("\r\nx-key: k-canary-0123\r\n")
            && head.contains("\r\ncontent-type: application/json\r\n")
    );
    let turns = json!([{"role": "user", "content": "hello there"}]);
    assert_eq!(body, json!({"model": "m", "stream": true, "turns": turns}));
}

#[tokio::test]
async fn a_chat_of_lines_is_streamed() {
    let body = "{\"text\":\"Hel\"}\n{\"text\":\"lo\"}\n{\"done\":true}\n";
    let call = Call { model: "l".into(), ..streamed() };
    let (items, _server) =
        asked(vec![reply(200, "content-type: application/x-ndjson\r\n", body)], call).await;
    // In one packet, and so one piece.
    let told: String = deltas(&items).iter().map(|delta| delta.delta.as_str()).collect();
    assert_eq!((told.as_str(), output(&items).text.as_str()), ("Hello", "Hello"));
    assert!(usage(&items).estimated);
}

#[tokio::test]
async fn a_whole_chat_is_read() {
    let body = json!({"text": "Hello", "why": "stop", "tokens": {"in": 3, "out": 2}}).to_string();
    let whole = || vec![reply(200, "content-type: application/json\r\n", &body)];
    let (items, _server) = asked(whole(), chat(json!({}))).await;
    assert_eq!((deltas(&items).len(), output(&items).text.as_str()), (0, "Hello"));
    assert_eq!((usage(&items).input_tokens, usage(&items).output_tokens), (3, 2));
    let (items, _server) = asked(whole(), streamed()).await;
    assert_eq!(
        (deltas(&items).len(), output(&items).text.as_str()),
        (1, "Hello"),
        "a server that does not stream"
    );
}

#[tokio::test]
async fn a_reply_that_names_no_reason_is_complete_and_says_what_is_left() {
    let head = "content-type: application/json\r\nx-ratelimit-remaining-requests: 3\r\nx-ratelimit-reset-requests: 1s\r\n";
    for call in [chat(json!({})), streamed()] {
        let (items, _server) = asked(vec![reply(200, head, r#"{"text": "Hello", "why": null}"#)], call).await;
        assert_eq!(output(&items).finish_reason.map(FinishReason::as_str), Some("stop"));
        assert!(items.iter().any(|item| matches!(item, Ok(Progress::Limits(_)))), "{items:?}");
    }
}

#[tokio::test]
async fn streams_that_break_are_no_answers() {
    let begun = || vec![stream_head(), event(&json!({"text": "Hel"}))];
    let with = |more: Vec<Act>| begun().into_iter().chain(more).collect::<Vec<_>>();
    let rows = [
        (with(vec![done(), end()]), ErrorCode::ProviderError, "ended its answer in the middle"),
        (with(vec![Act::Close]), ErrorCode::ProviderUnavailable, "broke the connection off"),
        (
            with(vec![event(&json!({"oops": "no more room"}))]),
            ErrorCode::ProviderUnavailable,
            "broke down: no more room",
        ),
        (
            with(vec![Act::Send(b"9\r\ndata: {\"\n\r\n2\r\n\n\n\r\n".to_vec())]),
            ErrorCode::ProviderError,
            "not JSON",
        ),
    ];
    for (acts, code, words) in rows {
        let (items, _server) = asked(acts, streamed()).await;
        let error = failure(&items);
        assert_eq!((error.code, error.remedy), (code, Remedy::Retry), "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[tokio::test]
async fn vectors_are_found_and_a_form_is_sent() {
    let body = json!({"items": [{"vector": [0.5, -1.0]}, {"vector": [1, 2]}]}).to_string();
    let payload = json!({"model": "v", "input": ["a&b", "c"]});
    let call = Call { action: Action::EmbeddingQuery, model: "v".into(), payload, ..chat(json!({})) };
    let (items, mut server) = asked(vec![reply(200, "", &body)], call).await;
    let Some(Ok(Progress::Finished(finished))) = items.last() else { panic!("{items:?}") };
    let Output::Embeddings(output) = &finished.output else { panic!() };
    assert_eq!(
        output.embeddings.iter().map(|vector| vector.0.clone()).collect::<Vec<_>>(),
        [[0.5, -1.0], [1.0, 2.0]]
    );
    let Seen::Request { head, .. } = server.seen().await else { panic!() };
    assert!(head.contains("\r\ncontent-type: application/x-www-form-urlencoded\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-length: 17\r\n"), "text=a%26b&text=c: {head}");
}

#[tokio::test]
async fn a_result_stands_apart_from_the_poll() {
    let payload = json!({"name": "../up"});
    let call = Call { action: Action::ToolInvoke, model: "t".into(), payload, ..chat(json!({})) };
    // The server says the same to each: the first reply knows its state already.
    let (items, mut server) = asked(vec![reply(200, "", r#"{"id":"j 1","state":"off"}"#)], call).await;
    let Some(Ok(Progress::Finished(finished))) = items.last() else { panic!("{items:?}") };
    let Output::Other(output) = &finished.output else { panic!() };
    assert_eq!(*output, json!({"all": {"id": "j 1", "state": "off"}, "first": "off"}));
    for line in ["PUT /v1/jobs/..%2Fup HTTP/1.1", "GET /v1/jobs/j%201/result HTTP/1.1"] {
        let Seen::Request { head, .. } = server.seen().await else { panic!() };
        assert!(head.starts_with(line), "{head}");
    }
}

#[tokio::test]
async fn a_reply_without_what_was_asked_for_says_so() {
    let call = || Call { model: "m".into(), ..chat(json!({})) };
    let rows = [
        (reply(200, "", r#"{"txet":"x","why":"stop"}"#), "without what was asked for: "),
        (reply(200, "", "<html>"), "not JSON"),
        (reply(302, "location: http://localhost:1/\r\n", ""), "redirect"),
        (reply(200, "content-length: 99999999999\r\n", ""), "over the limit"),
    ];
    for (act, words) in rows {
        let act = match act {
            // One length is enough.
            Act::Send(bytes) => {
                Act::Send(String::from_utf8(bytes).unwrap().replacen("content-length: 0\r\n", "", 1).into())
            }
            other => other,
        };
        let (items, _server) = asked(vec![act, Act::Close], call()).await;
        assert!(failure(&items).message.contains(words), "{}", failure(&items));
    }
}
