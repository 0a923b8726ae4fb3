//! A provider over HTTP: checks its base URL, keys and headers once at the start, and sends its calls.
//!
//! Secrets leave this file only in the headers of a call; [`Endpoint::quote`] keeps them out of messages.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{
    Client, Method, RequestBuilder, Response, Url,
    header::{ACCEPT, HeaderMap, HeaderName, HeaderValue, USER_AGENT},
};
use schemas::ErrorCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::{
    Call, ConfigError, Error, Kind, ProviderConfig, Remedy, deadline, egress::Guard, failure, http,
    registry::refuse,
};

mod fetch;
pub(crate) mod key;

pub(crate) use key::KeyPlace;

/// How long to wait for the body of an error: its status alone says enough.
const ERROR_BODY_WAIT: Duration = Duration::from_secs(2);

/// Header values shorter than this are settings, not secrets; redacting them would only garble messages.
const SECRET_BYTES_MIN: usize = 8;

/// The most characters to show of a provider's message: enough for a reason, too short for a page of HTML.
const QUOTE_CHARS_MAX: usize = 300;

/// Headers of the connection or of the call itself; configured ones would break it.
const OWN_HEADERS: [&str; 8] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "content-type",
    "accept",
    "idempotency-key",
    "traceparent",
];

/// What all providers of one kind share.
#[derive(Debug)]
pub(crate) struct Manners<'a> {
    /// The kind, with its article, as errors name it.
    pub(crate) kind: &'a str,
    /// The default base URL; none if it must be configured.
    pub(crate) base_url: Option<&'a str>,
    /// Where a key goes.
    pub(crate) key: KeyPlace<'a>,
    /// The variable that usually holds the key, if the API at `base_url` takes no call without one.
    pub(crate) variable: Option<&'a str>,
    /// Headers of every call; a configured header of the same name replaces one.
    pub(crate) headers: &'a [(&'a str, &'a str)],
}

/// A provider over HTTP.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// The configured name of the provider.
    pub(crate) name: String,
    /// The headers of every call, without the key. Marked as sensitive, so that they are not printed.
    headers: HeaderMap,
    /// The headers with the keys; empty if there is no key.
    keys: Vec<(HeaderName, HeaderValue)>,
    client: Client,
    /// For files that a provider names at other hosts; built for the first such file, as few providers name any.
    files: OnceLock<Option<Client>>,
    guard: Guard,
    base: Url,
    secrets: Vec<SecretString>,
}

impl Endpoint {
    /// Checks `config` and reads the keys, some from this process's environment. Connects to nothing.
    pub(crate) fn open(
        name: &str,
        config: &ProviderConfig,
        manners: &Manners<'_>,
        client: Client,
    ) -> Result<Arc<Self>, ConfigError> {
        Self::new(name, config, manners, client, |variable| std::env::var(variable).ok()).map(Arc::new)
    }

    /// Like [`Self::open`], with an environment that `variable` reads.
    pub(crate) fn new(
        name: &str,
        config: &ProviderConfig,
        manners: &Manners<'_>,
        client: Client,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let root = format!("providers.{name}");
        refuse_foreign(&root, manners.kind, config)?;
        let base = base_url(&root, config.base_url.as_deref().or(manners.base_url))?;
        let mut headers = HeaderMap::new();
        for (header, value) in manners.headers {
            let (header, value) = configured_header(&root, header, &(*value).into())?;
            headers.insert(header, value);
        }
        let mut secrets = Vec::new();
        for (header, value) in &config.headers {
            let (header, value_checked) = configured_header(&root, header, value)?;
            headers.insert(header, value_checked);
            // `Bearer KEY`: a provider that repeats it may repeat the key alone.
            secrets.extend(value.expose_secret().rsplit_once(' ').map(|(_, key)| SecretString::from(key)));
            secrets.push(value.clone());
        }
        secrets.retain(|secret| secret.expose_secret().len() >= SECRET_BYTES_MIN);
        let mut keys = Vec::new();
        for (setting, key) in key::read(&root, config, variable)? {
            let (header, value) = manners.key.header(&root, setting, &key)?;
            if headers.contains_key(&header) {
                let why = format!("is given beside the header `{header}`; keep one, {setting} or the header");
                return Err(ConfigError::new(format!("{root}.{setting}"), why));
            }
            keys.push((header, value));
            secrets.push(key);
        }
        let needed = manners.variable.filter(|_| config.base_url.is_none() && keys.is_empty());
        if let Some(variable) = needed.filter(|_| !headers.contains_key(manners.key.name())) {
            let why = format!(
                "is missing: {base} takes no call without a key; name the environment variable that holds it, as \
                 `{variable}`"
            );
            return Err(ConfigError::new(format!("{root}.api_key_env"), why));
        }
        let guard = Guard::new(config.allow_networks.clone(), format!("{root}.allow_networks"));
        let files = OnceLock::new();
        Ok(Self { name: name.to_owned(), headers, keys, client, files, guard, base, secrets })
    }

    /// How many keys it has; 1 if it needs none.
    pub(crate) fn keys(&self) -> usize {
        self.keys.len().max(1)
    }

    /// The headers of a call with this key.
    pub(crate) fn headers(&self, key: usize) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.extend(self.keys.get(key).cloned());
        headers
    }

    /// Sends `body` and returns the reply once its headers say that the call was accepted.
    pub(crate) async fn post(
        &self,
        path: &str,
        accept: &'static str,
        call: &Call,
        body: &(impl Serialize + ?Sized),
    ) -> Result<Response, Error> {
        let request = self.request(Method::POST, self.url(path), call.key);
        self.send(request.header(ACCEPT, accept).json(body), call).await
    }

    /// A request with this key and the headers of every call.
    pub(crate) fn request(&self, method: Method, url: Url, key: usize) -> RequestBuilder {
        self.client.request(method, url).headers(self.headers(key))
    }

    /// A request to another host: without key or headers, and to no address inside our own network, whatever the name
    /// resolves to. The check is skipped at the API's own host, and if the API itself is reached without TLS.
    pub(crate) fn bare(&self, url: Url) -> Result<RequestBuilder, Error> {
        if self.is_plain() || url.host_str() == self.base.host_str() {
            return Ok(self.client.get(url));
        }
        self.guard.check_literal(&url).map_err(|why| {
            let denied = self.nonsense("named a file at an address that must not be fetched");
            denied.with_source(std::io::Error::other(why))
        })?;
        let client = self.files.get_or_init(|| {
            let guard = Arc::new(self.guard.clone());
            http::client_builder().dns_resolver(guard).build().ok()
        });
        // The client of all calls could be built, so this one can.
        let client = client.as_ref().ok_or_else(|| self.nonsense("named a file that no client can fetch"))?;
        Ok(client.get(url))
    }

    /// Sends `request` for `call`.
    async fn send(&self, request: RequestBuilder, call: &Call) -> Result<Response, Error> {
        let response = self.exchange(request, call).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers, body) = self.refused(response, call.deadline).await;
        Err(failure::of_status(self, status, &headers, &body))
    }

    /// Sends `request` for `call`; the reply may have any status.
    pub(crate) async fn exchange(&self, mut request: RequestBuilder, call: &Call) -> Result<Response, Error> {
        let traceparent = call.traceparent.as_deref();
        for (name, value) in
            [("idempotency-key", Some(call.idempotency_key.as_str())), ("traceparent", traceparent)]
        {
            // Neither is worth failing the call: a value that cannot be a header is left out.
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                request = request.header(HeaderName::from_static(name), value);
            }
        }
        self.exchange_plain(request, call.deadline).await
    }

    /// Sends `request` as it is, with nothing added.
    pub(crate) async fn exchange_plain(
        &self,
        request: RequestBuilder,
        deadline: Instant,
    ) -> Result<Response, Error> {
        timeout_at(deadline, request.send())
            .await
            .map_err(|_| deadline::exceeded(&self.name))?
            .map_err(|error| http::unreachable(&self.name, error))
    }

    /// The status, headers and body of a reply that refuses the call.
    pub(crate) async fn refused(&self, response: Response, deadline: Instant) -> (u16, HeaderMap, Vec<u8>) {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let until = deadline.min(Instant::now() + ERROR_BODY_WAIT);
        let body = timeout_at(until, http::read_error(response)).await.unwrap_or_default();
        (status, headers, body)
    }

    /// Whether `url` has the scheme, the host and the port of the API.
    pub(crate) fn is_ours(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// Whether the API is reached without TLS: your own server, or a test.
    pub(crate) fn is_plain(&self) -> bool {
        self.base.scheme() == "http"
    }

    /// The URL of `path`, which begins without a slash and may end with a query.
    pub(crate) fn url(&self, path: &str) -> Url {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        url.set_query(query);
        url
    }

    /// A provider's message, safe to show: on one line, short, and without the secrets that it may repeat.
    pub(crate) fn quote(&self, words: &str) -> String {
        let redacted = self.redact(words);
        let line =
            redacted.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
        line.collect::<Vec<_>>().join(" ").chars().take(QUOTE_CHARS_MAX).collect()
    }

    /// `text` without the secrets.
    pub(crate) fn redact(&self, text: &str) -> String {
        let strike = |text: String, secret: &SecretString| text.replace(secret.expose_secret(), "[redacted]");
        self.secrets.iter().fold(text.to_owned(), strike)
    }

    /// The error of an answer that makes no sense; a second call may bring a better one.
    pub(crate) fn nonsense(&self, what: &str) -> Error {
        Error::new(&self.name, ErrorCode::ProviderError, Remedy::Retry, self.quote(what))
    }

    /// The error of a request that no provider can do; `what` says what is wrong with its payload.
    pub(crate) fn wrong(&self, what: &str) -> Error {
        Error::new(&self.name, ErrorCode::InvalidRequest, Remedy::Fatal, self.quote(what))
    }

    /// The error of a request that this provider cannot do, though another may.
    pub(crate) fn cannot(&self, what: &str) -> Error {
        Error::new(&self.name, ErrorCode::InvalidRequest, Remedy::FallBack, self.quote(what))
    }
}

/// Refuses settings of other kinds.
fn refuse_foreign(root: &str, kind: &str, config: &ProviderConfig) -> Result<(), ConfigError> {
    let of_openai = config.kind == Kind::OpenaiCompatible;
    let settings = [
        ("seed", config.seed != 0),
        ("chat_fields", !config.chat_fields.is_empty() && !of_openai),
        ("cache_control", config.cache_control && !of_openai),
    ];
    refuse(root, kind, &settings)?;
    config.models.iter().try_for_each(|(id, model)| {
        let settings = [
            ("first_token_ms", model.first_token_ms.is_some()),
            ("tokens_per_second", model.tokens_per_second.is_some()),
            ("output_tokens", model.output_tokens.is_some()),
            ("dimensions", model.dimensions.is_some()),
            ("failure_rate", model.failure_rate.is_some()),
            ("spin_after_tokens", model.spin_after_tokens.is_some()),
        ];
        refuse(&format!("{root}.models.{id}"), kind, &settings)
    })
}

/// Errors show nothing of the URL: the part that is wrong may be a key.
fn base_url(root: &str, text: Option<&str>) -> Result<Url, ConfigError> {
    let wrong = |why: &str| ConfigError::new(format!("{root}.base_url"), why);
    let text = text
        .ok_or_else(|| wrong("is missing; say where the API begins, as in \"https://api.openai.com/v1\""))?;
    let url = Url::parse(text).map_err(|error| {
        wrong(&format!("is not an absolute URL ({error}); write it as in \"http://127.0.0.1:11434/v1\""))
    })?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("must begin with http:// or https:// and name a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must hold no user or password; use api_key_env, api_key_file or headers"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("must hold no `?` and no `#`; send keys by api_key_env, api_key_file or headers"));
    }
    Ok(url)
}

fn configured_header(
    root: &str,
    name: &str,
    value: &SecretString,
) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let wrong = |why: &str| ConfigError::new(format!("{root}.headers.{name}"), why);
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("is not the name of a header"))?;
    if OWN_HEADERS.contains(&header.as_str()) || header == USER_AGENT {
        return Err(wrong("is set by dynode itself; remove it"));
    }
    let mut value = HeaderValue::from_str(value.expose_secret())
        .map_err(|_| wrong("its value holds characters that a header cannot carry"))?;
    value.set_sensitive(true);
    Ok((header, value))
}

#[cfg(test)]
pub(crate) mod tests;
