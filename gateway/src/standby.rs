//! The doors until there is a broker: they say that the process lives and is not ready, and refuse everything else with
//! a hint when to return. They accept nothing, since it would be lost.

use std::{convert::Infallible, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, http::StatusCode, middleware, routing::get};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tower::util::MapResponseLayer;

use crate::{
    Config, Error, anthropic,
    app::overloaded,
    connection::{self, Bounds},
    hardening::harden,
    health::{self, BROKER_UNREACHABLE},
    listener::accept_one,
    metrics::Meters,
    refusal,
    tls::Tls,
};

/// How long answers may take to leave at the end. They are short; a client that does not read them loses them.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// The sockets of the gateway, which are answered here until it takes over.
#[derive(Debug)]
pub struct Standby {
    pub(crate) config: Config,
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) management: Management,
}

/// Where operators connect.
#[derive(Debug)]
pub(crate) enum Management {
    /// At the clients' address: only this machine can reach it.
    Here,
    /// Nowhere: clients come from elsewhere, and no other address is set.
    Nowhere,
    /// At a separate address.
    At {
        /// The socket.
        listener: TcpListener,
        /// Its address.
        address: SocketAddr,
        /// Its TLS, if any.
        tls: Option<Arc<Tls>>,
    },
}

impl Management {
    async fn listen(config: &Config, tls: Option<&Arc<Tls>>) -> Result<Self, Error> {
        if config.manage_listen.is_empty() {
            return Ok(if config.is_local() { Self::Here } else { Self::Nowhere });
        }
        let (listener, address) = listen(&config.manage_listen, "gateway.manage_listen").await?;
        // No certificate is valid for a loopback address.
        let tls = tls.filter(|_| !address.ip().is_loopback()).cloned();
        Ok(Self::At { listener, address, tls })
    }

    pub(crate) const fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::At { address, .. } => Some(*address),
            Self::Here | Self::Nowhere => None,
        }
    }
}

impl Standby {
    /// Listens. Connections are answered by [`Standby::serve_until`], and later by the gateway.
    pub async fn listen(config: Config) -> Result<Self, Error> {
        config.check().map_err(Error::Config)?;
        let tls = Tls::open(&config).await?;
        let (listener, address) = listen(&config.listen, "--listen").await?;
        let management = Management::listen(&config, tls.as_ref()).await?;
        Ok(Self { config, listener, address, tls, management })
    }

    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for operators, if that is a separate address.
    pub const fn manage_addr(&self) -> Option<SocketAddr> {
        self.management.address()
    }

    /// Whether nobody can reach the operators' routes.
    pub const fn is_unmanaged(&self) -> bool {
        matches!(self.management, Management::Nowhere)
    }

    /// Answers until `event` completes, and returns its output.
    pub async fn serve_until<T>(&self, event: impl Future<Output = T>) -> T {
        // Dropped at the end, which cuts connections that are still open: none stays with doors that are gone.
        let mut connections = JoinSet::new();
        let graceful = GracefulShutdown::new();
        let brought = tokio::select! {
            brought = event => brought,
            never = self.accept(&mut connections, &graceful) => match never {},
        };
        // Connections that do not close in time are cut.
        let _ = timeout(CLOSE_TIMEOUT, graceful.shutdown()).await;
        brought
    }

    async fn accept(&self, connections: &mut JoinSet<()>, graceful: &GracefulShutdown) -> Infallible {
        let (config, router) = (&self.config, routes());
        let bounds = Bounds::of(config, &Meters::new());
        loop {
            let has_place = connections.len() < config.connections_max;
            let (stream, tls) = tokio::select! {
                (stream, _) = accept_one(&self.listener), if has_place => (stream, self.tls.clone()),
                (stream, tls) = self.accept_operator() => (stream, tls),
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            };
            let (bounds, router, watcher) = (bounds.clone(), router.clone(), graceful.watcher());
            connections.spawn(async move {
                connection::serve(stream, router, &bounds, tls.as_deref(), watcher).await;
            });
        }
    }

    async fn accept_operator(&self) -> (TcpStream, Option<Arc<Tls>>) {
        match &self.management {
            Management::At { listener, tls, .. } => {
                let (stream, _) = accept_one(listener).await;
                (stream, tls.clone())
            }
            Management::Here | Management::Nowhere => std::future::pending().await,
        }
    }
}

async fn listen(address: &str, setting: &'static str) -> Result<(TcpListener, SocketAddr), Error> {
    let refused = |source| Error::Listen { setting, address: address.to_owned(), source };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

fn routes() -> Router {
    // 503, not the 429 of a busy server: the cause is not the load, and a client that had a connection knows that it
    // may get one again.
    let refuse = || async {
        let error = overloaded(&format!("{BROKER_UNREACHABLE}; this server is starting"));
        refusal::with_status(StatusCode::SERVICE_UNAVAILABLE, &error)
    };
    Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::starting))
        .fallback(refuse)
        .method_not_allowed_fallback(refuse)
        .layer((MapResponseLayer::new(harden), middleware::from_fn(anthropic::refusal::speak)))
}
