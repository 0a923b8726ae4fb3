//! A broker that is frozen, switched off, late or short of room; and what its users notice of that.

use std::time::Duration;

use broker::{
    Broker, ConsumerSpec, ErrorKind, Settlement, Storage, StreamSpec,
    memory::{Fault, FaultClass, Reach, Rule},
};
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep};

use crate::{ACK_WAIT, PATIENCE, broker, message, publish_as, pull_one, queue, text, worker, worker_spec};

fn on(pattern: &str) -> Reach {
    Reach { pattern: pattern.to_owned(), ..Reach::default() }
}

#[tokio::test(start_paused = true)]
async fn who_publishes_to_a_frozen_broker_hears_when_it_goes_on_if_that_is_soon() {
    let memory = broker(1).await;
    memory.switch_on(FaultClass::Freeze, &Reach::default()).unwrap();
    let thaw = async {
        sleep(Duration::from_secs(5)).await;
        memory.switch_off(FaultClass::Freeze);
    };
    let start = Instant::now();
    let (published, ()) = tokio::join!(publish_as(&memory, "1", "q.a"), thaw);
    assert!(!published.unwrap().duplicate);
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert_eq!(memory.fired_of(FaultClass::Freeze), 1);
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_nobody_waits_for_any_more_is_stored_all_the_same() {
    let memory = broker(1).await;
    memory.switch_on(FaultClass::Freeze, &Reach::default()).unwrap();
    assert!(publish_as(&memory, "1", "q.a").now_or_never().is_none());
    memory.switch_off(FaultClass::Freeze);
    assert!(publish_as(&memory, "1", "q.a").await.unwrap().duplicate);
}

#[tokio::test(start_paused = true)]
async fn leases_run_out_on_a_frozen_broker_and_renewals_come_too_late() {
    let memory = broker(1).await;
    let mut consumer = worker(&memory).await;
    publish_as(&memory, "1", "q.a").await.unwrap();
    let lease = pull_one(&mut *consumer).await;
    memory.switch_on(FaultClass::Freeze, &Reach::default()).unwrap();
    let renewed = lease.settler().settle(Settlement::Renew).await;
    assert_eq!(renewed.unwrap_err().kind(), ErrorKind::Timeout);
    let start = Instant::now();
    assert_eq!(consumer.pull(1, PATIENCE).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(start.elapsed(), Duration::from_secs(10));
    sleep(ACK_WAIT).await;
    memory.switch_off(FaultClass::Freeze);
    assert_eq!(pull_one(&mut *consumer).await.deliveries, 2);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_frozen_broker_goes_with_its_process() {
    let memory = broker(1).await;
    memory.switch_on(FaultClass::Freeze, &Reach::default()).unwrap();
    let kill = async { memory.switch_on(FaultClass::Restart, &Reach::default()).unwrap() };
    let (published, ()) = tokio::join!(publish_as(&memory, "1", "q.a"), kill);
    assert_eq!(published.unwrap_err().kind(), ErrorKind::Disconnected);
    memory.heal_all();
    assert!(!publish_as(&memory, "1", "q.a").await.unwrap().duplicate);
}

#[tokio::test(start_paused = true)]
async fn streams_that_are_off_refuse_everything_and_live_messages_go_on() {
    let memory = broker(1).await;
    let mut consumer = worker(&memory).await;
    let mut subscription = memory.subscribe(">").await.unwrap();
    publish_as(&memory, "1", "q.a").await.unwrap();
    let lease = pull_one(&mut *consumer).await;
    let off = async {
        sleep(Duration::from_secs(1)).await;
        memory.switch_on(FaultClass::Disable, &Reach::default()).unwrap();
    };
    let (waiting, ()) = tokio::join!(consumer.pull(1, PATIENCE), off);
    let kinds = [
        waiting.unwrap_err().kind(),
        publish_as(&memory, "2", "q.b").await.unwrap_err().kind(),
        memory.last("Q", "q.a").await.unwrap_err().kind(),
        memory.consume(&worker_spec()).await.err().unwrap().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::Disconnected; 4]);
    assert_eq!(memory.fired_of(FaultClass::Disable), 4);
    lease.ack().await.unwrap();
    memory.send(message("evt.a", "live")).await.unwrap();
    memory.switch_off(FaultClass::Disable);
    let mut subjects = Vec::new();
    while let Some(Some(heard)) = subscription.next().now_or_never() {
        subjects.push(heard.subject);
    }
    assert_eq!(subjects, ["q.a", "q.b", "evt.a"], "what is refused is heard all the same");
    assert_eq!(pull_one(&mut *consumer).await.deliveries, 2, "the ack was not heard");
    assert_eq!(memory.last("Q", "q.b").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn what_a_full_stream_refuses_is_heard_all_the_same() {
    let memory = broker(1).await;
    let mut subscription = memory.subscribe("q.>").await.unwrap();
    memory.switch_on(FaultClass::Full, &on("q.>")).unwrap();
    assert_eq!(publish_as(&memory, "1", "q.a").await.unwrap_err().kind(), ErrorKind::Full);
    memory.send(message("q.b", "")).await.unwrap();
    assert_eq!(subscription.next().await.unwrap().subject, "q.a");
    assert_eq!(subscription.next().await.unwrap().subject, "q.b");
    assert_eq!((memory.last("Q", "q.b").await.unwrap(), memory.fired_of(FaultClass::Full)), (None, 2));
}

#[tokio::test(start_paused = true)]
async fn a_late_ack_comes_after_its_lease_has_passed_to_another_and_counts() {
    let memory = broker(1).await;
    let mut consumer = worker(&memory).await;
    publish_as(&memory, "1", "q.a").await.unwrap();
    memory.inject(Rule::new(Fault::LateSettlement(ACK_WAIT * 2), "q.>").times(1)).unwrap();
    let start = Instant::now();
    pull_one(&mut *consumer).await.ack().await.unwrap();
    let second = pull_one(&mut *consumer).await;
    assert_eq!((second.deliveries, start.elapsed()), (2, ACK_WAIT));
    sleep(ACK_WAIT - Duration::from_secs(1)).await;
    assert!(memory.last("Q", "q.a").await.unwrap().is_some());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(memory.last("Q", "q.a").await.unwrap(), None, "there is no fence");
    second.ack().await.unwrap();
    assert_eq!((memory.counters().settlements_late, memory.fired_of(FaultClass::LateSettlement)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_late_settlement_keeps_its_place_on_its_subject_and_a_late_confirmation_is_a_time_out() {
    let memory = broker(1).await;
    let mut consumer = worker(&memory).await;
    publish_as(&memory, "1", "q.a").await.unwrap();
    let lease = pull_one(&mut *consumer).await;
    let settler = lease.settler();
    memory.inject(Rule::new(Fault::LateSettlement(Duration::from_secs(1)), "q.>").times(1)).unwrap();
    let start = Instant::now();
    settler.settle(Settlement::Renew).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    memory.inject(Rule::new(Fault::LateSettlement(Duration::from_secs(5)), "q.>").times(1)).unwrap();
    assert_eq!(settler.settle(Settlement::Renew).await.unwrap_err().kind(), ErrorKind::Timeout);
    lease.ack().await.unwrap();
    assert!(memory.last("Q", "q.a").await.unwrap().is_some(), "the ack waits behind the renewal");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(memory.last("Q", "q.a").await.unwrap(), None);
    let counters = memory.counters();
    assert_eq!((counters.renewed, counters.acked), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_a_late_ack_frees_wakes_one_who_waits() {
    let memory = broker(1).await;
    let spec = ConsumerSpec { ack_pending_max: 1, ..worker_spec() };
    let mut consumer = memory.consume(&spec).await.unwrap();
    for id in ["1", "2"] {
        publish_as(&memory, id, "q.a").await.unwrap();
    }
    memory.inject(Rule::new(Fault::LateSettlement(Duration::from_secs(3)), "q.>").times(1)).unwrap();
    pull_one(&mut *consumer).await.ack().await.unwrap();
    let start = Instant::now();
    assert_eq!(pull_one(&mut *consumer).await.sequence, 2);
    assert_eq!(start.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_lost_is_no_success() {
    let memory = broker(1).await;
    let mut consumer = worker(&memory).await;
    publish_as(&memory, "1", "q.a").await.unwrap();
    let lease = pull_one(&mut *consumer).await;
    memory.switch_on(FaultClass::LoseSettlement, &Reach::default()).unwrap();
    for settlement in [Settlement::Renew, Settlement::Reject] {
        assert_eq!(lease.settler().settle(settlement).await.unwrap_err().kind(), ErrorKind::Timeout);
    }
    lease.ack().await.unwrap();
    assert_eq!(memory.fired_of(FaultClass::LoseSettlement), 3);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_ends_early_gives_the_message_to_a_second_worker_while_the_first_works() {
    let memory = broker(1).await;
    let (mut one, mut two) = (worker(&memory).await, worker(&memory).await);
    for subject in ["q.a", "q.b"] {
        publish_as(&memory, subject, subject).await.unwrap();
    }
    let leases = one.pull(2, PATIENCE).await.unwrap();
    let start = Instant::now();
    let end = async { memory.switch_on(FaultClass::Lapse, &on("q.a")).unwrap() };
    let (second, ()) = tokio::join!(two.pull(2, PATIENCE), end);
    let second = second.unwrap();
    assert_eq!((second.len(), second[0].sequence, second[0].deliveries), (1, 1, 2));
    assert_eq!((start.elapsed(), memory.fired_of(FaultClass::Lapse)), (Duration::ZERO, 1));
    for lease in leases {
        lease.ack().await.unwrap();
    }
    assert_eq!(memory.last("Q", "q.a").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn an_id_is_stored_again_when_its_window_has_passed() {
    let memory = broker(1).await;
    assert!(!publish_as(&memory, "1", "q.a").await.unwrap().duplicate);
    memory.switch_on(FaultClass::ForgetIds, &on("q.>")).unwrap();
    assert!(!publish_as(&memory, "1", "q.a").await.unwrap().duplicate);
    assert!(publish_as(&memory, "1", "q.a").await.unwrap().duplicate);
    assert_eq!(memory.fired_of(FaultClass::ForgetIds), 1);
}

#[tokio::test(start_paused = true)]
async fn a_squeezed_subscriber_misses_the_newest_and_is_not_told() {
    let memory = broker(1).await;
    let mut squeezed = memory.subscribe("evt.>").await.unwrap();
    let mut other = memory.subscribe("live.>").await.unwrap();
    memory.switch_on(FaultClass::Overflow, &Reach { queue_max: 1, ..on("evt.a") }).unwrap();
    for body in ["1", "2"] {
        memory.send(message("evt.a", body)).await.unwrap();
        memory.send(message("live.a", body)).await.unwrap();
    }
    memory.switch_off(FaultClass::Overflow);
    memory.send(message("evt.a", "3")).await.unwrap();
    for expected in ["1", "3"] {
        assert_eq!(text(&squeezed.next().await.unwrap()), expected);
    }
    for expected in ["1", "2"] {
        assert_eq!(text(&other.next().await.unwrap()), expected);
    }
    assert_eq!((memory.counters().overflowed, memory.fired_of(FaultClass::Overflow)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_is_lost_with_the_process() {
    let memory = broker(1).await;
    let durable = StreamSpec {
        name: "F".to_owned(),
        subjects: vec!["f.>".to_owned()],
        storage: Storage::File,
        ..queue()
    };
    memory.ensure(&[durable]).await.unwrap();
    let spec = ConsumerSpec { stream: "F".to_owned(), filter: "f.>".to_owned(), ..worker_spec() };
    let mut consumer = memory.consume(&spec).await.unwrap();
    let mut subscription = memory.subscribe("evt.a").await.unwrap();
    for class in [FaultClass::LateSettlement, FaultClass::Delay] {
        memory.switch_on(class, &Reach::default()).unwrap();
    }
    publish_as(&memory, "1", "f.a").await.unwrap();
    pull_one(&mut *consumer).await.ack().await.unwrap();
    memory.send(message("evt.a", "late")).await.unwrap();
    memory.switch_on(FaultClass::Restart, &Reach::default()).unwrap();
    memory.heal_all();
    assert_eq!(pull_one(&mut *consumer).await.deliveries, 2, "the ack never arrived");
    assert!(subscription.next().now_or_never().is_none());
    memory.send(message("evt.a", "new")).await.unwrap();
    assert_eq!(text(&subscription.next().await.unwrap()), "new");
}
