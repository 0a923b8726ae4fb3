//! The classes of faults as a nemesis uses them: drawn from a list, switched on and off, counted, healed.

use std::{collections::BTreeSet, time::Duration};

use broker::{
    Broker, ErrorKind, Lease, Storage, StreamSpec,
    memory::{FaultClass, Memory, Options, Reach, log::Event},
};
use tokio::time::sleep;

use crate::{message, options, publish_as, queue, worker};

/// A little of everything that the engine does, with no regard to what fails.
async fn work(memory: &Memory) {
    let mut subscription = memory.subscribe("q.>").await.ok();
    let mut consumer = memory.consume(&crate::worker_spec()).await.ok();
    for index in 0..10 {
        // The same few ids and subjects again, each on its own.
        let _ = publish_as(memory, &format!("{}", index % 5), &format!("q.{}", index % 3)).await;
        let _ = memory.send(message("q.live", "")).await;
        sleep(Duration::from_millis(300)).await;
    }
    if let Some(consumer) = &mut consumer {
        let mut leases: Vec<Lease> = consumer.pull(5, Duration::ZERO).await.unwrap_or_default();
        for lease in leases.drain(..leases.len() / 2) {
            let _ = lease.ack().await;
        }
    }
    drop(subscription.take());
}

async fn durable() -> Memory {
    let memory = Memory::new(Options { sync_interval: Some(Duration::from_secs(60)), ..options(1) });
    memory.ensure(&[StreamSpec { storage: Storage::File, ..queue() }]).await.unwrap();
    memory
}

#[test]
fn every_class_has_a_name_of_its_own() {
    let names: BTreeSet<_> = FaultClass::ALL.iter().map(|class| class.name()).collect();
    assert_eq!(names.len(), FaultClass::ALL.len());
    assert!(FaultClass::ALL.iter().enumerate().all(|(index, class)| *class as usize == index));
    assert!(FaultClass::ALL.iter().all(|class| FaultClass::named(class.name()) == Some(*class)));
    assert_eq!(FaultClass::named("none of these"), None);
}

#[tokio::test(start_paused = true)]
async fn every_class_fires_is_logged_and_is_over_when_it_is_healed() {
    for class in FaultClass::ALL {
        let memory = durable().await;
        work(&memory).await;
        let (fired, luck) = (memory.fired_of(class), Reach { queue_max: 1, ..Reach::default() });
        memory.switch_on(class, &luck).unwrap();
        work(&memory).await;
        assert!(memory.fired_of(class) > fired, "{class} made no difference");
        let others =
            memory.fired_by_class().into_iter().filter(|(other, times)| *other != class && *times > 0);
        assert_eq!(others.count(), 0, "{class} fired another");
        memory.heal_all();
        let events: Vec<_> = memory.log().entries().map(|entry| entry.event.clone()).collect();
        assert!(events.contains(&Event::Switched(class, true)), "{class}");
        assert_eq!(events.contains(&Event::Switched(class, false)), class.lasts(), "{class}");

        let fired = memory.fired_of(class);
        // Long enough for what was held back.
        sleep(Duration::from_secs(60)).await;
        work(&memory).await;
        let mut consumer = worker(&memory).await;
        publish_as(&memory, "after", "q.after").await.unwrap();
        let mut seen = Vec::new();
        while !seen.iter().any(|subject| subject == "q.after") {
            for lease in consumer.pull(100, Duration::from_secs(120)).await.unwrap() {
                seen.push(lease.message.subject.clone());
                lease.ack().await.unwrap();
            }
        }
        assert_eq!(memory.fired_of(class), fired, "{class} goes on after it was healed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_class_strikes_only_what_it_reaches() {
    let memory = durable().await;
    let reach = Reach { pattern: "q.a".to_owned(), ..Reach::default() };
    memory.switch_on(FaultClass::Lose, &reach).unwrap();
    assert_eq!(publish_as(&memory, "1", "q.a").await.unwrap_err().kind(), ErrorKind::Timeout);
    publish_as(&memory, "2", "q.b").await.unwrap();
    // Set up anew, it does not strike where it did.
    memory.switch_on(FaultClass::Lose, &Reach { pattern: "q.b".to_owned(), ..reach.clone() }).unwrap();
    publish_as(&memory, "1", "q.a").await.unwrap();
    assert_eq!(publish_as(&memory, "3", "q.b").await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(memory.fired_of(FaultClass::Lose), 2);
    let bad = memory.switch_on(FaultClass::Lose, &Reach { pattern: "q..a".to_owned(), ..reach });
    assert_eq!(bad.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test(start_paused = true)]
async fn the_link_is_up_when_no_reason_is_left_for_it_to_be_down() {
    let memory = durable().await;
    let everything = Reach::default();
    for class in [FaultClass::Disconnect, FaultClass::Restart, FaultClass::PowerFailure] {
        memory.switch_on(class, &everything).unwrap();
    }
    for class in [FaultClass::Restart, FaultClass::Disconnect] {
        memory.switch_off(class);
        assert_eq!(publish_as(&memory, "1", "q.a").await.unwrap_err().kind(), ErrorKind::Disconnected);
    }
    memory.switch_off(FaultClass::PowerFailure);
    publish_as(&memory, "1", "q.a").await.unwrap();
    assert_eq!(memory.counters().disconnects, 1);
}
