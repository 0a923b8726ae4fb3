//! A provider over HTTP, and the program in front of it.

use adapters::http;
use chaos::{
    Journal,
    provider::{Call, Config, Provider},
};
use serde_json::Value;
use tokio::task::JoinSet;

use super::{Broker, Dynode, Events, Launch, client};

/// A provider that speaks several APIs, and Dynode in front of it.
pub(crate) struct Chain {
    pub(crate) dynode: Dynode,
    pub(crate) calls: Journal<Call>,
    // Ends with the test.
    _serving: JoinSet<std::io::Result<()>>,
}

impl Chain {
    /// `file` is the configuration, for a provider at that address whose key is in `UPSTREAM_KEY`.
    pub(crate) async fn start(file: impl FnOnce(&str) -> String) -> Self {
        http::install_crypto();
        let provider =
            Provider::bind(Config { api_key: Some("k-upstream".into()), ..Config::default() }).await.unwrap();
        let (address, calls) = (provider.local_addr().to_string(), provider.calls());
        let mut serving = JoinSet::new();
        serving.spawn(provider.serve(std::future::pending()));
        let launch = Launch::on(&Broker::Memory).file(&file(&address)).variable("UPSTREAM_KEY", "k-upstream");
        Self { dynode: launch.start().await, calls, _serving: serving }
    }

    /// A chat that is answered whole.
    pub(crate) async fn ask(&self, body: &Value) -> Value {
        let (status, whole) = self.dynode.post("/v1/chat/completions", body).await;
        assert_eq!(status, 200, "{body}: {whole:#}");
        whole
    }

    /// The chunks of a streamed chat.
    pub(crate) async fn stream(&self, body: &Value) -> Vec<Value> {
        let request = client().post(self.dynode.url() + "/v1/chat/completions").json(body);
        let events = Events::of(request).await.rest().await;
        let mut chunks: Vec<_> = events.into_iter().map(|event| event.data.unwrap()).collect();
        assert_eq!(chunks.pop().as_deref(), Some("[DONE]"));
        chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect()
    }
}
