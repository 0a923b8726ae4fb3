//! A caller over HTTP/1.1: one keep-alive connection, one prepared request, and an answer that is scanned, not parsed.
//! Uses no client library, whose own work would be measured as well.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use memchr::memmem::Finder;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{
    Caller, Failure,
    marks::{self, Marks},
    tally::Notes,
};

/// The connect timeout.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How a successful SSE stream of OpenAI's API ends.
const DONE: &[u8] = b"[DONE]";
/// Names the tenant that a superadmin's key acts for.
const X_TENANT: HeaderName = HeaderName::from_static("x-dynode-tenant");

/// A request, and where to send it.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// The address: `HOST:PORT`.
    pub(crate) authority: String,
    /// The path.
    pub(crate) path: String,
    /// The bearer token, if one is needed.
    pub(crate) key: Option<HeaderValue>,
    /// The body.
    pub(crate) body: Bytes,
    /// Whether the answer is a stream.
    pub(crate) is_stream: bool,
    /// How many marks the answer has, if known.
    pub(crate) chunks: Option<u32>,
    /// The tenants to act for, if not the key's own.
    pub(crate) tenants: Option<Arc<Tenants>>,
}

/// Tenants in turn, shared by all callers.
#[derive(Debug)]
pub(crate) struct Tenants {
    names: Vec<HeaderValue>,
    next: AtomicUsize,
}

impl Tenants {
    /// This many tenants.
    pub(crate) fn new(count: u32) -> Result<Arc<Self>, Failure> {
        let name = |number| HeaderValue::from_str(&format!("bench{number}"));
        let names: Result<Vec<_>, _> = (1..=count).map(name).collect();
        Ok(Arc::new(Self { names: names.map_err(|error| error.to_string())?, next: AtomicUsize::new(0) }))
    }

    fn next(&self) -> Option<HeaderValue> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.names.get(turn % self.names.len().max(1)).cloned()
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct HttpCaller {
    ask: Ask,
    host: HeaderValue,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl HttpCaller {
    /// Connects.
    pub(crate) async fn connect(ask: Ask) -> Result<Self, Failure> {
        let host = HeaderValue::from_str(&ask.authority).map_err(|error| error.to_string())?;
        let connection = Some(connect(&ask.authority).await?);
        Ok(Self { ask, host, connection })
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::post(self.ask.path.as_str())
            .header(header::HOST, self.host.clone())
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = &self.ask.key {
            request = request.header(header::AUTHORIZATION, key.clone());
        }
        if let Some(tenant) = self.ask.tenants.as_ref().and_then(|tenants| tenants.next()) {
            request = request.header(X_TENANT, tenant);
        }
        request.body(Full::new(self.ask.body.clone())).map_err(|error| error.to_string())
    }
}

impl Caller for HttpCaller {
    async fn call(&mut self, notes: &mut Notes) -> Result<(), Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.is_closed() => connection,
            _ => connect(&self.ask.authority).await?,
        };
        let response =
            connection.send_request(self.request()?).await.map_err(|_| "connection lost".to_owned())?;
        let (status, mut body) = (response.status(), response.into_body());
        let mut reading = Reading::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| "answer cut off".to_owned())?;
            if let Some(data) = frame.data_ref()
                && self.ask.is_stream
            {
                reading.read(data, notes);
            }
        }
        // A connection can be reused only after its answer was read completely.
        self.connection = Some(connection);
        if !status.is_success() {
            return Err(format!("status {}", status.as_u16()));
        }
        if self.ask.is_stream { reading.end(self.ask.chunks) } else { Ok(()) }
    }
}

/// What was seen of a stream so far.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    marks: Marks,
    chunks: u32,
    last: Option<Instant>,
    /// The last bytes received.
    tail: Vec<u8>,
}

impl Reading {
    /// Reads a piece.
    pub(crate) fn read(&mut self, piece: &[u8], notes: &mut Notes) {
        let (mut seen, now_us) = (0, marks::now_us());
        self.marks.read(piece, |sent_us| {
            seen += 1;
            notes.chunks_us.push(now_us.saturating_sub(sent_us));
        });
        if seen > 0 {
            let now = Instant::now();
            notes.first.get_or_insert(now);
            if let Some(last) = self.last.replace(now) {
                notes.gaps_us.push(u64::try_from((now - last).as_micros()).unwrap_or(u64::MAX));
            }
            self.chunks += seen;
        } else if notes.first.is_none() {
            // A provider that is not ours: its first piece stands for its first chunk.
            notes.first = Some(Instant::now());
        }
        // Keeps what may be the start of the end marker.
        self.tail
            .extend_from_slice(piece.get(piece.len().saturating_sub(2 * DONE.len())..).unwrap_or_default());
        let surplus = self.tail.len().saturating_sub(4 * DONE.len());
        self.tail.drain(..surplus);
    }

    /// Checks at its end whether the stream was complete.
    pub(crate) fn end(&self, chunks: Option<u32>) -> Result<(), Failure> {
        if Finder::new(DONE).find(&self.tail).is_none() {
            return Err("stream without its end".to_owned());
        }
        match chunks {
            Some(chunks) if chunks != self.chunks => Err("chunks missing from a stream".to_owned()),
            _ => Ok(()),
        }
    }
}

async fn connect(authority: &str) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let connecting = async {
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)
    };
    let connected = timeout(CONNECT_MAX, connecting).await.map_err(|_| "no connection in time".to_owned())?;
    let (sender, connection) = connected.map_err(|error| format!("no connection: {error}"))?;
    // The sender notices its end.
    tokio::spawn(async move { _ = connection.await });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&str]) -> (Reading, Notes) {
        let (mut reading, mut notes) = (Reading::default(), Notes::default());
        pieces.iter().for_each(|piece| reading.read(piece.as_bytes(), &mut notes));
        (reading, notes)
    }

    #[test]
    fn a_stream_is_whole_with_its_chunks_and_its_end() {
        let (whole, notes) =
            read(&["data: @1732790000123456\n\n", "data: @1732790000123457\n\nda", "ta: [DO", "NE]\n\n"]);
        assert_eq!(whole.end(Some(2)), Ok(()));
        assert_eq!((notes.chunks_us.len(), notes.gaps_us.len()), (2, 1));
        assert!(notes.first.is_some());
        assert!(whole.end(Some(3)).unwrap_err().contains("missing"));
        let (cut, _) = read(&["data: @1732790000123456\n\n"]);
        assert!(cut.end(Some(1)).unwrap_err().contains("end"));
    }
}
