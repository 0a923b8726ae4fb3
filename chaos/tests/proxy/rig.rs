//! A proxy with a server of the test behind it, and connections of which the test holds both ends.

use std::io::ErrorKind;
use std::time::Duration;

use chaos::proxy::{Config, Counts, Link, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Nothing takes this long, however busy the machine; a test that reaches it has hung.
const HANG_TIMEOUT: Duration = Duration::from_secs(30);

/// A proxy that carries until this is dropped, and the server that it connects to.
pub(crate) struct Rig {
    pub(crate) link: Link,
    pub(crate) address: std::net::SocketAddr,
    server: TcpListener,
    _serving: JoinSet<()>,
}

/// Both ends of one connection through the proxy.
pub(crate) struct Pair {
    pub(crate) client: TcpStream,
    pub(crate) server: TcpStream,
}

impl Rig {
    pub(crate) async fn with(faults: &str) -> Self {
        Self::seeded(faults, 0).await
    }

    pub(crate) async fn seeded(faults: &str, seed: u64) -> Self {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = server.local_addr().unwrap().to_string();
        let config = Config { faults: faults.parse().unwrap(), seed, ..Config::to(upstream) };
        let proxy = Proxy::bind(config).await.unwrap();
        let (address, link) = (proxy.local_addr(), proxy.link());
        let mut serving = JoinSet::new();
        serving.spawn(async move { proxy.serve(std::future::pending()).await.unwrap() });
        Self { link, address, server, _serving: serving }
    }

    /// Connects, and waits until bytes pass.
    pub(crate) async fn pair(&self) -> Pair {
        let client = self.client().await;
        let (server, _) = within(self.server.accept()).await.unwrap();
        Pair { client, server }
    }

    pub(crate) async fn client(&self) -> TcpStream {
        within(TcpStream::connect(self.address)).await.unwrap()
    }

    pub(crate) fn set(&self, faults: &str) {
        self.link.set(faults.parse().unwrap());
    }

    pub(crate) async fn until(&self, enough: impl FnMut(&Counts) -> bool) -> Counts {
        within(self.link.wait_until(enough)).await
    }

    pub(crate) async fn all_ended(&self) -> Counts {
        self.until(|counts| counts.open == 0).await
    }
}

/// What must come.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG_TIMEOUT, what).await.unwrap()
}

pub(crate) async fn send(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    within(stream.write_all(bytes.as_ref())).await.unwrap();
}

/// Exactly so many bytes.
pub(crate) async fn take(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    within(stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}

/// All that comes until the stream ends in order.
pub(crate) async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    within(stream.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

/// How many bytes came before the stream was reset.
pub(crate) async fn until_reset(stream: &mut TcpStream) -> usize {
    let mut bytes = Vec::new();
    let error = within(stream.read_to_end(&mut bytes)).await.expect_err("the stream ended in order");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    bytes.len()
}

/// Says that nothing has come. Proves it only where what would have come is known to have been decided upon.
pub(crate) fn nothing_came(stream: &TcpStream) {
    let error = stream.try_read(&mut [0; 16]).expect_err("something came");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

/// Bytes that differ from their neighbours, so that a lost, doubled or moved one shows.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}
