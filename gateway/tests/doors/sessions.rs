//! Sessions on `/ws`: whoever joins one sees its requests, and nobody else's.

use schemas::Format;
use serde_json::{Value, json};

use crate::{
    client::native,
    rig::Rig,
    socket::Socket,
    worker::{FLOOD, Job, whole},
};

/// A socket that has joined the session `s-1`.
async fn joined(rig: &Rig) -> Socket {
    let mut socket = Socket::open(rig).await;
    socket.say(json!({ "action": "join", "session": "s-1" })).await;
    let said = socket.hear().await;
    assert_eq!(
        (&said["session_id"], &said["type"], &said["data"]),
        (&json!("s-1"), &json!("joined"), &json!({}))
    );
    socket
}

fn of_session(id: &str, model: &str, session: &str) -> Value {
    let mut request = native(id, model);
    request["session"] = json!(session);
    request
}

/// The events of the session up to the end of every one of `requests`, as they came; checks how they are told.
async fn hear_session(socket: &mut Socket, requests: usize) -> Vec<Value> {
    let (mut events, mut ends) = (Vec::new(), 0);
    while ends < requests {
        let told = socket.hear().await;
        assert_eq!((&told["session_id"], &told["type"]), (&json!("s-1"), &told["data"]["event"]), "{told}");
        assert!(told["ts"].as_str().unwrap().ends_with('Z'), "{told}");
        ends += usize::from(told["type"] == "chat.complete");
        events.push(told["data"].clone());
    }
    events
}

/// `attempt`, `seq` and the name of every event of the request `id`.
fn places<'a>(events: &'a [Value], id: &str) -> Vec<(u64, u64, &'a str)> {
    let of_id = events.iter().filter(|event| event["id"] == id);
    let number = |event: &Value, field: &str| event[field].as_u64().unwrap();
    of_id.map(|e| (number(e, "attempt"), number(e, "seq"), e["event"].as_str().unwrap())).collect()
}

const WHOLE: [(u64, u64, &str); 6] = [
    (0, 0, "queued"),
    (1, 0, "running"),
    (1, 1, "chat.delta"),
    (1, 2, "chat.delta"),
    (1, 3, "chat.delta"),
    (1, 4, "chat.complete"),
];

/// Nothing of the session comes to `socket` before the answer to a question that is asked now.
async fn hears_nothing_more(socket: &mut Socket) {
    socket.say(json!({ "action": "system.health", "id": "h" })).await;
    assert_eq!(socket.hear().await["id"], "h");
}

#[tokio::test]
async fn every_event_of_a_session_reaches_all_that_have_joined_it_at_every_gateway() {
    let rig = Rig::start().await;
    let other = Rig::on(rig.broker.clone(), json!({})).await;
    let mut members = [joined(&rig).await, joined(&rig).await, joined(&other).await];
    let mut sender = Socket::open(&rig).await;
    for (id, session) in [("j-1", "s-1"), ("j-2", "s-2"), ("j-3", "s-1")] {
        sender.say(of_session(id, "sim-chat", session)).await;
    }
    sender.hear_ends(3).await;
    for member in &mut members {
        let events = hear_session(member, 2).await;
        assert_eq!((places(&events, "j-1"), places(&events, "j-3")), (WHOLE.to_vec(), WHOLE.to_vec()));
        assert_eq!(events.len(), 2 * WHOLE.len(), "and nothing of the other session");
        hears_nothing_more(member).await;
    }
}

#[tokio::test]
async fn a_socket_that_sends_into_its_own_session_hears_both() {
    let rig = Rig::start().await;
    let mut socket = joined(&rig).await;
    socket.say(of_session("j-4", "sim-chat", "s-1")).await;
    let (mut own, mut told) = (0, 0);
    while own + told < 12 {
        let frame = socket.hear().await;
        *if frame["session_id"] == "s-1" { &mut told } else { &mut own } += 1;
    }
    assert_eq!((own, told), (6, 6));
}

#[tokio::test]
async fn who_joins_late_gets_what_is_under_way_from_its_first_event() {
    let rig = Rig::start().await;
    let job = Job::of(&rig, "j-5", Format::Json).in_session("s-1");
    job.running(1).await;
    job.delta(1, 1, "Hello").await;
    let mut late = joined(&rig).await;
    job.delta(1, 2, ", ").await;
    job.delta(1, 3, "world").await;
    job.end(1, 4, Ok(whole())).await;
    assert_eq!(places(&hear_session(&mut late, 1).await, "j-5"), WHOLE);
    // What comes once more is not told again.
    job.delta(1, 3, "world").await;
    hears_nothing_more(&mut late).await;
}

#[tokio::test]
async fn who_leaves_is_told_nothing_more() {
    let rig = Rig::start().await;
    let mut socket = joined(&rig).await;
    let job = Job::of(&rig, "j-6", Format::Json).in_session("s-1");
    job.running(1).await;
    for heard in ["queued", "running"] {
        assert_eq!(socket.hear().await["type"], heard);
    }
    socket.say(json!({ "action": "leave", "session": "s-1" })).await;
    let left = socket.hear().await;
    assert_eq!((&left["session_id"], &left["type"]), (&json!("s-1"), &json!("left")));
    job.answer(1).await;
    hears_nothing_more(&mut socket).await;
    // Who says it twice is answered twice, and told of nothing twice.
    for (action, answer) in [("leave", "left"), ("join", "joined"), ("join", "joined")] {
        socket.say(json!({ "action": action, "session": "s-1" })).await;
        assert_eq!(socket.hear().await["type"], answer);
    }
    Job::of(&rig, "j-7", Format::Json).in_session("s-1").running(1).await;
    for _ in ["queued", "running"] {
        assert_eq!(socket.hear().await["data"]["id"], "j-7");
    }
    hears_nothing_more(&mut socket).await;
}

#[tokio::test]
async fn a_session_of_another_tenant_is_another_session() {
    let rig = Rig::start().await;
    let stranger = Rig::on(rig.broker.clone(), json!({ "tenant": "stranger" })).await;
    let (mut own, mut other) = (joined(&rig).await, joined(&stranger).await);
    Job::of(&rig, "j-8", Format::Json).in_session("s-1").answer(1).await;
    hear_session(&mut own, 1).await;
    hears_nothing_more(&mut other).await;
}

#[tokio::test]
async fn a_member_that_does_not_read_misses_nothing_and_holds_back_nobody() {
    let rig = Rig::with(json!({ "socket_queue_frames_max": 4 })).await;
    let (mut slow, mut quick) = (joined(&rig).await, joined(&rig).await);
    let mut sender = Socket::open(&rig).await;
    sender.say(of_session("j-9", "flood", "s-1")).await;
    // The one that does not read holds back neither the engine nor its neighbour.
    hear_session(&mut quick, 1).await;
    let events = hear_session(&mut slow, 1).await;
    let places = places(&events, "j-9");
    assert_eq!(places.len() as u64, FLOOD + 3, "queued, running, the pieces, the end");
    let mut sorted = places.clone();
    sorted.sort_unstable();
    assert_eq!(places, sorted);
}

#[tokio::test]
async fn sessions_are_bounded_and_so_are_the_requests_of_one_that_are_read_at_once() {
    let rig = Rig::with(json!({ "socket_sessions_max": 1, "socket_requests_max": 1 })).await;
    let mut socket = joined(&rig).await;
    socket.say(json!({ "action": "join", "session": "s-2" })).await;
    let refused = socket.hear().await;
    assert_eq!(
        (&refused["error"]["code"], &refused["error"]["param"]),
        (&json!("overloaded"), &json!("session"))
    );
    let [first, second] = ["j-10", "j-11"].map(|id| Job::of(&rig, id, Format::Json).in_session("s-1"));
    first.running(1).await;
    assert_eq!(socket.hear().await["data"]["id"], "j-10");
    second.running(1).await;
    second.answer(1).await;
    first.answer(1).await;
    let events = hear_session(&mut socket, 2).await;
    assert_eq!(places(&events, "j-10"), WHOLE[1..]);
    assert_eq!(places(&events, "j-11"), WHOLE, "it has waited, and is told from its first event");
    socket.say(json!({ "action": "leave", "session": "s-1" })).await;
    assert_eq!(socket.hear().await["type"], "left");
    socket.say(json!({ "action": "join", "session": "s-2" })).await;
    assert_eq!(socket.hear().await["type"], "joined");
}

#[tokio::test]
async fn a_member_is_told_when_requests_may_have_been_missed_and_stays_one() {
    let rig = Rig::start().await;
    let mut socket = joined(&rig).await;
    rig.broker.disconnect();
    assert_eq!(rig.get("/health/ready").await.status, 503);
    rig.broker.reconnect();
    let gap = socket.hear().await;
    assert_eq!(
        (&gap["session_id"], &gap["type"], &gap["data"]["id"]),
        (&json!("s-1"), &json!("gap"), &Value::Null)
    );
    Job::of(&rig, "j-12", Format::Json).in_session("s-1").running(1).await;
    assert_eq!(socket.hear().await["data"]["id"], "j-12");
}
