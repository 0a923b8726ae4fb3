//! Faults between a publisher and the broker.

use std::time::Duration;

use broker::{
    Broker, ErrorKind,
    memory::{Fault, Rule},
};
use tokio::time::Instant;

use crate::{broker, message, publish_as};

#[tokio::test(start_paused = true)]
async fn a_lost_ack_hides_that_the_message_was_stored() {
    let memory = broker(1).await;
    memory.inject(Rule::new(Fault::LoseAck, "q.>").times(1)).unwrap();
    assert_eq!(publish_as(&memory, "1", "q.a").await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(memory.last("Q", "q.a").await.unwrap().is_some());
    assert!(publish_as(&memory, "1", "q.a").await.unwrap().duplicate, "the retry is safe");
    assert_eq!((memory.counters().acks_lost, memory.counters().repeated), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_lost_message_was_not_stored_and_can_be_repeated() {
    let memory = broker(1).await;
    memory.inject(Rule::new(Fault::Lose, "q.>").times(1)).unwrap();
    assert_eq!(publish_as(&memory, "1", "q.a").await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(memory.last("Q", "q.a").await.unwrap(), None);
    assert!(!publish_as(&memory, "1", "q.a").await.unwrap().duplicate);
    assert_eq!(memory.counters().lost, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_to_who_publishes_and_not_to_who_sends() {
    let memory = broker(1).await;
    for kind in [ErrorKind::Full, ErrorKind::Disconnected] {
        let rule = memory.inject(Rule::new(Fault::Refuse(kind), "q.>")).unwrap();
        assert_eq!(publish_as(&memory, "1", "q.a").await.unwrap_err().kind(), kind);
        memory.send(message("q.a", "")).await.unwrap();
        assert_eq!(memory.fired(rule), 2);
        memory.heal(rule);
    }
    assert_eq!(memory.last("Q", "q.a").await.unwrap(), None);
    assert!(!publish_as(&memory, "1", "q.a").await.unwrap().duplicate);
}

#[tokio::test(start_paused = true)]
async fn a_slow_ack_takes_its_time() {
    let memory = broker(1).await;
    memory.inject(Rule::new(Fault::SlowAck(Duration::from_secs(3)), "q.>")).unwrap();
    let start = Instant::now();
    publish_as(&memory, "1", "q.a").await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_rule_strikes_only_whom_it_names_and_only_so_often() {
    let memory = broker(1).await;
    let rule =
        Rule::new(Fault::Lose, "q.a.*").when(|message| message.headers.get("Nats-Msg-Id") != Some("spared"));
    let rule = memory.inject(rule.times(2)).unwrap();
    for (id, subject, stored) in [
        ("other", "q.b.x", true),
        ("spared", "q.a.x", true),
        ("1", "q.a.x", false),
        ("2", "q.a.y", false),
        ("3", "q.a.y", true),
    ] {
        assert_eq!(publish_as(&memory, id, subject).await.is_ok(), stored, "{id}");
    }
    assert_eq!(memory.fired(rule), 2);
}

#[tokio::test(start_paused = true)]
async fn chance_follows_from_the_seed() {
    let lost = async |seed| {
        let memory = broker(seed).await;
        memory.inject(Rule::new(Fault::Lose, "q.>").probability(0.3)).unwrap();
        let mut lost = Vec::new();
        for id in 0..100 {
            lost.push(publish_as(&memory, &id.to_string(), "q.a").await.is_err());
        }
        lost
    };
    let first = lost(7).await;
    let count = first.iter().filter(|lost| **lost).count();
    assert!((10..60).contains(&count), "{count} of 100");
    assert_eq!(first, lost(7).await);
    assert_ne!(first, lost(8).await);
}

#[tokio::test(start_paused = true)]
async fn healing_ends_every_fault_and_a_bad_pattern_is_refused() {
    let memory = broker(1).await;
    memory.inject(Rule::new(Fault::Lose, "q.a")).unwrap();
    memory.inject(Rule::new(Fault::LoseAck, "q.>")).unwrap();
    memory.heal_all();
    publish_as(&memory, "1", "q.a").await.unwrap();
    let bad = memory.inject(Rule::new(Fault::Lose, "q..a"));
    assert_eq!(bad.unwrap_err().kind(), ErrorKind::Invalid);
}
