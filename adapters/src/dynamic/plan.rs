//! How one kind of work is done, compiled: what is asked, how it is waited for, and where in the replies things stand.

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
/// What a poll's and a result's templates see: the reply to the request too.
const WAITING: [&str; 6] = ["payload", "model", "variables", "id", "seconds_left", "submitted"];
/// What the templates that read a reply see.
pub(super) const READING: [&str; 9] =
    ["payload", "model", "variables", "id", "seconds_left", "submitted", "reply", "status", "headers"];

/// A poll is no faster than this: it costs calls, and nothing that is polled for is done sooner.
const EVERY_MS_MIN: u64 = 50;
/// Nor slower: an engine takes longer silence for a stall.
const EVERY_MS_MAX: u64 = 20_000;

/// How one kind of work is done.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) action: Action,
    pub(super) request: request::Template,
    pub(super) poll: Option<Poll>,
    pub(super) result: Option<request::Template>,
    pub(super) answer: Answer,
    pub(super) stream: Option<Stream>,
    pub(super) details: Option<Json>,
    pub(super) model: Option<Json>,
    pub(super) usage: Counts,
}

impl Plan {
    /// The model that answers, where the reply says it.
    pub(super) fn model_in(&self, scope: &Scope) -> Option<String> {
        match self.model.as_ref()?.render(scope).ok()? {
            Value::String(model) if !model.is_empty() => Some(model),
            _ => None,
        }
    }
}

/// How the end of the work is waited for.
#[derive(Debug)]
pub(super) struct Poll {
    pub(super) request: request::Template,
    pub(super) state: Json,
    pub(super) pending: Vec<String>,
    pub(super) done: Vec<String>,
    pub(super) failed: Vec<String>,
    pub(super) fraction: Option<Json>,
    pub(super) message: Option<Json>,
    pub(super) every: Duration,
}

/// Where in the reply stands what was asked for.
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
        if let Some(wait) = &call.wait {
            let why = match wait.as_str() {
                "webhook" => "waiting for a webhook is not supported; ask for the state with `poll`",
                _ => "there is no such way to wait; ask for the state with `poll`",
            };
            return Err(("wait".into(), why.into()));
        }
        let answer = Answer::new(&call.reply, call.action).map_err(below("reply"))?;
        let is_first = call.poll.is_none();
        let accept = if is_first && matches!(answer, Answer::Bytes) { "*/*" } else { "application/json" };
        let request = request::Template::new(&call.request, accept, &ASKING).map_err(below("request"))?;
        let poll = call.poll.as_ref().map(Poll::new).transpose().map_err(below("poll"))?;
        let result = call.result.as_ref().map(|request| request::Template::new(request, "*/*", &WAITING));
        let result = result.transpose().map_err(below("result"))?;
        if result.is_some() && poll.is_none() {
            return Err(("result".into(), "is asked for after a poll; there is no `poll`".into()));
        }
        if matches!(answer, Answer::Bytes) && poll.is_some() && result.is_none() {
            let why = "the reply to a poll is JSON; add a `result` whose reply is the file, or read `files`";
            return Err(("reply.bytes".into(), why.into()));
        }
        let stream = call.stream.as_ref().map(Stream::new).transpose().map_err(below("stream"))?;
        if stream.is_some() && (poll.is_some() || call.action != Action::ChatCompletion) {
            return Err(("stream".into(), "only a chat answer without a poll comes in frames".into()));
        }
        let lenient = |text: &Option<String>, key: &str| {
            let value = text.as_deref().map(|text| Json::value(text, Manner::Lenient, &READING));
            value.transpose().map_err(|why| (key.to_owned(), why))
        };
        let details = call.reply.details.as_ref().map(|details| Json::new(details, &READING));
        Ok(Self {
            action: call.action,
            request,
            poll,
            result,
            answer,
            stream,
            details: details.transpose().map_err(|why| ("reply.details".into(), why))?,
            model: lenient(&call.reply.model, "reply.model")?,
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
        let optional = |text: &Option<String>, key: &str| {
            let value = text.as_deref().map(|text| Json::value(text, Manner::Lenient, &READING));
            value.transpose().map_err(|why| (key.to_owned(), why))
        };
        if !(EVERY_MS_MIN..=EVERY_MS_MAX).contains(&poll.every_ms) {
            let why = format!("{} is not between {EVERY_MS_MIN} and {EVERY_MS_MAX}", poll.every_ms);
            return Err(("every_ms".into(), why));
        }
        if poll.done.is_empty() {
            return Err(("done".into(), "names no state; without one the work would never end".into()));
        }
        Ok(Self {
            request: request::Template::new(&get, "application/json", &WAITING)?,
            state: Json::value(&poll.state, Manner::Lenient, &READING)
                .map_err(|why| ("state".into(), why))?,
            pending: poll.pending.clone(),
            done: poll.done.clone(),
            failed: poll.failed.clone(),
            fraction: optional(&poll.fraction, "fraction")?,
            message: optional(&poll.message, "message")?,
            every: Duration::from_millis(poll.every_ms),
        })
    }
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
    fn new(stream: &file::Stream) -> Result<Self, (String, String)> {
        let lenient = |text: &str, key: &str| {
            Json::value(text, Manner::Lenient, &READING).map_err(|why| (key.to_owned(), why))
        };
        let reasoning = stream.reasoning.as_deref().map(|text| lenient(text, "reasoning"));
        Ok(Self {
            framing: stream.framing,
            text: lenient(&stream.text, "text")?,
            reasoning: reasoning.transpose()?,
            finish_reason: lenient(&stream.finish_reason, "finish_reason")?,
            usage: Counts::new(&stream.usage).map_err(|(key, why)| (format!("usage.{key}"), why))?,
        })
    }
}
