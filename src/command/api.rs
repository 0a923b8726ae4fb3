//! A client for the HTTP API of a running server: one request at a time.

use std::{future::Future, io, process::ExitCode};

use anyhow::Context;
use reqwest::{
    Client, Method,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use serde_json::Value;
use tokio::runtime;

use crate::{
    cli::ServerArgs,
    command::{self, watch},
    exit,
};

/// A server.
#[derive(Debug)]
pub(super) struct Api {
    client: Client,
    base: String,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The server cannot be reached.
    #[error("{0}")]
    Unreachable(String),
    /// The server refused.
    #[error("{0}")]
    Refused(String),
    /// Our output cannot be written.
    #[error(transparent)]
    Output(#[from] io::Error),
}

impl Api {
    /// A client for `server`.
    pub(super) fn new(server: &ServerArgs) -> anyhow::Result<Self> {
        let base = server.url.trim_end_matches('/').to_owned();
        Ok(Self { client: watch::client(server)?, base })
    }

    /// The server's answer to `method` on `path`, with `body` if given.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Fault> {
        let url = format!("{}{path}", self.base);
        let unreachable = |error: reqwest::Error| {
            Fault::Unreachable(format!("cannot reach {url}: {:#}", anyhow::Error::from(error)))
        };
        let mut request = self.client.request(method, &url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let body = response.bytes().await.map_err(unreachable)?;
        match serde_json::from_slice::<Value>(&body) {
            Ok(answer) if status.is_success() => Ok(answer),
            _ => Err(Fault::Refused(reason(&body).unwrap_or_else(|| {
                format!("{url} answered {status} with a body that this command does not understand")
            }))),
        }
    }
}

/// The server's own reason for a refusal, if its body can be parsed.
pub(super) fn reason(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    answer["error"]["message"].as_str().map(str::to_owned)
}

/// The headers of each request to `server`: the API key, and the tenant to act for.
pub(super) fn headers(server: &ServerArgs) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(key) = &server.key {
        // The error does not repeat what was wrong.
        let value = HeaderValue::from_str(&format!("Bearer {}", key.expose().trim()));
        let mut value = value.ok().context("--key: this is no API key")?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    if let Some(tenant) = &server.on_behalf {
        headers.insert("x-dynode-tenant", HeaderValue::from_str(tenant.as_str())?);
    }
    Ok(headers)
}

/// Runs `what` to its end; reports a fault and turns it into an exit code.
pub(super) fn run(what: impl Future<Output = Result<ExitCode, Fault>>) -> anyhow::Result<ExitCode> {
    let done = runtime::Builder::new_current_thread().enable_all().build()?.block_on(what);
    match done {
        Ok(code) => Ok(code),
        Err(Fault::Output(error)) => Err(error.into()),
        Err(fault) => {
            command::complain(&fault.to_string());
            Ok(if matches!(fault, Fault::Unreachable(_)) { exit::UNAVAILABLE } else { exit::FAILED }.into())
        }
    }
}
