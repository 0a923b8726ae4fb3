//! The one HTTP client: bounds every outgoing call, and reports its failures without secrets.
//!
//! No redirects: one would carry the key along, and a provider that moves must be configured anew. And no proxy from
//! the environment, since only the configuration says where calls go: a forgotten `HTTP_PROXY` would swallow calls to
//! local model servers, and read the keys of servers reached without TLS.

use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, Response, redirect};
use schemas::ErrorCode;

use crate::{Error, Remedy};

/// A provider that does not accept a connection within this time counts as down.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Shorter than the 60 s after which common load balancers close idle connections: a connection that dies as it is
/// taken from the pool costs a failed call.
pub const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// How often to ping an HTTP/2 connection in use. It carries many calls, so a dead one stops them all.
pub const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(15);

/// How long the answer to a ping may take.
pub const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes to read of an error's body; its message is at the beginning.
pub const ERROR_BODY_BYTES_MAX: usize = 64 * 1024;

/// The most bytes to read of an answer that is not streamed: 2048 embeddings of 3072 floats are 34 MB in base64.
pub const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The body is longer than allowed.
    #[error("the body is over the limit of {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] reqwest::Error),
}

/// Makes `ring` the TLS cryptography of this process. Needed once before any TLS; doing it again changes nothing.
pub fn install_crypto() {
    // The error says that a provider is already installed, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The builder of every client for outgoing calls. It adds Mozilla's built-in root certificates to the system's:
/// without them no client can be built in a container that has no certificates.
pub fn client_builder() -> ClientBuilder {
    install_crypto();
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    Client::builder()
        .user_agent(concat!("dynode/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .http2_keep_alive_interval(HTTP2_PING_INTERVAL)
        .http2_keep_alive_timeout(HTTP2_PING_TIMEOUT)
        .tcp_nodelay(true)
        .tls_certs_merge(roots.filter_map(|der| Certificate::from_der(der).ok()))
}

/// Reads the whole body, and refuses one of more than `limit` bytes.
pub async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, ReadError> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    if announced > limit {
        return Err(ReadError::TooLong { limit });
    }
    let mut body = Vec::with_capacity(announced);
    while let Some(chunk) = response.chunk().await.map_err(|e| ReadError::Broken(e.without_url()))? {
        if body.len() + chunk.len() > limit {
            return Err(ReadError::TooLong { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads the beginning of an error's body, as much as arrives.
pub async fn read_error(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = ERROR_BODY_BYTES_MAX - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == ERROR_BODY_BYTES_MAX {
            break;
        }
    }
    body
}

/// The error of a call that got no answer. The URL is left out: its query may hold a key.
pub fn unreachable(provider: &str, error: reqwest::Error) -> Error {
    let what = match (error.is_connect(), error.is_timeout()) {
        (true, true) => format!("did not accept a connection within {} s", CONNECT_TIMEOUT.as_secs()),
        (true, false) => "could not be reached".to_owned(),
        _ => "broke the connection off before it answered".to_owned(),
    };
    Error::new(provider, ErrorCode::ProviderUnavailable, Remedy::Retry, what).with_source(error.without_url())
}

/// The error of an answer that could not be read to its end.
pub fn unreadable(provider: &str, error: ReadError) -> Error {
    let (code, message) = match &error {
        ReadError::TooLong { .. } => {
            (ErrorCode::ProviderError, format!("its answer cannot be read: {error}"))
        }
        ReadError::Broken(_) => {
            (ErrorCode::ProviderUnavailable, "broke the connection off in its answer".to_owned())
        }
    };
    let remedy = if matches!(error, ReadError::TooLong { .. }) { Remedy::FallBack } else { Remedy::Retry };
    Error::new(provider, code, remedy, message).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_can_be_built_more_than_once() {
        client_builder().build().unwrap();
        client_builder().build().unwrap();
    }

    #[tokio::test]
    async fn errors_show_neither_query_nor_key() {
        // Port 9 of the loopback address: reserved for discarding, nobody listens.
        let request = client_builder().build().unwrap().get("http://127.0.0.1:9/v1?key=canary");
        let error = unreachable("p", request.send().await.unwrap_err());
        assert_eq!((error.code, error.remedy), (ErrorCode::ProviderUnavailable, Remedy::Retry));
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}
