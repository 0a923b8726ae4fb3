//! `/v1/feedback`: takes clients' ratings of answers. Keeps a rating beside the outcome and for as long; the last
//! rating of a request replaces earlier ones, and the first one counts.

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use broker::{Bucket, ErrorKind};
use jiff::Timestamp;
use schemars::JsonSchema;
use schemas::{Action, Error, ErrorCode, Format, Outcome, RequestId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{
    app::{App, Shared, overloaded},
    caller::Caller,
    door::{self, Entry, Named, Path},
    record::{self, Key, Record},
    refusal::{self, Refusal},
};

/// A rating is small.
const BODY_BYTES_MAX: usize = 32 * 1024;
/// The longest comment, in bytes.
const COMMENT_BYTES_MAX: usize = 8 * 1024;
/// The most labels, and the longest, in bytes.
const LABELS_MAX: usize = 16;
const LABEL_BYTES_MAX: usize = 64;
/// The prefixes with which doors make the id of an answer from that of its request.
const PREFIXES: [&str; 3] = ["chatcmpl-", "resp_", "msg_"];
/// How often the gateway tries to write a rating that collides with another of the same request.
const WRITE_TRIES: u32 = 4;

/// A rating, as the client sends it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Feedback")]
pub(crate) struct Said {
    /// The request, or its answer as a door calls it (`chatcmpl-…`, `resp_…`, `msg_…`).
    id: String,
    /// `up`, `down`, or a number from -1, bad, to 1, good.
    rating: Value,
    /// The reason for the rating.
    #[serde(default)]
    comment: Option<String>,
    /// Words by which to sort the rating.
    #[serde(default)]
    labels: Option<Vec<String>>,
}

/// A rating, as it is stored and returned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Rating {
    /// The id of the request.
    id: RequestId,
    /// From -1, bad, to 1, good.
    rating: f64,
    /// The reason for the rating.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    /// Words by which to sort the rating.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
    /// When the rating was given.
    at: Timestamp,
    /// The action of the request.
    action: Action,
    /// The provider that answered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    /// The model that answered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
}

/// The bucket of ratings; opened when it is first needed.
#[derive(Debug, Default)]
pub(crate) struct Ratings(OnceCell<Box<dyn Bucket>>);

impl Ratings {
    async fn bucket(&self, app: &Shared) -> Result<&dyn Bucket, Error> {
        let open = || app.broker().bucket(&app.parts.topology.feedback);
        let bucket = self.0.get_or_try_init(open).await.map_err(|error| refusal::of_broker(&error))?;
        Ok(&**bucket)
    }
}

/// `POST /v1/feedback` → the rating as it is kept.
pub(crate) async fn create(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (body, _share) = door::read_body_within(&app, body, BODY_BYTES_MAX).await?;
    let said: Said = door::body_format(&headers, &body)?.decode(&body)?;
    let score = score(&said.rating)?;
    let (comment, labels) = (said.comment.filter(|text| !text.is_empty()), said.labels.unwrap_or_default());
    check(comment.as_deref(), &labels)?;
    let (key, outcome) = ended(&app, &entry.caller, &said.id).await?;
    let rating = Rating {
        id: key.id.clone(),
        rating: score,
        comment,
        labels,
        at: app.broker().now(),
        action: outcome.action,
        provider: outcome.provider,
        model: outcome.model,
    };
    if store(&app, &key, &rating).await? {
        app.meters.rated(&model_label(&app, rating.model.as_deref()), name_of(score));
    }
    Ok(answer(&key, rating))
}

/// `GET /v1/feedback/{id}`.
pub(crate) async fn get(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    for id in ids(&id)? {
        let key = Key::new(&app, &entry.caller, id);
        if let Some((rating, _)) = read(&app, &key).await? {
            return Ok(answer(&key, rating));
        }
    }
    let why = format!("there is no rating of `{}`; POST /v1/feedback creates one", id.escape_debug());
    Err(Error::new(ErrorCode::NotFound, why).into())
}

fn answer(key: &Key, rating: Rating) -> Response {
    let mut response = Json(rating).into_response();
    response.extensions_mut().insert(Named(key.id.clone()));
    response
}

/// Stores `rating`; returns whether it is the first of its request.
async fn store(app: &Shared, key: &Key, rating: &Rating) -> Result<bool, Error> {
    let (bucket, name, value) = (app.ratings.bucket(app).await?, name(key), Format::Json.encode(rating)?);
    for _ in 0..WRITE_TRIES {
        let written = match read(app, key).await? {
            Some((_, revision)) => bucket.update(&name, value.clone(), revision).await.map(|_| false),
            None => bucket.create(&name, value.clone()).await.map(|_| true),
        };
        match written {
            // Another rating of the same request came in between.
            Err(error) if matches!(error.kind(), ErrorKind::Exists | ErrorKind::WrongRevision) => {}
            written => return written.map_err(|error| refusal::of_broker(&error)),
        }
    }
    Err(app.spread(overloaded("too many ratings of this request came at once; send yours again")))
}

async fn read(app: &Shared, key: &Key) -> Result<Option<(Rating, u64)>, Error> {
    let kept = app.ratings.bucket(app).await?.get(&name(key)).await;
    let Some((bytes, revision)) = kept.map_err(|error| refusal::of_broker(&error))? else { return Ok(None) };
    Ok(Some((Format::Json.decode(&bytes)?, revision)))
}

fn name(key: &Key) -> String {
    format!("{}.{}", key.tenant, key.id)
}

/// The ended request with this id, and its outcome.
async fn ended(app: &Shared, caller: &Caller, id: &str) -> Result<(Key, Outcome), Error> {
    let mut first = None;
    for id in ids(id)? {
        let key = Key::new(app, caller, id);
        match record::find(app, &key).await? {
            Record::Ended(outcome) => return Ok((key, *outcome)),
            Record::Unknown => {
                first.get_or_insert_with(|| record::unknown(&key.id));
            }
            Record::Running | Record::Queued => {
                let why = format!("the request `{}` has not ended; rate its answer when it is there", key.id);
                return Err(Error { param: Some("id".into()), ..Error::new(ErrorCode::Conflict, why) });
            }
        }
    }
    Err(first.unwrap_or_else(|| Error::invalid("id", "expected the id of a request")))
}

/// Which requests an id may mean: itself, or what follows the prefix of an answer's id.
fn ids(text: &str) -> Result<Vec<RequestId>, Error> {
    let inner = PREFIXES.iter().filter_map(|prefix| text.strip_prefix(prefix));
    let ids: Vec<_> =
        std::iter::once(text).chain(inner).filter_map(|text| RequestId::new(text).ok()).collect();
    match ids.is_empty() {
        true => Err(Error::invalid(
            "id",
            "expected the id of a request: letters, digits, `-` and `_`, at most 64",
        )),
        false => Ok(ids),
    }
}

/// A rating as a number.
fn score(rating: &Value) -> Result<f64, Error> {
    let score = match rating.as_str() {
        Some("up") => Some(1.0),
        Some("down") => Some(-1.0),
        Some(_) => None,
        None => rating.as_f64().filter(|score| (-1.0..=1.0).contains(score)),
    };
    score.ok_or_else(|| Error::invalid("rating", "expected \"up\", \"down\" or a number from -1 to 1"))
}

const fn name_of(score: f64) -> &'static str {
    match score {
        score if score > 0.0 => "up",
        score if score < 0.0 => "down",
        _ => "neutral",
    }
}

fn check(comment: Option<&str>, labels: &[String]) -> Result<(), Error> {
    if comment.is_some_and(|text| text.len() > COMMENT_BYTES_MAX) {
        return Err(Error::invalid("comment", format!("is longer than {COMMENT_BYTES_MAX} bytes")));
    }
    if labels.len() > LABELS_MAX {
        return Err(Error::invalid("labels", format!("at most {LABELS_MAX} are kept")));
    }
    let is_unfit = |label: &String| label.is_empty() || label.len() > LABEL_BYTES_MAX;
    match labels.iter().position(is_unfit) {
        Some(index) => {
            Err(Error::invalid(format!("labels[{index}]"), format!("expected 1 to {LABEL_BYTES_MAX} bytes")))
        }
        None => Ok(()),
    }
}

/// The model under which a rating is counted: one that is served now, or `other`, which keeps the labels bounded.
fn model_label(app: &Shared, model: Option<&str>) -> String {
    let served = app.parts.catalogue.now();
    let known = model.filter(|model| served.models().iter().any(|served| served.id == *model));
    known.unwrap_or("other").to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rating_is_a_word_or_a_number_within_bounds() {
        for (rating, expected, counted) in [
            (json!("up"), 1.0, "up"),
            (json!("down"), -1.0, "down"),
            (json!(0), 0.0, "neutral"),
            (json!(0.25), 0.25, "up"),
            (json!(-1), -1.0, "down"),
        ] {
            let score = score(&rating).unwrap();
            assert_eq!((score, name_of(score)), (expected, counted));
        }
        for unfit in [json!("good"), json!(1.1), json!(-2), json!(null), json!([1])] {
            assert_eq!(score(&unfit).unwrap_err().param.as_deref(), Some("rating"), "{unfit}");
        }
    }

    #[test]
    fn an_id_is_that_of_a_request_or_of_an_answer() {
        let of = |text: &str| ids(text).map(|ids| ids.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(of("r1").unwrap(), ["r1"]);
        assert_eq!(of("chatcmpl-r1").unwrap(), ["chatcmpl-r1", "r1"]);
        let longest = "r".repeat(64);
        assert_eq!(of(&format!("resp_{longest}")).unwrap(), [longest]);
        assert_eq!(of("a.b").unwrap_err().param.as_deref(), Some("id"));
    }

    #[test]
    fn comments_and_labels_are_bounded() {
        let param =
            |comment: Option<&str>, labels: &[String]| check(comment, labels).unwrap_err().param.unwrap();
        assert!(check(Some("fine"), &["tone".into()]).is_ok());
        assert_eq!(param(Some(&"x".repeat(COMMENT_BYTES_MAX + 1)), &[]), "comment");
        assert_eq!(param(None, &vec!["x".into(); LABELS_MAX + 1]), "labels");
        assert_eq!(param(None, &["ok".into(), "x".repeat(LABEL_BYTES_MAX + 1)]), "labels[1]");
    }
}
