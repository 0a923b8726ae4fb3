//! The official SDKs of vendors against their simulations: what these accept, the real ones could have sent.

use chaos::provider::{Config, Provider};
use tokio::task::JoinSet;

use crate::support::python;

/// A simulated provider; ends with the value beside its URL.
async fn vendor() -> (String, JoinSet<std::io::Result<()>>) {
    let config = Config { api_key: Some("k-canary-0123".into()), ..Config::default() };
    let provider = Provider::bind(config).await.unwrap();
    let url = format!("http://{}", provider.local_addr());
    let mut serving = JoinSet::new();
    serving.spawn(provider.serve(std::future::pending()));
    (url, serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_elevenlabs_sdk_works() {
    let (url, _serving) = vendor().await;
    python("elevenlabs_sdk.py", &[&url]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_replicate_sdk_works() {
    let (url, _serving) = vendor().await;
    python("replicate_sdk.py", &[&url]).await;
}
