//! What all handles share: Dynode's address, its broker if it can be reached, and the ids of requests.

use std::{
    collections::BTreeMap,
    io,
    sync::atomic::{AtomicU64, Ordering},
};

use schemas::{RequestId, Secret, Tenant};
use serde::Deserialize;

use super::handle::{Bus, Handle, Who};

/// The tenant of a gateway that is not told another.
pub(super) const USUAL: &str = "default";

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Name {
    /// Somebody who may ask for everything.
    #[default]
    Usual,
    /// Somebody of another tenant.
    Other,
    /// Somebody whose key is for embeddings only.
    Scoped,
    /// Somebody whose key is for one model only.
    OneModel,
    /// Somebody with a key that was never made.
    Stranger,
    /// Somebody with a key that was revoked.
    Revoked,
    /// Somebody without a key.
    Nobody,
    /// The operator who makes the keys.
    Admin,
}

/// Where the handles ask.
#[derive(Debug)]
pub(super) struct Ground {
    /// A client without certificates: the server that it talks to is beside it.
    pub(super) http: reqwest::Client,
    /// The gateway, `HOST:PORT`.
    pub(super) at: String,
    /// The broker, if it can be reached.
    pub(super) bus: Option<Bus>,
    /// Whether the engine's settings are known.
    pub(super) is_own: bool,
    /// Who may ask: the usual one, and others if there are any.
    whos: BTreeMap<Name, Who>,
    /// The beginning of every id: a given deployment remembers the ids of earlier runs.
    run: u32,
    number: AtomicU64,
}

impl Ground {
    /// A ground that `key` opens, if it needs one.
    pub(super) fn new(at: String, bus: Option<Bus>, is_own: bool, key: Option<Secret>) -> io::Result<Self> {
        let http = crate::run::load::http_client()?;
        let mut ground = Self {
            http,
            at,
            bus,
            is_own,
            whos: BTreeMap::new(),
            run: rand::random(),
            number: AtomicU64::new(0),
        };
        ground.knows(Name::Usual, USUAL, key)?;
        Ok(ground)
    }

    /// Registers `name`: somebody of `tenant` who has this key.
    pub(super) fn knows(&mut self, name: Name, tenant: &str, key: Option<Secret>) -> io::Result<()> {
        let tenant = Tenant::new(tenant).map_err(io::Error::other)?;
        self.whos.insert(name, Who { tenant, key });
        Ok(())
    }

    /// The address of a path.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    /// The broker, for callers that cannot do without.
    pub(super) fn bus(&self) -> io::Result<&Bus> {
        self.bus.as_ref().ok_or_else(|| io::Error::other("there is no connection to the broker"))
    }

    /// Whoever is called `name`; the usual one if nobody is.
    pub(super) fn who(&self, name: Name) -> Who {
        self.whos.get(&name).unwrap_or(&self.whos[&Name::Usual]).clone()
    }

    /// A new id, which shows in every log which handle asked.
    pub(super) fn id(&self, handle: Handle) -> RequestId {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let text = format!("parity-{:08x}-{number}-{}", self.run, handle.word());
        RequestId::new(text).unwrap_or_else(|_| unreachable!("letters, digits and - are a token"))
    }
}
