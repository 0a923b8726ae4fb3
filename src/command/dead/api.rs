//! The routes of `/v1/dead`, asked one at a time.

use std::io;

use reqwest::{Client, Method};
use serde::Deserialize;
use serde_json::Value;

use crate::command::watch;

/// A server.
#[derive(Debug)]
pub(super) struct Api {
    client: Client,
    base: String,
}

/// Letters, oldest first.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) letters: Vec<Value>,
    /// The `after` of the next page, where there is one.
    pub(super) next: Option<u64>,
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
    /// The server at `url`.
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        Ok(Self { client: watch::client()?, base: format!("{}/v1/dead", url.trim_end_matches('/')) })
    }

    pub(super) async fn page(
        &self,
        stage: Option<&str>,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page, Fault> {
        let stage = stage.map(|stage| format!("&stage={stage}")).unwrap_or_default();
        let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let page = self.ask(Method::GET, &format!("?limit={limit}{stage}{after}")).await?;
        serde_json::from_value(page).map_err(|error| Fault::Refused(format!("no list of letters: {error}")))
    }

    pub(super) async fn letter(&self, sequence: u64) -> Result<Value, Fault> {
        self.ask(Method::GET, &format!("/{sequence}")).await
    }

    pub(super) async fn replay(&self, sequence: u64, new_id: bool) -> Result<Value, Fault> {
        self.ask(Method::POST, &format!("/{sequence}/replay?new_id={new_id}")).await
    }

    pub(super) async fn remove(&self, sequence: u64) -> Result<Value, Fault> {
        self.ask(Method::DELETE, &format!("/{sequence}")).await
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Value, Fault> {
        let url = format!("{}{path}", self.base);
        let unreachable = |error: reqwest::Error| {
            Fault::Unreachable(format!("cannot reach {url}: {:#}", anyhow::Error::from(error)))
        };
        let response = self.client.request(method, &url).send().await.map_err(unreachable)?;
        let status = response.status();
        let body = response.bytes().await.map_err(unreachable)?;
        match serde_json::from_slice::<Value>(&body) {
            Ok(answer) if status.is_success() => Ok(answer),
            Ok(answer) if answer["error"]["message"].is_string() => {
                Err(Fault::Refused(answer["error"]["message"].as_str().unwrap_or_default().to_owned()))
            }
            _ => Err(Fault::Refused(format!("{url} answered {status}, and nothing that is understood here"))),
        }
    }
}
