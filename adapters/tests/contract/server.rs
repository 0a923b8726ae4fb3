//! A server that plays canned bytes: exactly those, in exactly those pieces, as no framework would let one.

use std::sync::Arc;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};

/// More than any test causes.
const EVENTS_MAX: usize = 256;

/// More turns than the client has tasks that hand a packet on.
const YIELDS: usize = 16;

/// What the server does with a request, in order.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Lets the client take in what it got before the next packet goes out. Not by the clock: a busy machine would
    /// make every pause too short.
    Yield,
    /// Sends nothing more, and tells when the client closes.
    Hang,
    /// Closes the connection.
    Close,
}

/// What the server saw.
#[derive(Debug)]
pub(super) enum Seen {
    /// A request.
    Request {
        /// Which connection it came on, from 0.
        connection: usize,
        /// Its request line and headers, in lower case names.
        head: String,
        /// Its body.
        body: Value,
    },
    /// The client closed a connection on which the server hung.
    Closed,
}

/// A running server; ends when dropped.
pub(super) struct Server {
    /// Where it listens; `/v1` included.
    pub(super) base_url: String,
    seen: mpsc::Receiver<Seen>,
    task: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Starts one that does the same with every request.
    pub(super) async fn start(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (sender, seen) = mpsc::channel(EVENTS_MAX);
        let acts = Arc::new(acts);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, connections.len(), Arc::clone(&acts), sender.clone()));
            }
        });
        Self { base_url, seen, task: task.abort_handle() }
    }

    /// The next thing that it sees.
    pub(super) async fn seen(&mut self) -> Seen {
        self.seen.recv().await.expect("the server runs")
    }
}

async fn serve(mut stream: TcpStream, connection: usize, acts: Arc<Vec<Act>>, seen: mpsc::Sender<Seen>) {
    stream.set_nodelay(true).unwrap();
    while let Some((head, body)) = receive(&mut stream).await {
        seen.send(Seen::Request { connection, head, body }).await.ok();
        for act in acts.iter() {
            match act {
                Act::Send(bytes) => {
                    if stream.write_all(bytes).await.is_err() {
                        return;
                    }
                }
                Act::Yield => {
                    for _ in 0..YIELDS {
                        tokio::task::yield_now().await;
                    }
                }
                Act::Hang => {
                    while matches!(stream.read(&mut [0; 64]).await, Ok(1..)) {}
                    seen.send(Seen::Closed).await.ok();
                    return;
                }
                Act::Close => return,
            }
        }
    }
}

async fn receive(stream: &mut TcpStream) -> Option<(String, Value)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + length {
        stream.read_buf(&mut bytes).await.ok()?;
    }
    Some((head, serde_json::from_slice(&bytes[end..end + length]).unwrap_or_default()))
}

/// A reply in one piece.
pub(super) fn reply(status: u16, headers: &str, body: &str) -> Act {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n");
    Act::Send(format!("{head}{body}").into_bytes())
}

/// The head of a reply that is streamed.
pub(super) fn stream_head() -> Act {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    Act::Send(head.into())
}

/// One event of it.
pub(super) fn event(data: &Value) -> Act {
    chunk(&format!("data: {data}\n\n"))
}

/// One event of it that bears the name of its type.
pub(super) fn named_event(data: &Value) -> Act {
    chunk(&format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap()))
}

/// One line of a reply that comes in lines.
pub(super) fn line(data: &Value) -> Act {
    chunk(&format!("{data}\n"))
}

/// The end mark.
pub(super) fn done() -> Act {
    chunk("data: [DONE]\n\n")
}

/// The end of the body.
pub(super) fn end() -> Act {
    Act::Send(b"0\r\n\r\n".to_vec())
}

fn chunk(text: &str) -> Act {
    Act::Send(format!("{:x}\r\n{text}\r\n", text.len()).into_bytes())
}
