use broker::Broker;
use bytes::Bytes;
use schemas::{Action, EventHead, Format, Request, event::EventKind};
use serde_json::json;

use super::*;
use crate::{
    Config,
    testing::{Rig, broker},
    waiting::Waiting,
};

fn frame(attempt: u32, seq: u64, event: EventKind) -> Frame {
    Frame {
        head: EventHead { attempt, seq, event },
        format: Format::Json,
        payload: Bytes::new(),
        fingerprint: None,
    }
}

#[test]
fn frames_have_one_place() {
    let at = |last, attempt, seq| place(last, &frame(attempt, seq, EventKind::Other));
    assert_eq!(at(None, 0, 0), Place::Next);
    assert_eq!(at(None, 1, 0), Place::Next, "attempt 0 holds nothing that a reader needs");
    assert_eq!(at(None, 1, 4), Place::Gap);
    assert_eq!(at(Some((1, 4)), 1, 5), Place::Next);
    assert_eq!(at(Some((1, 4)), 1, 4), Place::Seen);
    assert_eq!(at(Some((1, 4)), 1, 6), Place::Gap);
    assert_eq!(at(Some((2, 0)), 1, 99), Place::Seen, "a zombie of an older attempt");
    assert_eq!(at(Some((1, 4)), 2, 0), Place::Next);
    assert_eq!(at(Some((1, 4)), 2, 1), Place::Gap);
}

#[test]
fn the_end_is_never_swallowed() {
    let end = frame(1, 4, EventKind::ChatComplete);
    assert_eq!(place(Some((1, 9)), &end), Place::Next);
    assert_eq!(place(Some((2, 0)), &end), Place::Seen);
}

/// Reads `feed` to the end; checks that its pieces cover every place, and returns their text and number.
async fn pieces(feed: &mut Feed) -> (String, usize) {
    let (mut text, mut count, mut next) = (String::new(), 0, 1);
    while let Some(frame) = feed.next().await {
        if let EventBody::ChatDelta(delta) = frame.event().unwrap().body {
            let first = delta.first_seq.unwrap_or(frame.head.seq);
            assert_eq!(first, next, "no gap and no repeat");
            (text, count, next) = (text + &delta.delta, count + 1, frame.head.seq + 1);
        }
        if frame.head.event.is_terminal() {
            assert_eq!(frame.head.seq, next);
            break;
        }
    }
    (text, count)
}

/// What a reader sees of `pieces` pieces that came before it read any, and what one saw that read them as they came.
async fn slow_and_quick(pieces: u64) -> [(String, usize); 2] {
    let rig = Rig::on(&broker().await, Config::sample()).await;
    let key = rig.key("r");
    let [mut slow, mut quick] = [(), ()].map(|()| Feed::open(&rig.app, key.clone(), None));
    rig.tell(&key, 0, EventBody::Running { provider: "p".into(), model: "m".into() }).await;
    let begins = [quick.next().await.unwrap(), quick.next().await.unwrap()].map(|frame| frame.name());
    assert_eq!(begins, ["queued", "running"], "it was stored, also where nobody had the time to say so");
    let mut seen = (String::new(), 0);
    for seq in 1..=pieces {
        rig.piece(&key, seq).await;
        let EventBody::ChatDelta(delta) = quick.next().await.unwrap().event().unwrap().body else {
            panic!("a piece must come")
        };
        assert_eq!(delta.first_seq, None, "who keeps up gets what was sent");
        seen = (seen.0 + &delta.delta, seen.1 + 1);
    }
    rig.tell(&key, pieces + 1, EventBody::Cancelled { usage: schemas::Usage::default() }).await;
    quick.next().await.unwrap();
    [self::pieces(&mut slow).await, seen]
}

#[tokio::test]
async fn a_reader_that_is_behind_gets_the_same_text_in_fewer_frames() {
    let [(text, frames), (whole, sent)] = slow_and_quick(200).await;
    assert_eq!((text, sent), (whole, 200));
    assert!(frames <= 70, "{frames} frames: all but the first few are joined");
}

#[tokio::test]
async fn what_a_reader_has_lost_is_read_from_the_stream_and_joined_as_well() {
    let [(text, frames), (whole, sent)] = slow_and_quick(2_000).await;
    assert_eq!((text, sent), (whole, 2_000));
    assert!(frames <= 20, "{frames} frames");
}

#[tokio::test]
async fn a_reader_that_is_hardly_behind_gets_every_piece_as_it_was_sent() {
    let [(text, frames), (whole, _)] = slow_and_quick(40).await;
    assert_eq!((text, frames), (whole, 40));
}

#[tokio::test]
async fn a_reader_that_counts_pieces_gets_each_however_far_it_is_behind() {
    let rig = Rig::on(&broker().await, Config::sample()).await;
    let key = rig.key("r");
    let mut feed = Feed::open(&rig.app, key.clone(), None);
    feed.keep_pieces();
    rig.tell(&key, 0, EventBody::Running { provider: "p".into(), model: "m".into() }).await;
    for seq in 1..=2_000 {
        rig.piece(&key, seq).await;
    }
    rig.tell(&key, 2_001, EventBody::Cancelled { usage: schemas::Usage::default() }).await;
    assert_eq!(pieces(&mut feed).await.1, 2_000);
}

#[tokio::test]
async fn the_outcome_of_an_older_attempt_ends_the_stream_of_a_newer_one() {
    let rig = Rig::on(&broker().await, Config::sample()).await;
    let key = rig.key("r");
    let mut feed = Feed::open(&rig.app, key.clone(), Some((2, 7)));
    rig.record(&key, (1, 4)).await;
    feed.attach();
    let mut seen = Vec::new();
    while let Some(frame) = feed.next().await {
        seen.push((frame.position(), frame.name()));
    }
    let names: Vec<_> = seen.iter().map(|(position, name)| (*position, name.as_str())).collect();
    assert_eq!(names, [((2, 8), "restarted"), ((2, 9), "cancelled")]);
}

/// How often it was told that a request waits of which only its reader knows: soon after it was stored, and later.
async fn told(waits: bool) -> (usize, usize) {
    let rig = Rig::on(&broker().await, Config::sample()).await;
    let key = rig.key("r");
    let mut feed = Feed::open(&rig.app, key.clone(), Some(QUEUED));
    if waits {
        let ticket = Waiting::new(1).take(&key.tenant, "sim").unwrap();
        rig.app.hub.wait_for(&key.events, ticket, Instant::now() + SILENCE);
    }
    let request = Request::new(Action::ChatCompletion, json!({}));
    feed.tell_if_silent(Notice::of(&request, Format::Json, None, None, rig.broker.link()));
    let count = || async {
        let stream = &rig.app.parts.topology.events;
        rig.broker.replay(stream, &key.events, 0).await.unwrap().count().await
    };
    assert!(tokio::time::timeout(UNTOLD / 2, feed.next()).await.is_err());
    let soon = count().await;
    assert!(tokio::time::timeout(SILENCE / 2, feed.next()).await.is_err(), "its reader was told by the door");
    (soon, count().await)
}

#[tokio::test(start_paused = true)]
async fn a_request_of_which_only_its_reader_knows_is_told_to_wait_after_a_moment_if_it_does() {
    assert_eq!(told(true).await, (0, 1));
    assert_eq!(told(false).await, (0, 0));
}
