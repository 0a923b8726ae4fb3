//! The page on the API, taken at its word: every conversation in it is held with a server, and its commands are run.
//!
//! A block marked `socket` is one conversation. `>` is said by the client and `<` by the server, of several sockets behind
//! their numbers; `< …` is any number of frames before the next that is written down. A frame that is written down holds
//! at least those fields; `"…"` is any value, and `*` in a text any part of it. A line that begins with `--` cuts the
//! connections.

use std::collections::BTreeMap;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::{
    readme::{blocks, page, play_all},
    support::{Broker, Dynode, Launch, within},
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Whether `frame` holds what is written down.
fn holds(written: &Value, frame: &Value) -> bool {
    match (written, frame) {
        (Value::String(any), _) if any == "…" => !frame.is_null(),
        (Value::String(written), Value::String(have)) => match written.split_once('*') {
            Some((start, end)) => {
                have.len() >= start.len() + end.len() && have.starts_with(start) && have.ends_with(end)
            }
            None => written == have,
        },
        (Value::Object(written), Value::Object(have)) => {
            written.iter().all(|(key, value)| holds(value, have.get(key).unwrap_or(&Value::Null)))
        }
        (Value::Array(written), Value::Array(have)) => {
            written.len() == have.len()
                && written.iter().zip(have).all(|(written, have)| holds(written, have))
        }
        _ => written == frame,
    }
}

/// The sockets of one conversation, opened as they are first named.
struct Conversation {
    url: String,
    sockets: BTreeMap<String, Socket>,
    /// Those of which any frame may come now.
    anything: BTreeMap<String, bool>,
}

impl Conversation {
    async fn socket(&mut self, name: &str) -> &mut Socket {
        if !self.sockets.contains_key(name) {
            let (socket, _) = connect_async(&self.url).await.unwrap();
            self.sockets.insert(name.to_owned(), socket);
        }
        self.sockets.get_mut(name).unwrap()
    }

    /// The next frame that is about this conversation: how busy pools are is not.
    async fn hear(&mut self, name: &str, wanted: &str) -> Value {
        let socket = self.socket(name).await;
        loop {
            match within(wanted, socket.next()).await.unwrap().unwrap() {
                Message::Text(text) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if frame["event"] != "backpressure" {
                        return frame;
                    }
                }
                Message::Ping(_) => {}
                other => panic!("{other:?} instead of {wanted}"),
            }
        }
    }

    async fn expect(&mut self, name: &str, text: &str) {
        if text == "…" {
            self.anything.insert(name.to_owned(), true);
            return;
        }
        let written = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let skip = self.anything.remove(name).unwrap_or(false);
        loop {
            let frame = self.hear(name, text).await;
            if holds(&written, &frame) {
                return;
            }
            assert!(skip, "the page promises {text}\nthe server says  {frame}");
        }
    }

    async fn play(&mut self, line: &str) {
        if line.starts_with("--") {
            self.sockets.clear();
        } else if let Some((name, frame)) = line.split_once("> ").filter(|(name, _)| name.len() < 2) {
            serde_json::from_str::<Value>(frame).unwrap_or_else(|error| panic!("{frame}: {error}"));
            self.socket(name).await.send(Message::text(frame)).await.unwrap();
        } else if let Some((name, frame)) = line.split_once("< ") {
            self.expect(name, frame).await;
        } else {
            panic!("neither said nor heard: {line}");
        }
    }
}

on_each_broker!(every_conversation_on_the_page_goes_as_it_says);

async fn every_conversation_on_the_page_goes_as_it_says(broker: Broker) {
    let launch = Launch::on(&broker);
    // Nothing is lost here: whoever resumes what never was need not wait for it.
    let dynode = launch.variable("DYNODE_GATEWAY__RESUME_WAIT_MS", "50").start().await;
    let conversations = blocks(&page("docs/api.md"), "socket");
    assert!(conversations.len() >= 8, "{conversations:#?}");
    for lines in conversations {
        let (sockets, anything) = (BTreeMap::new(), BTreeMap::new());
        let mut conversation = Conversation { url: dynode.ws_url(), sockets, anything };
        for line in lines.lines() {
            conversation.play(line).await;
        }
    }
}

#[tokio::test]
async fn the_commands_of_the_page_work() {
    let dynode = Dynode::start(&Broker::Memory).await;
    assert!(play_all("docs/api.md", &dynode).await > 0);
}

#[test]
fn a_frame_holds_what_is_written_down() {
    let frame = serde_json::json!({"id": "a", "n": 1, "o": {"x": [1], "y": 2}, "e": "chat.complete"});
    let holds = |written: &str| holds(&serde_json::from_str(written).unwrap(), &frame);
    assert!(holds(r#"{"id":"a","n":"…","o":{"x":[1]},"e":"*complete"}"#));
    for wrong in
        [r#"{"id":"b"}"#, r#"{"m":"…"}"#, r#"{"o":{"x":[]}}"#, r#"{"e":"chat.*delta"}"#, r#"{"n":2}"#]
    {
        assert!(!holds(wrong), "{wrong}");
    }
}
