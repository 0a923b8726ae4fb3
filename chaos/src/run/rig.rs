//! The system under test and its surroundings: our own engine or a given one, provider, callback receiver, and a fault
//! proxy on each link. Everything that we start belongs to one scenario, and ends with it.

pub(crate) mod broker;
mod canary;
mod clock;
mod disk;
mod links;
mod outside;
pub(crate) mod own;
pub(crate) mod service;
pub(crate) mod settings;
pub(crate) mod workers;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

pub(crate) use canary::{Canaries, Sought};
pub(crate) use links::Links;
pub(crate) use outside::Outside;
pub(crate) use own::Own;

use super::{
    System,
    scenario::{Link, Scenario},
};
use crate::scribe::Scribe;

/// Everything that a scenario runs on.
#[derive(Debug)]
pub(crate) struct Rig {
    /// The directory of its files.
    pub(crate) dir: PathBuf,
    /// The planted secrets.
    pub(crate) canaries: Canaries,
    /// The links.
    pub(crate) links: Links,
    /// The provider and the receiver.
    pub(crate) outside: Outside,
    /// The addresses of the gateways for the clients: the first is behind its proxy.
    pub(crate) doors: Vec<SocketAddr>,
    own: Option<Own>,
}

impl Rig {
    /// Starts what is needed in `dir`, and returns once the engine accepts requests.
    pub(crate) async fn start(
        scenario: &Scenario,
        dir: &Path,
        system: &System,
        seed: u64,
        scribe: &Scribe,
    ) -> io::Result<Self> {
        let mut canaries = Canaries::plant();
        let mut links = Links::default();
        let (outside, own, doors) = match system {
            System::Own(programs) => {
                let outside = Outside::start(Some(&canaries), None, scribe).await?;
                let parts =
                    own::Parts { scenario, dir, programs, canaries: &canaries, outside: &outside, scribe };
                let (own, doors) = Own::start(&parts, &mut links, seed).await?;
                (outside, Some(own), doors)
            }
            System::Given(deployment) => {
                let outside = Outside::start(None, deployment.provider, scribe).await?;
                if let Some(key) = &deployment.key {
                    canaries = canaries.of_clients_with(key);
                }
                let door = links.add(Link::Clients, deployment.gateway.clone(), seed).await?;
                (outside, None, vec![door])
            }
        };
        Ok(Self { dir: dir.to_owned(), canaries, links, outside, doors, own })
    }

    /// The engine, if it is our own.
    pub(crate) const fn own(&self) -> Option<&Own> {
        self.own.as_ref()
    }

    /// Our own engine; an error if the engine is given.
    pub(crate) fn owned(&self) -> io::Result<&Own> {
        self.own().ok_or_else(|| io::Error::other("the engine is not ours to break"))
    }
}
