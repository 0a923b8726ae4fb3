//! What nobody can use is parked and ends, however large it is and however much is parked already.

use schemas::{Action, ErrorCode, Status};
use serde_json::json;

use crate::support::{Engine, chat};

/// Room for the subject and the headers of what is as large as the broker takes.
const ROOM: usize = 200;

#[tokio::test(start_paused = true)]
async fn a_message_for_which_a_letter_has_no_room_is_parked_without_its_end() {
    let engine = Engine::start().await;
    let body = vec![b'x'; engine.broker().describe().message_bytes_max - ROOM];
    engine.publish_raw("dynode.req.acme.chat.completion", "big", &body).await;
    let outcome = engine.outcome("acme", "big").await;
    assert_eq!(outcome.error.map(|error| error.code), Some(ErrorCode::InvalidRequest));
    let letter = engine.parked("acme", "big").await;
    assert!(letter.missing_bytes > 0, "{} bytes are there", letter.body.len());
    assert_eq!(letter.body.len() as u64 + letter.missing_bytes, body.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_work_the_broker_does_not_take_ends_with_its_reason() {
    let engine = Engine::start().await;
    let mut request = chat("big", json!({}));
    let rest = request.to_string().len();
    let text = "x".repeat(engine.broker().describe().message_bytes_max - ROOM - rest);
    request["payload"]["messages"][0]["content"] = json!(text);
    engine.publish("acme", Action::ChatCompletion, request).await;
    let outcome = engine.outcome("acme", "big").await;
    assert_eq!(outcome.error.map(|error| error.code), Some(ErrorCode::TooLarge));
    assert_eq!(engine.parked("acme", "big").await.deliveries, 1, "at once");
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_room_for_letters_the_oldest_go() {
    static BODY: [u8; 50_000] = [b'x'; 50_000];
    let engine = Engine::with_outcomes_of(1_000_000).await;
    for index in 0..60 {
        let id = format!("r{index}");
        engine.publish_raw("dynode.req.acme.chat.completion", &id, &BODY).await;
        assert_eq!(engine.outcome("acme", &id).await.status, Status::Failed, "{id}");
    }
    assert_eq!(engine.parked("acme", "r59").await.body.len(), BODY.len());
    assert!(engine.broker().last("DYNODE_DEAD", "dynode.dead.classifier.acme.r0").await.unwrap().is_none());
}
