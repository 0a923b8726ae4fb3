//! Calls the routes of `/v1/dead`.

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    cli::ServerArgs,
    command::api::{Api, Fault},
};

/// The letters of a server.
#[derive(Debug)]
pub(super) struct Letters(Api);

/// Letters, oldest first.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) letters: Vec<Value>,
    /// The `after` of the next page, if there is one.
    pub(super) next: Option<u64>,
}

impl Letters {
    /// The letters of `server`.
    pub(super) fn new(server: &ServerArgs) -> anyhow::Result<Self> {
        Api::new(server).map(Self)
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
        serde_json::from_value(page)
            .map_err(|error| Fault::Refused(format!("cannot read the server's list of letters: {error}")))
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
        self.0.ask(method, &format!("/v1/dead{path}"), None).await
    }
}
