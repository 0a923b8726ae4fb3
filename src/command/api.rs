//! The HTTP API of a running server, asked one question at a time.

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
    /// There is no server.
    #[error("{0}")]
    Unreachable(String),
    /// It says no.
    #[error("{0}")]
    Refused(String),
    /// Nobody reads what is printed.
    #[error(transparent)]
    Output(#[from] io::Error),
}

impl Api {
    /// That server.
    pub(super) fn new(server: &ServerArgs) -> anyhow::Result<Self> {
        let base = server.url.trim_end_matches('/').to_owned();
        Ok(Self { client: watch::client(server)?, base })
    }

    /// Its answer to `method` of `path`, with a body where there is one.
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
            _ => {
                Err(Fault::Refused(reason(&body).unwrap_or_else(|| {
                    format!("{url} answered {status}, and nothing that is understood here")
                })))
            }
        }
    }
}

/// Why a server says no, in its own words, where they are understood here.
pub(super) fn reason(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    answer["error"]["message"].as_str().map(str::to_owned)
}

/// What `server` is told with each request: by which key, and for whom.
pub(super) fn headers(server: &ServerArgs) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(key) = &server.key {
        // What was wrong with it is not repeated.
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

/// Does `what` to its end; a fault is told and becomes an exit code.
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
