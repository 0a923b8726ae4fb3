//! A conversation with a server that plays a script on real sockets.

use futures_util::{SinkExt, StreamExt};
use reqwest::header::HeaderMap;
use tokio::net::TcpListener;
use tokio_tungstenite::{accept_async, tungstenite::Message};

use super::*;

/// Says `lines` to a server that answers each request with the next of `answers`; returns what it was asked and what was
/// shown. An answer is its events; a connection is dropped after them.
async fn talk(lines: &[&str], answers: Vec<Vec<Value>>) -> (Vec<Value>, String, End) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server =
        Server::new(&format!("http://{}", listener.local_addr().unwrap()), HeaderMap::new()).unwrap();
    let served = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = accept_async(stream).await.unwrap();
            let text = socket.next().await.unwrap().unwrap();
            let request: Value = serde_json::from_str(text.to_text().unwrap()).unwrap();
            for mut event in answer {
                event["id"] = request["id"].clone();
                socket.send(Message::text(event.to_string())).await.unwrap();
            }
            asked.push(request);
        }
        asked
    });
    let (sender, receiver) = mpsc::channel(lines.len().max(1));
    for line in lines {
        sender.send(Ok((*line).to_owned())).await.unwrap();
    }
    drop(sender);
    let conversation = Conversation {
        model: "m".into(),
        session: RequestId::new("s").unwrap(),
        messages: vec![json!({"role": "system", "content": "Be brief."})],
    };
    let chat = Chat { conversation, server, lines: receiver, interactive: false, chatty: false };
    let shown = tempfile::NamedTempFile::new().unwrap();
    let mut signals = Signals::listen().unwrap();
    let end = chat.run(&mut signals, || shown.reopen_at_end(), io::sink).await.unwrap();
    (served.await.unwrap(), std::fs::read_to_string(shown.path()).unwrap(), end)
}

/// So that each turn goes on where the one before has ended.
trait ReopenAtEnd {
    fn reopen_at_end(&self) -> std::fs::File;
}

impl ReopenAtEnd for tempfile::NamedTempFile {
    fn reopen_at_end(&self) -> std::fs::File {
        std::fs::File::options().append(true).open(self.path()).unwrap()
    }
}

fn delta(seq: u64, text: &str) -> Value {
    json!({"attempt": 1, "seq": seq, "event": "chat.delta", "delta": text})
}

fn complete(seq: u64, text: &str) -> Value {
    json!({"attempt": 1, "seq": seq, "event": "chat.complete", "output": {"text": text}})
}

fn said(request: &Value) -> Vec<(&str, &str)> {
    let messages = request["payload"]["messages"].as_array().unwrap();
    messages.iter().map(|m| (m["role"].as_str().unwrap(), m["content"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn each_turn_says_all_that_was_said_before() {
    let answers = vec![vec![delta(0, "Hel"), delta(1, "lo"), complete(2, "Hello")], vec![complete(0, "Bye")]];
    let (asked, shown, end) = talk(&["Hi", "", "Good night"], answers).await;
    assert_eq!((shown.as_str(), end), ("Hello\nBye\n", End::Succeeded));
    assert_eq!(said(&asked[0]), [("system", "Be brief."), ("user", "Hi")]);
    let second = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Good night")];
    assert_eq!(said(&asked[1]), second);
    assert_eq!((&asked[1]["session"], &asked[1]["payload"]["stream"]), (&json!("s"), &json!(true)));
    assert_ne!(asked[0]["id"], asked[1]["id"]);
}

#[tokio::test]
async fn a_lost_connection_is_resumed_within_a_turn() {
    let (asked, shown, end) = talk(&["Hi"], vec![vec![delta(0, "Hel")], vec![complete(1, "Hello")]]).await;
    assert_eq!((shown.as_str(), end), ("Hello\n", End::Succeeded));
    assert_eq!((&asked[1]["action"], &asked[1]["id"]), (&json!("resume"), &asked[0]["id"]));
}

#[tokio::test]
async fn a_script_ends_with_the_first_turn_that_fails() {
    let error = json!({"code": "provider_error", "message": "no", "retryable": false});
    let failed = vec![json!({"attempt": 1, "seq": 0, "event": "fail", "error": error})];
    let (asked, shown, end) = talk(&["Hi", "Hello?"], vec![failed]).await;
    assert_eq!((asked.len(), shown.as_str(), end), (1, "", End::Failed));
}
