//! The life of the gateway: bind, accept, drain, end.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::Instant,
};
use tracing::{info, warn};

use crate::{
    Config, Error, Parts,
    app::{App, Shared},
    connection,
    hub::{self, Ears, Hub},
    metrics::Meters,
    router,
};

/// How long a failed accept (no file descriptor left) rests.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long connections have to close once nothing is under way.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The gateway, listening.
pub struct Gateway {
    app: App,
    listener: TcpListener,
    address: SocketAddr,
    ears: Ears,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Subscribes to the broker and listens. Connections are answered by [`Gateway::serve`].
    pub async fn bind(config: Config, parts: Parts) -> Result<Self, Error> {
        config.check().map_err(Error::Config)?;
        let ears = Ears::open(&*parts.broker, &parts.topology.subjects).await?;
        let refused = |source| Error::Listen { address: config.listen.clone(), source };
        let listener = TcpListener::bind(&config.listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let app = Arc::new(Shared::new(config, parts, Arc::new(Hub::new()), Meters::new()));
        Ok(Self { app, listener, address, ears })
    }

    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown`, then drains: `/health/ready` says so, new requests are refused, what is under way
    /// ends within `drain_timeout_ms`, WebSockets are closed with 1001.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let Self { app, listener, ears, .. } = self;
        let mut hub = JoinSet::new();
        hub.spawn(hub::run(app.clone(), ears));
        let mut doors = Doors::new(&app, listener);
        tokio::select! {
            () = doors.accept() => {}
            () = shutdown => {}
            Some(ended) = hub.join_next() => return Err(died(ended)),
        }
        info!("draining: new requests are refused");
        app.draining.cancel();
        app.work.close();
        let bound = Instant::now() + Duration::from_millis(app.config.drain_timeout_ms);
        tokio::select! {
            () = doors.accept() => {}
            () = app.work.wait() => info!("nothing is under way any more"),
            () = tokio::time::sleep_until(bound) => {
                warn!(unfinished = app.work.len(), "the drain took too long: connections are cut");
            }
            Some(ended) = hub.join_next() => return Err(died(ended)),
        }
        app.cut.cancel();
        doors.close().await;
        Ok(())
    }
}

fn died(ended: Result<(), tokio::task::JoinError>) -> Error {
    Error::Hub(ended.err().map_or_else(|| "it returned".to_owned(), |error| error.to_string()))
}

/// The listener and its connections, each a task that is cut when this is dropped.
struct Doors {
    app: App,
    listener: TcpListener,
    router: Router,
    graceful: GracefulShutdown,
    places: Arc<Semaphore>,
    connections: JoinSet<()>,
}

impl Doors {
    fn new(app: &App, listener: TcpListener) -> Self {
        Self {
            app: app.clone(),
            listener,
            router: router::routes(app.clone()),
            graceful: GracefulShutdown::new(),
            places: Arc::new(Semaphore::new(app.config.connections_max)),
            connections: JoinSet::new(),
        }
    }

    /// Accepts for ever.
    async fn accept(&mut self) {
        loop {
            // The semaphore is never closed.
            let Ok(place) = self.places.clone().acquire_owned().await else { return };
            let stream = tokio::select! {
                stream = accept_one(&self.listener) => stream,
                Some(_) = self.connections.join_next(), if !self.connections.is_empty() => continue,
            };
            let (router, app, watcher) = (self.router.clone(), self.app.clone(), self.graceful.watcher());
            self.connections.spawn(async move {
                connection::serve(stream, router, &app.config, watcher).await;
                drop(place);
            });
        }
    }

    /// Closes idle connections, lets answers finish, then cuts.
    async fn close(mut self) {
        drop(self.listener);
        let closed = async { tokio::join!(self.graceful.shutdown(), self.app.work.wait()) };
        if tokio::time::timeout(CLOSE_TIMEOUT, closed).await.is_err() {
            warn!(connections = self.connections.len(), "connections did not close in time and are cut");
        }
        self.connections.shutdown().await;
    }
}

async fn accept_one(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
