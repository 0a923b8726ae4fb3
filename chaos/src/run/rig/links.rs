//! The links of the system under test, each behind a fault proxy.

use std::{collections::BTreeMap, io, net::SocketAddr};

use tokio_util::task::AbortOnDropHandle;

use crate::{
    proxy::{self, Faults, Proxy},
    run::scenario::Link,
};

/// The proxies.
#[derive(Debug, Default)]
pub(crate) struct Links {
    links: BTreeMap<Link, Wire>,
}

#[derive(Debug)]
struct Wire {
    address: SocketAddr,
    handle: proxy::Link,
    // If it dies, the link is cut.
    _served: AbortOnDropHandle<()>,
}

impl Links {
    /// Puts a proxy before `upstream`, and returns its address.
    pub(crate) async fn add(&mut self, link: Link, upstream: String, seed: u64) -> io::Result<SocketAddr> {
        let config = proxy::Config { seed, ..proxy::Config::to(upstream) };
        let proxy = Proxy::bind(config).await?;
        let (address, handle) = (proxy.local_addr(), proxy.link());
        let served = tokio::spawn(async move {
            if let Err(error) = proxy.serve(std::future::pending()).await {
                tracing::error!(%error, link = link.name(), "a fault proxy has died");
            }
        });
        let wire = Wire { address, handle, _served: AbortOnDropHandle::new(served) };
        self.links.insert(link, wire);
        Ok(address)
    }

    /// Where a link starts: the address of its proxy.
    pub(crate) fn address(&self, link: Link) -> Option<SocketAddr> {
        self.links.get(&link).map(|wire| wire.address)
    }

    /// Sets the faults of a link.
    pub(crate) fn set(&self, link: Link, words: &str) -> io::Result<()> {
        let faults: Faults = words.parse().map_err(io::Error::other)?;
        self.wire(link)?.handle.set(faults);
        Ok(())
    }

    /// How often faults have struck on a link so far.
    pub(crate) fn struck(&self, link: Link) -> u64 {
        let Some(wire) = self.links.get(&link) else { return 0 };
        let counts = wire.handle.counts();
        let sides = [&counts.fired.up, &counts.fired.down];
        let of_side = |fired: &proxy::Fired| {
            fired.latency
                + fired.jitter
                + fired.bandwidth
                + fired.slice
                + fired.corrupt
                + fired.stall
                + fired.swallow
                + fired.cut
                + fired.reset
        };
        counts.refused + sides.into_iter().map(of_side).sum::<u64>()
    }

    fn wire(&self, link: Link) -> io::Result<&Wire> {
        let missing = || io::Error::other(format!("no proxy is on the link {}", link.name()));
        self.links.get(&link).ok_or_else(missing)
    }
}
