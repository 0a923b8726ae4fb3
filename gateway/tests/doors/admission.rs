//! Who is let in, as the heartbeats say: what would come too late is refused at once, and nothing of it is published.

use broker::{Broker, Message};
use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use opentelemetry::global;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use schemas::{Format, Heartbeat};
use serde_json::{Value, json};

use crate::{
    client::{chat, native},
    rig::{PATIENCE, Rig},
    socket::Socket,
    worker::Job,
};

/// The pool of all models of the rig: four slots, all taken, a minute a job, so that nothing moves while a test runs.
fn beat(queue: u64) -> Heartbeat {
    Heartbeat {
        v: 1,
        node: "n1".into(),
        worker: "sim".into(),
        pid: 1,
        connected: true,
        every_ms: 60_000,
        slots: 4,
        queue: Some(queue),
        inflight: 4,
        last_progress_ms: 0,
        average_job_ms: 60_000.0,
        governing: None,
        at: Timestamp::UNIX_EPOCH,
    }
}

impl Rig {
    /// Sends a heartbeat, and waits until the gateway has heard it.
    async fn beat(&self, beat: &Heartbeat) {
        let payload = Format::Json.encode(beat).unwrap();
        self.broker.send(Message::new("dynode.hb.n1.sim", Format::Json, payload)).await.unwrap();
        let expected = json!([beat.queue, beat.slots, beat.inflight]);
        let heard = async {
            loop {
                let pool = self.pool().await;
                if json!([pool["queue"], pool["slots"], pool["inflight"]]) == expected {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, heard).await.unwrap();
    }

    /// The only pool, as `GET /v1/status` shows it.
    async fn pool(&self) -> Value {
        self.get("/v1/status").await.json()["pools"][0].clone()
    }
}

fn within(deadline_ms: u64) -> Value {
    let mut request = native("", "sim-chat");
    request.as_object_mut().unwrap().remove("id");
    request["deadline_ms"] = deadline_ms.into();
    request
}

/// A request for the pool that nobody answers by itself.
fn for_pool(id: &str) -> Value {
    let mut request = native(id, "script");
    request["route"] = json!({ "waterfall": ["sim"] });
    request
}

#[tokio::test]
async fn a_request_that_would_begin_after_its_deadline_is_refused_at_once_and_not_published() {
    let rig = Rig::start().await;
    rig.beat(&beat(39)).await;
    let mut published = rig.broker.subscribe("dynode.req.>").await.unwrap();
    let refused = rig.post("/v1/requests", &within(500_000)).await;
    let error = &refused.json()["error"];
    assert_eq!((refused.status.as_u16(), &error["code"]), (429, &json!("overloaded")), "{error}");
    let header = |name: &str| refused.header(name).parse::<u64>().unwrap();
    let wait_ms = header("x-dynode-estimated-wait-ms");
    assert!((590_000..=600_000).contains(&wait_ms), "{wait_ms}: 40 jobs on 4 slots, a minute each");
    let (retry_ms, in_time_ms) = (header("retry-after-ms"), wait_ms - 500_000);
    assert!(
        (in_time_ms..=in_time_ms * 3 / 2).contains(&retry_ms),
        "{retry_ms}: by then it would begin in time"
    );
    assert_eq!(header("retry-after"), retry_ms.div_ceil(1_000));
    assert!(!refused.headers.contains_key("x-should-retry"), "the SDKs may try again");

    assert_eq!(rig.post("/v1/requests", &within(700_000)).await.status, 202, "it has the time");
    let first = published.next().await.unwrap();
    let request: Value = first.format().decode(&first.payload).unwrap();
    assert_eq!(request["deadline_ms"], 700_000, "the one that was refused left no trace");
}

#[tokio::test]
async fn a_full_pool_refuses_every_door_and_takes_requests_again_when_it_has_room() {
    let rig = Rig::with(json!({ "queue_max": 50, "default_deadline_ms": 86_400_000 })).await;
    rig.beat(&beat(50)).await;
    let mut published = rig.broker.subscribe("dynode.req.>").await.unwrap();
    let refused = rig.post("/v1/chat/completions", &chat("sim-chat")).await;
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after-ms").parse::<u64>().unwrap() >= 1_000);
    let mut socket = Socket::open(&rig).await;
    socket.say(native("s-1", "sim-chat")).await;
    let frame = socket.hear().await;
    assert_eq!((&frame["id"], &frame["event"]), (&json!("s-1"), &json!("fail")));
    assert_eq!(frame["error"]["code"], "overloaded");
    assert!(frame["error"]["estimated_wait_ms"].as_u64().unwrap() > 0, "{frame}");
    assert!(frame["error"]["retry_after_ms"].as_u64().unwrap() >= 1_000, "{frame}");

    rig.beat(&beat(3)).await;
    socket.say(native("s-1", "sim-chat")).await;
    let queued = socket.hear().await;
    assert_eq!(queued["event"], "queued", "the same id, the same socket");
    assert!((50_000..=60_000).contains(&queued["estimated_wait_ms"].as_u64().unwrap()), "{queued}");
    assert_eq!(rig.post("/v1/chat/completions", &chat("sim-chat")).await.status, 200);
    published.next().await.unwrap();
    published.next().await.unwrap();
    assert!(published.next().now_or_never().is_none(), "what was refused was not published");
}

#[tokio::test]
async fn a_flood_between_two_heartbeats_is_seen() {
    let rig = Rig::with(json!({ "queue_max": 10 })).await;
    rig.beat(&beat(0)).await;
    let mut answers = Vec::new();
    for number in 0..15 {
        let mut request = native(&format!("f-{number}"), "mute");
        request["route"] = json!({ "waterfall": ["sim"] });
        request["deadline_ms"] = 3_600_000.into();
        answers.push(rig.post("/v1/requests", &request).await.status.as_u16());
    }
    let admitted = answers.iter().filter(|status| **status == 202).count();
    assert!((10..=11).contains(&admitted), "{answers:?}: ten wait, and one more may have been taken up");
    assert_eq!(answers.last(), Some(&429));
}

#[tokio::test]
async fn a_flood_is_judged_before_the_first_job_has_ended() {
    let rig = Rig::with(json!({ "assumed_job_ms": 60_000 })).await;
    // All slots are taken, and nothing has ended: half a second is how old the jobs are.
    rig.beat(&Heartbeat { average_job_ms: 500.0, ..beat(0) }).await;
    let mut answers = Vec::new();
    for number in 0..9 {
        let mut request = native(&format!("c-{number}"), "mute");
        request["route"] = json!({ "waterfall": ["sim"] });
        request["deadline_ms"] = 80_000.into();
        answers.push(rig.post("/v1/requests", &request).await.status.as_u16());
    }
    assert_eq!((answers.first(), answers.last()), (Some(&202), Some(&429)), "{answers:?}");
    let admitted = answers.iter().filter(|status| **status == 202).count();
    assert!((5..=6).contains(&admitted), "{answers:?}: six minutes of work on four slots");
}

#[tokio::test]
async fn those_who_are_refused_together_are_not_told_to_return_together() {
    let rig = Rig::with(json!({ "queue_max": 1 })).await;
    rig.beat(&beat(9)).await;
    let mut hints = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let refused = rig.post("/v1/requests", &within(80_000_000)).await;
        hints.insert(refused.header("retry-after-ms").parse::<u64>().unwrap());
    }
    assert!(hints.len() > 10, "{hints:?}");
    let (first, last) = (*hints.first().unwrap(), *hints.last().unwrap());
    assert!(first >= 70_000 && last <= 113_000, "{hints:?}: 75 s and up to a half more");
}

#[tokio::test]
async fn one_tenant_may_have_so_many_waiting_and_no_more_until_one_has_begun() {
    let rig = Rig::with(json!({ "tenant_queue_max": 2 })).await;
    rig.beat(&Heartbeat { inflight: 0, ..beat(0) }).await;
    for id in ["t-1", "t-2"] {
        assert_eq!(rig.post("/v1/requests", &for_pool(id)).await.status, 202);
    }
    let mut published = rig.broker.subscribe("dynode.req.>").await.unwrap();
    let refused = rig.post("/v1/requests", &for_pool("t-3")).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (429, &json!("overloaded")));
    assert!(refused.header("retry-after-ms").parse::<u64>().unwrap() >= 1_000);
    assert_eq!(refused.header("x-dynode-estimated-wait-ms"), "0");
    assert!(published.next().now_or_never().is_none(), "what was refused was not published");
    assert_eq!(rig.post("/v1/requests", &for_pool("t-1")).await.status, 202, "it is there already");

    let mut socket = Socket::open(&rig).await;
    socket.say(json!({ "action": "resume", "id": "t-1", "attempt": 0, "after": 0 })).await;
    Job::of(&rig, "t-1", Format::Json).running(1).await;
    assert_eq!(socket.hear().await["event"], "running");
    assert_eq!(rig.post("/v1/requests", &for_pool("t-3")).await.status, 202, "one has begun");
    assert_eq!(rig.post("/v1/requests", &for_pool("t-4")).await.status, 429);
}

#[tokio::test]
async fn a_request_that_is_there_already_is_not_refused_and_an_unknown_pool_is_not_judged() {
    let rig = Rig::with(json!({ "queue_max": 5 })).await;
    assert_eq!(rig.post("/v1/requests", &native("known", "sim-chat")).await.status, 202, "no beat yet");
    rig.until_ended("known").await;
    rig.beat(&beat(9)).await;
    assert_eq!(rig.post("/v1/requests", &native("known", "sim-chat")).await.status, 202, "it attaches");
    assert_eq!(rig.post("/v1/requests", &native("new", "sim-chat")).await.status, 429);
    assert_eq!(rig.post("/v1/requests", &native("nobody", "nobody")).await.status, 202);
}

#[tokio::test]
async fn how_far_the_estimate_was_off_is_measured() {
    let registry = prometheus::Registry::new();
    let reader = opentelemetry_prometheus::exporter().with_registry(registry.clone()).build().unwrap();
    global::set_meter_provider(SdkMeterProvider::builder().with_reader(reader).build());
    let rig = Rig::start().await;
    rig.beat(&beat(3)).await;
    assert_eq!(rig.post("/v1/chat/completions", &chat("sim-chat")).await.status, 200);
    let families = registry.gather();
    let error = families.iter().find(|family| family.name() == "dynode_gateway_estimate_error_seconds");
    let metric = &error.unwrap().get_metric()[0];
    assert!(metric.get_label().iter().any(|label| label.value() == "too_long"), "{metric:?}");
    let off = metric.get_histogram().get_sample_sum();
    assert!(off > 20.0, "{off} s: a minute was expected, and it began at once");
}

#[tokio::test]
async fn the_status_tells_of_every_pool_and_of_the_broker() {
    let rig = Rig::start().await;
    let status = rig.get("/v1/status").await.json();
    let silent = json!({
        "pool": "sim", "state": "down", "queue": 0, "inflight": 0, "slots": 0, "estimated_wait_ms": null, "nodes": 0,
    });
    assert_eq!(status, json!({ "pools": [silent], "broker": { "state": "up", "down_ms": null } }));

    rig.beat(&Heartbeat { inflight: 1, ..beat(0) }).await;
    let pool = rig.pool().await;
    assert_eq!((&pool["state"], &pool["estimated_wait_ms"]), (&json!("available"), &json!(0)));
    rig.beat(&beat(7)).await;
    let pool = rig.pool().await;
    assert_eq!((&pool["state"], &pool["nodes"]), (&json!("busy"), &json!(1)));

    for (state, shown) in [("pause", "paused"), ("resume", "busy")] {
        let signal = json!({ "pool": "sim", "state": state });
        let payload = Format::Json.encode(&signal).unwrap();
        rig.broker.send(Message::new("dynode.sig.sim", Format::Json, payload)).await.unwrap();
        let changed = async { while rig.pool().await["state"] != shown {} };
        tokio::time::timeout(PATIENCE, changed).await.expect(shown);
    }
    rig.broker.disconnect();
    assert_eq!(rig.get("/v1/status").await.json()["broker"]["state"], "down");
}

#[tokio::test]
async fn a_socket_is_told_to_go_on_only_where_it_was_told_to_wait() {
    let rig = Rig::start().await;
    let mut socket = Socket::open(&rig).await;
    // The answer shows that the socket listens.
    socket.say(json!({ "action": "system.health", "id": "h" })).await;
    socket.hear().await;
    for state in ["resume", "pause", "pause", "resume", "resume", "pause"] {
        let payload = Format::Json.encode(&json!({ "pool": "sim", "state": state })).unwrap();
        rig.broker.send(Message::new("dynode.sig.sim", Format::Json, payload)).await.unwrap();
    }
    for expected in ["pause", "pause", "resume", "pause"] {
        assert_eq!(socket.hear().await, json!({ "event": "backpressure", "pool": "sim", "state": expected }));
    }
}
