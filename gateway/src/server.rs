//! The life of the gateway: bind, accept, drain, end.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::{
    io::DuplexStream,
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::Instant,
};
use tracing::{info, warn};

use crate::{
    Config, Error, Parts, Standby,
    app::{App, Shared},
    connection,
    hub::{self, Ears, Hub},
    keys::{Reach, keeper},
    linger,
    listener::{Incoming, Listener},
    router,
};

/// How long connections have to close once nothing is under way.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The gateway, listening.
pub struct Gateway {
    app: App,
    listener: Listener,
    address: SocketAddr,
    ears: Ears,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Listens, and subscribes to the broker. Connections are answered by [`Gateway::serve`].
    pub async fn bind(config: Config, parts: Parts) -> Result<Self, Error> {
        Self::after(Standby::listen(config).await?, parts).await
    }

    /// Subscribes to the broker, and takes over from `standby`: whoever connects meanwhile waits and is answered.
    pub async fn after(standby: Standby, parts: Parts) -> Result<Self, Error> {
        let ears = Ears::open(&*parts.broker, &parts.topology.subjects).await?;
        let Standby { config, listener, address } = standby;
        let reach = if address.ip().is_loopback() { Reach::Here } else { Reach::Network };
        let app = shared(config, parts, reach).await?;
        if app.keys.is_missing() {
            return Err(Error::NoKeys { address });
        }
        Ok(Self { app, listener: Listener::Socket(listener), address, ears })
    }

    /// Subscribes to the broker, and takes the connections that are handed in, instead of a socket's.
    pub async fn within(
        config: Config,
        parts: Parts,
        connections: mpsc::Receiver<DuplexStream>,
    ) -> Result<Self, Error> {
        config.check().map_err(Error::Config)?;
        let ears = Ears::open(&*parts.broker, &parts.topology.subjects).await?;
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let app = shared(config, parts, Reach::Here).await?;
        Ok(Self { app, listener: Listener::Given(connections), address: nowhere, ears })
    }

    /// Whether everybody may come in: there are no keys.
    pub fn is_open(&self) -> bool {
        self.app.keys.is_open()
    }

    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown`, then drains: `/health/ready` says so, new requests are refused, what is under way
    /// ends within `drain_timeout_ms`, WebSockets are closed with 1001.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let Self { app, listener, ears, .. } = self;
        let mut parts = JoinSet::new();
        parts.spawn(hub::run(app.clone(), ears));
        parts.spawn(linger::run(app.clone()));
        parts.spawn(keeper::run(app.clone()));
        let mut doors = Doors::new(&app, listener);
        tokio::select! {
            // Of what happens at once, the order is always the same: a run can be repeated from its seed.
            biased;
            () = shutdown => {}
            () = doors.accept() => {}
            Some(ended) = parts.join_next() => return Err(died(ended)),
        }
        info!("draining: new requests are refused");
        app.draining.cancel();
        app.work.close();
        let bound = Instant::now() + Duration::from_millis(app.config.drain_timeout_ms);
        tokio::select! {
            biased;
            () = doors.accept() => {}
            () = app.work.wait() => info!("nothing is under way any more"),
            () = tokio::time::sleep_until(bound) => {
                warn!(unfinished = app.work.len(), "the drain took too long: connections are cut");
            }
            Some(ended) = parts.join_next() => return Err(died(ended)),
        }
        app.cut.cancel();
        doors.close().await;
        Ok(())
    }
}

async fn shared(config: Config, parts: Parts, reach: Reach) -> Result<App, Error> {
    let shared = Shared::open(config, parts, Arc::new(Hub::new()), reach).await;
    shared.map(Arc::new).map_err(Error::Store)
}

fn died(ended: Result<(), tokio::task::JoinError>) -> Error {
    Error::Hub(ended.err().map_or_else(|| "it returned".to_owned(), |error| error.to_string()))
}

/// The listener and its connections, each a task that is cut when this is dropped.
struct Doors {
    app: App,
    listener: Listener,
    router: Router,
    graceful: GracefulShutdown,
    places: Arc<Semaphore>,
    connections: JoinSet<()>,
}

impl Doors {
    fn new(app: &App, listener: Listener) -> Self {
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
                // Those that are over make room first.
                biased;
                Some(_) = self.connections.join_next(), if !self.connections.is_empty() => continue,
                stream = self.listener.accept() => stream,
            };
            let (router, app, watcher) = (self.router.clone(), self.app.clone(), self.graceful.watcher());
            self.connections.spawn(async move {
                match stream {
                    Incoming::Tcp(stream) => connection::serve(stream, router, &app.config, watcher).await,
                    Incoming::Given(stream) => connection::serve(stream, router, &app.config, watcher).await,
                }
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
