//! What passes without faults is what was sent, to the way in which it ended.

use chaos::proxy::{Config, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::rig::{Rig, pattern, rest, send, take, until_reset, within};

/// More than all buffers on the way hold.
const LARGE_BYTES: usize = 16 * 1024 * 1024;

#[tokio::test]
async fn bytes_pass_unchanged_in_both_directions_at_once() {
    let rig = Rig::with("").await;
    let mut pair = rig.pair().await;
    let (mut client_reads, mut client_writes) = pair.client.split();
    let (mut server_reads, mut server_writes) = pair.server.split();
    let sent = pattern(LARGE_BYTES);
    let read = async |stream: &mut ReadHalf<'_>| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        bytes
    };
    let write = async |stream: &mut WriteHalf<'_>| {
        stream.write_all(&sent).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let (up, down, (), ()) = within(async {
        tokio::join!(
            read(&mut server_reads),
            read(&mut client_reads),
            write(&mut client_writes),
            write(&mut server_writes)
        )
    })
    .await;
    assert!(up == sent && down == sent);
    let counts = rig.all_ended().await;
    assert_eq!((counts.bytes.up, counts.bytes.down), (LARGE_BYTES as u64, LARGE_BYTES as u64));
    assert_eq!(counts.fired, Default::default(), "nothing was asked for");
}

#[tokio::test]
async fn a_half_closed_stream_ends_one_way_and_goes_on_the_other() {
    let rig = Rig::with("").await;
    let mut pair = rig.pair().await;
    send(&mut pair.client, "question").await;
    pair.client.shutdown().await.unwrap();
    assert_eq!(rest(&mut pair.server).await, b"question");
    send(&mut pair.server, "answer").await;
    assert_eq!(take(&mut pair.client, 6).await, b"answer");
    assert_eq!(rig.link.counts().open, 1);
    drop(pair.server);
    assert_eq!(rest(&mut pair.client).await, b"");
    rig.all_ended().await;
}

#[tokio::test]
async fn a_reset_by_one_end_is_a_reset_at_the_other() {
    let rig = Rig::with("").await;
    for from_server in [true, false] {
        let pair = rig.pair().await;
        let (gone, mut left) =
            if from_server { (pair.server, pair.client) } else { (pair.client, pair.server) };
        gone.set_zero_linger().unwrap();
        drop(gone);
        assert_eq!(until_reset(&mut left).await, 0);
    }
    let counts = rig.all_ended().await;
    assert_eq!((counts.fired.up.reset, counts.fired.down.reset), (0, 0), "no fault of the proxy");
}

#[tokio::test]
async fn a_client_is_reset_where_the_upstream_cannot_be_reached() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let proxy = Proxy::bind(Config::to(upstream)).await.unwrap();
    let (address, link) = (proxy.local_addr(), proxy.link());
    let mut serving = JoinSet::new();
    serving.spawn(async move { proxy.serve(std::future::pending()).await.unwrap() });
    let mut client = TcpStream::connect(address).await.unwrap();
    until_reset(&mut client).await;
    let counts = within(link.wait_until(|counts| counts.open == 0)).await;
    assert_eq!((counts.accepted, counts.unreachable, counts.refused), (1, 1, 0));
}

#[tokio::test]
async fn a_proxy_that_stops_ends_its_connections() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::bind(Config::to(server.local_addr().unwrap().to_string())).await.unwrap();
    let (address, link) = (proxy.local_addr(), proxy.link());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut serving = JoinSet::new();
    serving.spawn(proxy.serve(async move { stopped.await.unwrap() }));
    let mut client = TcpStream::connect(address).await.unwrap();
    let (_held, _) = within(server.accept()).await.unwrap();
    stop.send(()).unwrap();
    within(serving.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(rest(&mut client).await, b"");
    assert_eq!(link.counts().open, 0);
}
