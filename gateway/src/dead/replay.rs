//! Builds what a replay publishes: the parked message on its old subject, or its request under a fresh id.

use broker::{Headers, Message, Publication, message::CONTENT_TYPE, trace};
use bytes::Bytes;
use schemas::{Error, ErrorCode, Format, Request, RequestId, Subjects, Work};
use serde_json::{Value, json};

use super::{UNKNOWN, letter::Letter};

/// What a replay publishes.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) publication: Publication,
    /// The id under which the request runs, if there is one.
    pub(super) id: Option<String>,
    /// Whether that id is new.
    pub(super) fresh: bool,
}

/// The replay of `letter`; `fresh` says that nothing can run again under its id. A letter always yields the same
/// message, so that a client can repeat a replay whose answer was lost.
pub(super) fn of(letter: &Letter, subjects: &Subjects, fresh: bool) -> Result<Replay, Error> {
    if letter.parked.missing_bytes > 0 {
        let why = "the message was too large for its letter, which holds only its beginning; publish the message anew";
        return Err(Error::new(ErrorCode::InvalidRequest, why));
    }
    let subject = &letter.parked.subject;
    let is = |kind| subject.starts_with(subjects.all(kind).trim_end_matches('>'));
    let owner = if is("req") {
        subjects.request_tenant(subject)
    } else if is("cb") {
        subjects.parse_request_key("cb", subject).map(|(tenant, _)| tenant)
    } else if is("work") {
        subject.rsplit('.').next().and_then(|tenant| schemas::Tenant::new(tenant).ok())
    } else {
        let why = format!(
            "a message of `{subject}` cannot be replayed: only requests, their work and callbacks can"
        );
        return Err(Error::new(ErrorCode::InvalidRequest, why));
    };
    if letter.tenant != UNKNOWN && owner.is_none_or(|owner| owner.as_str() != letter.tenant) {
        return Err(Error::new(ErrorCode::Forbidden, format!("`{subject}` is not the tenant's own")));
    }
    if is("req") {
        return request(letter, fresh);
    }
    match letter.format().decode::<Work>(&letter.parked.body) {
        Ok(work) if fresh && is("work") => request_of(letter, work, subjects),
        _ => Ok(as_it_was(letter)),
    }
}

/// The parked message itself.
fn as_it_was(letter: &Letter) -> Replay {
    let body = letter.parked.body.clone();
    Replay {
        publication: publication(letter, body, again(letter)),
        id: Some(letter.id.clone()),
        fresh: false,
    }
}

/// The request, under its own id or a fresh one. The body names the id; if it cannot be read, the message id does.
fn request(letter: &Letter, fresh: bool) -> Result<Replay, Error> {
    if !fresh && letter.tenant == UNKNOWN {
        return Ok(as_it_was(letter));
    }
    let id = if fresh { fresh_id(letter)?.to_string() } else { letter.id.clone() };
    let message_id = if fresh { id.clone() } else { again(letter) };
    let body = named(letter, &id)?;
    Ok(Replay { publication: publication(letter, body, message_id), id: Some(id), fresh })
}

/// The body with this id.
fn named(letter: &Letter, id: &str) -> Result<Bytes, Error> {
    let (format, body) = (letter.format(), &letter.parked.body);
    match format.decode::<Value>(body) {
        Ok(value) if value.get("id").and_then(Value::as_str) == Some(id) => Ok(body.clone()),
        Ok(Value::Object(mut fields)) => {
            fields.insert("id".to_owned(), json!(id));
            format.encode(&fields)
        }
        _ => Ok(body.clone()),
    }
}

/// The request behind a piece of work, under a fresh id.
fn request_of(letter: &Letter, work: Work, subjects: &Subjects) -> Result<Replay, Error> {
    let id = fresh_id(letter)?;
    let format = Format::from(work.format);
    let subject = subjects.request(&work.tenant, work.request.action);
    let request = Request { id: Some(id.clone()), tenant: Some(work.tenant), ..work.request };
    let mut message = Message::new(subject, format, format.encode(&request)?);
    trace::inject(&mut message.headers);
    let publication = Publication { message, id: Some(id.to_string()) };
    Ok(Replay { publication, id: Some(id.to_string()), fresh: true })
}

fn publication(letter: &Letter, payload: Bytes, id: String) -> Publication {
    let mut headers = Headers::new();
    if let Some(content_type) = &letter.parked.content_type {
        headers.set(CONTENT_TYPE, content_type);
    }
    trace::inject(&mut headers);
    let message = Message { subject: letter.parked.subject.clone(), headers, payload };
    Publication { message, id: Some(id) }
}

/// The message id: not the first one, which the broker may still recognise as a duplicate. Its dots keep it from being
/// read as the id of a request.
fn again(letter: &Letter) -> String {
    format!("dead.{}.{}", letter.parked.parked_at.as_millisecond(), letter.sequence)
}

/// The id of a request that runs anew: made of the letter's time and sequence, so that no other letter has it.
fn fresh_id(letter: &Letter) -> Result<RequestId, Error> {
    let made = format!("d{:x}-{}", letter.parked.parked_at.as_millisecond(), letter.sequence);
    RequestId::new(made).map_err(|error| Error::new(ErrorCode::Internal, error.to_string()))
}
