//! Reads a provider's server-sent events: the `data` of each event, however the bytes are chunked.
//!
//! `sse-stream` parses. This file adds the limit that it lacks, so that no server can fill the memory with an event
//! that never ends, and knows OpenAI's end mark. It does not deliver an event that the connection cuts off.

use bytes::Bytes;
use futures_util::{Stream, StreamExt, future, stream, stream::BoxStream};
use sse_stream::{Sse, SseByteStream};

/// The longest event, in bytes of its lines. Deltas have some hundreds; a whole tool call in one event some thousands.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// The last event of OpenAI's API.
const DONE: &str = "[DONE]";

/// One event that carries data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Its data, lines joined by line feeds; never empty.
    Data(String),
    /// The mark that no more will come.
    Done,
}

/// One event as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its name; empty if it has none.
    pub(crate) name: String,
    /// Its data, lines joined by line feeds.
    pub(crate) data: String,
}

/// The stream cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An event is longer than allowed.
    #[error("an event is over the limit of {EVENT_BYTES_MAX} bytes")]
    TooLong,
    /// The bytes are not valid UTF-8.
    #[error("an event is not valid UTF-8")]
    Encoding,
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The data of the events in `bytes`, unless it is only white space. Ends after its first error.
pub fn read<S, E>(bytes: S) -> BoxStream<'static, Result<Frame, Error>>
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    cut(bytes).filter_map(|event| future::ready(frame(event))).boxed()
}

/// The events in `bytes` that have data, whatever its text. Ends after its first error.
pub(crate) fn events<S, E>(bytes: S) -> BoxStream<'static, Result<Event, Error>>
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let event = |event: Result<Sse, sse_stream::Error>| {
        let read = |event: Sse| Some(Event { name: event.event.unwrap_or_default(), data: event.data? });
        event.map_err(fault).map(read).transpose()
    };
    cut(bytes).filter_map(move |item| future::ready(event(item))).boxed()
}

fn cut<S, E>(bytes: S) -> impl Stream<Item = Result<Sse, sse_stream::Error>> + Send + 'static
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let mut meter = Meter::default();
    let metered = bytes.flat_map(move |chunk| {
        // Pass on what precedes the fault first: however the bytes are chunked, the same events must come.
        let (sound, fault) = match chunk {
            Err(error) => (None, Some(Error::Broken(Box::new(error)))),
            Ok(chunk) => match meter.excess(&chunk) {
                None => (Some(chunk), None),
                Some(at) => (Some(chunk.slice(..at)), Some(Error::TooLong)),
            },
        };
        stream::iter(sound.map(Ok).into_iter().chain(fault.map(Err)))
    });
    SseByteStream::new(metered)
}

fn frame(event: Result<Sse, sse_stream::Error>) -> Option<Result<Frame, Error>> {
    match event {
        Ok(event) => event.data.and_then(|data| match data.trim() {
            "" => None,
            DONE => Some(Ok(Frame::Done)),
            _ => Some(Ok(Frame::Data(data))),
        }),
        Err(error) => Some(Err(fault(error))),
    }
}

fn fault(error: sse_stream::Error) -> Error {
    match error {
        sse_stream::Error::Body(inner) => {
            inner.downcast::<Error>().map_or_else(Error::Broken, |error| *error)
        }
        sse_stream::Error::Utf8Parse(_) => Error::Encoding,
        other => Error::Broken(Box::new(other)),
    }
}

/// Measures the event that is being received. An empty line ends it; LF, CR and CRLF each end a line.
#[derive(Debug)]
struct Meter {
    length: usize,
    line_is_empty: bool,
    after_cr: bool,
}

impl Default for Meter {
    fn default() -> Self {
        Self { length: 0, line_is_empty: true, after_cr: false }
    }
}

impl Meter {
    /// Where in `chunk` the event becomes too long.
    fn excess(&mut self, chunk: &[u8]) -> Option<usize> {
        // Most chunks end with an event, and are too short to hold one that is too long.
        if chunk.ends_with(b"\n\n") && self.length + chunk.len() <= EVENT_BYTES_MAX {
            *self = Self::default();
            return None;
        }
        chunk.iter().position(|&byte| {
            self.length += 1;
            match byte {
                b'\n' if self.after_cr => self.after_cr = false,
                b'\n' | b'\r' => {
                    if self.line_is_empty {
                        self.length = 0;
                    }
                    self.line_is_empty = true;
                    self.after_cr = byte == b'\r';
                }
                _ => (self.line_is_empty, self.after_cr) = (false, false),
            }
            self.length > EVENT_BYTES_MAX
        })
    }
}

#[cfg(test)]
mod tests;
