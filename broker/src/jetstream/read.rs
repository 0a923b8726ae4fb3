//! Reads a stream back without a consumer: it leaves nothing behind at the broker, and a page costs one round trip.

use std::{collections::VecDeque, sync::Arc};

use async_nats::StatusCode;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    api::{self, ANSWER_MAX},
    connection::Connection,
    streams, wire,
};
use crate::{Error, ErrorKind, Replay, Stored};

/// Messages per page: far fewer than a subscription holds.
const PAGE_MESSAGES: usize = 256;
/// Bytes per page, so that large messages do not fill the memory.
const PAGE_BYTES: usize = 16 << 20;

/// The last message of `stream` on exactly `subject`.
pub(super) async fn last(
    connection: &Connection,
    stream: &str,
    subject: &str,
) -> Result<Option<Stored>, Error> {
    get(connection, stream, &json!({ "last_by_subj": subject })).await
}

/// The first message of `stream` on exactly `subject`, from `from` on.
pub(super) async fn next(
    connection: &Connection,
    stream: &str,
    subject: &str,
    from: u64,
) -> Result<Option<Stored>, Error> {
    get(connection, stream, &json!({ "seq": from.max(1), "next_by_subj": subject })).await
}

/// The sequence of the first message of `stream` that matches `pattern` and was stored at `since` or later.
pub(super) async fn first_since(
    connection: &Connection,
    stream: &str,
    pattern: &str,
    since: Timestamp,
) -> Result<Option<u64>, Error> {
    let question = json!({ "start_time": since, "next_by_subj": pattern });
    Ok(get(connection, stream, &question).await?.map(|stored| stored.sequence))
}

async fn get(connection: &Connection, stream: &str, question: &Value) -> Result<Option<Stored>, Error> {
    let question = question.to_string();
    let api = format!("$JS.API.DIRECT.GET.{stream}");
    connection.must_be_up()?;
    let answer = connection
        .requests()
        .ask(&api, None, question.into(), ANSWER_MAX)
        .await
        .map_err(no_stream(stream))?;
    match answer.status {
        None => wire::stored(answer).map(Some),
        Some(StatusCode::NOT_FOUND) => Ok(None),
        Some(status) => Err(refused(stream, status)),
    }
}

/// Removes one message.
pub(super) async fn remove(connection: &Connection, stream: &str, sequence: u64) -> Result<(), Error> {
    let question = json!({ "seq": sequence, "no_erase": true });
    api::call::<Value>(connection, &format!("STREAM.MSG.DELETE.{stream}"), &question).await.map(drop)
}

/// Removes the oldest messages. A purge goes up to a sequence, so with gaps it removes fewer than `count`.
pub(super) async fn trim(connection: &Connection, stream: &str, count: u64) -> Result<(), Error> {
    let state = streams::info(connection, stream).await?.state;
    // Beyond the end a purge would skip sequences.
    let up_to = state.first_seq.saturating_add(count).min(state.last_seq.saturating_add(1));
    let question = json!({ "seq": up_to });
    api::call::<Value>(connection, &format!("STREAM.PURGE.{stream}"), &question).await.map(drop)
}

/// Removes every message on `subject`.
pub(super) async fn purge(connection: &Connection, stream: &str, subject: &str) -> Result<(), Error> {
    let question = json!({ "filter": subject });
    api::call::<Value>(connection, &format!("STREAM.PURGE.{stream}"), &question).await.map(drop)
}

/// The messages from `from` on that match `pattern`, up to the stream's current end.
pub(super) async fn replay(
    connection: &Arc<Connection>,
    stream: &str,
    pattern: &str,
    from: u64,
) -> Result<Replay, Error> {
    let end = streams::info(connection, stream).await?.state.last_seq;
    let reader = Reader {
        connection: Arc::clone(connection),
        stream: stream.to_owned(),
        pattern: pattern.to_owned(),
        next: from.max(1),
        end,
        page: VecDeque::new(),
    };
    Ok(stream::try_unfold(reader, |mut reader| async move {
        let stored = reader.next().await?;
        Ok(stored.map(|stored| (stored, reader)))
    })
    .boxed())
}

struct Reader {
    connection: Arc<Connection>,
    stream: String,
    pattern: String,
    /// The sequence at which the next page starts; past `end` there is none.
    next: u64,
    end: u64,
    page: VecDeque<Stored>,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Stored>, Error> {
        if self.page.is_empty() && self.next <= self.end {
            self.page = self.read_page().await?;
            self.next = self.page.back().map_or(u64::MAX, |stored| stored.sequence + 1);
        }
        Ok(self.page.pop_front().filter(|stored| stored.sequence <= self.end))
    }

    /// Reads one page; empty at the end. It comes as separate messages, the last one without content.
    async fn read_page(&self) -> Result<VecDeque<Stored>, Error> {
        let Self { connection, stream, pattern, next, .. } = self;
        let inbox = connection.client().new_inbox();
        let mut answers = connection.listen(&inbox).await?;
        let question =
            json!({ "seq": next, "next_by_subj": pattern, "batch": PAGE_MESSAGES, "max_bytes": PAGE_BYTES });
        let api = format!("$JS.API.DIRECT.GET.{stream}");
        connection.must_be_up()?;
        connection.tell(&api, Some(inbox), None, question.to_string().into()).await?;
        let mut page = VecDeque::new();
        loop {
            let answer = timeout(ANSWER_MAX, answers.next()).await.map_err(|_| {
                Error::new(ErrorKind::Timeout, format!("stream {stream} gave no page from {next} in time"))
            })?;
            let Some(answer) = answer else {
                return Err(Error::new(
                    ErrorKind::Closed,
                    format!("the connection ended reading stream {stream}"),
                ));
            };
            match answer.status.map(|status| status.as_u16()) {
                None => page.push_back(wire::stored(answer)?),
                // The end of the page, or nothing at all.
                Some(204 | 404) => return Ok(page),
                Some(503) => return Err(no_stream(stream)(Error::new(ErrorKind::NotFound, ""))),
                Some(_) => return Err(refused(stream, answer.status.unwrap_or_default())),
            }
        }
    }
}

/// Nobody answers for a stream that does not exist or does not allow direct reads.
fn no_stream(stream: &str) -> impl Fn(Error) -> Error {
    move |error| match error.kind() {
        ErrorKind::NotFound => {
            Error::new(ErrorKind::NotFound, format!("there is no stream {stream} that can be read directly"))
        }
        _ => error,
    }
}

fn refused(stream: &str, status: StatusCode) -> Error {
    Error::new(ErrorKind::Invalid, format!("stream {stream} cannot be read so (status {status})"))
}
