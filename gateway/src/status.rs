//! `GET /v1/status`: the state of every pool, for people and for publishers that want to choose.

use axum::{Json, extract::State};
use broker::Link;
use schemars::JsonSchema;
use schemas::PoolState;
use serde::Serialize;

use crate::{
    app::{App, Shared},
    pools::Shown,
};

/// The state of the server.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ServerStatus")]
pub(crate) struct Status {
    /// Every pool that serves a model or has been heard.
    pools: Vec<Pool>,
    /// The link to the broker.
    broker: Broker,
}

/// One provider, over all nodes.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PoolStatus")]
struct Pool {
    /// The name of the pool.
    pool: String,
    /// The state of the pool.
    state: PoolState,
    /// Waiting requests; like the fields below, known only for pools that are heard.
    queue: u64,
    /// Requests in progress.
    inflight: u64,
    /// How many requests can be in progress at once.
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
    /// How long the broker has been unreachable, in milliseconds.
    down_ms: Option<u64>,
}

/// Every pool that serves a model or has been heard, and the link to the broker.
pub(crate) async fn get(State(app): State<App>) -> Json<Status> {
    Json(of(&app))
}

/// The current state of all of them.
pub(crate) fn of(app: &Shared) -> Status {
    let pools = app.pools.show().into_iter().map(Pool::of).collect();
    let broker = match *app.parts.broker.link().borrow() {
        Link::Up => Broker { state: "up", down_ms: None },
        Link::Down(since) => {
            let down_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            Broker { state: "down", down_ms: Some(down_ms) }
        }
    };
    Status { pools, broker }
}

impl Pool {
    fn of(shown: Shown) -> Self {
        let Shown { pool, state, load, estimated_wait_ms } = shown;
        let (queue, inflight, slots, nodes) =
            load.map_or((0, 0, 0, 0), |load| (load.queue, load.inflight, load.slots, load.nodes));
        Self { pool, state, queue, inflight, slots, estimated_wait_ms, nodes }
    }
}
