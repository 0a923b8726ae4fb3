//! The doors while there is no broker yet: says that the process lives and is not ready, and refuses everything else
//! with a hint when to return. Takes nothing in: what was accepted here would be lost.

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

/// The sockets on which the gateway will be, and that are answered until then.
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
    /// Where clients do: nobody but this machine can.
    Here,
    /// Nowhere: clients come from elsewhere, and no other address is set.
    Nowhere,
    /// At an address of their own.
    At {
        /// The socket.
        listener: TcpListener,
        /// Where it is.
        address: SocketAddr,
        /// How it is spoken to.
        tls: Option<Arc<Tls>>,
    },
}

impl Management {
    async fn listen(config: &Config, tls: Option<&Arc<Tls>>) -> Result<Self, Error> {
        if config.manage_listen.is_empty() {
            return Ok(if config.is_local() { Self::Here } else { Self::Nowhere });
        }
        let (listener, address) = listen(&config.manage_listen, "gateway.manage_listen").await?;
        // No certificate is good for a loopback address.
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
    /// Listens. Connections are answered by [`Standby::serve_until`], and then by the gateway.
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

    /// Where it listens for operators, where that is an address of their own.
    pub const fn manage_addr(&self) -> Option<SocketAddr> {
        self.management.address()
    }

    /// Whether nobody can reach what is meant for operators.
    pub const fn is_unmanaged(&self) -> bool {
        matches!(self.management, Management::Nowhere)
    }

    /// Answers until `event` has come, and returns what it brought.
    pub async fn serve_until<T>(&self, event: impl Future<Output = T>) -> T {
        // Dropped at the end, which cuts whoever has not closed: no connection stays with doors that are gone.
        let mut connections = JoinSet::new();
        let graceful = GracefulShutdown::new();
        let brought = tokio::select! {
            brought = event => brought,
            never = self.accept(&mut connections, &graceful) => match never {},
        };
        // What is not closed in time is cut.
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
    // 503 and not the 429 of a server that is too busy: this is no matter of how much is asked, and a client that had a
    // connection knows that it may have one again.
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
