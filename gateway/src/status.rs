//! `GET /v1/status`: how every pool is, for people and for publishers that want to choose.

use axum::{Json, extract::State};
use broker::Link;
use schemars::JsonSchema;
use schemas::PoolState;
use serde::Serialize;

use crate::{app::App, pools::Shown};

/// How the server is.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ServerStatus")]
pub(crate) struct Status {
    /// Every pool that serves a model or was heard.
    pools: Vec<Pool>,
    /// The link to the broker.
    broker: Broker,
}

/// One provider, over all nodes.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PoolStatus")]
struct Pool {
    /// Its name.
    pool: String,
    /// How it is.
    state: PoolState,
    /// What waits; the rest is known only of pools that are heard.
    queue: u64,
    /// What is being worked on.
    inflight: u64,
    /// How much can be worked on at once.
    slots: u64,
    /// How long new work is expected to wait, in milliseconds.
    estimated_wait_ms: Option<u64>,
    /// How many nodes serve it.
    nodes: usize,
}

/// The link to the broker.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BrokerStatus")]
struct Broker {
    /// `up` or `down`.
    state: &'static str,
    /// For how long it has not been reachable, in milliseconds.
    down_ms: Option<u64>,
}

/// Every pool that serves a model or was heard, and the link to the broker.
pub(crate) async fn get(State(app): State<App>) -> Json<Status> {
    let pools = app.pools.show().into_iter().map(Pool::of).collect();
    let broker = match *app.parts.broker.link().borrow() {
        Link::Up => Broker { state: "up", down_ms: None },
        Link::Down(since) => {
            let down_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            Broker { state: "down", down_ms: Some(down_ms) }
        }
    };
    Json(Status { pools, broker })
}

impl Pool {
    fn of(shown: Shown) -> Self {
        let Shown { pool, state, load, estimated_wait_ms } = shown;
        let (queue, inflight, slots, nodes) =
            load.map_or((0, 0, 0, 0), |load| (load.queue, load.inflight, load.slots, load.nodes));
        Self { pool, state, queue, inflight, slots, estimated_wait_ms, nodes }
    }
}
