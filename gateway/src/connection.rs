//! One connection: HTTP/1 or HTTP/2, with the time limits that a server without a timer does not have.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::Watcher},
    service::TowerToHyperService,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tower::{ServiceExt, service_fn};
use tracing::debug;

use crate::{Config, impatient::Impatient};

/// How many requests one HTTP/2 connection may have open.
const STREAMS_MAX: u32 = 200;
/// How long an HTTP/2 peer may take to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves `stream` until its end. A connection that has not sent a whole request head in time is dropped: hyper's own
/// timer starts only after it knows the protocol.
pub(crate) async fn serve<S>(stream: S, router: Router, config: &Config, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let begun = Arc::new(AtomicBool::new(false));
    let noticed = begun.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        noticed.store(true, Ordering::Relaxed);
        answer(router.clone(), request)
    });
    let head_time = Duration::from_millis(config.header_read_timeout_ms);
    let stream = Impatient::new(stream, Duration::from_millis(config.write_timeout_ms));
    let builder = builder(head_time, config.ping_interval());
    let connection =
        builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(watcher.watch(connection.into_owned()));
    let ended = tokio::select! {
        // An answer that is ready goes before the clock, always.
        biased;
        ended = &mut connection => ended,
        () = tokio::time::sleep(head_time) => {
            if !begun.load(Ordering::Relaxed) {
                debug!("no request head in time: connection dropped");
                return;
            }
            connection.await
        }
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
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head_time);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(ping_interval)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}
