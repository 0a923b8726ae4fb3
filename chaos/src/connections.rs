//! Serves the HTTP/1.1 connections of one listener: accepts them, serves them, ends them with the listener.
//! It never looks into a request; unlike a plain server, it lets a handler order the connection to end by a reset.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Connections held open at once; beyond that, new ones wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 16_384;

/// How long calls in flight may go on after the shutdown. A stalled one would never end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// One connection as a handler sees it (a request extension).
#[derive(Clone, Debug, Default)]
pub(crate) struct Line(Arc<AtomicBool>);

impl Line {
    /// Makes this connection end, whenever it does, by a reset (RST) instead of an orderly close.
    pub(crate) fn reset_on_close(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Serves `router` until `shutdown` completes, then gives calls in flight a moment to end.
///
/// # Errors
/// When the listener cannot accept although no connection is open, so that nothing would ever free it.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let graceful = GracefulShutdown::new();
    let mut open = JoinSet::new();
    let mut starved = false;
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = open.join_next() => starved = false,
            accepted = listener.accept(), if !starved && open.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    open.spawn(connection(stream, router.clone(), graceful.watcher()));
                }
                Err(error) if is_of_the_peer(&error) => {}
                // Out of file descriptors, most likely: only the end of a connection gives one back.
                Err(error) if !open.is_empty() => {
                    tracing::warn!(%error, open = open.len(), "cannot accept until a connection ends");
                    starved = true;
                }
                Err(error) => return Err(error),
            },
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::debug!(open = open.len(), "connections still busy at the shutdown are closed");
    }
    open.shutdown().await;
    Ok(())
}

/// Serves one connection to its end. Its task ends with the connection; nobody needs to know why.
async fn connection(stream: TcpStream, router: Router, watcher: Watcher) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "connection lost before its first request");
        return;
    }
    let line = Line::default();
    let wire = Wire { stream, line: line.clone() };
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(line.clone());
        router.call(request)
    });
    // No limit on the wait for a request's head: that clock would also close idle connections, and a client
    // that pools them would meet a fault that nobody asked for.
    let served =
        http1::Builder::new().header_read_timeout(None).serve_connection(TokioIo::new(wire), service);
    if let Err(error) = watcher.watch(served).await {
        tracing::debug!(%error, "connection ended early");
    }
}

/// Whether a connection was gone before it was accepted, which says nothing about the listener.
pub(crate) fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// The socket: its drop closes it or, if its line says so, resets it.
struct Wire {
    stream: TcpStream,
    line: Line,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.line.0.load(Ordering::Acquire)
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::debug!(%error, "connection closes without the reset that was asked for");
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
