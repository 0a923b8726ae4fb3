//! Carries one client's connection to the upstream. It passes on how one end ends as it was: a half-closed
//! stream, a reset.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::direction::Direction;
use super::link::{Link, Orders};
use super::side::Side;

/// How long the upstream may take to accept. A client that is told before its own timeout learns more.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection has from its first moment.
#[derive(Debug)]
pub(super) struct Birth {
    pub(super) orders: watch::Receiver<Orders>,
    /// The generation of the orders under which it was accepted.
    pub(super) born: u64,
    /// Its own seed.
    pub(super) seed: u64,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Both streams ended in order.
    Closed,
    /// By a reset at both ends.
    Reset,
}

/// Carries one connection to its end. Its task ends with the connection; the counts say the rest.
pub(super) async fn carry(mut client: TcpStream, upstream: &str, link: &Link, birth: Birth) {
    if birth.orders.borrow().faults.refuse {
        link.count(|counts| counts.refused += 1);
        reset(&client);
        return;
    }
    let mut server = match connect(upstream).await {
        Ok(server) => server,
        Err(error) => {
            tracing::warn!(%error, upstream, "upstream not reached; the client's connection is reset");
            link.count(|counts| counts.unreachable += 1);
            reset(&client);
            return;
        }
    };
    let ending = match client.set_nodelay(true) {
        Ok(()) => pass(&mut client, &mut server, link, birth).await,
        Err(error) => Err(error),
    };
    let ending = ending.unwrap_or_else(|error| {
        tracing::debug!(%error, "an end of the connection was lost");
        Ending::Reset
    });
    if ending == Ending::Reset {
        reset(&client);
        reset(&server);
    }
}

async fn connect(upstream: &str) -> io::Result<TcpStream> {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(upstream)).await;
    let server = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    // Small segments stay as they are.
    server.set_nodelay(true)?;
    Ok(server)
}

async fn pass(
    client: &mut TcpStream,
    server: &mut TcpStream,
    link: &Link,
    Birth { mut orders, born, seed }: Birth,
) -> io::Result<Ending> {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let mut up = Direction::new(Side::Up, (from_client, to_server), link, born, seed);
    let mut down = Direction::new(Side::Down, (from_server, to_client), link, born, seed.wrapping_add(1));
    let first = orders.borrow_and_update().clone();
    up.obey(&first);
    down.obey(&first);
    loop {
        if up.strikes_reset() || down.strikes_reset() {
            return Ok(Ending::Reset);
        }
        up.cut_if_due().await?;
        down.cut_if_due().await?;
        if up.is_closed() && down.is_closed() {
            up.discard_rest();
            down.discard_rest();
            return Ok(Ending::Closed);
        }
        tokio::select! {
            stepped = up.step() => stepped?,
            stepped = down.step() => stepped?,
            // The sender lives as long as the link, and the link longer than this.
            _ = orders.changed() => {
                let orders = orders.borrow_and_update().clone();
                up.obey(&orders);
                down.obey(&orders);
            }
        }
    }
}

/// Turns the close that follows into a reset.
fn reset(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "a connection closes without a reset");
    }
}
