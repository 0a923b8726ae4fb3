//! What becomes of an answer: of JSON that is none, of a refusal, of nothing at all.

use std::sync::Arc;

use adapters::Remedy;
use schemas::{Action, ChatOutput, ErrorCode, Event, Outcome, Output, Status, chat::FinishReason};
use serde_json::{Value, json};

use crate::support::{
    Engine, chat, delta_text,
    scripted::{self, Said, Scripted, USED},
};

fn json_of_a_number() -> Value {
    let schema = json!({"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]});
    json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}})
}

/// What comes of a request to `engine`; `more` goes into the payload.
async fn ask_of(engine: &Engine, mut more: Value, route: Value) -> (Outcome, Vec<Event>) {
    more["model"] = "m".into();
    let mut request = chat("r1", more);
    request["route"] = route;
    engine.publish("acme", Action::ChatCompletion, request).await;
    (engine.outcome("acme", "r1").await, engine.events("acme", "r1").await)
}

/// What comes of a request for JSON that has a number.
async fn ask(providers: &[&Arc<Scripted>], is_streamed: bool) -> (Outcome, Vec<Event>) {
    let more = json!({"stream": is_streamed, "response_format": json_of_a_number()});
    ask_of(&scripted::engine(providers).await, more, json!({})).await
}

/// What comes of a streamed request for any text.
async fn ask_for_text(providers: &[&Arc<Scripted>], route: Value) -> (Outcome, Vec<Event>) {
    ask_of(&scripted::engine(providers).await, json!({"stream": true}), route).await
}

fn answer(outcome: &Outcome) -> &ChatOutput {
    match outcome.output.as_ref() {
        Some(Output::Chat(answer)) => answer,
        _ => panic!("{outcome:?}"),
    }
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.body.name()).collect()
}

/// What a reader shows at the end.
fn shown(events: &[Event]) -> String {
    let start = events.iter().rposition(|event| event.body.name() == "restarted").unwrap_or(0);
    events[start..].iter().filter_map(delta_text).collect()
}

fn reasons(outcome: &Outcome) -> Vec<Option<ErrorCode>> {
    outcome.attempts.iter().map(|record| record.error.as_ref().map(|error| error.code)).collect()
}

const FENCED: &str = "```json\n{\"a\": 1}\n```";

#[tokio::test(start_paused = true)]
async fn a_fence_around_json_is_taken_off() {
    for is_streamed in [false, true] {
        let provider = Scripted::new("one", [Said::text(FENCED)]);
        let (outcome, events) = ask(&[&provider], is_streamed).await;
        assert_eq!((outcome.status, answer(&outcome).text.as_str()), (Status::Succeeded, "{\"a\": 1}"));
        assert_eq!(reasons(&outcome), [None]);
        assert_eq!(names(&events).contains(&"restarted"), is_streamed, "{events:?}");
        assert_eq!(shown(&events), if is_streamed { "{\"a\": 1}" } else { "" });
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_another_form_is_asked_for_again_with_what_is_wrong() {
    for is_streamed in [false, true] {
        let provider = Scripted::new("one", [Said::text("{\"a\": \"1\"}"), Said::text("{\"a\": 1}")]);
        let (outcome, events) = ask(&[&provider], is_streamed).await;
        assert_eq!((outcome.status, answer(&outcome).text.as_str()), (Status::Succeeded, "{\"a\": 1}"));
        assert_eq!(reasons(&outcome), [Some(ErrorCode::InvalidOutput), None]);
        assert_eq!(outcome.usage, USED.plus(&USED), "both calls are paid for");
        assert_eq!(names(&events).contains(&"restarted"), is_streamed, "{events:?}");
        let [_, again] = &provider.asked()[..] else { panic!("{provider:?}") };
        assert_eq!(again["messages"][1]["content"], "{\"a\": \"1\"}");
        let words = again["messages"][2]["content"].as_str().unwrap();
        assert!(words.contains("`/a`") && words.contains("number"), "{words}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_stays_in_another_form_fails_with_the_place_the_reason_and_the_text() {
    let (first, second) = (
        Scripted::new("one", [Said::text("no"), Said::text("{\"a\": true}")]),
        Scripted::new("two", [Said::text("{\"a\": 1}")]),
    );
    let (outcome, events) = ask(&[&first, &second], true).await;
    let error = outcome.error.as_ref().unwrap();
    assert_eq!((outcome.status, error.code), (Status::Failed, ErrorCode::InvalidOutput));
    assert!(error.message.contains("`/a`") && error.message.contains("number"), "{error}");
    assert_eq!(answer(&outcome).text, "{\"a\": true}");
    assert_eq!(reasons(&outcome), [Some(ErrorCode::InvalidOutput); 2]);
    assert_eq!((first.asked().len(), second.asked().len()), (2, 0));
    assert_eq!(names(&events).last(), Some(&"fail"));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_refuses_to_be_asked_again_has_answered_nevertheless() {
    let provider = Scripted::new("one", [Said::text("no"), Said::failure(Remedy::Fatal)]);
    let (outcome, _) = ask(&[&provider], false).await;
    assert_eq!(outcome.error.as_ref().unwrap().code, ErrorCode::InvalidOutput);
    assert_eq!((answer(&outcome).text.as_str(), outcome.attempts.len()), ("no", 2));
}

#[tokio::test(start_paused = true)]
async fn to_be_asked_again_is_one_of_the_retries() {
    let down = || Said::failure(Remedy::Retry);
    let provider = Scripted::new("one", [down(), down(), Said::text("no")]);
    let (outcome, _) = ask(&[&provider], false).await;
    assert_eq!(outcome.error.as_ref().unwrap().code, ErrorCode::InvalidOutput);
    assert_eq!(provider.asked().len(), 3, "no more than without a schema");
}

#[tokio::test(start_paused = true)]
async fn what_was_shown_is_not_taken_back_where_the_request_says_so() {
    for said in [FENCED, "no"] {
        let provider = Scripted::new("one", [Said::text(said)]);
        let more = json!({"stream": true, "response_format": json_of_a_number()});
        let engine = scripted::engine(&[&provider]).await;
        let (outcome, events) = ask_of(&engine, more, json!({"on_midstream_failure": "fail"})).await;
        assert_eq!(outcome.error.as_ref().unwrap().code, ErrorCode::InvalidOutput, "{said}");
        assert_eq!((answer(&outcome).text.as_str(), provider.asked().len()), (said, 1));
        assert!(!names(&events).contains(&"restarted"), "{events:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_form_is_asked_of_calls_of_tools_and_of_what_was_cut_off() {
    for said in [Said::tool_call(), Said::text("{\"a\":").ended_by(FinishReason::Length)] {
        let provider = Scripted::new("one", [said]);
        let (outcome, _) = ask(&[&provider], false).await;
        assert_eq!((outcome.status, outcome.attempts.len()), (Status::Succeeded, 1), "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_schema_that_is_none_is_refused_before_anybody_is_asked() {
    let provider = Scripted::new("one", [Said::text("{}")]);
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "objekt"}}});
    let engine = scripted::engine(&[&provider]).await;
    let (outcome, _) = ask_of(&engine, json!({"response_format": format}), json!({})).await;
    let error = outcome.error.unwrap();
    assert_eq!(error.code, ErrorCode::InvalidRequest);
    assert_eq!(error.param.as_deref(), Some("payload.response_format.json_schema.schema.type"));
    assert!(provider.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_the_answer_or_the_next_is_asked_or_the_request_fails() {
    for withheld in [false, true] {
        let refusal = || match withheld {
            true => Said::text("Well").ended_by(FinishReason::ContentFilter),
            false => Said::refusal("I will not."),
        };
        let refuses = || Scripted::new("one", [refusal()]);
        let answers = Scripted::new("two", [Said::text("Gladly.")]);
        let (outcome, _) = ask_for_text(&[&refuses(), &answers], json!({})).await;
        assert_eq!((outcome.provider.as_deref(), reasons(&outcome)), (Some("one"), vec![None]));

        let (outcome, events) = ask_for_text(&[&refuses(), &answers], json!({"on_refusal": "next"})).await;
        assert_eq!((outcome.provider.as_deref(), answer(&outcome).text.as_str()), (Some("two"), "Gladly."));
        assert_eq!(reasons(&outcome), [Some(ErrorCode::InvalidOutput), None]);
        assert_eq!(shown(&events), "Gladly.");

        let (outcome, _) = ask_for_text(&[&refuses(), &answers], json!({"on_refusal": "fail"})).await;
        assert_eq!(outcome.error.unwrap().code, ErrorCode::InvalidOutput);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_stands_where_nobody_has_a_better_answer() {
    let (first, second) = (
        Scripted::new("one", [Said::refusal("I will not.")]),
        Scripted::new("two", [Said::failure(Remedy::FallBack)]),
    );
    let (outcome, events) = ask_for_text(&[&first, &second], json!({"on_refusal": "next"})).await;
    assert_eq!(outcome.status, Status::Succeeded, "{outcome:?}");
    assert_eq!(
        (outcome.provider.as_deref(), answer(&outcome).refusal.as_str()),
        (Some("one"), "I will not.")
    );
    assert_eq!(names(&events)[names(&events).len() - 3..], ["chat.delta", "chat.delta", "chat.complete"]);
}

#[tokio::test(start_paused = true)]
async fn of_an_empty_answer_nothing_is_told_and_the_next_is_asked() {
    let (first, second) = (Scripted::new("one", [Said::text("")]), Scripted::new("two", [Said::text("Hi")]));
    let (outcome, events) = ask_for_text(&[&first, &second], json!({})).await;
    assert_eq!((outcome.provider.as_deref(), answer(&outcome).text.as_str()), (Some("two"), "Hi"));
    assert_eq!(reasons(&outcome), [Some(ErrorCode::InvalidOutput), None]);
    assert_eq!(
        names(&events)[..4],
        ["queued", "running", "running", "chat.delta"],
        "nothing was shown of it"
    );

    let down = Scripted::new("two", [Said::failure(Remedy::FallBack)]);
    for others in [vec![&first], vec![&first, &down]] {
        let (outcome, events) = ask_for_text(&others, json!({})).await;
        assert_eq!((outcome.status, outcome.provider.as_deref()), (Status::Succeeded, Some("one")));
        assert_eq!(answer(&outcome).finish_reason, Some(FinishReason::Stop));
        assert_eq!(names(&events)[names(&events).len() - 2..], ["chat.delta", "chat.complete"]);
    }
    for (policy, status) in [("return", Status::Succeeded), ("fail", Status::Failed)] {
        let (outcome, _) = ask_for_text(&[&first, &second], json!({"on_empty": policy})).await;
        assert_eq!((outcome.status, outcome.attempts.len()), (status, 1), "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_no_json() {
    let provider = Scripted::new("one", [Said::text("")]);
    let (outcome, _) = ask(&[&provider], false).await;
    assert_eq!(outcome.error.unwrap().code, ErrorCode::InvalidOutput);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_lost_to_an_answer_that_is_empty() {
    let refuses = Scripted::new("one", [Said::refusal("I would rather not.")]);
    let (empty, fails) =
        (Scripted::new("two", [Said::text("")]), Scripted::new("three", [Said::failure(Remedy::Fatal)]));
    for providers in [vec![&refuses, &empty], vec![&refuses, &empty, &fails]] {
        let (outcome, events) = ask_for_text(&providers, json!({"on_refusal": "next"})).await;
        assert_eq!((outcome.status, outcome.provider.as_deref()), (Status::Succeeded, Some("one")));
        assert_eq!(answer(&outcome).refusal, "I would rather not.");
        assert_eq!(names(&events).last(), Some(&"chat.complete"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_and_may_not_be_taken_back_fails_whatever_was_held() {
    let empty = Scripted::new("one", [Said::text("")]);
    let breaks = Scripted::new("two", [Said::text("half of it").failing(Remedy::Fatal)]);
    let (outcome, events) = ask_for_text(&[&empty, &breaks], json!({"on_midstream_failure": "fail"})).await;
    assert_eq!(outcome.status, Status::Failed, "{outcome:?}");
    assert!(!names(&events).contains(&"restarted"), "{events:?}");
}
