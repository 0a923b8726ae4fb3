//! What all handles stand on: where Dynode is, whether its broker can be reached, and what requests are called.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
};

use schemas::{RequestId, Secret, Tenant};

use super::handle::{Bus, Handle, Who};

/// Where it is asked.
#[derive(Debug)]
pub(super) struct Ground {
    /// A client without certificates: what it talks to is beside it.
    pub(super) http: reqwest::Client,
    /// The gateway, `HOST:PORT`.
    pub(super) at: String,
    /// The broker, where it can be reached.
    pub(super) bus: Option<Bus>,
    /// Whether its settings are known.
    pub(super) is_own: bool,
    /// Who asks where nothing else is said.
    who: Who,
    /// The beginning of every id: a deployment that is given remembers the ids of earlier runs.
    run: u32,
    number: AtomicU64,
}

impl Ground {
    pub(super) fn new(at: String, bus: Option<Bus>, is_own: bool, key: Option<Secret>) -> io::Result<Self> {
        let http = crate::run::load::http_client()?;
        let tenant = Tenant::new("default").map_err(io::Error::other)?;
        let who = Who { tenant, key };
        Ok(Self { http, at, bus, is_own, who, run: rand::random(), number: AtomicU64::new(0) })
    }

    /// The address of a path.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    /// The broker, for who cannot do without.
    pub(super) fn bus(&self) -> io::Result<&Bus> {
        self.bus.as_ref().ok_or_else(|| io::Error::other("there is no connection to the broker"))
    }

    /// Who asks where nothing else is said.
    pub(super) fn who(&self) -> Who {
        self.who.clone()
    }

    /// A new id, which says in every log how it was asked.
    pub(super) fn id(&self, handle: Handle) -> RequestId {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let text = format!("parity-{:08x}-{number}-{}", self.run, handle.word());
        RequestId::new(text).unwrap_or_else(|_| unreachable!("letters, digits and - are a token"))
    }
}
