//! The doors while there is no broker yet: says that the process lives and is not ready, and refuses everything else
//! with a hint when to return. Takes nothing in: what was accepted here would be lost.

use std::{convert::Infallible, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, http::StatusCode, middleware, routing::get};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::{net::TcpListener, task::JoinSet, time::timeout};

use crate::{
    Config, Error, anthropic,
    app::overloaded,
    connection,
    health::{self, BROKER_UNREACHABLE},
    listener::accept_one,
    refusal,
};

/// How long answers may take to leave at the end. They are short; a client that does not read them loses them.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// A socket on which the gateway will be, and that is answered until then.
#[derive(Debug)]
pub struct Standby {
    pub(crate) config: Config,
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Standby {
    /// Listens. Connections are answered by [`Standby::serve_until`], and then by the gateway.
    pub async fn listen(config: Config) -> Result<Self, Error> {
        config.check().map_err(Error::Config)?;
        let refused = |source| Error::Listen { address: config.listen.clone(), source };
        let listener = TcpListener::bind(&config.listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { config, listener, address })
    }

    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
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
        let (config, router) = (Arc::new(self.config.clone()), routes());
        loop {
            tokio::select! {
                stream = accept_one(&self.listener), if connections.len() < config.connections_max => {
                    let (config, router, watcher) = (Arc::clone(&config), router.clone(), graceful.watcher());
                    connections.spawn(async move { connection::serve(stream, router, &config, watcher).await });
                }
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
    }
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
        .layer(middleware::from_fn(anthropic::refusal::speak))
}
