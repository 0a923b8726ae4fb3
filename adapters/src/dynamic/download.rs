//! Takes the files of a reply: in base64, or from URLs, fetched at once since those expire. Within limits, only from
//! known hosts, and with our key only at the API's own.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, RequestBuilder, Response, Url, header::CONTENT_TYPE};
use schemas::ErrorCode;
use serde_json::Value;
use tokio::time::sleep;

use super::{job::Job, outlet::Outlet, plan::Files, request::part, template::Scope};
use crate::{Error, FilePiece, Progress, Remedy, files, http};

/// How often to request a file whose host fails for a moment: what was made is paid for.
const TRIES: u32 = 3;

/// The pause between two tries, times the number of tries so far.
const PAUSE: Duration = Duration::from_millis(500);

/// The media types that a server sends for bytes that it knows nothing about.
const UNKNOWN_TYPES: [&str; 2] = ["application/octet-stream", "binary/octet-stream"];

/// The media types that are never a generated file, whatever the server says.
const PAGES: [&str; 3] = ["text/html", "application/json", "application/problem+json"];

impl Job {
    /// Passes on every file that a reply names, and returns how many there are.
    pub(super) async fn files(&self, files: &Files, scope: &Scope, outlet: &Outlet) -> Result<u64, Error> {
        let places = files.urls.as_ref().or(files.base64.as_ref());
        let found = places.map(|place| place.render(scope)).transpose();
        let found = found.map_err(|why| {
            self.provider.nonsense(&format!("sent a reply in which no files can be found: {why}"))
        })?;
        let found = texts(found.unwrap_or_default());
        let limit = self.provider.program.limits.files;
        match u32::try_from(found.len()) {
            Ok(0) => return Err(self.provider.nonsense("sent no file")),
            Ok(count) if count <= limit => {}
            _ => return Err(self.too_much(&format!("sent {} files; the limit is {limit}", found.len()))),
        }
        for (index, text) in (0..).zip(&found) {
            if files.base64.is_some() || text.starts_with("data:") {
                self.decoded(text, index, outlet).await?;
            } else {
                let response = self.fetch(text, &files.hosts).await?;
                self.download(response, index, outlet).await?;
            }
        }
        Ok(found.len() as u64)
    }

    /// Passes on a file that is inside the reply.
    async fn decoded(&self, text: &str, file: u32, outlet: &Outlet) -> Result<(), Error> {
        let (bytes, media_type) =
            part::bytes(text).map_err(|why| self.provider.nonsense(&format!("sent a file that {why}")))?;
        if bytes.is_empty() {
            return Err(self.provider.nonsense("sent an empty file"));
        }
        self.within_limit(bytes.len() as u64)?;
        let media_type = media_type.or_else(|| sniffed(&bytes));
        outlet.give(files::whole(file, media_type, bytes.into())).await;
        Ok(())
    }

    /// The request for a URL: with our key at the API's own origin, without it at the hosts that the file names.
    pub(super) fn get(&self, url: &str, hosts: &[String]) -> Result<RequestBuilder, Error> {
        let endpoint = &self.provider.endpoint;
        let url = Url::parse(url)
            .map_err(|error| self.provider.nonsense(&format!("sent what is no URL: {error}")))?;
        let ours = endpoint.is_ours(&url);
        if !ours && !is_known(&url, hosts, endpoint.is_plain()) {
            let host = url.host_str().unwrap_or_default();
            let why = format!(
                "made something at `{}://{host}`, where its file allows nothing (`hosts`)",
                url.scheme()
            );
            return Err(Error::new(
                &endpoint.name,
                ErrorCode::ProviderError,
                Remedy::FallBack,
                endpoint.quote(&why),
            ));
        }
        if ours { Ok(endpoint.request(Method::GET, url, self.call.key)) } else { endpoint.bare(url) }
    }

    /// Requests the file at a URL.
    async fn fetch(&self, url: &str, hosts: &[String]) -> Result<Response, Error> {
        let endpoint = &self.provider.endpoint;
        let mut tries = 1;
        loop {
            let request = self.get(url, hosts)?;
            let error = match endpoint.exchange_plain(request, self.call.deadline).await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => self.gone(response.status().as_u16()),
                Err(error) => error,
            };
            if error.remedy != Remedy::Retry || tries == TRIES {
                return Err(error);
            }
            sleep(PAUSE * tries).await;
            tries += 1;
        }
    }

    fn gone(&self, status: u16) -> Error {
        let (remedy, code, what) = match status {
            300..=399 => {
                (Remedy::FallBack, ErrorCode::ProviderError, "moved, and redirects are not followed")
            }
            401 | 403 | 404 | 410 => {
                (Remedy::FallBack, ErrorCode::ProviderError, "is not there, or not any more")
            }
            429 | 500.. => (Remedy::Retry, ErrorCode::ProviderUnavailable, "could not be had now"),
            _ => (Remedy::FallBack, ErrorCode::ProviderError, "could not be had"),
        };
        let why = format!("made a file that {what} (status {status})");
        let mut error = Error::new(&self.provider.endpoint.name, code, remedy, why);
        error.upstream_status = Some(status);
        error
    }

    /// Passes a body on as a file, piece by piece as it arrives.
    pub(super) async fn download(
        &self,
        mut response: Response,
        file: u32,
        outlet: &Outlet,
    ) -> Result<(), Error> {
        self.within_limit(response.content_length().unwrap_or(0))?;
        let told = media_type(&response);
        if told.as_deref().is_some_and(|told| PAGES.contains(&told)) {
            let told = told.unwrap_or_default();
            return Err(self.provider.nonsense(&format!("sent `{told}` where a file was expected")));
        }
        let mut told = told.filter(|told| !UNKNOWN_TYPES.contains(&told.as_str()));
        // Hold one piece back, since only the next one tells whether it is the last.
        let (mut held, mut length, mut first) = (None::<Bytes>, 0, true);
        loop {
            let chunk = response.chunk().await.map_err(|error| {
                http::unreadable(&self.provider.endpoint.name, http::ReadError::Broken(error.without_url()))
            })?;
            if chunk.as_ref().is_some_and(Bytes::is_empty) {
                continue;
            }
            let is_last = chunk.is_none();
            length += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
            self.within_limit(length)?;
            match std::mem::replace(&mut held, chunk) {
                Some(bytes) => {
                    let media_type = if std::mem::take(&mut first) {
                        told.take().or_else(|| sniffed(&bytes))
                    } else {
                        None
                    };
                    outlet.give(Progress::File(FilePiece { file, media_type, bytes, is_last })).await;
                }
                None if is_last => return Err(self.provider.nonsense("sent an empty file")),
                None => {}
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn within_limit(&self, length: u64) -> Result<(), Error> {
        let limit = self.provider.program.limits.file_bytes;
        if length <= limit {
            Ok(())
        } else {
            Err(self.too_much(&format!("sent a file over the limit of {limit} bytes")))
        }
    }

    fn too_much(&self, why: &str) -> Error {
        Error::new(&self.provider.endpoint.name, ErrorCode::ProviderError, Remedy::FallBack, why)
    }
}

/// Whether Dynode may fetch `url`: from a host that the file names, or a subdomain, and over TLS, unless the API itself
/// is reached without.
fn is_known(url: &Url, hosts: &[String], is_plain: bool) -> bool {
    let secure = url.scheme() == "https" || (is_plain && url.scheme() == "http");
    let Some(host) = url.host_str() else { return false };
    let below = |known: &String| {
        host.strip_suffix(known.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    secure && url.username().is_empty() && hosts.iter().any(below)
}

fn texts(value: Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.into_iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

fn media_type(response: &Response) -> Option<String> {
    let told = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    let told = told.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    (!told.is_empty()).then_some(told)
}

fn sniffed(bytes: &[u8]) -> Option<String> {
    infer::get(bytes).map(|kind| kind.mime_type().to_owned())
}
