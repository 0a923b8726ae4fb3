//! One request over the WebSocket, shown as the answer arrives: shared by `dynode send` and `dynode chat`.

mod screen;
mod session;

use reqwest::header::HeaderMap;
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest, handshake::client::Request};

pub(super) use screen::{Screen, Style};
pub(super) use session::{End, Session};

/// Where requests go, and the headers of the WebSocket handshake.
#[derive(Debug, Clone)]
pub(super) struct Server {
    url: String,
    headers: HeaderMap,
}

impl Server {
    /// The WebSocket of the server at `url`.
    pub(super) fn new(url: &str, headers: HeaderMap) -> Result<Self, &'static str> {
        let rest = url.trim_end_matches('/');
        let rest = rest.strip_prefix("http://").or_else(|| rest.strip_prefix("ws://"));
        match rest {
            Some(rest) if !rest.is_empty() => {
                Ok(Self { url: format!("ws://{}/ws", rest.trim_end_matches("/ws")), headers })
            }
            _ => Err("expected a URL such as http://127.0.0.1:8321 (this command speaks no TLS)"),
        }
    }

    /// The WebSocket handshake.
    fn opening(&self) -> Result<Request, tungstenite::Error> {
        let mut request = self.url.as_str().into_client_request()?;
        request.headers_mut().extend(self.headers.clone());
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_stands_beside_the_api() {
        let socket = |url| Server::new(url, HeaderMap::new()).map(|server| server.url);
        assert_eq!(socket("http://h:1").unwrap(), "ws://h:1/ws");
        assert_eq!(socket("http://h:1/base/").unwrap(), "ws://h:1/base/ws");
        assert_eq!(socket("ws://h:1/ws").unwrap(), "ws://h:1/ws");
        for wrong in ["https://h", "h:1", "http://"] {
            assert!(socket(wrong).is_err(), "{wrong}");
        }
    }
}
