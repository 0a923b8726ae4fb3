//! Directions that are closed without a word, and what is left of the bytes when they open again.

use tokio::io::AsyncWriteExt;

use crate::rig::{Rig, nothing_came, pattern, rest, send, take, within};

#[tokio::test]
async fn what_a_stall_held_arrives_after_healing_on_the_same_connection() {
    let rig = Rig::with("").await;
    let mut pair = rig.pair().await;
    send(&mut pair.server, "before").await;
    assert_eq!(take(&mut pair.client, 6).await, b"before");

    rig.set("down:stall");
    send(&mut pair.server, "held").await;
    let counts = rig.until(|counts| counts.fired.down.stall > 0).await;
    assert_eq!(counts.fired.up.stall, 0);
    nothing_came(&pair.client);
    send(&mut pair.client, "up").await;
    assert_eq!(take(&mut pair.server, 2).await, b"up", "the other direction is open");
    nothing_came(&pair.client);

    rig.link.heal();
    assert_eq!(take(&mut pair.client, 4).await, b"held");
    let counts = rig.link.counts();
    assert_eq!((counts.accepted, counts.fired.down.stall), (1, 1));
}

#[tokio::test]
async fn a_stall_is_counted_only_where_something_waits() {
    let rig = Rig::with("").await;
    let (idle, mut busy) = (rig.pair().await, rig.pair().await);
    rig.set("stall");
    send(&mut busy.client, "x").await;
    rig.until(|counts| counts.fired.up.stall == 1).await;
    rig.link.heal();
    assert_eq!(take(&mut busy.server, 1).await, b"x");
    let fired = rig.link.counts().fired;
    assert_eq!((fired.up.stall, fired.down.stall), (1, 0), "{:?} was idle", idle.client);
}

#[tokio::test]
async fn a_stall_keeps_every_byte_in_its_order_and_the_end_too() {
    let rig = Rig::with("up:stall").await;
    let mut pair = rig.pair().await;
    let sent = pattern(8 * 1024 * 1024);
    let (mut client, expected) = (pair.client, sent.clone());
    let writing = tokio::spawn(async move {
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
        client
    });
    rig.until(|counts| counts.fired.up.stall == 1).await;
    assert_eq!(rig.link.counts().bytes.up, 0);
    rig.link.heal();
    assert!(rest(&mut pair.server).await == expected);
    drop(within(writing).await.unwrap());
}

#[tokio::test]
async fn what_was_swallowed_stays_lost() {
    let rig = Rig::with("").await;
    let mut pair = rig.pair().await;
    rig.set("up:swallow");
    send(&mut pair.client, "lost").await;
    rig.until(|counts| counts.fired.up.swallow == 4).await;
    send(&mut pair.server, "down").await;
    assert_eq!(take(&mut pair.client, 4).await, b"down", "the other direction is open");
    rig.link.heal();
    send(&mut pair.client, "kept").await;
    pair.client.shutdown().await.unwrap();
    assert_eq!(rest(&mut pair.server).await, b"kept");
}

#[tokio::test]
async fn an_end_that_was_swallowed_is_told_after_healing() {
    let rig = Rig::with("up:swallow").await;
    let mut pair = rig.pair().await;
    send(&mut pair.client, "x").await;
    pair.client.shutdown().await.unwrap();
    rig.until(|counts| counts.fired.up.swallow == 1).await;
    send(&mut pair.server, "y").await;
    assert_eq!(take(&mut pair.client, 1).await, b"y");
    nothing_came(&pair.server);
    rig.link.heal();
    assert_eq!(rest(&mut pair.server).await, b"");
}
