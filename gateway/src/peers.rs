//! Limits how many connections come from one address, so that one client cannot take all places. A connection too many
//! is told so and closed. Only the address of the connection itself counts, never one in a header.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use axum::{Router, middleware};
use ipnet::IpNet;
use parking_lot::Mutex;
use schemas::{Error, ErrorCode};
use tower::util::MapResponseLayer;

use crate::{Config, anthropic, app::RETRY_AFTER_MS, hardening::harden, refusal};

/// How many refused connections get an answer at once; others are closed without one.
pub(crate) const TOLD_MAX: usize = 64;
/// How long a refused connection may take to send a request.
pub(crate) const TOLD_TIME: Duration = Duration::from_secs(1);
/// The part of an IPv6 address that is assigned to one customer: the first 64 bits.
const CUSTOMER: u128 = !0 << 64;

/// The connections, counted by address.
#[derive(Debug)]
pub(crate) struct Peers {
    most: usize,
    /// Networks of proxies, each of whose connections serves many clients.
    proxies: Vec<IpNet>,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// A place among the connections of one address; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Seat(Option<(Arc<Peers>, IpAddr)>);

impl Seat {
    /// The place of a connection that is not counted.
    pub(crate) const FREE: Self = Self(None);
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some((peers, address)) = self.0.take() else { return };
        let mut counts = peers.counts.lock();
        if let Some(count) = counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&address);
            }
        }
    }
}

impl Peers {
    /// Starts without any connections.
    pub(crate) fn new(config: &Config) -> Arc<Self> {
        let (most, proxies) = (config.connections_per_ip_max, config.proxies.clone());
        Arc::new(Self { most, proxies, counts: Mutex::default() })
    }

    /// A place for a connection from `address`; `None` if that address has as many as it may.
    pub(crate) fn seat(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let address = address.to_canonical();
        if self.proxies.iter().any(|network| network.contains(&address)) {
            return Some(Seat::FREE);
        }
        let address = customer(address);
        let mut counts = self.counts.lock();
        let count = counts.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Seat(Some((Arc::clone(self), address))))
    }

    /// The answer to a connection for which there is no place, whatever it asks for.
    pub(crate) fn refusing(&self) -> Router {
        let most = self.most;
        let refuse = move || async move {
            let why = format!(
                "your address has {most} connections open, as many as it may (gateway.connections_per_ip_max)"
            );
            let error = Error::new(ErrorCode::RateLimited, why).retry_after_ms(RETRY_AFTER_MS);
            refusal::response(&error)
        };
        let answered = (MapResponseLayer::new(harden), middleware::from_fn(anthropic::refusal::speak));
        Router::new().fallback(refuse).layer(answered)
    }
}

/// The address under which a connection is counted.
fn customer(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & CUSTOMER).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(most: usize) -> Arc<Peers> {
        let proxies = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        Peers::new(&Config { connections_per_ip_max: most, proxies, ..Config::sample() })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_places_and_no_more_and_gives_them_back() {
        let peers = peers(2);
        let seats = [peers.seat(address("192.0.2.1")), peers.seat(address("::ffff:192.0.2.1"))];
        assert!(seats.iter().all(Option::is_some));
        assert!(peers.seat(address("192.0.2.1")).is_none());
        assert!(peers.seat(address("192.0.2.2")).is_some(), "another has its own");
        drop(seats);
        assert!(peers.seat(address("192.0.2.1")).is_some());
        assert!(peers.counts.lock().is_empty(), "who has gone is forgotten");
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let peers = peers(1);
        let _seat = peers.seat(address("2001:db8:1:2::1")).unwrap();
        assert!(peers.seat(address("2001:db8:1:2:ffff::9")).is_none());
        assert!(peers.seat(address("2001:db8:1:3::1")).is_some());
    }

    #[test]
    fn a_proxy_brings_as_many_as_it_has() {
        let peers = peers(1);
        for proxy in ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1"] {
            let seats: Vec<_> = (0..9).map(|_| peers.seat(address(proxy))).collect();
            assert!(seats.iter().all(Option::is_some), "{proxy}");
        }
    }
}
