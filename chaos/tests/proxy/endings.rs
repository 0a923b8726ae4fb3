//! Connections that end, or never begin, because a fault says so.

use crate::rig::{Rig, pattern, rest, send, take, until_reset};

#[tokio::test]
async fn a_cut_ends_both_streams_of_a_connection_that_exists() {
    let rig = Rig::with("").await;
    let mut pair = rig.pair().await;
    send(&mut pair.client, "x").await;
    assert_eq!(take(&mut pair.server, 1).await, b"x");
    rig.set("cut");
    assert_eq!(rest(&mut pair.server).await, b"");
    assert_eq!(rest(&mut pair.client).await, b"");
    let counts = rig.all_ended().await;
    assert_eq!((counts.fired.up.cut, counts.fired.down.cut), (1, 1));
}

#[tokio::test]
async fn a_cut_of_one_direction_leaves_the_other_open() {
    let rig = Rig::with("").await;
    let mut pair = rig.pair().await;
    rig.set("up:cut");
    assert_eq!(rest(&mut pair.server).await, b"");
    // More than all buffers on the way hold: it can only be sent where somebody takes it.
    send(&mut pair.client, pattern(16 * 1024 * 1024)).await;
    send(&mut pair.server, "answer").await;
    assert_eq!(take(&mut pair.client, 6).await, b"answer");
    drop(pair.server);
    assert_eq!(rest(&mut pair.client).await, b"");
    let counts = rig.all_ended().await;
    assert_eq!((counts.fired.up.cut, counts.fired.down.cut, counts.bytes.up), (1, 0, 0));
}

#[tokio::test]
async fn a_stream_is_cut_after_exactly_so_many_bytes() {
    let rig = Rig::with("down:cut-after=5").await;
    let mut pair = rig.pair().await;
    send(&mut pair.server, "fragment").await;
    assert_eq!(rest(&mut pair.client).await, b"fragm");
    rig.set("down:cut-after=3");
    let mut later = rig.pair().await;
    send(&mut later.server, pattern(100_000)).await;
    assert_eq!(rest(&mut later.client).await, &pattern(3)[..]);
    assert_eq!(rig.link.counts().fired.down.cut, 2, "an end is told once");
}

#[tokio::test]
async fn a_reset_hits_both_ends_and_is_counted_once() {
    let rig = Rig::with("").await;
    let mut pair = rig.pair().await;
    rig.set("reset");
    assert_eq!(until_reset(&mut pair.client).await, 0);
    assert_eq!(until_reset(&mut pair.server).await, 0);
    let counts = rig.all_ended().await;
    assert_eq!((counts.fired.up.reset, counts.fired.down.reset), (1, 0));
}

#[tokio::test]
async fn a_reset_in_mid_stream_lets_no_more_pass_than_it_says() {
    let rig = Rig::with("down:reset-after=1000").await;
    let mut pair = rig.pair().await;
    send(&mut pair.server, pattern(5_000)).await;
    assert!(until_reset(&mut pair.client).await <= 1_000);
    let counts = rig.all_ended().await;
    assert_eq!((counts.bytes.down, counts.fired.down.reset), (1_000, 1));
}

#[tokio::test]
async fn a_cut_that_is_healed_at_once_still_hits_who_was_there() {
    let rig = Rig::with("").await;
    let mut pair = rig.pair().await;
    rig.set("cut");
    rig.link.heal();
    assert_eq!(rest(&mut pair.client).await, b"");
    assert_eq!(rest(&mut pair.server).await, b"");
    let mut later = rig.pair().await;
    send(&mut later.client, "whole").await;
    assert_eq!(take(&mut later.server, 5).await, b"whole");
    rig.set("reset");
    rig.link.heal();
    until_reset(&mut later.client).await;
    until_reset(&mut later.server).await;
}

#[tokio::test]
async fn new_connections_are_refused_and_those_that_exist_go_on() {
    let rig = Rig::with("").await;
    let mut old = rig.pair().await;
    rig.set("refuse");
    let mut refused = rig.client().await;
    assert_eq!(until_reset(&mut refused).await, 0);
    send(&mut old.client, "still here").await;
    assert_eq!(take(&mut old.server, 10).await, b"still here");
    rig.link.heal();
    let mut new = rig.pair().await;
    send(&mut new.client, "again").await;
    assert_eq!(take(&mut new.server, 5).await, b"again", "the refused one never came this far");
    let counts = rig.link.counts();
    assert_eq!((counts.accepted, counts.refused, counts.unreachable), (3, 1, 0));
}
