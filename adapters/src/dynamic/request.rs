//! Makes requests from the templates of a provider file: method, path, query, headers and body.

use reqwest::{
    Method, RequestBuilder, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde_json::Value;

use super::{
    file,
    template::{Json, Manner, Scope, Text},
};
use crate::endpoint::Endpoint;

pub(super) mod part;

use part::Part;

/// Headers that the connection or the engine sets.
const OWN_HEADERS: [&str; 7] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "content-type",
    "idempotency-key",
    "traceparent",
];

/// The templates of a request.
#[derive(Debug)]
pub(super) struct Template {
    method: Method,
    path: Text,
    query: Json,
    headers: Vec<(HeaderName, Json)>,
    body: BodyTemplate,
}

#[derive(Debug)]
enum BodyTemplate {
    None,
    Json(Json),
    Form(Json),
    Multipart(Json),
}

/// A rendered request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

/// Its body.
#[derive(Debug)]
pub(super) enum Body {
    None,
    Json(Value),
    Form(Vec<(String, String)>),
    Multipart(Vec<(String, Part)>),
}

/// A part of a provider file that is wrong: the key below the request, and why.
pub(super) type Wrong = (String, String);

impl Template {
    /// Checks what the file says. `accept` is the default for the header of that name.
    pub(super) fn new(request: &file::Request, accept: &str, known: &[&str]) -> Result<Self, Wrong> {
        let wrong = |key: &str| {
            let key = key.to_owned();
            move |why: String| (key.clone(), why)
        };
        let method = request.method.as_deref().unwrap_or("POST");
        let method = match method {
            "GET" | "POST" | "PUT" | "PATCH" | "DELETE" => Method::from_bytes(method.as_bytes()).ok(),
            _ => None,
        };
        let method =
            method.ok_or_else(|| wrong("method")("expected GET, POST, PUT, PATCH or DELETE".into()))?;
        let path = path(&request.path, known).map_err(wrong("path"))?;
        let query = json_map(&request.query, known).map_err(wrong("query"))?;
        let mut headers =
            vec![(ACCEPT, Json::value(accept, Manner::Strict, known).map_err(wrong("headers"))?)];
        for (name, text) in &request.headers {
            let key = format!("headers.{name}");
            let header = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| wrong(&key)("is not the name of a header".into()))?;
            if OWN_HEADERS.contains(&header.as_str()) {
                return Err(wrong(&key)("is set by dynode itself; remove it".into()));
            }
            headers.retain(|(have, _)| *have != header);
            headers.push((header, Json::value(text, Manner::Strict, known).map_err(wrong(&key))?));
        }
        let body = body(request, known)?;
        if method == Method::GET && !matches!(body, BodyTemplate::None) {
            return Err(wrong("method")("a GET has no body; remove it, or choose POST".into()));
        }
        Ok(Self { method, path, query, headers, body })
    }

    /// The request, rendered with `scope`.
    pub(super) fn render(&self, endpoint: &Endpoint, scope: &Scope) -> Result<Request, String> {
        let path = self.path.render(scope).map_err(|why| format!("path: {why}"))?;
        let mut url = endpoint.url(checked_path(path.trim())?);
        let query = self.query.render(scope).map_err(|why| format!("query: {why}"))?;
        let pairs = part::pairs(&query).map_err(|why| format!("query: {why}"))?;
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        let mut headers = HeaderMap::new();
        for (name, template) in &self.headers {
            let wrong = |why: &str| format!("headers.{name}: {why}");
            let text = match template.render(scope).map_err(|why| wrong(&why))? {
                Value::Null => continue,
                Value::String(text) => text,
                other => other.to_string(),
            };
            let value = HeaderValue::from_str(text.trim());
            headers.insert(name.clone(), value.map_err(|_| wrong("a header cannot carry this"))?);
        }
        Ok(Request { method: self.method.clone(), url, headers, body: self.body.render(scope)? })
    }
}

impl BodyTemplate {
    fn render(&self, scope: &Scope) -> Result<Body, String> {
        let rendered = |name: &str, json: &Json| json.render(scope).map_err(|why| format!("{name}.{why}"));
        Ok(match self {
            Self::None => Body::None,
            Self::Json(json) => Body::Json(rendered("json", json)?),
            Self::Form(json) => {
                Body::Form(part::pairs(&rendered("form", json)?).map_err(|why| format!("form.{why}"))?)
            }
            Self::Multipart(json) => Body::Multipart(
                part::parts(&rendered("multipart", json)?).map_err(|why| format!("multipart.{why}"))?,
            ),
        })
    }
}

impl Request {
    /// The request for the HTTP client, with this key and the headers of every call.
    pub(super) fn build(self, endpoint: &Endpoint, key: usize) -> Result<RequestBuilder, String> {
        let request = endpoint.request(self.method, self.url, key).headers(self.headers);
        Ok(match self.body {
            Body::None => request,
            Body::Json(value) => request.header(CONTENT_TYPE, "application/json").body(value.to_string()),
            Body::Form(pairs) => request.form(&pairs),
            Body::Multipart(parts) => request.multipart(part::form(parts)?),
        })
    }
}

fn path(source: &str, known: &[&str]) -> Result<Text, String> {
    if source.starts_with('/') {
        return Err("must begin without a slash; it is put behind base_url".to_owned());
    }
    Text::path(source, known)
}

/// Refuses a path that leaves the place that the file names: no value in a request may choose another one.
fn checked_path(path: &str) -> Result<&str, String> {
    let leaves =
        |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    let strange = |c: char| !c.is_ascii_graphic() || matches!(c, '?' | '#' | '\\' | '<' | '>' | '"');
    if path.contains(strange) || path.split('/').any(leaves) || path.starts_with('/') {
        return Err("path: a value in it would lead elsewhere".to_owned());
    }
    Ok(path)
}

fn json_map<'a>(
    members: impl IntoIterator<Item = (&'a String, &'a Value)>,
    known: &[&str],
) -> Result<Json, String> {
    let members = members.into_iter().map(|(key, value)| (key.clone(), value.clone()));
    Json::new(&Value::Object(members.collect()), known)
}

fn body(request: &file::Request, known: &[&str]) -> Result<BodyTemplate, Wrong> {
    let at = |key: &'static str| move |why: String| (key.to_owned(), why);
    match (&request.json, &request.form, &request.multipart) {
        (None, None, None) => Ok(BodyTemplate::None),
        (Some(json), None, None) => Json::new(json, known).map(BodyTemplate::Json).map_err(at("json")),
        (None, Some(form), None) => json_map(form, known).map(BodyTemplate::Form).map_err(at("form")),
        (None, None, Some(parts)) => {
            json_map(parts, known).map(BodyTemplate::Multipart).map_err(at("multipart"))
        }
        _ => Err((String::new(), "has more than one body; keep one of json, form and multipart".to_owned())),
    }
}

#[cfg(test)]
mod tests;
