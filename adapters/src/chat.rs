//! Reads a chat answer of any provider: frames or a whole reply go in, deltas and the whole answer come out.
//!
//! A provider's [`Decoder`] knows what its frames mean; the loop around the decoder is here, once. A stream that breaks
//! off never counts as a whole answer.

use std::{collections::VecDeque, sync::Arc};

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream, stream::BoxStream};
use reqwest::{Response, header::CONTENT_TYPE};
use schemas::{ChatDelta, ErrorCode};
use serde_json::Value;
use tokio::time::{Duration, timeout};

use crate::{
    Call, Error, Finished, Progress, Progressed,
    endpoint::Endpoint,
    http, limits, lines,
    sse::{self, Frame},
};

mod answer;
mod carried;
pub mod estimate;
pub(crate) mod question;

pub(crate) use answer::{Answer, of_call};
pub(crate) use carried::Origin;

/// How long to wait for the end of the body after the end mark. It usually comes within a millisecond, and only a body
/// read to its end frees its connection for the next call.
const LINGER: Duration = Duration::from_millis(20);

/// What reading the answer needs to know of the question.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// The model, as the provider names it.
    pub(crate) model: String,
    /// Whether deltas are wanted.
    pub(crate) streamed: bool,
    /// The estimated tokens of the question, for providers that report none.
    pub(crate) input_estimate: u64,
}

impl Ask {
    pub(crate) fn new(call: &Call) -> Self {
        Self {
            model: call.model.clone(),
            streamed: call.payload.get("stream") == Some(&Value::Bool(true)),
            input_estimate: estimate::messages(&call.payload),
        }
    }
}

/// Reads the replies of one kind of provider. Holds the answer so far.
pub(crate) trait Decoder: Send + 'static {
    /// Takes one frame of a stream and returns the deltas that it adds, none of them empty.
    fn frame(&mut self, data: &str) -> Result<Vec<ChatDelta>, Error>;

    /// Takes a reply in one piece.
    fn whole(&mut self, body: &[u8]) -> Result<Vec<ChatDelta>, Error>;

    /// Whether the answer is complete.
    fn is_whole(&self) -> bool;

    /// Whether the provider has said, in a frame, that no more will come.
    fn is_over(&self) -> bool {
        false
    }

    /// Returns the whole answer; called once, and only if the answer is complete.
    fn finish(&mut self, ask: &Ask) -> Finished;
}

/// How a stream is cut into frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Server-sent events.
    Events,
    /// One JSON text per line.
    Lines,
}

/// The events of a reply.
pub(crate) fn progress(
    endpoint: Arc<Endpoint>,
    ask: Ask,
    decoder: impl Decoder,
    framing: Framing,
    response: Response,
) -> Progressed {
    let begun = limits::begun(response.headers());
    let reply = if ask.streamed && !is_json(&response) {
        let bytes = response.bytes_stream().map_err(reqwest::Error::without_url);
        let frames = match framing {
            Framing::Events => sse::read(bytes),
            Framing::Lines => lines::read(bytes),
        };
        streamed(endpoint, ask, decoder, frames)
    } else {
        stream::once(whole(endpoint, ask, decoder, response)).flat_map(stream::iter).boxed()
    };
    begun.chain(reply).boxed()
}

/// Some servers answer a request for a stream in one piece.
fn is_json(response: &Response) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|media| media.trim_start().to_ascii_lowercase().starts_with("application/json"))
}

/// Reads a reply in one piece. If the client asked for a stream, it still comes as deltas.
async fn whole(
    endpoint: Arc<Endpoint>,
    ask: Ask,
    decoder: impl Decoder,
    response: Response,
) -> Vec<Result<Progress, Error>> {
    match http::read(response, http::REPLY_BYTES_MAX).await {
        Ok(body) => of_body(&endpoint, &ask, decoder, &body),
        Err(error) => vec![Err(http::unreadable(&endpoint.name, error))],
    }
}

/// The events of a reply in one piece.
pub(crate) fn of_body(
    endpoint: &Endpoint,
    ask: &Ask,
    mut decoder: impl Decoder,
    body: &[u8],
) -> Vec<Result<Progress, Error>> {
    let (deltas, end) = match decoder.whole(body) {
        Ok(_) if !decoder.is_whole() => (Vec::new(), Err(broken_off(endpoint))),
        Ok(deltas) => (deltas, Ok(finished(&mut decoder, ask))),
        Err(error) => (Vec::new(), Err(error)),
    };
    let shown = deltas.into_iter().filter(|_| ask.streamed).map(|delta| Ok(Progress::Delta(delta)));
    shown.chain([end]).collect()
}

fn finished(decoder: &mut impl Decoder, ask: &Ask) -> Progress {
    Progress::Finished(Box::new(decoder.finish(ask)))
}

fn broken_off(endpoint: &Endpoint) -> Error {
    endpoint.nonsense("ended its answer in the middle: no reason to finish was given")
}

pub(crate) type Frames = BoxStream<'static, Result<Frame, sse::Error>>;

/// A stream that is being read.
struct Reading<D> {
    endpoint: Arc<Endpoint>,
    ask: Ask,
    frames: Frames,
    decoder: D,
    /// More deltas of the last frame.
    ready: VecDeque<Progress>,
}

/// The events of a stream of frames.
pub(crate) fn streamed(
    endpoint: Arc<Endpoint>,
    ask: Ask,
    decoder: impl Decoder,
    frames: Frames,
) -> Progressed {
    let reading = Reading { endpoint, ask, frames, decoder, ready: VecDeque::new() };
    // Boxed, so that a step moves a pointer and not the answer.
    stream::unfold(Box::new(reading), async |mut reading| Some((reading.next().await, reading))).boxed()
}

impl<D: Decoder> Reading<D> {
    /// The next event. `deadline::bound` never asks for one after the end or an error.
    async fn next(&mut self) -> Result<Progress, Error> {
        loop {
            if let Some(progress) = self.ready.pop_front() {
                return Ok(progress);
            }
            if self.decoder.is_over() {
                return self.finish_after_linger().await;
            }
            match self.frames.next().await {
                Some(Ok(Frame::Data(data))) => {
                    let deltas = self.decoder.frame(&data)?;
                    self.ready.extend(deltas.into_iter().map(Progress::Delta));
                }
                Some(Ok(Frame::Done)) => return self.finish_after_linger().await,
                None => return self.finish(),
                // Every answer is complete: a break does no harm now.
                Some(Err(_)) if self.decoder.is_whole() => return self.finish(),
                Some(Err(error)) => return Err(unreadable(&self.endpoint, error)),
            }
        }
    }

    fn finish(&mut self) -> Result<Progress, Error> {
        if self.decoder.is_whole() {
            Ok(finished(&mut self.decoder, &self.ask))
        } else {
            Err(broken_off(&self.endpoint))
        }
    }

    async fn finish_after_linger(&mut self) -> Result<Progress, Error> {
        if self.frames.next().now_or_never().is_none() {
            // Whether or not the body has ended, all of the answer is here.
            let _ = timeout(LINGER, self.frames.next()).await;
        }
        self.finish()
    }
}

fn unreadable(endpoint: &Endpoint, error: sse::Error) -> Error {
    match error {
        sse::Error::Broken(cause) => {
            let mut broken = endpoint.nonsense("broke the connection off in its answer").with_source(cause);
            broken.code = ErrorCode::ProviderUnavailable;
            broken
        }
        other => endpoint.nonsense(&format!("sent a broken stream: {other}")).with_source(other),
    }
}
