//! Fetches a file that a provider made and keeps at a URL; at once, since such URLs do not last.
//!
//! The key goes only to the provider's own origin. No redirect is followed, and a reply cannot send us to an address
//! inside our own network: the host is the provider's own or a public one, by its name and by what that resolves to.

use std::net::IpAddr;

use reqwest::{Method, Response, Url};
use schemas::ErrorCode;

use super::Endpoint;
use crate::{Call, Error, Remedy};

impl Endpoint {
    /// Requests the file at `url` for `call`.
    pub(crate) async fn fetch(&self, url: &str, call: &Call) -> Result<Response, Error> {
        let url = self.base.join(url).map_err(|_| self.nonsense("named a file by what is no URL"))?;
        let is_safe = url.scheme() == "https" || (url.scheme() == "http" && self.is_plain());
        let is_reachable =
            url.host_str() == self.base.host_str() || is_outside(&url) || self.guard.allows_more();
        if !is_safe || !is_reachable {
            return Err(self.nonsense("named a file at an address that must not be fetched"));
        }
        let is_ours = self.is_ours(&url);
        let request = if is_ours { self.request(Method::GET, url, call.key) } else { self.bare(url)? };
        let response = self.exchange_plain(request, call.deadline).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let what = format!("the file that it made could not be fetched: the answer was {status}");
        // A missing file will stay missing, and making it once more would cost once more.
        let remedy = if status == 429 || status >= 500 { Remedy::Retry } else { Remedy::FallBack };
        let mut error = Error::new(&self.name, ErrorCode::ProviderError, remedy, what);
        error.upstream_status = Some(status);
        Err(error)
    }
}

/// Whether the host, judged by its name alone, is outside this machine and its network.
fn is_outside(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    match host.trim_matches(['[', ']']).parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(v4)) => {
            let [first, second, ..] = v4.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast())
                && first != 0
                && !is_shared
        }
        Ok(IpAddr::V6(v6)) => {
            let is_local = v6.is_unique_local() || v6.is_unicast_link_local();
            !(v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || is_local)
        }
        Err(_) => host.contains('.') && !host.ends_with(".localhost") && !host.ends_with(".internal"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::{net::TcpListener, time::Instant};

    use super::*;
    use crate::endpoint::tests::endpoint;

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_resolves_to_when_it_is_called() {
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/a.png", target.local_addr().unwrap().port());
        let endpoint = endpoint();
        let request = endpoint.bare(Url::parse(&url).unwrap()).unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        let error = endpoint.exchange_plain(request, until).await.unwrap_err();
        assert!(format!("{error:?}").contains("providers.p.allow_networks"), "{error:?}");
        assert!(!error.to_public().message.contains("allow_networks"), "that is for the log");
        assert!(target.accept().now_or_never().is_none());
        assert!(endpoint.bare(Url::parse("https://10.0.0.1/a.png").unwrap()).is_err());
    }

    #[test]
    fn addresses_inside_are_told_from_those_outside() {
        let outside = |url: &str| is_outside(&Url::parse(url).unwrap());
        for url in ["https://files.test/a", "https://93.184.216.34/a", "https://[2606:2800::1]/a"] {
            assert!(outside(url), "{url}");
        }
        let inside = [
            "http://localhost/",
            "http://a.localhost/",
            "http://metadata.google.internal/",
            "http://metadata.google.internal./",
            "http://localhost./",
            "http://a.localhost./",
            "http://127.0.0.1/",
            "http://0.0.0.0/",
            "http://10.0.0.1/",
            "http://169.254.169.254/",
            "http://100.64.0.1/",
            "http://192.168.1.1/",
            "http://2130706433/",
            "http://[::1]/",
            "http://[::ffff:10.0.0.1]/",
            "http://[fd00::1]/",
            "http://[fe80::1]/",
            "http://intranet/",
        ];
        for url in inside {
            assert!(!outside(url), "{url}");
        }
    }
}
