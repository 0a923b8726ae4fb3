//! Carries one POST to its target and brings back the answer. It does not decide what a try means.
//!
//! A seam: the engine's own courier uses the network, a simulation's does not.

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
    /// The target.
    pub url: Url,
    /// Its headers: id, time stamp and signature among them.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: String,
}

/// The target's answer.
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

    /// Posts `parcel`, in bounded time. The error says why nothing came back, without the URL and any secret in it.
    async fn post(&self, parcel: Parcel) -> Result<Reply, String>;
}

/// Uses the network, to public and allowed addresses only.
#[derive(Debug)]
pub struct Web {
    client: Client,
    guard: Arc<Guard>,
}

impl Web {
    /// Goes where `config` allows, within its timeout.
    pub fn new(config: &CallbackConfig) -> Result<Self, reqwest::Error> {
        let guard = Arc::new(config.guard());
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

/// What went wrong, without the URL and what it may contain.
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    fn web(allow_networks: &[&str]) -> Web {
        let config = CallbackConfig {
            attempts_max: 1,
            timeout_ms: 10_000,
            retry_first_ms: 1,
            retry_longest_ms: 1,
            disable_after: 0,
            allow_networks: allow_networks.iter().map(|network| network.parse().unwrap()).collect(),
            default_secret: None,
            default_second_secret: None,
        };
        Web::new(&config).unwrap()
    }

    fn parcel(url: &str) -> Parcel {
        Parcel { url: url.parse().unwrap(), headers: Vec::new(), body: "{}".into() }
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let (target, other) = (
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        );
        let elsewhere = format!("http://{}/", other.local_addr().unwrap());
        let url = format!("http://{}/hook", target.local_addr().unwrap());
        let web = web(&["127.0.0.0/8"]);
        let answer = async {
            let (mut stream, _) = target.accept().await.unwrap();
            let mut asked = [0; 4096];
            assert!(stream.read(&mut asked).await.unwrap() > 0);
            let head = format!("HTTP/1.1 307 x\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
        };
        let (reply, ()) = tokio::join!(web.post(parcel(&url)), answer);
        assert_eq!(reply.unwrap().status, 307);
        assert!(other.accept().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_name_is_checked_by_what_it_resolves_to_when_it_is_called() {
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://localhost:{}/hook", target.local_addr().unwrap().port());
        let web = web(&[]);
        web.check(&url.parse().unwrap()).unwrap();
        let why = web.post(parcel(&url)).await.unwrap_err();
        assert!(why.contains("callbacks.allow_networks"), "{why}");
        assert!(target.accept().now_or_never().is_none());
        let literal = web.check(&"http://127.0.0.1/".parse().unwrap()).unwrap_err();
        assert!(literal.starts_with("callback.url: 127.0.0.1 is not a public address"), "{literal}");
    }
}
