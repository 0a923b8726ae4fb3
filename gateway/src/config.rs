//! The gateway's settings. Durations are in milliseconds and sizes in bytes, as their names say.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use schemas::Tenant;
use serde::{Deserialize, Deserializer, de};

/// The `[gateway]` section. Every key is required here; the composition root merges the defaults in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen, `address:port`; port 0 takes a free one.
    pub listen: String,
    /// Where operators connect, `address:port`; if empty, at `listen` if that is a loopback address, else nowhere.
    pub manage_listen: String,
    /// The TLS certificate for clients: a PEM file with its chain. Empty: no TLS.
    pub tls_cert: PathBuf,
    /// The key of that certificate: a PEM file.
    pub tls_key: PathBuf,
    /// The tenant of all requests while there are no keys.
    pub tenant: Tenant,
    /// Where providers reach the gateways, for webhooks; empty: nowhere.
    pub public_url: String,
    /// The largest HTTP body.
    pub body_bytes_max: usize,
    /// The largest WebSocket message.
    pub frame_bytes_max: usize,
    /// How long a client may take for the TLS handshake, and then to send the head of a request; also how long a
    /// connection may stay idle.
    pub header_read_timeout_ms: u64,
    /// How long a client may take to send a body.
    pub body_read_timeout_ms: u64,
    /// How long a client may leave sent data unread before the gateway closes its connection.
    pub write_timeout_ms: u64,
    /// The most connections at once; more wait in the listener's backlog.
    pub connections_max: usize,
    /// The most client connections at once from one address (IPv6: one 64-bit network); one more is refused.
    pub connections_per_ip_max: usize,
    /// Networks whose connections come from many clients, and are not counted by address.
    pub proxies: Vec<IpNet>,
    /// The most requests that doors wait for at once; one more is refused as `overloaded`.
    pub requests_inflight_max: usize,
    /// The most bytes of requests held at once, over all connections; one more is refused as `overloaded`.
    pub bytes_inflight_max: usize,
    /// The most requests that may wait for one pool; one more is refused as `overloaded`.
    pub queue_max: u64,
    /// The most requests of one tenant, sent by this gateway, that may wait for one pool; likewise.
    pub tenant_queue_max: u64,
    /// How long a job is assumed to take until one of its pool has ended; 0 assumes nothing.
    pub assumed_job_ms: u64,
    /// The most requests open on one WebSocket; one more is refused as `overloaded`.
    pub socket_requests_max: usize,
    /// The most sessions that one WebSocket has joined; one more is refused as `overloaded`.
    pub socket_sessions_max: usize,
    /// The most frames that wait to be written to one WebSocket.
    pub socket_queue_frames_max: usize,
    /// How long a WebSocket may send nothing, not even a pong, before the gateway closes it.
    pub socket_idle_timeout_ms: u64,
    /// How often the gateway looks for keys that other gateways have made or revoked.
    pub key_refresh_ms: u64,
    /// How often the gateway sends a keep-alive on a quiet SSE stream or WebSocket.
    pub ping_interval_ms: u64,
    /// The deadline of requests whose door waits for the answer, if the client names none.
    pub default_deadline_ms: u64,
    /// How long beyond the deadline a door waits for the engine to report it itself.
    pub deadline_grace_ms: u64,
    /// How long a client that resumes a request waits for a sign of it, if the broker has lost its events.
    pub resume_wait_ms: u64,
    /// How long a chat runs on after its client has gone, before it is cancelled; `None` (`"never"`): to its end.
    #[serde(deserialize_with = "milliseconds_or_never")]
    pub linger_ms: Option<u64>,
    /// How long a drain waits for work under way.
    pub drain_timeout_ms: u64,
    /// Web origins whose pages may use this server, by HTTP and by WebSocket, besides its own; `*` is every origin.
    pub origins_allowed: Vec<String>,
}

impl Config {
    /// Checks what the types cannot; the error names the key and the remedy.
    pub fn check(&self) -> Result<(), String> {
        let positive = [
            ("body_bytes_max", self.body_bytes_max as u64),
            ("frame_bytes_max", self.frame_bytes_max as u64),
            ("header_read_timeout_ms", self.header_read_timeout_ms),
            ("body_read_timeout_ms", self.body_read_timeout_ms),
            ("write_timeout_ms", self.write_timeout_ms),
            ("connections_max", self.connections_max as u64),
            ("connections_per_ip_max", self.connections_per_ip_max as u64),
            ("requests_inflight_max", self.requests_inflight_max as u64),
            ("queue_max", self.queue_max),
            ("tenant_queue_max", self.tenant_queue_max),
            ("socket_requests_max", self.socket_requests_max as u64),
            ("socket_sessions_max", self.socket_sessions_max as u64),
            ("socket_queue_frames_max", self.socket_queue_frames_max as u64),
            ("key_refresh_ms", self.key_refresh_ms),
            ("ping_interval_ms", self.ping_interval_ms),
            ("default_deadline_ms", self.default_deadline_ms),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("gateway.{key}: must be at least 1"));
        }
        if !self.public_url.is_empty() && !is_base(&self.public_url) {
            let why = "expected an http:// or https:// URL without `?` and `#`, as in \"https://ai.example.com\", or nothing";
            return Err(format!("gateway.public_url: {why}"));
        }
        if !self.manage_listen.is_empty() && !is_address(&self.manage_listen) {
            let why = "expected an address and a port, such as \"127.0.0.1:8322\", or nothing";
            return Err(format!("gateway.manage_listen: {why}"));
        }
        match (self.tls_cert.as_os_str().is_empty(), self.tls_key.as_os_str().is_empty()) {
            (false, true) => return Err("gateway.tls_key: is needed beside gateway.tls_cert".into()),
            (true, false) => return Err("gateway.tls_cert: is needed beside gateway.tls_key".into()),
            _ => {}
        }
        if let Some(origin) = self.origins_allowed.iter().find(|origin| !is_origin(origin)) {
            let why =
                "is no origin; write it as browsers do, as in \"https://chat.example.com\", or \"*\" for all";
            return Err(format!("gateway.origins_allowed: `{origin}` {why}"));
        }
        if self.socket_idle_timeout_ms <= self.ping_interval_ms {
            let why = "must be longer than gateway.ping_interval_ms, or every quiet client is closed";
            return Err(format!("gateway.socket_idle_timeout_ms: {why}"));
        }
        let most = schemas::request::DEADLINE_MS_MAX;
        let bounded = [
            ("default_deadline_ms", self.default_deadline_ms),
            ("assumed_job_ms", self.assumed_job_ms),
            ("linger_ms", self.linger_ms.unwrap_or_default()),
        ];
        if let Some((key, _)) = bounded.iter().find(|(_, value)| *value > most) {
            return Err(format!("gateway.{key}: must be at most {most}"));
        }
        let largest = self.body_bytes_max.max(self.frame_bytes_max);
        if self.bytes_inflight_max < largest {
            let why = format!("must be at least {largest}, or no request of the largest size is ever taken");
            return Err(format!("gateway.bytes_inflight_max: {why}"));
        }
        Ok(())
    }

    /// Whether only clients on this machine reach the gateway.
    pub(crate) fn is_local(&self) -> bool {
        is_loopback(&self.listen)
    }

    pub(crate) const fn resume_wait(&self) -> Duration {
        Duration::from_millis(self.resume_wait_ms)
    }

    pub(crate) fn linger(&self) -> Option<Duration> {
        self.linger_ms.map(Duration::from_millis)
    }

    pub(crate) const fn ping_interval(&self) -> Duration {
        Duration::from_millis(self.ping_interval_ms)
    }
}

/// Whether only this machine can connect to `address`.
pub(crate) fn is_loopback(address: &str) -> bool {
    match address.parse::<SocketAddr>() {
        Ok(address) => address.ip().to_canonical().is_loopback(),
        Err(_) => address.rsplit_once(':').is_some_and(|(host, _)| host == "localhost"),
    }
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// Whether `text` is `*` or an origin as browsers write it: a scheme and a host, and no slash at the end.
fn is_origin(text: &str) -> bool {
    let host = text.split_once("://").map(|(_, host)| host);
    text == "*" || (host.is_some_and(|host| !host.is_empty() && !host.contains('/')) && text.is_ascii())
}

/// Whether paths can be appended to `url`.
fn is_base(url: &str) -> bool {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    host.is_some_and(|host| !host.trim_start_matches('/').is_empty())
        && !url.contains(['?', '#', '@'])
        && url.chars().all(|c| c.is_ascii_graphic())
}

#[cfg(test)]
impl Config {
    /// The defaults.
    pub(crate) fn sample() -> Self {
        let mut all: toml::Table = toml::from_str(include_str!("../../config/default.toml")).unwrap();
        let mut own = all.remove("gateway").unwrap();
        own.as_table_mut().unwrap().insert("listen".into(), "127.0.0.1:0".into());
        own.try_into().unwrap()
    }
}

/// A number, or the word `never`.
fn milliseconds_or_never<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    struct Visitor;

    impl de::Visitor<'_> for Visitor {
        type Value = Option<u64>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a number of milliseconds, or \"never\"")
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
            Ok(Some(value))
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
            let unfit = |_| E::invalid_value(de::Unexpected::Signed(value), &self);
            u64::try_from(value).map(Some).map_err(unfit)
        }

        fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
            match value {
                "never" => Ok(None),
                other => Err(E::invalid_type(de::Unexpected::Str(other), &self)),
            }
        }
    }

    input.deserialize_any(Visitor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linger_is_a_number_or_never() {
        #[derive(Deserialize)]
        struct Read {
            #[serde(deserialize_with = "milliseconds_or_never")]
            linger_ms: Option<u64>,
        }
        let read = |text: &str| toml::from_str::<Read>(text).map(|read| read.linger_ms);
        assert_eq!(read("linger_ms = 0"), Ok(Some(0)));
        assert_eq!(read("linger_ms = \"never\""), Ok(None));
        for bad in ["linger_ms = -1", "linger_ms = \"always\"", "linger_ms = true", ""] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_public_url_is_one() {
        for (url, is_good) in [
            ("", true),
            ("https://ai.example.com", true),
            ("http://127.0.0.1:8321/dynode/", true),
            ("ai.example.com", false),
            ("https://", false),
            ("https://a?b", false),
            ("https://user:key@a", false),
            ("https://a b", false),
        ] {
            let config = Config { public_url: url.into(), ..Config::sample() };
            assert_eq!(config.check().is_ok(), is_good, "{url}: {:?}", config.check());
        }
    }

    #[test]
    fn origins_are_written_as_browsers_write_them() {
        for (origin, is_good) in [
            ("*", true),
            ("https://chat.example.com", true),
            ("http://localhost:3000", true),
            ("chat.example.com", false),
            ("https://chat.example.com/", false),
            ("", false),
        ] {
            let config = Config { origins_allowed: vec![origin.into()], ..Config::sample() };
            assert_eq!(config.check().is_ok(), is_good, "{origin}: {:?}", config.check());
        }
    }

    #[test]
    fn loopback_is_told_from_the_rest() {
        for local in ["127.0.0.1:8321", "127.8.0.1:0", "[::1]:8321", "[::ffff:127.0.0.1]:1", "localhost:8321"]
        {
            assert!(is_loopback(local), "{local}");
        }
        for open in ["0.0.0.0:8321", "[::]:8321", "192.168.1.2:8321", "example.com:8321"] {
            assert!(!is_loopback(open), "{open}");
        }
    }

    #[test]
    fn a_certificate_and_its_key_come_together() {
        let config = Config { tls_cert: "a.pem".into(), ..Config::sample() };
        assert!(config.check().unwrap_err().starts_with("gateway.tls_key: "));
        let config = Config { tls_key: "a.pem".into(), ..Config::sample() };
        assert!(config.check().unwrap_err().starts_with("gateway.tls_cert: "));
    }

    #[test]
    fn what_holds_all_requests_holds_the_largest_one() {
        let config = Config { bytes_inflight_max: 1_000, ..Config::sample() };
        assert!(
            config.check().unwrap_err().starts_with("gateway.bytes_inflight_max: must be at least 8388608")
        );
        Config::sample().check().unwrap();
    }
}
