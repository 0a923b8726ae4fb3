//! Shows the answer of long work while it is made: the stream brings it, and the poll reports how the work has ended.
//!
//! The work goes on whatever becomes of its stream, so a broken stream is no failure: the reply that reports the end
//! holds what the stream did not show, provided that it begins with what the stream did show.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use reqwest::{
    Response,
    header::{ACCEPT, CACHE_CONTROL, HeaderMap},
};
use schemas::ChatDelta;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    file::Framing,
    heard,
    job::{Job, words},
    outlet::Outlet,
    plan::{Answer as Place, Poll, Stream},
    template::{Scope, told},
};
use crate::{
    Error, Finished, Progress, Remedy,
    chat::{self, Ask},
    lines,
    sse::{self, Event, Frame},
};

/// After this long a silence Dynode polls the state of the work: it may not have begun, or may have ended.
const QUIET: Duration = Duration::from_secs(5);

/// The status of a stream that has begun.
const OK: u16 = 200;

/// What a stream has shown.
#[derive(Debug, Default)]
pub(super) struct Shown {
    answer: chat::Answer,
    /// Whether the stream came to its end.
    is_whole: bool,
}

type Events = BoxStream<'static, Result<Event, sse::Error>>;

impl Job {
    /// Shows the work's answer while it is made, if it has a stream and the client wants one. Returns the reply that
    /// reports the end of the work, and what was shown.
    pub(super) async fn show(
        &self,
        submitted: &Scope,
        outlet: &Outlet,
    ) -> Result<Option<(Scope, Shown)>, Error> {
        let Some((stream, poll)) = self.plan.stream.as_ref().zip(self.plan.poll.as_ref()) else {
            return Ok(None);
        };
        let Some(url) = stream.url.as_ref().filter(|_| Ask::new(&self.call).streamed) else {
            return Ok(None);
        };
        let asking = submitted.copied("reply", "submitted");
        let Ok(Value::String(url)) = url.render(&asking) else { return Ok(None) };
        let mut shown = Shown::default();
        if let Some(response) = self.open(&url, stream).await? {
            self.watch(stream, poll, &asking, events(response, stream.framing), &mut shown, outlet).await?;
        }
        let end = self.ask_now(poll, asking, outlet).await?;
        Ok(Some((end, shown)))
    }

    /// The stream, if it can be opened.
    async fn open(&self, url: &str, stream: &Stream) -> Result<Option<Response>, Error> {
        let accept = if matches!(stream.framing, Framing::Lines) { "*/*" } else { "text/event-stream" };
        let request = self.get(url, &stream.hosts)?.header(ACCEPT, accept).header(CACHE_CONTROL, "no-store");
        let asked = self.provider.endpoint.exchange_plain(request, self.call.deadline);
        let response = timeout(QUIET, asked).await.ok().and_then(Result::ok);
        Ok(response.filter(|response| response.status().is_success()))
    }

    async fn watch(
        &self,
        stream: &Stream,
        poll: &Poll,
        asking: &Scope,
        mut events: Events,
        shown: &mut Shown,
        outlet: &Outlet,
    ) -> Result<(), Error> {
        loop {
            let event = match timeout(QUIET, events.next()).await {
                Ok(Some(Ok(event))) => event,
                Ok(None | Some(Err(_))) => return Ok(()),
                Err(_) if self.has_ended(poll, asking, outlet).await? => return Ok(()),
                Err(_) => continue,
            };
            let Some(scope) = self.event(stream, asking, &event)? else { return Ok(()) };
            let read = |place: &super::template::Json| {
                let text = place.render(&scope).map(|value| words(&value));
                text.map_err(|why| self.provider.nonsense(&format!("sent a broken answer: {}", told(&why))))
            };
            let reasoning = stream.reasoning.as_ref().map(read).transpose()?.unwrap_or_default();
            let delta = ChatDelta { delta: read(&stream.text)?, reasoning, ..ChatDelta::default() };
            if let Some(delta) = shown.answer.take(delta) {
                outlet.give(Progress::Delta(delta)).await;
            }
            // This only means that no more will come; the poll says whether the work has ended well.
            if !read(&stream.finish_reason)?.is_empty() {
                shown.is_whole = true;
                return Ok(());
            }
        }
    }

    /// An event as the templates see it; none if it cannot be read.
    fn event(&self, stream: &Stream, asking: &Scope, event: &Event) -> Result<Option<Scope>, Error> {
        let reply = match stream.framing {
            Framing::TextEvents => Value::String(event.data.clone()),
            Framing::Events | Framing::Lines => match serde_json::from_str(&event.data) {
                Ok(reply) => reply,
                Err(_) => return Ok(None),
            },
        };
        let headers = HeaderMap::new();
        let scope = heard(asking, OK, &headers, &reply).with("event", &event.name.as_str().into());
        self.refuse(&scope, OK, &headers, event.data.as_bytes()).map(|()| Some(scope))
    }

    /// Whether the work has ended, asked when its stream is silent. If it goes on, reports that.
    async fn has_ended(&self, poll: &Poll, asking: &Scope, outlet: &Outlet) -> Result<bool, Error> {
        match self.state(poll, asking).await {
            Ok((scope, state)) => self.is_done(&poll.states, &scope, state, outlet).await,
            Err(error) if matches!(error.remedy, Remedy::Throttle | Remedy::Retry) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The end of work whose stream was shown.
    pub(super) async fn shown(&self, scope: Scope, shown: Shown, outlet: &Outlet) -> Result<Finished, Error> {
        let missing = |why: String| {
            self.provider.nonsense(&format!("sent a reply without what was asked for: {}", told(&why)))
        };
        let Place::Text { text, finish_reason } = &self.plan.answer else {
            return Err(self.provider.nonsense("streamed something other than an answer"));
        };
        let reason = finish_reason.as_ref().map(|reason| reason.render(&scope));
        let reason = reason.transpose().map_err(missing)?;
        let rest = if shown.is_whole {
            String::new()
        } else {
            let text = words(&text.render(&scope).map_err(missing)?);
            let said = shown.answer.output().text.as_str();
            let rest = text.strip_prefix(said);
            rest.ok_or_else(|| self.provider.nonsense("streamed one answer and then returned another"))?
                .to_owned()
        };
        Ok(self.text(&scope, shown.answer, rest, reason.as_ref(), outlet).await)
    }
}

/// The events of a stream; a line is an event without a name.
fn events(response: Response, framing: Framing) -> Events {
    let bytes = response.bytes_stream().map_err(reqwest::Error::without_url);
    match framing {
        Framing::Events | Framing::TextEvents => sse::events(bytes),
        Framing::Lines => lines::read(bytes)
            .try_filter_map(async |frame| match frame {
                Frame::Data(data) => Ok(Some(Event { name: String::new(), data })),
                Frame::Done => Ok(None),
            })
            .boxed(),
    }
}
