//! Decides where calls to addresses that outsiders name may go: never to a private, local or reserved one, unless the
//! configuration allows its network.
//!
//! The check is in the resolver, so Dynode calls the very address that it checked, whatever the name resolves to a
//! moment later. An IP address in a URL never reaches a resolver; [`Guard::check_literal`] checks it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use url::Host;

/// Decides which addresses may be called.
#[derive(Debug, Clone)]
pub struct Guard {
    allowed: Vec<IpNet>,
    setting: String,
}

impl Guard {
    /// Permits public addresses, and those of `allowed`, which comes from the setting `setting`.
    pub fn new(allowed: Vec<IpNet>, setting: impl Into<String>) -> Self {
        Self { allowed, setting: setting.into() }
    }

    /// Checks an IP address in the URL itself; a name passes.
    pub fn check_literal(&self, url: &Url) -> Result<(), String> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err("names no host".into()),
        };
        if self.permits(address) { Ok(()) } else { Err(self.denied(&address.to_string())) }
    }

    /// Whether the configuration allows any private network.
    pub(crate) const fn allows_more(&self) -> bool {
        !self.allowed.is_empty()
    }

    fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allowed.iter().any(|network| network.contains(&address)) || is_public(address)
    }

    fn denied(&self, what: &str) -> String {
        format!("{what} is not a public address; allow its network in `{}`", self.setting)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let permitted: Vec<_> = found.into_iter().filter(|found| guard.permits(found.ip())).collect();
            if permitted.is_empty() {
                return Err(guard.denied(name.as_str()).into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let reserved = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b));
    !reserved
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, ..] = address.segments();
    let reserved = address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unique_local()
        || address.is_unicast_link_local()
        // Site-local: deprecated in IPv6, but still in use.
        || (a & 0xffc0) == 0xfec0
        // An IPv4 address inside, plain or tunnelled (Teredo).
        || (a == 0 && b == 0 && c == 0 && address.segments()[3] == 0)
        || (a == 0x2001 && b == 0)
        || (a == 0x2001 && b == 0x0db8)
        || (a == 0x3fff && b < 0x1000)
        || (a == 0x0100 && b == 0 && c == 0)
        || a == 0x2002
        || (a == 0x0064 && b == 0xff9b)
        || a == 0x5f00;
    !reserved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_local_and_reserved_addresses_are_denied() {
        let guard = Guard::new(Vec::new(), "allow");
        for bad in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "::127.0.0.1",
            "::169.254.169.254",
            "2001:0:7f00:1::",
            "fec0::1",
            "64:ff9b:1::a00:1",
            "ff02::1",
        ] {
            assert!(!guard.permits(bad.parse().unwrap()), "{bad} must be denied");
        }
        for good in ["1.1.1.1", "93.184.216.34", "2606:4700::1111"] {
            assert!(guard.permits(good.parse().unwrap()), "{good} must be permitted");
        }
    }

    #[test]
    fn an_allowed_network_is_permitted_and_only_that() {
        let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap()], "allow_networks");
        let check = |url: &str| guard.check_literal(&Url::parse(url).unwrap());
        assert!(check("http://127.0.0.1:9/hook").is_ok());
        assert!(check("http://2130706433/").is_ok(), "the same address as one number");
        assert!(check("http://10.0.0.1/").unwrap_err().contains("allow_networks"));
        assert!(check("http://[::1]/").is_err());
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_a_denied_address_is_denied() {
        let guard = Guard::new(Vec::new(), "allow");
        let resolved = guard.resolve("localhost".parse().unwrap()).await;
        assert!(resolved.is_err());
    }
}
