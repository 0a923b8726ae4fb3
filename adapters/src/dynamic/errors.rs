//! Decides what a provider's refusal means: by the rows of its file, then by the table of all providers.

use reqwest::header::HeaderMap;
use schemas::ErrorCode;
use serde_json::{Map, Value, json};

use super::{
    file::{self, Statuses},
    plan::READING,
    template::{Json, Manner, Scope},
};
use crate::{Error, Remedy, endpoint::Endpoint, failure};

/// The rows of a file.
#[derive(Debug)]
pub(super) struct Rows {
    rows: Vec<Row>,
    message: Option<Json>,
    code: Option<Json>,
}

#[derive(Debug)]
struct Row {
    statuses: Vec<u16>,
    when: Option<Json>,
    code: ErrorCode,
    remedy: Remedy,
    says: String,
    quote: bool,
}

/// The parts of a reply that say what it means.
#[derive(Debug)]
pub(super) struct Said<'a> {
    pub(super) status: u16,
    pub(super) headers: &'a HeaderMap,
    /// The body, if there is one and it was read.
    pub(super) body: &'a [u8],
}

impl Rows {
    /// Checks what the file says; the error names the key and why.
    pub(super) fn new(refusal: &file::Refusal, rows: &[file::Row]) -> Result<Self, (String, String)> {
        let lenient = |text: &Option<String>, key: String| {
            let value = text.as_deref().map(|text| Json::value(text, Manner::Lenient, &READING));
            value.transpose().map_err(|why| (key, why))
        };
        let rows = rows.iter().enumerate().map(|(index, row)| {
            let statuses = match &row.status {
                None => Vec::new(),
                Some(Statuses::One(status)) => vec![*status],
                Some(Statuses::Several(statuses)) => statuses.clone(),
            };
            let when = lenient(&row.when, format!("errors[{index}].when"))?;
            if when.is_none() && statuses.is_empty() {
                let why = "fits every refusal; give it a `status` or a `when`";
                return Err((format!("errors[{index}]"), why.to_owned()));
            }
            if when.is_none() && statuses.iter().any(|status| (200..300).contains(status)) {
                let why =
                    "fits every reply with this status, good ones too; say in `when` what marks an error";
                return Err((format!("errors[{index}].status"), why.to_owned()));
            }
            let (code, remedy) = (row.code, row.remedy.into());
            Ok(Row { statuses, when, code, remedy, says: row.says.clone(), quote: row.quote })
        });
        Ok(Self {
            rows: rows.collect::<Result<_, _>>()?,
            message: lenient(&refusal.message, "refusal.message".into())?,
            code: lenient(&refusal.code, "refusal.code".into())?,
        })
    }

    /// The error of a reply whose status is not a success.
    pub(super) fn of_refusal(&self, endpoint: &Endpoint, scope: &Scope, said: &Said<'_>) -> Error {
        self.find(endpoint, scope, said, false).unwrap_or_else(|| {
            // If the file says where message and code are, put them where the table of all providers looks.
            let words = [("message", &self.message), ("code", &self.code)];
            let words: Map<_, _> = words
                .into_iter()
                .filter_map(|(name, place)| Some((name.to_owned(), words_of(place.as_ref()?, scope)?.into())))
                .collect();
            let told = json!({ "error": words }).to_string();
            let body = if words.is_empty() { said.body } else { told.as_bytes() };
            failure::of_status(endpoint, said.status, said.headers, body)
        })
    }

    /// The error in a reply with a success status, if a row says that it is one.
    pub(super) fn in_reply(&self, endpoint: &Endpoint, scope: &Scope, said: &Said<'_>) -> Option<Error> {
        self.find(endpoint, scope, said, true)
    }

    /// The words in which a reply says what went wrong.
    pub(super) fn words(&self, scope: &Scope) -> Option<String> {
        words_of(self.message.as_ref()?, scope)
    }

    fn find(&self, endpoint: &Endpoint, scope: &Scope, said: &Said<'_>, is_good: bool) -> Option<Error> {
        let fits = |row: &&Row| {
            let status = if row.statuses.is_empty() { !is_good } else { row.statuses.contains(&said.status) };
            status && row.when.as_ref().is_none_or(|when| when.render(scope).is_ok_and(|value| truth(&value)))
        };
        let row = self.rows.iter().find(fits)?;
        let words = self.words(scope).filter(|_| row.quote).map(|words| endpoint.quote(&words));
        let message = match words.filter(|words| !words.is_empty()) {
            Some(words) => format!("{}: {words}", row.says),
            None => row.says.clone(),
        };
        let mut error = Error::new(&endpoint.name, row.code, row.remedy, message);
        error.upstream_status = Some(said.status);
        error.retry_after = failure::wish(row.remedy, said.headers, None);
        Some(error)
    }
}

fn words_of(place: &Json, scope: &Scope) -> Option<String> {
    match place.render(scope).ok()? {
        Value::String(text) if !text.trim().is_empty() => Some(text),
        Value::Number(number) => Some(number.to_string()),
        value @ (Value::Array(_) | Value::Object(_)) => Some(value.to_string()),
        _ => None,
    }
}

/// Whether a value is true, as in templates; but the text `false`, which a condition written as text renders, is not.
fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty() && text != "false",
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}
