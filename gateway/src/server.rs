//! The life of the gateway: bind, accept, drain, end.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use futures_util::future::join_all;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    net::TcpStream,
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::Instant,
};
use tracing::{debug, info, warn};

use crate::{
    Config, Error, Parts, Standby,
    app::{App, Shared},
    connection::{self, Bounds},
    hub::{self, Ears, Hub},
    keys::{Reach, keeper},
    linger,
    listener::{Incoming, Listener},
    peers::{Peers, Seat, TOLD_MAX, TOLD_TIME},
    router::{self, Side},
    standby::Management,
    tls::Tls,
};

/// How long connections have to close once nothing is in flight.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The gateway, listening.
pub struct Gateway {
    app: App,
    listener: Listener,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    management: Management,
    ears: Ears,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Listens, and subscribes to the broker. [`Gateway::serve`] answers connections.
    pub async fn bind(config: Config, parts: Parts) -> Result<Self, Error> {
        Self::after(Standby::listen(config).await?, parts).await
    }

    /// Subscribes to the broker, and takes over from `standby`: clients that connect meanwhile wait and are answered.
    pub async fn after(standby: Standby, parts: Parts) -> Result<Self, Error> {
        let ears = Ears::open(&*parts.broker, &parts.topology.subjects).await?;
        let Standby { config, listener, address, tls, management } = standby;
        // Without keys everybody is an operator, so the operators' address counts as much as the clients'.
        let doors = [Some(address), management.address()];
        let exposed = doors.into_iter().flatten().find(|door| !door.ip().to_canonical().is_loopback());
        let reach = if exposed.is_some() { Reach::Network } else { Reach::Here };
        let app = shared(config, parts, reach).await?;
        if app.keys.is_missing() {
            return Err(Error::NoKeys { address: exposed.unwrap_or(address) });
        }
        Ok(Self { app, listener: Listener::Socket(listener), address, tls, management, ears })
    }

    /// Subscribes to the broker, and serves connections that are handed in, instead of a socket's.
    pub async fn within(
        config: Config,
        parts: Parts,
        connections: mpsc::Receiver<DuplexStream>,
    ) -> Result<Self, Error> {
        config.check().map_err(Error::Config)?;
        let ears = Ears::open(&*parts.broker, &parts.topology.subjects).await?;
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let app = shared(config, parts, Reach::Here).await?;
        let (listener, management) = (Listener::Given(connections), Management::Here);
        Ok(Self { app, listener, address: nowhere, tls: None, management, ears })
    }

    /// Whether anybody may use the server: there are no keys.
    pub fn is_open(&self) -> bool {
        self.app.keys.is_open()
    }

    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for operators, if that is a separate address.
    pub const fn manage_addr(&self) -> Option<SocketAddr> {
        self.management.address()
    }

    /// Answers until `shutdown`, then drains: `/health/ready` says so, new requests are refused, requests in flight end
    /// within `drain_timeout_ms`, WebSockets are closed with 1001.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let Self { app, listener, tls, management, ears, .. } = self;
        let mut parts = JoinSet::new();
        parts.spawn(hub::run(app.clone(), ears));
        parts.spawn(linger::run(app.clone()));
        parts.spawn(keeper::run(app.clone()));
        let mut doors = doors(&app, listener, tls, management);
        tokio::select! {
            // Simultaneous events are always taken in the same order: a run can be repeated from its seed.
            biased;
            () = shutdown => {}
            () = accept(&mut doors) => {}
            Some(ended) = parts.join_next() => return Err(died(ended)),
        }
        info!("draining: new requests are refused");
        app.draining.cancel();
        app.work.close();
        let bound = Instant::now() + Duration::from_millis(app.config.drain_timeout_ms);
        tokio::select! {
            biased;
            () = accept(&mut doors) => {}
            () = app.work.wait() => info!("nothing is under way any more"),
            () = tokio::time::sleep_until(bound) => {
                warn!(unfinished = app.work.len(), "the drain took too long: connections are cut");
            }
            Some(ended) = parts.join_next() => return Err(died(ended)),
        }
        app.cut.cancel();
        join_all(doors.into_iter().map(Doors::close)).await;
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

/// The doors of each address: clients do not take the places of operators.
fn doors(app: &App, listener: Listener, tls: Option<Arc<Tls>>, management: Management) -> Vec<Doors> {
    let config = &app.config;
    let (side, own) = match management {
        Management::Here => (Side::Both, None),
        Management::Nowhere => (Side::Clients, None),
        Management::At { listener, tls, .. } => (Side::Clients, Some((listener, tls))),
    };
    // Connections that are handed in have no address.
    let address = if matches!(listener, Listener::Given(_)) { "" } else { config.listen.as_str() };
    let clients = router::routes(app.clone(), side, address);
    let mut doors = vec![Doors::new(app, listener, tls, clients, Some(Peers::new(config)))];
    doors.extend(own.map(|(listener, tls)| {
        let operators = router::routes(app.clone(), Side::Operators, &config.manage_listen);
        Doors::new(app, Listener::Socket(listener), tls, operators, None)
    }));
    doors
}

/// Accepts at each address, for ever.
async fn accept(doors: &mut [Doors]) {
    join_all(doors.iter_mut().map(Doors::accept)).await;
}

/// A listener and its connections, each a task that is aborted when this is dropped.
struct Doors {
    app: App,
    listener: Listener,
    tls: Option<Arc<Tls>>,
    router: Router,
    bounds: Bounds,
    graceful: GracefulShutdown,
    places: Arc<Semaphore>,
    /// Counts the connections from each address.
    peers: Option<Arc<Peers>>,
    /// One permit for each connection that is told that it is one too many.
    told: Arc<Semaphore>,
    connections: JoinSet<()>,
}

impl Doors {
    fn new(
        app: &App,
        listener: Listener,
        tls: Option<Arc<Tls>>,
        router: Router,
        peers: Option<Arc<Peers>>,
    ) -> Self {
        Self {
            bounds: Bounds::of(&app.config, &app.meters),
            app: app.clone(),
            listener,
            tls,
            router,
            graceful: GracefulShutdown::new(),
            places: Arc::new(Semaphore::new(app.config.connections_max)),
            peers,
            told: Arc::new(Semaphore::new(TOLD_MAX)),
            connections: JoinSet::new(),
        }
    }

    /// Accepts for ever.
    async fn accept(&mut self) {
        loop {
            // The semaphore is never closed.
            let Ok(place) = self.places.clone().acquire_owned().await else { return };
            let stream = tokio::select! {
                // Closed connections free their places first.
                biased;
                Some(_) = self.connections.join_next(), if !self.connections.is_empty() => continue,
                stream = self.listener.accept() => stream,
            };
            match stream {
                Incoming::Given(stream) => self.serve(stream, (place, Seat::FREE)),
                Incoming::Tcp(stream, address) => match self.seat(address) {
                    Ok(seat) => self.serve(stream, (place, seat)),
                    Err(refusing) => self.turn_away(stream, refusing),
                },
            }
        }
    }

    /// A place for a connection from `address`, or, if there is none, the router that refuses it.
    fn seat(&self, address: IpAddr) -> Result<Seat, Router> {
        let Some(peers) = &self.peers else { return Ok(Seat::FREE) };
        peers.seat(address).ok_or_else(|| peers.refusing())
    }

    /// Answers the connection in its own task, which keeps `holds` until it ends.
    fn serve<S>(&mut self, stream: S, holds: impl Send + 'static)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (router, bounds, meters) = (self.router.clone(), self.bounds.clone(), self.app.meters.clone());
        let (tls, watcher) = (self.tls.clone(), self.graceful.watcher());
        self.connections.spawn(async move {
            meters.connection(1);
            connection::serve(stream, router, &bounds, tls.as_deref(), watcher).await;
            meters.connection(-1);
            drop(holds);
        });
    }

    /// Tells the client that its connection is one too many, or closes it if many are being told already.
    fn turn_away(&mut self, stream: TcpStream, router: Router) {
        let told = Arc::clone(&self.told).try_acquire_owned();
        self.app.meters.turned_away(told.is_ok());
        debug!(is_told = told.is_ok(), "an address has as many connections as it may: one was turned away");
        let Ok(told) = told else { return };
        let (bounds, tls) = (self.bounds.hurried(TOLD_TIME), self.tls.clone());
        let watcher = self.graceful.watcher();
        self.connections.spawn(async move {
            connection::serve(stream, router, &bounds, tls.as_deref(), watcher).await;
            drop(told);
        });
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
