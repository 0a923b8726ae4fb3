//! Controls a link over HTTP, for callers that have no handle: tells what it does and did, and sets other faults.

use std::io;
use std::net::SocketAddr;

use axum::extract::{DefaultBodyLimit, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use tokio::net::TcpListener;

use super::faults::Faults;
use super::link::{Link, State};
use crate::connections;

/// The longest text of faults: ten times as much as all faults in both directions.
const MAX_BODY_BYTES: usize = 4 * 1024;

/// The control of one link, which has bound its port.
#[derive(Debug)]
pub struct Control {
    listener: TcpListener,
    address: SocketAddr,
    link: Link,
}

impl Control {
    /// Takes the port.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(listen: SocketAddr, link: Link) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, link })
    }

    /// The address it listens on.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` completes.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let router = Router::new()
            .route("/_sim/link", get(state))
            .route("/_sim/faults", put(set).delete(heal))
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(self.link);
        connections::serve(self.listener, router, shutdown).await
    }
}

async fn state(Extract(link): Extract<Link>) -> Json<State> {
    Json(link.state())
}

async fn set(Extract(link): Extract<Link>, text: String) -> Response {
    match text.parse::<Faults>() {
        Ok(faults) => {
            link.set(faults);
            Json(link.state()).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

async fn heal(Extract(link): Extract<Link>) -> Json<State> {
    link.heal();
    Json(link.state())
}
