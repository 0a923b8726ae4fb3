//! The numbers of attempts, where the broker's count of deliveries is not to be trusted.

use std::time::Duration;

use schemas::{Action, Status};
use serde_json::{Value, json};

use crate::support::{Engine, chat};

/// What was told of a request: `running` of an attempt, or for 0 that it is queued.
async fn tell(engine: &Engine, id: &str, attempts: &[u32]) {
    for attempt in attempts {
        let event: Value = match attempt {
            0 => json!({"id": id, "attempt": 0, "seq": 0, "event": "queued"}),
            _ => {
                json!({"id": id, "attempt": attempt, "seq": 0, "event": "running", "provider": "sim", "model": "fast"})
            }
        };
        engine.say(&format!("dynode.evt.acme.{id}"), &event).await;
    }
}

/// Work was told to be queued, and `attempts` spoke, before whoever counted deliveries was deleted; how many tried it then?
async fn number_after(id: &str, attempts: &[u32]) -> u32 {
    let mut engine = Engine::start().await;
    engine.stop(Duration::ZERO).await;
    if !attempts.is_empty() {
        tell(&engine, id, &[0]).await;
    }
    engine.enqueue("acme", id).await;
    engine.lose_deliveries("acme", 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    tell(&engine, id, attempts).await;
    engine.delete_consumers();
    tokio::time::sleep(Duration::from_millis(4_900)).await;
    engine.start_again().await;
    engine.outcome("acme", id).await.ended.0
}

#[tokio::test(start_paused = true)]
async fn an_older_attempt_that_speaks_last_does_not_hide_the_newest() {
    assert_eq!(number_after("zombie", &[1, 2, 1]).await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_that_is_told_to_be_queued_does_not_hide_the_attempts() {
    assert_eq!(number_after("repeated", &[1, 0]).await, 2);
}

#[tokio::test(start_paused = true)]
async fn work_that_has_waited_and_of_which_no_attempt_spoke_is_tried_for_the_first_time() {
    assert_eq!(number_after("waited", &[0]).await, 1);
}

#[tokio::test(start_paused = true)]
async fn where_neither_deliveries_nor_events_are_remembered_the_number_goes_by_the_time() {
    assert_eq!(number_after("gone", &[]).await, 52, "there can have been one in each tenth of five seconds");
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_events_are_lost_is_not_run_again_while_its_work_is_there() {
    let engine = Engine::start().await;
    engine.enqueue_for("elsewhere", "acme", "twice").await;
    engine.blink().await;
    engine.publish("acme", Action::ChatCompletion, chat("twice", json!({}))).await;
    engine.settled().await;
    assert!(engine.events("acme", "twice").await.is_empty(), "nothing is told of the repeat");
    assert!(!engine.has_ended("acme", "twice").await, "whoever has the work ends it");
}

#[tokio::test(start_paused = true)]
async fn deliveries_that_nobody_began_are_no_attempts() {
    let mut engine = Engine::start().await;
    engine.stop(Duration::ZERO).await;
    engine.enqueue("acme", "innocent").await;
    engine.lose_deliveries("acme", 5).await;
    engine.start_again().await;
    let outcome = engine.outcome("acme", "innocent").await;
    assert_eq!(outcome.status, Status::Succeeded, "it died with others, three times and more: {outcome:?}");
    assert_eq!(outcome.ended.0, 6, "and its number is still that of the delivery");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_has_a_higher_number_than_any_that_was_heard_of() {
    let mut engine = Engine::start().await;
    engine.stop(Duration::ZERO).await;
    engine.enqueue("acme", "forgotten").await;
    engine.lose_deliveries("acme", 1).await;
    // The server forgot four deliveries when it was killed; one who reads has seen the fifth attempt.
    let event = json!({"id": "forgotten", "attempt": 5, "seq": 3, "event": "running", "provider": "sim", "model": "fast"});
    engine.say("dynode.evt.acme.forgotten", &event).await;
    engine.start_again().await;
    assert_eq!(engine.outcome("acme", "forgotten").await.ended.0, 6);
}

#[tokio::test(start_paused = true)]
async fn a_first_delivery_that_comes_again_after_a_restart_of_the_broker_is_another_attempt() {
    let engine = Engine::start().await;
    // Something must have been said by the first, as by one whose end nobody has seen.
    let event = json!({"id": "again", "attempt": 1, "seq": 3, "event": "running", "provider": "sim", "model": "fast"});
    engine.say("dynode.evt.acme.again", &event).await;
    engine.blink().await;
    engine.enqueue("acme", "again").await;
    assert_eq!(engine.outcome("acme", "again").await.ended.0, 2);
}

#[tokio::test(start_paused = true)]
async fn work_that_has_ended_does_not_run_again_where_the_broker_has_forgotten_that_it_ran() {
    let mut engine = Engine::start().await;
    engine.enqueue("acme", "ended").await;
    let outcome = engine.outcome("acme", "ended").await;
    engine.stop(Duration::ZERO).await;
    // Its removal was lost, its consumer is a new one, and what was told went with the memory of the server.
    engine.enqueue("acme", "ended").await;
    engine.forget_events().await;
    engine.settled().await;
    engine.start_again().await;
    engine.settled().await;
    let told: Vec<_> = engine.events("acme", "ended").await;
    assert!(told.iter().all(|event| event.body.name() != "running"), "it ran again: {told:?}");
    assert!(told.last().is_some_and(|event| event.body.kind().is_terminal()), "{told:?}");
    assert_eq!(engine.outcome("acme", "ended").await, outcome);
    assert_eq!(engine.work_held().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_has_ended_is_not_queued_again_where_the_broker_has_forgotten_that_it_gave_it() {
    let mut engine = Engine::start().await;
    engine.publish_fresh("acme", chat("ended", json!({}))).await;
    engine.outcome("acme", "ended").await;
    engine.stop(Duration::ZERO).await;
    engine.publish_fresh("acme", chat("ended", json!({}))).await;
    engine.forget_events().await;
    engine.settled().await;
    engine.start_again().await;
    engine.settled().await;
    let told = engine.events("acme", "ended").await;
    assert!(told.is_empty(), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn an_ack_from_before_a_power_failure_takes_away_no_work_that_came_after_it() {
    let engine = Engine::unsynced().await;
    for (id, seconds) in [("before", 10), ("after", 60)] {
        let slow = json!({"simulate": {"tokens": 10 * seconds, "tokens_per_second": 10}});
        engine.publish("acme", Action::ChatCompletion, chat(id, slow)).await;
        engine.event("acme", id, "running").await;
        if id == "before" {
            engine.fail_power().await;
            assert_eq!(engine.work_kept().await, 0, "it was not synced, and its place is free");
        }
    }
    assert_eq!(engine.outcome("acme", "before").await.status, Status::Succeeded);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(engine.work_kept().await, 1, "nobody has done what came after it");
}
