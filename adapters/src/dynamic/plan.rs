//! Compiles how one kind of work is done: what to request, how to wait, and where to find things in the replies.

use std::{collections::BTreeMap, time::Duration};

use schemas::Action;
use serde_json::Value;

use super::{
    file::{self, Framing},
    request,
    template::{Json, Manner, Scope},
    usage::Counts,
};
use crate::Kind;

/// What a request's templates see.
const ASKING: [&str; 5] = ["payload", "model", "variables", "id", "seconds_left"];
/// The same for a request whose end comes by webhook.
const ASKING_FOR_A_WEBHOOK: [&str; 6] = ["payload", "model", "variables", "id", "seconds_left", "webhook"];
/// What the templates of a poll and of a result see: the reply to the request too.
const WAITING: [&str; 6] = ["payload", "model", "variables", "id", "seconds_left", "submitted"];
/// What the templates that read a reply see.
pub(super) const READING: [&str; 9] =
    ["payload", "model", "variables", "id", "seconds_left", "submitted", "reply", "status", "headers"];

/// What the templates that read the frames of a stream see.
const WATCHING: [&str; 10] = [
    "payload",
    "model",
    "variables",
    "id",
    "seconds_left",
    "submitted",
    "reply",
    "status",
    "headers",
    "event",
];

/// The shortest time between polls: more polls would cost calls, and finish no work sooner.
const EVERY_MS_MIN: u64 = 50;
/// The longest time between polls: the engine takes a longer silence for a stall.
const EVERY_MS_MAX: u64 = 20_000;

/// How one kind of work is done.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) action: Action,
    pub(super) request: request::Template,
    pub(super) poll: Option<Poll>,
    pub(super) webhook: Option<Webhook>,
    pub(super) result: Option<request::Template>,
    pub(super) answer: Answer,
    pub(super) stream: Option<Stream>,
    pub(super) details: Option<Json>,
    pub(super) model: Option<Json>,
    pub(super) usage: Counts,
}

impl Plan {
    /// Whether the first reply only says that the work has begun.
    pub(super) const fn is_long(&self) -> bool {
        self.poll.is_some() || self.webhook.is_some()
    }

    /// Whether a webhook reports its end, and nothing else does.
    pub(super) const fn needs_webhooks(&self) -> bool {
        self.webhook.is_some() && self.poll.is_none()
    }

    /// The model that answers, if the reply names it.
    pub(super) fn model_in(&self, scope: &Scope) -> Option<String> {
        match self.model.as_ref()?.render(scope).ok()? {
            Value::String(model) if !model.is_empty() => Some(model),
            _ => None,
        }
    }
}

/// How to poll for the end of the work.
#[derive(Debug)]
pub(super) struct Poll {
    pub(super) request: request::Template,
    pub(super) states: States,
    pub(super) every: Duration,
}

/// How a webhook reports the end of the work.
#[derive(Debug)]
pub(super) struct Webhook {
    /// The states in the webhook; none beside a poll, or if any webhook means that the work is done.
    pub(super) states: Option<States>,
    /// How often to poll all the same; without a poll, how often to report that the work still waits.
    pub(super) every: Duration,
}

/// Where a reply reports the state and progress of the work, and what each state means.
#[derive(Debug)]
pub(super) struct States {
    pub(super) state: Json,
    pub(super) pending: Vec<String>,
    pub(super) done: Vec<String>,
    pub(super) failed: Vec<String>,
    pub(super) fraction: Option<Json>,
    pub(super) message: Option<Json>,
}

/// Where the reply holds the answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// The body is the file.
    Bytes,
    Files(Files),
    Text {
        text: Json,
        finish_reason: Option<Json>,
    },
    Vectors(Json),
    Output(Json),
}

/// Files in a reply.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) urls: Option<Json>,
    pub(super) base64: Option<Json>,
    pub(super) hosts: Vec<String>,
}

/// A chat answer that comes in frames.
#[derive(Debug)]
pub(super) struct Stream {
    /// For polled work: where its answer streams while it is made.
    pub(super) url: Option<Json>,
    pub(super) hosts: Vec<String>,
    pub(super) framing: Framing,
    pub(super) text: Json,
    pub(super) reasoning: Option<Json>,
    pub(super) finish_reason: Json,
    pub(super) usage: Counts,
}

impl Plan {
    pub(super) fn new(call: &file::CallFile) -> Result<Self, (String, String)> {
        let below = |key: &'static str| {
            move |(inner, why): (String, String)| {
                (if inner.is_empty() { key.to_owned() } else { format!("{key}.{inner}") }, why)
            }
        };
        if !Kind::Dynamic.actions().contains(&call.action) {
            return Err(("action".into(), format!("a provider file cannot describe `{}`", call.action)));
        }
        let answer = Answer::new(&call.reply, call.action).map_err(below("reply"))?;
        let is_long = call.poll.is_some() || call.webhook.is_some();
        let accept = if !is_long && matches!(answer, Answer::Bytes) { "*/*" } else { "application/json" };
        let asking: &[&str] = if call.webhook.is_some() { &ASKING_FOR_A_WEBHOOK } else { &ASKING };
        let request = request::Template::new(&call.request, accept, asking).map_err(below("request"))?;
        let poll = call.poll.as_ref().map(Poll::new).transpose().map_err(below("poll"))?;
        let webhook = call.webhook.as_ref().map(|webhook| Webhook::new(webhook, poll.is_some()));
        let webhook = webhook.transpose().map_err(below("webhook"))?;
        let result = call.result.as_ref().map(|request| request::Template::new(request, "*/*", &WAITING));
        let result = result.transpose().map_err(below("result"))?;
        if result.is_some() && !is_long {
            let why = "is asked for after a poll or a webhook; there is no `poll` and no `webhook`";
            return Err(("result".into(), why.into()));
        }
        if matches!(answer, Answer::Bytes) && is_long && result.is_none() {
            let why = "the reply that reports the end is JSON; add a `result` whose reply is the file, or read `files`";
            return Err(("reply.bytes".into(), why.into()));
        }
        let stream = call.stream.as_ref().map(|stream| Stream::new(stream, call)).transpose();
        let stream = stream.map_err(below("stream"))?;
        let details = call.reply.details.as_ref().map(|details| Json::new(details, &READING));
        Ok(Self {
            action: call.action,
            request,
            poll,
            webhook,
            result,
            answer,
            stream,
            details: details.transpose().map_err(|why| ("reply.details".into(), why))?,
            model: call.reply.model.as_deref().map(|text| lenient(text, "reply.model")).transpose()?,
            usage: Counts::new(&call.reply.usage).map_err(below("reply.usage"))?,
        })
    }
}

impl Poll {
    fn new(poll: &file::Poll) -> Result<Self, (String, String)> {
        let get = file::Request {
            method: Some("GET".into()),
            path: poll.path.clone(),
            query: poll.query.clone(),
            headers: BTreeMap::new(),
            json: None,
            form: None,
            multipart: None,
        };
        Ok(Self {
            request: request::Template::new(&get, "application/json", &WAITING)?,
            states: States::new(&poll.state, [&poll.pending, &poll.done, &poll.failed])?
                .told(poll.fraction.as_deref(), poll.message.as_deref())?,
            every: every(poll.every_ms)?,
        })
    }
}

/// The time from one poll to the next.
fn every(every_ms: u64) -> Result<Duration, (String, String)> {
    if (EVERY_MS_MIN..=EVERY_MS_MAX).contains(&every_ms) {
        return Ok(Duration::from_millis(every_ms));
    }
    Err(("every_ms".into(), format!("{every_ms} is not between {EVERY_MS_MIN} and {EVERY_MS_MAX}")))
}

impl Webhook {
    fn new(webhook: &file::Webhook, has_poll: bool) -> Result<Self, (String, String)> {
        let lists = [&webhook.pending, &webhook.done, &webhook.failed];
        let states = match &webhook.state {
            None if lists.iter().all(|list| list.is_empty()) => None,
            None => {
                return Err(("state".into(), "is missing; say where in the webhook these states are".into()));
            }
            Some(_) if has_poll => {
                let why = "beside a poll a webhook only says that it is time to ask; remove it, or the poll";
                return Err(("state".into(), why.into()));
            }
            Some(state) => Some(States::new(state, lists)?),
        };
        Ok(Self { states, every: every(webhook.every_ms)? })
    }
}

impl States {
    fn new(state: &str, [pending, done, failed]: [&Vec<String>; 3]) -> Result<Self, (String, String)> {
        if done.is_empty() {
            return Err(("done".into(), "names no state; without one the work would never end".into()));
        }
        Ok(Self {
            state: lenient(state, "state")?,
            pending: pending.clone(),
            done: done.clone(),
            failed: failed.clone(),
            fraction: None,
            message: None,
        })
    }

    /// The same, with the progress of work that goes on.
    fn told(self, fraction: Option<&str>, message: Option<&str>) -> Result<Self, (String, String)> {
        let fraction = fraction.map(|text| lenient(text, "fraction")).transpose()?;
        let message = message.map(|text| lenient(text, "message")).transpose()?;
        Ok(Self { fraction, message, ..self })
    }
}

/// An expression that reads a reply, in which anything may be missing.
fn lenient(text: &str, key: &str) -> Result<Json, (String, String)> {
    Json::value(text, Manner::Lenient, &READING).map_err(|why| (key.to_owned(), why))
}

impl Answer {
    fn new(reply: &file::Reply, action: Action) -> Result<Self, (String, String)> {
        let given = [
            ("files", reply.files.is_some()),
            ("bytes", reply.bytes),
            ("text", reply.text.is_some()),
            ("vectors", reply.vectors.is_some()),
            ("output", reply.output.is_some()),
        ];
        let wanted: &[&str] = match action {
            Action::ChatCompletion => &["text"],
            Action::EmbeddingQuery => &["vectors"],
            Action::ImageGenerate | Action::AudioSynthesize | Action::VideoRender => &["files", "bytes"],
            _ => &["output"],
        };
        let names: Vec<_> = given.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        let [name] = names[..] else {
            let why = format!("must say where the answer stands, once: by {}", wanted.join(" or "));
            return Err((String::new(), why));
        };
        if !wanted.contains(&name) {
            let why = format!("is no answer to `{action}`; say where it stands by {}", wanted.join(" or "));
            return Err((name.to_owned(), why));
        }
        let strict = |text: &str, key: &str| {
            Json::value(text, Manner::Strict, &READING).map_err(|why| (key.to_owned(), why))
        };
        let optional =
            |text: &Option<String>, key: &str| text.as_deref().map(|text| strict(text, key)).transpose();
        Ok(match (&reply.files, &reply.text, &reply.vectors, &reply.output) {
            (Some(files), ..) => {
                if files.urls.is_some() == files.base64.is_some() {
                    return Err(("files".into(), "keep one of urls and base64".into()));
                }
                Self::Files(Files {
                    urls: optional(&files.urls, "files.urls")?,
                    base64: optional(&files.base64, "files.base64")?,
                    hosts: files.hosts.clone(),
                })
            }
            (_, Some(text), ..) => Self::Text {
                text: strict(text, "text")?,
                finish_reason: optional(&reply.finish_reason, "finish_reason")?,
            },
            (_, _, Some(vectors), _) => Self::Vectors(strict(vectors, "vectors")?),
            (.., Some(output)) => {
                Self::Output(Json::new(output, &READING).map_err(|why| ("output".into(), why))?)
            }
            _ => Self::Bytes,
        })
    }
}

impl Stream {
    fn new(stream: &file::Stream, call: &file::CallFile) -> Result<Self, (String, String)> {
        let wrong = |key: &str, why: &str| Err((key.to_owned(), why.to_owned()));
        if call.action != Action::ChatCompletion {
            return wrong("", "only a chat answer comes in frames");
        }
        match (&stream.url, call.poll.is_some(), call.webhook.is_some()) {
            (None, false, false) if matches!(stream.framing, Framing::TextEvents) => {
                return wrong(
                    "framing",
                    "texts are read of a stream that has a `url`; expected events or lines",
                );
            }
            (None, false, false) | (Some(_), true, _) => {}
            (None, ..) => {
                return wrong("url", "is missing: where does the first reply say that the stream is?");
            }
            (Some(_), false, _) => {
                return wrong("url", "needs a `poll`, which tells how the work that it shows has ended");
            }
        }
        let read = |text: &str, key: &str| {
            Json::value(text, Manner::Lenient, &WATCHING).map_err(|why| (key.to_owned(), why))
        };
        let reasoning = stream.reasoning.as_deref().map(|text| read(text, "reasoning"));
        let url = stream.url.as_deref().map(|text| Json::value(text, Manner::Lenient, &WAITING));
        Ok(Self {
            url: url.transpose().map_err(|why| ("url".to_owned(), why))?,
            hosts: stream.hosts.clone(),
            framing: stream.framing,
            text: read(&stream.text, "text")?,
            reasoning: reasoning.transpose()?,
            finish_reason: read(&stream.finish_reason, "finish_reason")?,
            usage: Counts::new(&stream.usage).map_err(|(key, why)| (format!("usage.{key}"), why))?,
        })
    }
}
