//! Keeps the questions of responses beside their outcomes and for as long, so that clients can retrieve and continue
//! them. An outcome alone does not say what was asked.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use broker::{ErrorKind, ObjectInfo, Objects};
use futures_util::TryStreamExt;
use schemas::{Error, ErrorCode, Outcome, Output, RequestId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::OnceCell;
use tracing::warn;

use super::{create::Echo, input, object};
use crate::{
    app::{App, Shared, overloaded},
    caller::Caller,
    door,
    record::{self, Key, Record},
    refusal,
    room::Share,
};

/// The store of questions; opened on first use.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    objects: OnceCell<Objects>,
    /// Whether the last question could not be kept.
    failing: AtomicBool,
}

/// A question, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Question {
    /// When it was asked, in seconds.
    pub(super) created_at: i64,
    /// The fingerprint of its request: a different one may have come under the same id.
    pub(super) fingerprint: String,
    pub(super) echo: Echo,
    /// The conversation before the answer, without instructions.
    pub(super) messages: Vec<Value>,
}

impl Kept {
    /// Logs a failure to keep questions once, until one is kept again.
    pub(super) fn note(&self, kept: &Result<(), Error>) {
        let failed_before = self.failing.swap(kept.is_err(), Ordering::Relaxed);
        if let Err(error) = kept
            && !failed_before
        {
            warn!(%error, "cannot store responses: clients get them now, but cannot retrieve them later");
        }
    }

    async fn objects(&self, app: &Shared) -> Result<&Objects, Error> {
        let open = || {
            let spec = app.parts.topology.responses.clone();
            Objects::open(Arc::clone(&app.parts.broker), spec, app.parts.seams.clone())
        };
        self.objects.get_or_try_init(open).await.map_err(|error| refusal::of_broker(&error))
    }

    async fn info(&self, app: &Shared, key: &Key) -> Result<Option<ObjectInfo>, Error> {
        match self.objects(app).await?.info(&name(key)).await {
            // Something that is not ours is stored under this name.
            Err(error) if error.kind() == ErrorKind::Invalid => Ok(None),
            info => info.map_err(|error| refusal::of_broker(&error)),
        }
    }

    async fn read(&self, app: &Shared, key: &Key, share: &mut Share) -> Result<Option<Question>, Error> {
        let Some(info) = self.info(app, key).await? else { return Ok(None) };
        let length = usize::try_from(info.bytes()).unwrap_or(usize::MAX);
        if !share.grow(length) {
            return Err(app.spread(app.crowded(door::NO_ROOM)));
        }
        let objects = self.objects(app).await?;
        let mut bytes = Vec::with_capacity(length);
        let mut pieces = objects.read(&info, 0..info.bytes());
        loop {
            match pieces.try_next().await {
                Ok(Some(piece)) => bytes.extend_from_slice(&piece),
                Ok(None) => return Ok(serde_json::from_slice(&bytes).ok()),
                // It was deleted, or expired, just now.
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(refusal::of_broker(&error)),
            }
        }
    }
}

fn name(key: &Key) -> String {
    format!("{}.{}", key.tenant, key.id)
}

/// Keeps a question. On a repeat, replaces it with the one that was kept first.
pub(super) async fn keep(
    app: &Shared,
    key: &Key,
    is_new: bool,
    question: &mut Question,
) -> Result<(), Error> {
    if !is_new
        && let Some(kept) = app.responses.read(app, key, &mut app.room.share()).await?
        && kept.fingerprint == question.fingerprint
    {
        *question = kept;
        return Ok(());
    }
    let bytes = schemas::Format::Json.encode(question)?;
    let objects = app.responses.objects(app).await?;
    let write = async {
        let mut writer = objects.write();
        writer.write(&bytes).await?;
        writer.seal().await?.keep(&name(key), String::new()).await
    };
    write.await.map(drop).map_err(|error| match error.kind() {
        ErrorKind::Full => {
            let why = "there is no room to store a response, so one in the background would be lost; ask without `background`, or ask again later";
            app.spread(overloaded(why))
        }
        _ => refusal::of_broker(&error),
    })
}

/// Forgets a question; `false` if there is none.
pub(super) async fn forget(app: &Shared, key: &Key) -> Result<bool, Error> {
    let Some(info) = app.responses.info(app, key).await? else { return Ok(false) };
    let forgotten = app.responses.objects(app).await?.delete(&info).await;
    forgotten.map(|()| true).map_err(|error| refusal::of_broker(&error))
}

/// Finds a response by its id, and the record of its request.
pub(super) async fn find(
    app: &App,
    caller: &Caller,
    id: &str,
    share: &mut Share,
) -> Result<(Key, Question, Record), Error> {
    let key = key(app, caller, id)?;
    let question = app.responses.read(app, &key, share).await?.ok_or_else(|| unknown(id))?;
    let record = record::find(app, &key).await?;
    let is_other =
        |outcome: &Outcome| !outcome.fingerprint.is_empty() && outcome.fingerprint != question.fingerprint;
    match record {
        Record::Unknown => Err(unknown(id)),
        Record::Ended(outcome) if is_other(&outcome) => Err(unknown(id)),
        record => Ok((key, question, record)),
    }
}

/// The conversation up to the end of a response, which must have succeeded.
pub(super) async fn conversation(
    app: &App,
    caller: &Caller,
    id: &str,
    share: &mut Share,
) -> Result<Vec<Value>, Error> {
    const PARAM: &str = "previous_response_id";
    let (_, question, record) = find(app, caller, id, share).await.map_err(|error| match error.code {
        ErrorCode::NotFound => Error {
            message: format!("{PARAM}: {}; or send the whole conversation as `input`", error.message),
            param: Some(PARAM.into()),
            ..error
        },
        _ => error,
    })?;
    let Record::Ended(outcome) = record else {
        return Err(Error::invalid(PARAM, format!("`{id}` is still under way; wait until it has completed")));
    };
    let Some(Output::Chat(output)) = outcome.output.filter(|_| outcome.status == schemas::Status::Succeeded)
    else {
        let why = format!("`{id}` has no answer to go on from: it {}", outcome.status.as_str());
        return Err(Error::invalid(PARAM, why));
    };
    let mut messages = question.messages;
    messages.push(input::said(&output.text, &output.refusal));
    for call in &output.tool_calls {
        input::called(&mut messages, &call.id, &call.name, &call.arguments);
    }
    Ok(messages)
}

pub(super) fn key(app: &Shared, caller: &Caller, id: &str) -> Result<Key, Error> {
    let request: RequestId = object::request_of(id).ok_or_else(|| unknown(id))?;
    Ok(Key::new(app, caller, request))
}

pub(super) fn unknown(id: &str) -> Error {
    let shown: String = id.escape_debug().take(96).collect();
    let why = format!(
        "no response `{shown}` is kept; responses are kept for a limited time, and only those with `store: true`"
    );
    Error::new(ErrorCode::NotFound, why)
}
