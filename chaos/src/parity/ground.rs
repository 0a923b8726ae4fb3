//! What all handles stand on: where Dynode is, whether its broker can be reached, and what requests are called.

use std::{
    collections::BTreeMap,
    io,
    sync::atomic::{AtomicU64, Ordering},
};

use schemas::{RequestId, Secret, Tenant};
use serde::Deserialize;

use super::handle::{Bus, Handle, Who};

/// The tenant of a gateway that nobody has told another.
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
    /// Whoever makes the keys.
    Admin,
}

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
    /// Who may ask: whoever asks where nothing else is said, and others where there are some.
    whos: BTreeMap<Name, Who>,
    /// The beginning of every id: a deployment that is given remembers the ids of earlier runs.
    run: u32,
    number: AtomicU64,
}

impl Ground {
    /// One that `key` opens, where it needs one.
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

    /// `name` is somebody of `tenant` who has this key.
    pub(super) fn knows(&mut self, name: Name, tenant: &str, key: Option<Secret>) -> io::Result<()> {
        let tenant = Tenant::new(tenant).map_err(io::Error::other)?;
        self.whos.insert(name, Who { tenant, key });
        Ok(())
    }

    /// The address of a path.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    /// The broker, for who cannot do without.
    pub(super) fn bus(&self) -> io::Result<&Bus> {
        self.bus.as_ref().ok_or_else(|| io::Error::other("there is no connection to the broker"))
    }

    /// Whoever `name` is; where nobody of that name is known, who asks usually.
    pub(super) fn who(&self, name: Name) -> Who {
        self.whos.get(&name).unwrap_or(&self.whos[&Name::Usual]).clone()
    }

    /// A new id, which says in every log how it was asked.
    pub(super) fn id(&self, handle: Handle) -> RequestId {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let text = format!("parity-{:08x}-{number}-{}", self.run, handle.word());
        RequestId::new(text).unwrap_or_else(|_| unreachable!("letters, digits and - are a token"))
    }
}
