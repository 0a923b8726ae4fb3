//! The clients of a run: each request of the workload is one client that sends it through its door, reads its events as
//! planned, and records what it does and sees. Clients reconnect after any failure; they never read a log.

mod bus;
mod client;
mod http;
mod openai;
mod reader;
mod socket;
mod tally;

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use schemas::{Secret, Tenant};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};

pub(crate) use bus::{Bus, format as bus_format};
use client::Client;
pub(crate) use http::outcome_of;
pub(crate) use reader::output_text;
pub(crate) use tally::Tally;

use crate::{
    history::Key,
    scribe::Scribe,
    workload::{self, Workload},
};

/// How long an HTTP client waits for a connection, and for the next byte of an answer: the server sends a keep-alive
/// every two seconds.
const CONNECT_MAX: Duration = Duration::from_secs(3);
const SILENCE_MAX: Duration = Duration::from_secs(8);

/// What all clients share.
#[derive(Debug)]
pub(crate) struct Ground {
    /// Where they record what they do and see.
    pub(crate) scribe: Scribe,
    /// The gateways; a client whose gateway is gone goes to the next.
    pub(crate) doors: Vec<SocketAddr>,
    /// The connection of each tenant to the bus.
    pub(crate) buses: BTreeMap<Tenant, Bus>,
    /// Where callbacks go.
    pub(crate) callbacks: workload::Target,
    /// The key that they authenticate with.
    pub(crate) key: Secret,
    /// The counters.
    pub(crate) tally: Tally,
    http: reqwest::Client,
    accepted: Mutex<Vec<Key>>,
}

/// The running clients.
#[derive(Debug)]
pub(crate) struct Load {
    ground: Arc<Ground>,
    clients: JoinSet<()>,
    next: u64,
}

impl Ground {
    pub(crate) fn new(
        scribe: Scribe,
        doors: Vec<SocketAddr>,
        buses: BTreeMap<Tenant, Bus>,
        callbacks: workload::Target,
        key: Secret,
    ) -> io::Result<Self> {
        let http = http_client()?;
        let (tally, accepted) = (Tally::default(), Mutex::default());
        Ok(Self { scribe, doors, buses, callbacks, key, tally, http, accepted })
    }

    /// The requests that were accepted so far.
    pub(crate) fn accepted(&self) -> Vec<Key> {
        self.accepted.lock().clone()
    }
}

impl Load {
    pub(crate) fn new(ground: Arc<Ground>) -> Self {
        Self { ground, clients: JoinSet::new(), next: 1 }
    }

    /// Sends each request at its time; returns after `span`, while clients are still reading.
    pub(crate) async fn play(&mut self, workload: Workload, span: Duration) {
        let began = Instant::now();
        for planned in workload.requests {
            sleep_until(began + Duration::from_millis(planned.at_ms)).await;
            let client = Client::new(Arc::clone(&self.ground), self.next, planned);
            self.next += 1;
            // If a client dies, what it would have seen is missing.
            self.clients.spawn(client.run());
            while self.clients.try_join_next().is_some() {}
        }
        sleep_until(began + span).await;
    }

    /// Waits until all clients have seen the end of their request, or until `until`, and aborts the rest.
    pub(crate) async fn settle(&mut self, until: Instant) {
        while let Ok(Some(_)) = timeout_at(until, self.clients.join_next()).await {}
        self.clients.shutdown().await;
    }
}

/// An HTTP client. It carries no certificates, since nothing here uses TLS.
pub(crate) fn http_client() -> io::Result<reqwest::Client> {
    let client = reqwest::Client::builder()
        .tls_certs_only([])
        .no_proxy()
        .connect_timeout(CONNECT_MAX)
        .read_timeout(SILENCE_MAX)
        .build();
    client.map_err(io::Error::other)
}
