//! Carries one POST to its target and brings back what was answered. What a try means is not decided here.
//!
//! A seam: the engine's own courier goes out into the network, a simulation's does not.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use adapters::egress::Guard;
use async_trait::async_trait;
use reqwest::{Client, StatusCode, Url, header::HeaderMap};

use crate::CallbackConfig;

/// How long a connection to a target may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One POST.
#[derive(Debug)]
pub struct Parcel {
    /// Where to.
    pub url: Url,
    /// Its headers: id, time stamp and signature among them.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: String,
}

/// What the target answered.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
}

/// Carries callbacks to their targets.
#[async_trait]
pub trait Courier: fmt::Debug + Send + Sync + 'static {
    /// Why this target must never be called, if it must not.
    fn check(&self, url: &Url) -> Result<(), String>;

    /// Posts `parcel`, in bounded time. The error says why nothing came back, without the URL and what may be secret in
    /// it.
    async fn post(&self, parcel: Parcel) -> Result<Reply, String>;
}

/// Goes out into the network, to public and allowed addresses only.
#[derive(Debug)]
pub struct Web {
    client: Client,
    guard: Arc<Guard>,
}

impl Web {
    /// Goes where `config` allows, in the time that it sets.
    pub fn new(config: &CallbackConfig) -> Result<Self, reqwest::Error> {
        let guard = Arc::new(Guard::new(config.allow_networks.clone(), "callbacks.allow_networks"));
        let client = adapters::http::client_builder()
            .dns_resolver(Arc::clone(&guard))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(Duration::from_millis(config.timeout_ms))
            .build()?;
        Ok(Self { client, guard })
    }
}

#[async_trait]
impl Courier for Web {
    fn check(&self, url: &Url) -> Result<(), String> {
        self.guard.check_literal(url).map_err(|why| format!("callback.url: {why}"))
    }

    async fn post(&self, parcel: Parcel) -> Result<Reply, String> {
        let mut request = self.client.post(parcel.url).body(parcel.body);
        for (name, value) in parcel.headers {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(|error| reason(&error))?;
        Ok(Reply { status: response.status(), headers: response.headers().clone() })
    }
}

/// What went wrong, without the URL and what may stand in it.
fn reason(error: &reqwest::Error) -> String {
    let mut chain: &dyn Error = error;
    while let Some(source) = chain.source() {
        chain = source;
    }
    match (error.is_timeout(), error.is_connect()) {
        (true, _) => "the target did not answer in time".into(),
        (_, true) => format!("no connection to the target: {chain}"),
        _ => format!("the request failed: {chain}"),
    }
}
