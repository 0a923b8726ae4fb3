//! The session against a server that plays a script on real sockets.

use serde_json::Value;
use tokio::net::TcpListener;
use tokio_tungstenite::accept_async;

use super::{super::screen::Style, *};

/// What the server says on each connection after it has heard one frame; then it drops the connection. The text
/// `listen` makes it wait for another frame.
type Script = Vec<Vec<Value>>;

/// Plays `script`, one entry a frame heard, one connection each; returns what the server heard and what was shown.
async fn play(script: Script, patience: Duration) -> (Vec<Value>, String, End) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut heard = Vec::new();
        for answers in script {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = accept_async(stream).await.unwrap();
            heard.push(
                serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap(),
            );
            for answer in answers {
                if answer == "listen" {
                    let Some(Ok(text)) = socket.next().await else { break };
                    heard.push(serde_json::from_str(text.to_text().unwrap()).unwrap());
                } else {
                    socket.send(Message::text(answer.to_string())).await.unwrap();
                }
            }
        }
        heard
    });
    let payload = json!({"model": "m", "messages": []});
    let id = Some(RequestId::new("r").unwrap());
    let request = Request { id, ..Request::new(schemas::Action::ChatCompletion, payload) };
    let mut out = Vec::new();
    let screen = Screen::new(Style::Stream, false, &mut out, Vec::new());
    let session = Session::new((url, HeaderMap::new()), request, screen, Signals::listen().unwrap());
    let end = session.run(patience).await.unwrap();
    (server.await.unwrap(), String::from_utf8(out).unwrap(), end)
}

/// Longer than any test takes: no test waits for it.
const LONG: Duration = Duration::from_secs(60);

fn event(attempt: u32, seq: u64, name: &str, rest: &Value) -> Value {
    let mut event = json!({"id": "r", "attempt": attempt, "seq": seq, "event": name});
    event.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    event
}

fn delta(attempt: u32, seq: u64, text: &str) -> Value {
    event(attempt, seq, "chat.delta", &json!({"delta": text}))
}

fn complete(attempt: u32, seq: u64, text: &str) -> Value {
    event(attempt, seq, "chat.complete", &json!({"output": {"text": text}}))
}

#[tokio::test]
async fn a_lost_connection_is_resumed_after_the_last_event_and_nothing_is_shown_twice() {
    let queued = event(0, 0, "queued", &json!({}));
    let (heard, out, end) = play(
        vec![
            vec![queued, delta(1, 1, "Hel")],
            vec![],
            vec![delta(1, 1, "Hel"), delta(1, 2, "lo"), complete(1, 3, "Hello")],
        ],
        LONG,
    )
    .await;
    assert_eq!((out.as_str(), end), ("Hello\n", End::Succeeded));
    assert_eq!((&heard[0]["id"], &heard[0]["action"]), (&json!("r"), &json!("chat.completion")));
    let resume = json!({"action": "resume", "id": "r", "attempt": 1, "after": 1});
    assert_eq!(heard[1..], [resume.clone(), resume]);
}

#[tokio::test]
async fn a_request_of_which_nothing_was_seen_is_sent_again() {
    let (heard, _, end) = play(vec![vec![], vec![complete(1, 0, "Hi")]], LONG).await;
    assert_eq!(end, End::Succeeded);
    assert_eq!(heard[0], heard[1], "the same request under the same id");
}

#[tokio::test]
async fn a_server_that_has_forgotten_the_request_is_sent_it_again() {
    let error = json!({"code": "not_found", "message": "no such request", "retryable": false});
    let forgotten = json!({"id": "r", "event": "fail", "error": error});
    let script = vec![
        vec![delta(1, 0, "He")],
        vec![forgotten, json!("listen"), delta(1, 0, "Hi"), complete(1, 1, "Hi")],
    ];
    let (heard, out, end) = play(script, LONG).await;
    assert_eq!(end, End::Succeeded);
    assert_eq!(heard[1]["action"], "resume");
    assert_eq!(heard[2], heard[0]);
    assert_eq!(out, "He\nHi\n");
}

#[tokio::test]
async fn frames_of_others_and_of_later_versions_are_passed_over() {
    let script = vec![vec![
        json!({"id": "other", "attempt": 1, "seq": 0, "event": "chat.complete", "output": {"text": "no"}}),
        json!({"event": "backpressure", "pool": "sim", "state": "pause"}),
        event(1, 0, "someday", &json!({})),
        complete(1, 1, "Hi"),
    ]];
    assert_eq!(play(script, LONG).await.1, "Hi\n");
}

#[tokio::test]
async fn patience_ends() {
    let (_, out, end) = play(vec![vec![json!("listen")]], Duration::from_millis(50)).await;
    assert_eq!((out.as_str(), end), ("", End::Failed));
}

#[tokio::test]
async fn a_server_that_was_never_there_is_unreachable() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let request = Request::new(schemas::Action::ChatCompletion, json!({}));
    let screen = Screen::new(Style::Stream, false, Vec::new(), Vec::new());
    let session = Session::new(
        (format!("ws://{free}/ws"), HeaderMap::new()),
        request,
        screen,
        Signals::listen().unwrap(),
    );
    assert_eq!(session.run(LONG).await.unwrap(), End::Unreachable);
}
