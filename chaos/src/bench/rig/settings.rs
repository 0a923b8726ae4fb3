//! The configuration of the engine under test: the defaults, with room for ten thousand clients. Disables nothing that
//! a user would have enabled.

use std::{collections::BTreeSet, net::SocketAddr, path::Path};

use super::Carrier;
use crate::bench::{scenario::Work, scenarios};

/// Concurrent clients: the largest scenario, and a few more.
const AT_ONCE_MAX: u32 = 12_000;

/// What the engine must know.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) carrier: &'a Carrier,
    pub(super) provider: SocketAddr,
    pub(super) prefix: &'a str,
    pub(super) nats_port: u16,
    pub(super) data: &'a Path,
}

/// The text of the file.
pub(super) fn text(around: &Surroundings<'_>) -> String {
    let Surroundings { carrier, provider, prefix, nats_port, data } = around;
    let (broker, server) = match carrier {
        Carrier::Memory => ("memory", String::new()),
        Carrier::Managed { server, sync_ms } => (
            "managed",
            format!("nats_server = {:?}\nnats_sync_ms = {sync_ms}\n", server.display().to_string()),
        ),
        Carrier::Given(url) => (url.as_str(), String::new()),
    };
    let data = data.display().to_string();
    let text = format!(
        r#"broker = {broker:?}
{server}nats_port = {nats_port}
data_dir = {data:?}
prefix = {prefix:?}

[gateway]
connections_max = {AT_ONCE_MAX}
requests_inflight_max = {AT_ONCE_MAX}
tenant_queue_max = {AT_ONCE_MAX}

[providers]
sim = false

[providers.upstream]
kind = "openai_compatible"
base_url = "http://{provider}/v1"
concurrency = 1024
"#
    );
    text + &models()
}

/// Every model of every scenario, by the same name at the provider.
fn models() -> String {
    let works: Vec<Work> = scenarios::ALL.iter().flat_map(|scenario| scenario.works()).collect();
    let model = |work: &Work| {
        let action = match work {
            Work::Embeddings { .. } => "embedding.query",
            _ => "chat.completion",
        };
        format!("\n[providers.upstream.models.{}]\naction = {action:?}\n", work.model())
    };
    works.iter().map(model).collect::<BTreeSet<_>>().into_iter().collect()
}
