//! Serves one connection, HTTP/1 or HTTP/2, with or without TLS, within limits that the HTTP library does not set by
//! itself: on time, request heads and streams.

use std::{convert::Infallible, time::Duration};

use axum::{Router, body::Body, extract::Request, response::Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::Watcher},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_util::{io::InspectReader, sync::CancellationToken};
use tower::{ServiceExt, service_fn};
use tracing::debug;

use crate::{Config, http2::Frames, idle::Use, impatient::Impatient, metrics::Meters, tls::Tls};

/// How many requests one HTTP/2 connection may have open.
const STREAMS_MAX: u32 = 200;
/// How many requests an HTTP/2 client may reset before they were begun; one more ends its connection.
const RESETS_MAX: usize = 20;
/// How many faulty HTTP/2 requests on one connection are answered by a reset; one more ends it.
const FAULTS_MAX: usize = 128;
/// How long an HTTP/2 peer may take to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// The most bytes of a request head, and of trailers.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// The same, as HTTP/2 counts them: 32 bytes more for each header.
const HEADER_LIST_BYTES_MAX: u32 = 64 << 10;
/// The most headers of a request.
const HEADERS_MAX: usize = 100;

/// The limits of a connection, and what counts it.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// How long its client may take to send a request head, and may stay idle.
    head_time: Duration,
    /// How long its client may leave sent data unread.
    write_time: Duration,
    /// How often a quiet connection is pinged.
    ping_interval: Duration,
    meters: Meters,
}

impl Bounds {
    /// The configured bounds.
    pub(crate) fn of(config: &Config, meters: &Meters) -> Self {
        Self {
            head_time: Duration::from_millis(config.header_read_timeout_ms),
            write_time: Duration::from_millis(config.write_timeout_ms),
            ping_interval: config.ping_interval(),
            meters: meters.clone(),
        }
    }

    /// The same for a client that has only this much time to send a request.
    pub(crate) fn hurried(&self, time: Duration) -> Self {
        Self { head_time: self.head_time.min(time), ..self.clone() }
    }
}

/// Serves `stream` until its end. Drops a connection that has not sent a whole request head in time, or has made no
/// request for as long: hyper's own timer starts only after it knows the protocol, and HTTP/2 has none.
pub(crate) async fn serve<S>(stream: S, router: Router, bounds: &Bounds, tls: Option<&Tls>, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Below TLS, which buffers more than its client reads.
    let stream = Impatient::new(stream, bounds.write_time);
    match tls {
        None => converse(stream, router, bounds, watcher).await,
        Some(tls) => {
            if let Some(stream) = tls.accept(stream).await {
                converse(stream, router, bounds, watcher).await;
            }
        }
    }
}

async fn converse<S>(stream: S, router: Router, bounds: &Bounds, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut frames, flooded) = (Frames::begin(Instant::now()), CancellationToken::new());
    let flood = flooded.clone();
    let stream = InspectReader::new(stream, move |bytes: &[u8]| {
        if frames.read(bytes, Instant::now()) {
            flood.cancel();
        }
    });
    let used = Use::begin();
    let noticed = used.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let turn = noticed.turn();
        let answer = answer(router.clone(), request);
        async move { answer.await.map(|response| turn.until_sent(response)) }
    });
    let head_time = bounds.head_time;
    let builder = builder(head_time, bounds.ping_interval);
    let connection =
        builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(watcher.watch(connection.into_owned()));
    let ended = tokio::select! {
        // A ready answer always goes before the timeout.
        biased;
        () = flooded.cancelled() => {
            bounds.meters.flood("http2");
            return debug!("a flood of pings and their like: connection cut");
        }
        ended = &mut connection => ended,
        () = used.idle_for(head_time) => return debug!("nothing was asked for in time: connection dropped"),
    };
    if let Err(error) = ended {
        debug!(error = &*error, "connection broke off");
    }
}

async fn answer(router: Router, request: Request<Incoming>) -> Result<Response, Infallible> {
    router.oneshot(request.map(Body::new)).await
}

fn builder(head_time: Duration, ping_interval: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_time)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(FAULTS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .keep_alive_interval(ping_interval)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}
