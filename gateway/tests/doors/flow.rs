//! Flow control on `/ws`: a client is sent what it takes, and the end in any case.

use schemas::Format;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    client::native,
    rig::Rig,
    socket::{Socket, names},
    worker::{Job, whole},
};

fn with_credit(id: &str, model: &str, credit: u64) -> Value {
    let mut request = native(id, model);
    request["credit"] = json!(credit);
    request
}

/// The next frame and its bytes.
async fn next(socket: &mut Socket) -> (Value, u64) {
    let Message::Text(text) = socket.message().await else { panic!("not a text frame") };
    (serde_json::from_str(&text).unwrap(), text.len() as u64)
}

#[tokio::test]
async fn no_more_is_sent_than_the_client_takes_and_it_is_told_what_is_missing() {
    let rig = Rig::start().await;
    let mut socket = Socket::open(&rig).await;
    socket.say(with_credit("f-1", "hold", 0)).await;
    assert_eq!(socket.hear().await["event"], "queued", "who is accepted is told so");
    let blocked = socket.hear().await;
    assert_eq!((&blocked["id"], &blocked["event"]), (&json!("f-1"), &json!("blocked")));
    let missing = blocked["bytes"].as_u64().unwrap();
    let grant = |bytes: u64| json!({ "action": "credit", "id": "f-1", "bytes": bytes });
    socket.say(grant(missing - 1)).await;
    socket.say(json!({ "action": "system.health", "id": "h" })).await;
    assert_eq!(socket.hear().await["id"], "h", "a byte is missing, and the socket goes on");
    socket.say(grant(1)).await;
    let (running, bytes) = next(&mut socket).await;
    assert_eq!((&running["event"], bytes), (&json!("running"), missing));
    // The whole credit is used up: the first piece waits, and the end does not.
    rig.worker.go.notify_one();
    let frames = socket.hear_ends(1).await;
    assert_eq!(names(&frames, "f-1"), ["blocked", "gap", "chat.complete"]);
    assert_eq!((&frames[1]["from"], &frames[1]["to"]), (&json!(0), &json!(4)));
    assert_eq!(frames[2]["output"]["text"], "Hello, world");
    assert_eq!(frames[2]["usage"]["output_tokens"], 3);
}

#[tokio::test]
async fn who_gives_enough_credit_misses_nothing() {
    let rig = Rig::start().await;
    let mut socket = Socket::open(&rig).await;
    socket.say(with_credit("f-2", "script", 100)).await;
    assert_eq!(socket.hear().await["event"], "queued");
    let job = Job::of(&rig, "f-2", Format::Json);
    rig.until_stored(&rig.event_subject("f-2"), 1).await;
    job.running(1).await;
    let (mut credit, mut text, mut place) = (100, String::new(), 0);
    // Each piece is told after the one before has come: only then is the end told.
    for (seq, piece) in (1..).zip(["Hello", ", ", "world"]) {
        job.delta(1, seq, piece).await;
        while place < seq {
            let (frame, bytes) = next(&mut socket).await;
            if frame["event"] == "blocked" {
                let missing = frame["bytes"].as_u64().unwrap();
                socket.say(json!({ "action": "credit", "id": "f-2", "bytes": missing })).await;
                credit += missing;
                continue;
            }
            credit = credit.checked_sub(bytes).expect("more was sent than was taken");
            place = frame["seq"].as_u64().unwrap();
            text += frame["delta"].as_str().unwrap_or_default();
        }
    }
    job.end(1, 4, Ok(whole())).await;
    assert_eq!(socket.hear().await["event"], "chat.complete");
    assert_eq!(text, "Hello, world");
}

#[tokio::test]
async fn pieces_that_wait_for_credit_are_joined() {
    let rig = Rig::start().await;
    let mut socket = Socket::open(&rig).await;
    socket.say(json!({ "action": "resume", "id": "f-3", "attempt": 1, "after": 0, "credit": 0 })).await;
    let job = Job::of(&rig, "f-3", Format::Json);
    job.running(1).await;
    job.delta(1, 1, "1 ").await;
    assert_eq!(socket.hear().await["event"], "blocked");
    for seq in 2..=2_000 {
        job.delta(1, seq, &format!("{seq} ")).await;
    }
    socket.say(json!({ "action": "credit", "id": "f-3", "bytes": 1 << 20 })).await;
    let (mut frames, mut next, mut text) = (0, 1, String::new());
    while next <= 2_000 {
        let frame = socket.hear().await;
        assert_eq!(frame["first_seq"].as_u64().or(frame["seq"].as_u64()), Some(next), "no gap and no repeat");
        next = frame["seq"].as_u64().unwrap() + 1;
        text += frame["delta"].as_str().unwrap();
        frames += 1;
    }
    assert_eq!(text, (1..=2_000).map(|seq| format!("{seq} ")).collect::<String>());
    assert!(frames < 300, "{frames} frames");
}

#[tokio::test]
async fn what_is_void_is_told_before_an_end_that_did_not_wait() {
    let rig = Rig::start().await;
    let mut socket = Socket::open(&rig).await;
    socket.say(json!({ "action": "resume", "id": "f-4", "attempt": 1, "after": 1, "credit": 0 })).await;
    let job = Job::of(&rig, "f-4", Format::Json);
    job.delta(1, 2, "lost").await;
    assert_eq!(socket.hear().await["event"], "blocked");
    job.running(2).await;
    job.answer(2).await;
    let frames = socket.hear_ends(1).await;
    assert_eq!(names(&frames, "f-4"), ["restarted", "gap", "chat.complete"]);
}

#[tokio::test]
async fn credit_for_what_is_not_open_here_has_no_effect() {
    let rig = Rig::start().await;
    let mut socket = Socket::open(&rig).await;
    socket.say(json!({ "action": "credit", "id": "nobody", "bytes": 7 })).await;
    socket.say(native("f-5", "sim-chat")).await;
    assert_eq!(names(&socket.hear_ends(1).await, "f-5").len(), 6);
}
