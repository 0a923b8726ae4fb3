//! What slows bytes down, divides them or changes them.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::rig::{Rig, pattern, rest, send, take, within};

#[tokio::test]
async fn latency_delays_bytes_and_ends_each_way() {
    let rig = Rig::with("up:latency=60ms,down:latency=90ms").await;
    let mut pair = rig.pair().await;
    let start = Instant::now();
    send(&mut pair.client, "ping").await;
    assert_eq!(take(&mut pair.server, 4).await, b"ping");
    assert!(start.elapsed() >= Duration::from_millis(60));
    send(&mut pair.server, "pong").await;
    assert_eq!(take(&mut pair.client, 4).await, b"pong");
    assert!(start.elapsed() >= Duration::from_millis(150));
    let end = Instant::now();
    pair.client.shutdown().await.unwrap();
    assert_eq!(rest(&mut pair.server).await, b"");
    assert!(end.elapsed() >= Duration::from_millis(60));
    let fired = rig.link.counts().fired;
    assert_eq!((fired.up.latency, fired.down.latency), (1, 1));
}

#[tokio::test]
async fn healing_delivers_what_a_latency_still_holds() {
    let rig = Rig::with("latency=60m").await;
    let mut pair = rig.pair().await;
    send(&mut pair.client, "late").await;
    pair.client.shutdown().await.unwrap();
    rig.until(|counts| counts.fired.up.latency == 1).await;
    rig.link.heal();
    assert_eq!(rest(&mut pair.server).await, b"late");
}

#[tokio::test]
async fn jitter_changes_no_order() {
    let rig = Rig::with("jitter=20ms").await;
    let mut pair = rig.pair().await;
    let sent = pattern(600);
    for piece in sent.chunks(10) {
        send(&mut pair.client, piece).await;
        // So that pieces are read one by one, each with a delay of its own.
        tokio::task::yield_now().await;
    }
    assert_eq!(take(&mut pair.server, sent.len()).await, sent);
    assert!(rig.link.counts().fired.up.jitter > 0);
}

#[tokio::test]
async fn a_bandwidth_is_never_exceeded() {
    let rig = Rig::with("down:bandwidth=64k").await;
    let mut pair = rig.pair().await;
    let sent = pattern(24 * 1024);
    let start = Instant::now();
    send(&mut pair.server, &sent).await;
    assert_eq!(take(&mut pair.client, sent.len()).await, sent);
    // 24 of 64 KiB a second, less what may pass before the first wait.
    assert!(start.elapsed() >= Duration::from_millis(350), "{:?}", start.elapsed());
    let fired = rig.link.counts().fired;
    assert!(fired.down.bandwidth > 0 && fired.up.bandwidth == 0, "{fired:?}");
}

#[tokio::test]
async fn slices_are_as_many_as_the_bytes_need() {
    let rig = Rig::with("up:slice=7").await;
    let mut pair = rig.pair().await;
    let sent = pattern(700);
    send(&mut pair.client, &sent).await;
    assert_eq!(take(&mut pair.server, sent.len()).await, sent);
    // A hundred writes; the last of each read is a slice by itself.
    let sliced = rig.link.counts().fired.up.slice;
    assert!((50..100).contains(&sliced), "{sliced}");
}

#[tokio::test]
async fn corruption_is_counted_byte_by_byte_and_repeats_with_its_seed() {
    let sent = pattern(100_000);
    let mut arrived = Vec::new();
    for seed in [1, 1, 2] {
        let rig = Rig::seeded("up:corrupt=100", seed).await;
        let mut pair = rig.pair().await;
        let (mut client, bytes) = (pair.client, sent.clone());
        let writing = tokio::spawn(async move {
            client.write_all(&bytes).await.unwrap();
            client
        });
        let came = take(&mut pair.server, sent.len()).await;
        let changed = came.iter().zip(&sent).filter(|(came, sent)| came != sent).count();
        assert!((800..1_200).contains(&changed), "{changed}");
        assert_eq!(rig.link.counts().fired.up.corrupt, changed as u64);
        pair.client = within(writing).await.unwrap();
        send(&mut pair.server, &sent[..1_000]).await;
        assert_eq!(take(&mut pair.client, 1_000).await, &sent[..1_000], "the other direction is unharmed");
        arrived.push(came);
    }
    assert!(arrived[0] == arrived[1]);
    assert!(arrived[0] != arrived[2]);
}
