//! Decides which web pages may use this server. A browser sends the origin of the page (`Origin`) and the name that it
//! used for the server (`Host`). A foreign page must not use the server through its visitor, by HTTP or WebSocket, nor
//! reach a server on the visitor's machine by a name that it has pointed there (DNS rebinding).
//!
//! A client that is not a browser sends no `Origin` and needs none. CORS says what pages of allowed origins may read.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, Method, header, uri::Authority},
};
use schemas::{Error, ErrorCode};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use url::{Host, Url};

use crate::{Config, config::is_loopback, door, refusal};

/// Every origin.
const ANY: &str = "*";
/// The methods that pages may use.
const METHODS: [Method; 3] = [Method::GET, Method::POST, Method::DELETE];
/// The headers of an answer that a page may read.
const EXPOSED: [HeaderName; 6] = [
    door::X_REQUEST_ID,
    header::RETRY_AFTER,
    refusal::RETRY_AFTER_MS,
    refusal::X_SHOULD_RETRY,
    refusal::X_ESTIMATED_WAIT,
    header::CONTENT_DISPOSITION,
];
/// How long a browser may cache a preflight.
const PREFLIGHT_AGE: Duration = Duration::from_secs(60 * 60);

/// Which pages may use the server, at one address.
#[derive(Debug)]
pub(crate) struct Origins {
    /// The origins in `gateway.origins_allowed`.
    allowed: Vec<String>,
    /// The host by which clients reach this server, if configured.
    public: Option<Host<String>>,
    /// Only this machine can connect, so a request must use a name of this machine.
    is_local: bool,
}

impl Origins {
    /// Reads `config`, for the socket at `address`.
    pub(crate) fn of(config: &Config, address: &str) -> Arc<Self> {
        let public =
            Url::parse(&config.public_url).ok().and_then(|url| url.host().map(|host| host.to_owned()));
        let allowed = config.origins_allowed.clone();
        Arc::new(Self { allowed, public, is_local: is_loopback(address) })
    }

    /// The layer that lets pages of the allowed origins read answers; `None` if no origin is allowed.
    pub(crate) fn share(&self) -> Option<CorsLayer> {
        let origins: Vec<HeaderValue> =
            self.allowed.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
        let origins = match self.allows_any() {
            _ if origins.is_empty() => return None,
            true => AllowOrigin::any(),
            false => AllowOrigin::list(origins),
        };
        let cors = CorsLayer::new()
            .allow_origin(origins)
            .allow_methods(METHODS)
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(EXPOSED)
            .max_age(PREFLIGHT_AGE);
        Some(cors)
    }

    /// Refuses requests of foreign pages.
    pub(crate) fn check(&self, request: &Request) -> Result<(), Error> {
        let host = host(request);
        if self.is_local && !host.as_deref().is_none_or(|host| self.is_ours(host)) {
            let why = "this server answers only requests to an address of this machine; behind a proxy, set \
                       gateway.public_url to the name that clients use";
            return Err(Error::new(ErrorCode::Forbidden, why));
        }
        let Some(origin) = door::text(request.headers(), header::ORIGIN.as_str()) else { return Ok(()) };
        let own = authority(&origin).is_some_and(|page| {
            host.as_deref() == Some(page) || self.public.as_ref().is_some_and(|public| is_at(page, public))
        });
        if own || self.allows_any() || self.allowed.contains(&origin) {
            return Ok(());
        }
        let why = "pages of this origin may not use this server; add it to gateway.origins_allowed";
        Err(Error::new(ErrorCode::Forbidden, why))
    }

    fn allows_any(&self) -> bool {
        self.allowed.iter().any(|origin| origin == ANY)
    }

    /// Whether a client that connects to this machine may use this name for it.
    fn is_ours(&self, host: &str) -> bool {
        let is_loopback = match parse(host) {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            None => false,
        };
        is_loopback
            || self.allows_any()
            || self.public.as_ref().is_some_and(|public| is_at(host, public))
            || self.allowed.iter().any(|origin| authority(origin) == Some(host))
    }
}

/// The host that a request names; HTTP/2 puts it in the target.
fn host(request: &Request) -> Option<String> {
    let target = request.uri().authority().map(Authority::to_string);
    target.or_else(|| door::text(request.headers(), header::HOST.as_str()))
}

/// The host of an origin, and its port.
fn authority(origin: &str) -> Option<&str> {
    origin.split_once("://").map(|(_, authority)| authority)
}

/// Whether `authority` names `host`, at any port.
fn is_at(authority: &str, host: &Host<String>) -> bool {
    parse(authority).as_ref() == Some(host)
}

fn parse(authority: &str) -> Option<Host<String>> {
    let parsed = authority.parse::<Authority>().ok()?;
    Host::parse(parsed.host()).ok()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn allows(origins: &Origins, host: &str, origin: Option<&str>) -> bool {
        let mut request = Request::get("/").header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        origins.check(&request.body(Body::empty()).unwrap()).is_ok()
    }

    fn origins(listen: &str, allowed: &[&str], public_url: &str) -> Arc<Origins> {
        let config = Config {
            origins_allowed: allowed.iter().map(|&origin| origin.to_owned()).collect(),
            public_url: public_url.into(),
            ..Config::sample()
        };
        Origins::of(&config, listen)
    }

    #[test]
    fn a_page_uses_its_own_server_and_those_that_allow_it() {
        let open = origins("0.0.0.0:8321", &["https://chat.example"], "https://ai.example/dynode");
        for (host, origin, is_allowed) in [
            ("ai.internal:8321", None, true),
            ("ai.internal:8321", Some("http://ai.internal:8321"), true),
            ("ai.internal:8321", Some("http://ai.internal"), false),
            ("ai.internal:8321", Some("https://chat.example"), true),
            ("ai.internal:8321", Some("https://chat.example:444"), false),
            ("ai.internal:8321", Some("https://ai.example"), true),
            ("ai.internal:8321", Some("https://evil.example"), false),
            ("ai.internal:8321", Some("null"), false),
        ] {
            assert_eq!(allows(&open, host, origin), is_allowed, "{host} {origin:?}");
        }
        assert!(allows(&origins("0.0.0.0:8321", &["*"], ""), "a", Some("https://evil.example")));
    }

    #[test]
    fn a_name_that_was_pointed_here_is_none_of_this_machine() {
        let local = origins("127.0.0.1:8321", &["https://chat.example"], "https://ai.example");
        for host in [
            "127.0.0.1:8321",
            "localhost:8321",
            "LOCALHOST",
            "[::1]:8321",
            "a.localhost",
            "ai.example",
            "chat.example",
        ] {
            assert!(allows(&local, host, None), "{host}");
        }
        for host in ["evil.example:8321", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example"] {
            assert!(!allows(&local, host, None), "{host}");
            assert!(!allows(&local, host, Some(&format!("http://{host}"))), "{host}");
        }
        assert!(allows(&origins("127.0.0.1:8321", &["*"], ""), "evil.example", None));
    }
}
