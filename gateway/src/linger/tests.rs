use std::time::Duration;

use broker::{Broker, Message, Publication, memory::Memory};
use futures_util::{FutureExt, StreamExt};
use schemas::Format;
use tokio::time::sleep;

use super::{
    state::{LINGERING_MAX, State},
    *,
};
use crate::{
    Config,
    testing::{Rig, broker},
};

const SECOND: Duration = Duration::from_secs(1);

async fn rig(broker: &Memory, linger_ms: impl Into<Option<u64>>) -> Rig {
    Rig::on(broker, Config { linger_ms: linger_ms.into(), ..Config::sample() }).await
}

impl Rig {
    async fn is_cancelled(&self, key: &Key) -> bool {
        let topology = &self.app.parts.topology;
        let subject = topology.subjects.control(&key.tenant, &key.id);
        self.broker.last(&topology.cancels, &subject).await.unwrap().is_some()
    }

    fn lead(&self, key: &Key) -> Reader {
        self.app.lingers.lead(key).unwrap()
    }

    fn join(&self, key: &Key) -> Reader {
        self.app.lingers.join(key).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_chat_whose_client_has_gone_is_cancelled_when_it_has_lingered() {
    let rig = rig(&broker().await, 30_000).await;
    let key = rig.key("r");
    drop(rig.lead(&key));
    sleep(SECOND * 29).await;
    assert!(!rig.is_cancelled(&key).await);
    sleep(SECOND * 2).await;
    assert!(rig.is_cancelled(&key).await);
}

#[tokio::test(start_paused = true)]
async fn none_is_at_once_and_never_is_never() {
    let broker = broker().await;
    let rig = rig(&broker, 0).await;
    let key = rig.key("r");
    drop(rig.lead(&key));
    sleep(Duration::from_millis(1)).await;
    assert!(rig.is_cancelled(&key).await);
    let rig = self::rig(&broker, None).await;
    assert!(rig.app.lingers.lead(&rig.key("s")).is_none());
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_or_looks_in_stops_the_linger_and_it_begins_anew_when_the_last_has_gone() {
    let rig = rig(&broker().await, 30_000).await;
    let key = rig.key("r");
    drop(rig.lead(&key));
    sleep(SECOND * 29).await;
    let (one, other) = (rig.join(&key), rig.join(&key));
    sleep(SECOND * 100).await;
    drop(one);
    sleep(SECOND * 100).await;
    assert!(!rig.is_cancelled(&key).await, "one still reads");
    drop(other);
    sleep(SECOND * 29).await;
    rig.app.lingers.look_in(&rig.app, &key).await;
    sleep(SECOND * 29).await;
    assert!(!rig.is_cancelled(&key).await);
    sleep(SECOND * 2).await;
    assert!(rig.is_cancelled(&key).await);
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_or_is_wanted_by_a_service_is_not_cancelled() {
    let rig = rig(&broker().await, 30_000).await;
    let keys = ["told", "unheard", "service"].map(|id| rig.key(id));
    let [told, unheard, service] = keys.each_ref().map(|key| rig.lead(key));
    told.end();
    drop(unheard);
    let message = Message::new(&keys[1].outcome, Format::Json, Bytes::from_static(b"{}"));
    rig.broker.publish(Publication { message, id: None }).await.unwrap();
    rig.app.lingers.keep(&keys[2]);
    drop(service);
    sleep(SECOND * 100).await;
    for key in &keys {
        assert!(!rig.is_cancelled(key).await, "{}", key.id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_on_at_another_gateway_keeps_its_chat_alive_until_it_goes_there() {
    let broker = broker().await;
    let (first, second) = (rig(&broker, 30_000).await, rig(&broker, 30_000).await);
    let key = first.key("r");
    drop(first.lead(&key));
    sleep(SECOND * 20).await;
    let reader = second.join(&key);
    sleep(SECOND * 600).await;
    assert!(!first.is_cancelled(&key).await);
    drop(reader);
    sleep(SECOND * 44).await;
    assert!(!first.is_cancelled(&key).await, "it lingers from when it was last heard of");
    sleep(SECOND * 12).await;
    assert!(first.is_cancelled(&key).await);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_drains_cancels_nothing() {
    let rig = rig(&broker().await, 30_000).await;
    let keys = ["before", "after"].map(|id| rig.key(id));
    drop(rig.lead(&keys[0]));
    rig.app.draining.cancel();
    drop(rig.lead(&keys[1]));
    sleep(SECOND * 100).await;
    for key in &keys {
        assert!(!rig.is_cancelled(key).await, "{}", key.id);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_loss_of_the_broker_chats_linger_anew_and_are_cancelled_then() {
    let rig = rig(&broker().await, 30_000).await;
    let key = rig.key("r");
    drop(rig.lead(&key));
    sleep(SECOND * 20).await;
    rig.broker.disconnect();
    sleep(SECOND * 60).await;
    rig.broker.reconnect();
    sleep(SECOND * 29).await;
    assert!(!rig.is_cancelled(&key).await, "who reads elsewhere could not say so");
    sleep(SECOND * 2).await;
    assert!(rig.is_cancelled(&key).await);
}

#[tokio::test(start_paused = true)]
async fn more_chats_than_may_linger_at_once_take_no_more_room() {
    let rig = rig(&broker().await, 30_000).await;
    let (mut state, now) = (State::new(SECOND), Instant::now());
    for number in 0..LINGERING_MAX + 10 {
        let key = rig.key(&format!("r{number}"));
        let number = state.lead(&key, now);
        state.leave(&key.events, number, now);
    }
    assert_eq!(state.known(), LINGERING_MAX);
    let mut due = 0;
    loop {
        match state.take_due(now + SECOND).len() {
            0 => break,
            more => due += more,
        }
    }
    assert_eq!(due, LINGERING_MAX);
}

#[tokio::test(start_paused = true)]
async fn a_chat_that_was_read_before_it_was_sent_here_is_announced_no_more() {
    let rig = rig(&broker().await, 30_000).await;
    let key = rig.key("r");
    let announced = rig.app.parts.topology.subjects.all("att");
    let mut announced = rig.broker.subscribe(&announced).await.unwrap();
    let early = rig.join(&key);
    sleep(SECOND).await;
    assert!(announced.next().now_or_never().is_some(), "whose it is was not known yet");
    let sender = rig.lead(&key);
    assert_eq!(rig.app.lingers.state.lock().next_due(), None, "it is read, and here");
    sleep(SECOND * 100).await;
    assert!(announced.next().now_or_never().is_none());
    drop((early, sender));
    sleep(SECOND * 31).await;
    assert!(rig.is_cancelled(&key).await);
}
