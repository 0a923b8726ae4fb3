//! `POST chat/completions`: the body, the stream of chunks, the whole reply.

use std::{collections::VecDeque, sync::Arc};

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream, stream::BoxStream};
use reqwest::{Response, header::CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::time::{Duration, timeout};

use super::{
    Settings, answer::Answer, failure, nonsense, outgoing, usage::estimate_messages, wire::ChatReply,
};
use crate::{
    Call, Error, Progress, Progressed, http,
    sse::{self, Frame},
};

/// How long the end of the body may follow the end mark. It usually does so within a millisecond, and only a body that
/// was read to its end leaves its connection to the next call.
const LINGER: Duration = Duration::from_millis(20);

/// What is asked.
#[derive(Debug)]
pub(super) struct Ask {
    model: String,
    streamed: bool,
    input_estimate: u64,
}

impl Ask {
    pub(super) fn new(call: &Call) -> Self {
        Self {
            model: call.model.clone(),
            streamed: call.payload.get("stream") == Some(&Value::Bool(true)),
            input_estimate: estimate_messages(&call.payload),
        }
    }

    pub(super) fn accept(&self) -> &'static str {
        if self.streamed { "text/event-stream" } else { "application/json" }
    }

    /// The body. Of a stream the usage is always asked for, whether the client wants to see it or not.
    pub(super) fn body(&self, call: &Call) -> Value {
        let mut body = outgoing(call);
        if self.streamed {
            let options = body.entry("stream_options").or_insert(Value::Null);
            match options {
                Value::Object(options) => drop(options.insert("include_usage".into(), true.into())),
                other => *other = json!({"include_usage": true}),
            }
        }
        Value::Object(body)
    }
}

/// What the reply brings.
pub(super) fn progress(settings: Arc<Settings>, ask: Ask, response: Response) -> Progressed {
    let reply = if ask.streamed && !is_json(&response) {
        let bytes = response.bytes_stream().map_err(reqwest::Error::without_url);
        streamed(settings, ask, sse::read(bytes))
    } else {
        stream::once(whole(settings, ask, response)).flat_map(stream::iter).boxed()
    };
    stream::iter([Ok(Progress::Started)]).chain(reply).boxed()
}

/// Some servers answer a request for a stream in one piece.
fn is_json(response: &Response) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|media| media.trim_start().to_ascii_lowercase().starts_with("application/json"))
}

/// Reads a reply in one piece. Where a stream was asked for, it still comes as deltas.
async fn whole(settings: Arc<Settings>, ask: Ask, response: Response) -> Vec<Result<Progress, Error>> {
    match http::read(response, http::REPLY_BYTES_MAX).await {
        Ok(body) => of_body(&settings, &ask, &body),
        Err(error) => vec![Err(http::unreadable(&settings.name, error))],
    }
}

/// What a reply in one piece brings.
pub(super) fn of_body(settings: &Settings, ask: &Ask, body: &[u8]) -> Vec<Result<Progress, Error>> {
    let mut answer = Answer::default();
    let absorbed = absorb(settings, &mut answer, body);
    let (deltas, end) = match absorbed {
        Ok(_) if !answer.is_whole() => (Vec::new(), Err(broken_off(settings))),
        Ok(deltas) => (deltas, Ok(finished(answer, ask))),
        Err(error) => (Vec::new(), Err(error)),
    };
    let shown = deltas.into_iter().filter(|_| ask.streamed).map(|delta| Ok(Progress::Delta(delta)));
    shown.chain([end]).collect()
}

fn absorb(settings: &Settings, answer: &mut Answer, body: &[u8]) -> Result<Vec<schemas::ChatDelta>, Error> {
    let reply: ChatReply = serde_json::from_slice(body)
        .map_err(|error| nonsense(settings, &format!("sent what is not a chat answer: {error}")))?;
    if reply.is_error() {
        return Err(failure::in_reply(settings, body));
    }
    answer.absorb(reply).map_err(|why| nonsense(settings, &format!("sent a broken answer: {why}")))
}

fn finished(answer: Answer, ask: &Ask) -> Progress {
    Progress::Finished(Box::new(answer.finish(&ask.model, ask.input_estimate)))
}

fn broken_off(settings: &Settings) -> Error {
    nonsense(settings, "ended its answer in the middle: no reason to finish was given")
}

pub(super) type Frames = BoxStream<'static, Result<Frame, sse::Error>>;

/// A stream that is being read.
struct Reading {
    settings: Arc<Settings>,
    ask: Ask,
    frames: Frames,
    answer: Answer,
    /// Deltas that came in one chunk with the one before them.
    ready: VecDeque<Progress>,
}

/// What the frames of a stream bring.
pub(super) fn streamed(settings: Arc<Settings>, ask: Ask, frames: Frames) -> Progressed {
    let reading = Reading { settings, ask, frames, answer: Answer::default(), ready: VecDeque::new() };
    // Boxed, so that a step moves a pointer and not the answer.
    stream::unfold(Box::new(reading), async |mut reading| Some((reading.next().await, reading))).boxed()
}

impl Reading {
    /// The next piece. Not called again after the end or an error: the deadline's wrapper sees to it.
    async fn next(&mut self) -> Result<Progress, Error> {
        loop {
            if let Some(progress) = self.ready.pop_front() {
                return Ok(progress);
            }
            match self.frames.next().await {
                Some(Ok(Frame::Data(chunk))) => {
                    let deltas = absorb(&self.settings, &mut self.answer, chunk.as_bytes())?;
                    self.ready.extend(deltas.into_iter().map(Progress::Delta));
                }
                Some(Ok(Frame::Done)) => {
                    self.linger().await;
                    return self.finish();
                }
                None => return self.finish(),
                // What breaks after the end of every answer breaks nothing.
                Some(Err(_)) if self.answer.is_whole() => return self.finish(),
                Some(Err(error)) => return Err(unreadable(&self.settings, error)),
            }
        }
    }

    fn finish(&mut self) -> Result<Progress, Error> {
        let answer = std::mem::take(&mut self.answer);
        if answer.is_whole() { Ok(finished(answer, &self.ask)) } else { Err(broken_off(&self.settings)) }
    }

    async fn linger(&mut self) {
        if self.frames.next().now_or_never().is_none() {
            // Whether the end came or not, the answer is here.
            let _ = timeout(LINGER, self.frames.next()).await;
        }
    }
}

fn unreadable(settings: &Settings, error: sse::Error) -> Error {
    match error {
        sse::Error::Broken(cause) => {
            let mut broken = nonsense(settings, "broke the connection off in its answer").with_source(cause);
            broken.code = schemas::ErrorCode::ProviderUnavailable;
            broken
        }
        other => nonsense(settings, &format!("sent a broken stream: {other}")).with_source(other),
    }
}

#[cfg(test)]
mod tests;
