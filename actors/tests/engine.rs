//! The whole engine on the memory broker and a paused clock: what goes in on the bus, what comes out.

mod assets;
mod budgets;
mod fairness;
mod fencing;
mod flights;
mod governing;
mod hedging;
mod ledger;
mod midstream;
mod output;
mod parking;
mod signs;
mod strays;
mod support;

use std::time::Duration;

use actors::classifier::SESSION;
use broker::{ErrorKind, memory::Fault};
use futures_util::StreamExt;
use schemas::{Action, ErrorCode, Event, EventBody, Format, Status};
use serde_json::{Value, json};
use support::{Engine, chat};
use tokio::time::timeout;

#[tokio::test(start_paused = true)]
async fn a_chat_is_queued_runs_streams_and_ends_once() {
    let engine = Engine::start().await;
    engine.publish("acme", Action::ChatCompletion, chat("r1", json!({"stream": true}))).await;
    let outcome = engine.outcome("acme", "r1").await;
    assert_eq!(outcome.status, Status::Succeeded, "{outcome:?}");

    let events = engine.events("acme", "r1").await;
    let names: Vec<_> = events.iter().map(|event| event.body.name()).collect();
    assert_eq!(names[..2], ["queued", "running"]);
    assert!(
        names[2..names.len() - 1].iter().all(|name| *name == "chat.delta") && names.len() > 3,
        "{names:?}"
    );
    assert_eq!(names.last(), Some(&"chat.complete"));
    let places: Vec<_> = events[1..].iter().map(|event| (event.attempt, event.seq)).collect();
    let expected: Vec<_> = (0..places.len() as u64).map(|seq| (1, seq)).collect();
    assert_eq!(places, expected, "no gap, no repeat");

    let streamed: String = events.iter().filter_map(support::delta_text).collect();
    let Some(schemas::Output::Chat(answer)) = outcome.output else { panic!("no chat output") };
    assert_eq!(streamed, answer.text);
    assert!(outcome.usage.output_tokens > 0);
}

#[tokio::test(start_paused = true)]
async fn every_event_of_a_request_says_its_session() {
    let engine = Engine::start().await;
    let of_session = |mut request: Value| {
        request["session"] = json!("s-1");
        request
    };
    let chat_of = |id, payload| of_session(chat(id, payload));
    // One that runs, one that is refused, and one without a session.
    engine.publish("acme", Action::ChatCompletion, chat_of("r1", json!({"stream": true}))).await;
    engine.publish("acme", Action::ChatCompletion, chat_of("r2", json!({"model": "nobody's"}))).await;
    engine.publish("acme", Action::ChatCompletion, chat("r3", json!({"stream": true}))).await;
    for (id, session) in [("r1", Some("s-1")), ("r2", Some("s-1")), ("r3", None)] {
        engine.outcome("acme", id).await;
        engine.settled().await;
        let told = engine.event_headers("acme", id).await;
        assert!(
            !told.is_empty() && told.iter().all(|headers| headers.get(SESSION) == session),
            "{id}: {told:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn answers_come_in_the_format_of_the_request() {
    let engine = Engine::start().await;
    for (id, format) in [("json", Format::Json), ("pack", Format::MessagePack)] {
        engine.publish_as("acme", Action::ChatCompletion, chat(id, json!({})), format).await;
        engine.outcome("acme", id).await;
        assert_eq!(engine.stored_outcome("acme", id).await.message.format(), format);
    }
}

#[tokio::test(start_paused = true)]
async fn embeddings_come_back_one_vector_an_input() {
    let engine = Engine::start().await;
    let payload = json!({"model": "embed", "input": ["a", "b", "c"]});
    engine.publish("acme", Action::EmbeddingQuery, json!({"id": "e", "payload": payload})).await;
    let outcome = engine.outcome("acme", "e").await;
    let Some(schemas::Output::Embeddings(output)) = outcome.output else { panic!("{outcome:?}") };
    assert_eq!(output.embeddings.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn auto_is_decided_by_the_rules() {
    let engine = Engine::start().await;
    let payload = json!({"model": "embed", "input": "a"});
    engine.publish("acme", Action::Auto, json!({"id": "a", "action": "auto", "payload": payload})).await;
    assert_eq!(engine.outcome("acme", "a").await.action, Action::EmbeddingQuery);
}

#[tokio::test(start_paused = true)]
async fn bad_input_ends_as_failed_and_is_parked_with_the_reason() {
    let engine = Engine::start().await;
    let messages = json!([{"role": "user", "content": "hi"}]);
    let cases: [(&str, Value, ErrorCode, &str); 6] = [
        (
            "model",
            json!({"payload": {"model": "nobody", "messages": messages}}),
            ErrorCode::NotFound,
            "payload.model",
        ),
        ("missing", json!({"payload": {"model": "fast"}}), ErrorCode::InvalidRequest, "payload"),
        ("type", json!({"payload": "hello"}), ErrorCode::InvalidRequest, "payload"),
        (
            "role",
            json!({"payload": {"model": "fast", "messages": [{"role": 7}]}}),
            ErrorCode::InvalidRequest,
            "payload.messages[0].role",
        ),
        (
            "tenant",
            json!({"tenant": "other", "payload": {"model": "fast", "messages": messages}}),
            ErrorCode::Forbidden,
            "tenant",
        ),
        (
            "action",
            json!({"action": "embedding.query", "payload": {"model": "fast", "messages": messages}}),
            ErrorCode::InvalidRequest,
            "action",
        ),
    ];
    for (id, mut request, code, at) in cases {
        request["id"] = id.into();
        engine.publish("acme", Action::ChatCompletion, request).await;
        let outcome = engine.outcome("acme", id).await;
        let error = outcome.error.expect(id);
        assert_eq!((outcome.status, error.code), (Status::Failed, code), "{id}: {error}");
        assert!(error.message.starts_with(at), "{id}: {error}");
        assert_eq!(engine.parked("acme", id).await.reason, error, "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_even_be_read_is_answered_under_the_id_of_its_message() {
    let engine = Engine::start().await;
    let subject = "dynode.req.acme.chat.completion";
    for (id, body) in [("json", &b"{\"payload\": "[..]), ("pack", &[0x82, 0xa1][..])] {
        engine.publish_raw(subject, id, body).await;
        let outcome = engine.outcome("acme", id).await;
        assert_eq!(outcome.error.map(|error| error.code), Some(ErrorCode::InvalidRequest));
        assert_eq!(engine.parked("acme", id).await.body, body);
    }
    engine.publish_raw("dynode.req.acme.chat.complete", "unknown", b"{}").await;
    let error = engine.outcome("acme", "unknown").await.error.unwrap();
    assert!(error.message.contains("chat.completion"), "{error}");
    engine.publish_raw("dynode.req.a$b.auto", "tenant", b"{}").await;
    assert!(engine.parked("unknown", "tenant").await.reason.message.contains("tenant"));
}

#[tokio::test(start_paused = true)]
async fn two_tenants_may_use_one_id_where_each_writes_its_name_before_it() {
    let engine = Engine::start().await;
    for tenant in ["acme", "bolt"] {
        let body = serde_json::to_vec(&json!({"payload": chat("", json!({}))["payload"]})).unwrap();
        let subject = format!("dynode.req.{tenant}.chat.completion");
        engine.publish_raw(&subject, &format!("{tenant}.r"), &body).await;
        assert_eq!(engine.outcome(tenant, "r").await.status, Status::Succeeded);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_without_an_id_are_each_a_new_one_under_an_id_that_tells_its_place() {
    let engine = Engine::start().await;
    for _ in 0..2 {
        let request = json!({"payload": chat("", json!({}))["payload"]});
        engine.publish("acme", Action::ChatCompletion, request).await;
    }
    engine.settled().await;
    let outcomes = engine.broker().subjects(&engine.topology().outcomes, "dynode.res.acme.*").await.unwrap();
    assert_eq!(outcomes.len(), 2, "{outcomes:?}");
    for (place, (subject, _)) in (1..).zip(outcomes) {
        let id = subject.strip_prefix("dynode.res.acme.m").unwrap_or_else(|| panic!("{subject}"));
        assert!(id.ends_with(&format!("-{place}")), "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_request_twice_runs_once_and_another_under_its_id_is_a_conflict() {
    let engine = Engine::start().await;
    let ask = |text: &str| json!({"id": "r", "payload": {"model": "fast", "messages": [{"role": "user", "content": text}]}});
    engine.publish("acme", Action::ChatCompletion, ask("one")).await;
    let first = engine.outcome("acme", "r").await;
    engine.publish("acme", Action::ChatCompletion, ask("one")).await;
    engine.publish("acme", Action::ChatCompletion, ask("two")).await;
    let parked = engine.parked("acme", "r").await;
    assert_eq!(parked.reason.code, ErrorCode::Conflict);
    engine.settled().await;
    assert_eq!(engine.outcome("acme", "r").await, first);
    let running =
        engine.events("acme", "r").await.into_iter().filter(|e| matches!(e.body, EventBody::Running { .. }));
    assert_eq!(running.count(), 1, "it ran once");
}

#[tokio::test(start_paused = true)]
async fn a_bad_request_under_an_id_in_use_does_not_end_the_request_that_runs() {
    let engine = Engine::start().await;
    let slow = json!({"simulate": {"tokens": 50, "tokens_per_second": 10}});
    engine.publish("acme", Action::ChatCompletion, chat("r", slow)).await;
    engine.event("acme", "r", "running").await;
    engine.publish("acme", Action::ChatCompletion, json!({"id": "r", "payload": {"model": "fast"}})).await;
    assert_eq!(engine.parked("acme", "r").await.reason.code, ErrorCode::InvalidRequest);
    assert_eq!(engine.outcome("acme", "r").await.status, Status::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn of_two_bad_requests_under_one_id_at_the_same_moment_one_end_is_told() {
    let engine = Engine::start().await;
    let ask = |model: &str| json!({"id": "r", "payload": {"model": model, "messages": [{"role": "user", "content": "x"}]}});
    let (one, two) = (ask("nobody"), ask("nowhere"));
    tokio::join!(
        engine.publish("acme", Action::ChatCompletion, one),
        engine.publish("acme", Action::ChatCompletion, two)
    );
    let recorded = engine.outcome("acme", "r").await.error;
    engine.settled().await;
    for event in engine.events("acme", "r").await {
        let EventBody::Fail { error } = event.body else { continue };
        assert_eq!(Some(error), recorded, "an end that is not the recorded one");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_requests_under_one_id_at_the_same_moment_one_runs_and_the_other_is_told() {
    let engine = Engine::start().await;
    let ask = |text: &str| json!({"id": "r", "payload": {"model": "fast", "messages": [{"role": "user", "content": text}]}});
    let (one, two) = (ask("one"), ask("two"));
    tokio::join!(
        engine.publish("acme", Action::ChatCompletion, one),
        engine.publish("acme", Action::ChatCompletion, two)
    );
    assert_eq!(engine.outcome("acme", "r").await.status, Status::Succeeded);
    assert_eq!(engine.parked("acme", "r").await.reason.code, ErrorCode::Conflict);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_its_worker_could_not_tell_is_told_behind_what_a_newer_attempt_has_shown() {
    let mut engine = Engine::start().await;
    for (id, newest, expected) in [("seen", 3, [(4, 0), (4, 1)].as_slice()), ("unseen", 1, &[(1, 2)])] {
        let running = json!({"id": id, "attempt": newest, "seq": 0, "event": "running", "provider": "sim", "model": "fast"});
        engine.say(&format!("dynode.evt.acme.{id}"), &running).await;
        let outcome = json!({"v": 1, "id": id, "tenant": "acme", "action": "chat.completion", "status": "cancelled", "ended": [1, 2]});
        let outcome = serde_json::to_vec(&outcome).unwrap();
        engine.publish_raw(&format!("dynode.res.acme.{id}"), id, &outcome).await;
        engine.stop(Duration::ZERO).await;
        engine.enqueue("acme", id).await;
        engine.lose_deliveries("acme", 1).await;
        engine.start_again().await;
        engine.event("acme", id, "cancelled").await;
        let told: Vec<_> =
            engine.events("acme", id).await.iter().skip(1).map(|event| (event.attempt, event.seq)).collect();
        assert_eq!(told, expected, "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_whose_engine_ended_before_it_stored_the_callback_is_called_back() {
    let engine = Engine::start().await;
    let outcome = json!({"v": 1, "id": "r", "tenant": "acme", "action": "chat.completion", "status": "failed", "ended": [0, 1]});
    engine.publish_raw("dynode.res.acme.r", "r", &serde_json::to_vec(&outcome).unwrap()).await;
    let mut callbacks = engine.listen("cb").await;
    let mut request = chat("r", json!({"model": "nobody"}));
    request["callback"] =
        json!({"url": "http://127.0.0.1:9/", "secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="});
    engine.publish("acme", Action::ChatCompletion, request).await;
    let job = timeout(Duration::from_secs(60), callbacks.next()).await.unwrap().unwrap();
    assert_eq!(job.subject, "dynode.cb.acme.r");
}

#[tokio::test(start_paused = true)]
async fn a_full_store_of_outcomes_forgets_the_oldest_and_goes_on() {
    let engine = Engine::with_outcomes_of(16 * 1024).await;
    for number in 0..100 {
        let id = format!("r{number}");
        engine.publish("acme", Action::ChatCompletion, chat(&id, json!({}))).await;
        assert_eq!(engine.outcome("acme", &id).await.status, Status::Succeeded, "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_at_first_is_asked_again() {
    let engine = Engine::start().await;
    let simulate = json!({"simulate": {"fail": "provider_unavailable", "times": 2}});
    engine.publish("acme", Action::ChatCompletion, chat("r", simulate)).await;
    let outcome = engine.outcome("acme", "r").await;
    assert_eq!(outcome.status, Status::Succeeded, "{outcome:?}");
    assert_eq!(outcome.attempts.len(), 3);
    assert!(outcome.attempts[0].error.is_some() && outcome.attempts[2].error.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_throttled_provider_is_left_alone_for_as_long_as_it_said() {
    let engine = Engine::start().await;
    let simulate = json!({"simulate": {"fail": "rate_limited", "times": 1, "retry_after_ms": 7000}});
    engine.publish("acme", Action::ChatCompletion, chat("r", simulate)).await;
    let outcome = engine.outcome("acme", "r").await;
    assert_eq!(outcome.status, Status::Succeeded, "{outcome:?}");
    assert!(outcome.timings.total_ms >= 7000, "{:?}", outcome.timings);
}

#[tokio::test(start_paused = true)]
async fn a_broken_stream_is_told_to_be_void_and_starts_again() {
    let engine = Engine::start().await;
    let simulate =
        json!({"stream": true, "simulate": {"fail": "provider_unavailable", "after_tokens": 2, "times": 1}});
    engine.publish("acme", Action::ChatCompletion, chat("r", simulate)).await;
    let outcome = engine.outcome("acme", "r").await;
    let names: Vec<_> = engine.events("acme", "r").await.iter().map(|event| event.body.name()).collect();
    let restarted = names.iter().position(|name| *name == "restarted").expect("told to be void");
    assert_eq!(names[restarted - 1], "chat.delta");
    let again: String =
        engine.events("acme", "r").await[restarted..].iter().filter_map(support::delta_text).collect();
    let Some(schemas::Output::Chat(answer)) = outcome.output else { panic!("{outcome:?}") };
    assert_eq!(again, answer.text);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_falls_silent_is_stalled_and_given_up_in_the_end() {
    let engine = Engine::start().await;
    let simulate = json!({"stream": true, "deadline_ms": 900_000, "simulate": {"stall_after_tokens": 1}});
    engine.publish("acme", Action::ChatCompletion, chat("r", simulate)).await;
    let outcome = engine.outcome("acme", "r").await;
    assert_eq!(outcome.error.map(|error| error.code), Some(ErrorCode::Stalled));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_work_wherever_it_is() {
    let engine = Engine::start().await;
    let mut request = chat("r", json!({"simulate": {"stall_after_tokens": 1}}));
    request["deadline_ms"] = 1500.into();
    engine.publish("acme", Action::ChatCompletion, request).await;
    let outcome = engine.outcome("acme", "r").await;
    assert_eq!(outcome.status, Status::Expired);
    assert!((1500..2500).contains(&outcome.timings.total_ms), "{:?}", outcome.timings);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_ends_running_work_and_work_that_waits() {
    let engine = Engine::start().await;
    let stalled = |id| chat(id, json!({"simulate": {"stall_after_tokens": 1}}));
    engine.publish("acme", Action::ChatCompletion, stalled("running")).await;
    engine.event("acme", "running", "running").await;
    engine.cancel("acme", "running").await;
    assert_eq!(engine.outcome("acme", "running").await.status, Status::Cancelled);
    engine.cancel("acme", "early").await;
    engine.publish("acme", Action::ChatCompletion, stalled("early")).await;
    assert_eq!(engine.outcome("acme", "early").await.status, Status::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_came_while_no_engine_ran_is_heard_before_the_first_call() {
    let mut engine = Engine::start().await;
    engine.stop(Duration::ZERO).await;
    engine.publish("acme", Action::ChatCompletion, chat("r", json!({"stream": true}))).await;
    engine.cancel("acme", "r").await;
    engine.start_again().await;
    let outcome = engine.outcome("acme", "r").await;
    assert_eq!((outcome.status, outcome.attempts.len()), (Status::Cancelled, 0), "{outcome:?}");
    engine.event("acme", "r", "cancelled").await;
    let names: Vec<_> = engine.events("acme", "r").await.iter().map(|event| event.body.name()).collect();
    assert_eq!(names, ["queued", "cancelled"], "no provider was called");
    engine.settled().await;
    assert_eq!(engine.cancels_kept().await, 0, "its request has ended");
}

#[tokio::test(start_paused = true)]
async fn a_cancel_outlives_the_engine_that_heard_it() {
    let mut engine = Engine::start().await;
    engine.cancel("acme", "later").await;
    engine.settled().await;
    engine = engine.restart(Duration::ZERO).await;
    engine.settled().await;
    engine.publish("acme", Action::ChatCompletion, chat("later", json!({}))).await;
    let outcome = engine.outcome("acme", "later").await;
    assert_eq!((outcome.status, outcome.attempts.len()), (Status::Cancelled, 0), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_was_missed_live_is_found_in_the_stream() {
    let engine = Engine::start().await;
    let stalled = chat("r", json!({"simulate": {"stall_after_tokens": 1}}));
    engine.publish("acme", Action::ChatCompletion, stalled).await;
    engine.event("acme", "r", "running").await;
    engine.cancel_unheard("acme", "r").await;
    assert_eq!(engine.outcome("acme", "r").await.status, Status::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_is_replaced_and_its_work_goes_on() {
    let engine = Engine::start().await;
    engine
        .publish(
            "acme",
            Action::ChatCompletion,
            chat("r", json!({"model": "fragile", "stream": true, "panics": 1})),
        )
        .await;
    let outcome = engine.outcome("acme", "r").await;
    assert_eq!((outcome.status, outcome.attempts[0].attempt), (Status::Succeeded, 2), "{outcome:?}");
    let events = engine.events("acme", "r").await;
    let second: Vec<_> =
        events.iter().filter(|event| event.attempt == 2).map(|event| event.body.name()).collect();
    assert_eq!(second, ["restarted", "running", "chat.delta", "chat.complete"]);
}

#[tokio::test(start_paused = true)]
async fn work_that_kills_every_worker_is_given_up_and_parked() {
    let engine = Engine::start().await;
    engine
        .publish("acme", Action::ChatCompletion, chat("r", json!({"model": "fragile", "panics": 99})))
        .await;
    let outcome = engine.outcome("acme", "r").await;
    assert_eq!(outcome.error.map(|error| error.code), Some(ErrorCode::Stalled));
    assert_eq!(engine.parked("acme", "r").await.deliveries, 4);
    engine.publish("acme", Action::ChatCompletion, chat("next", json!({}))).await;
    assert_eq!(engine.outcome("acme", "next").await.status, Status::Succeeded, "everything else flows");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_costs_no_attempt() {
    let mut engine = Engine::start().await;
    let slow = json!({"simulate": {"tokens": 1000, "tokens_per_second": 10}});
    engine.publish("acme", Action::ChatCompletion, chat("r", slow)).await;
    for round in 1..=5 {
        engine.event("acme", "r", if round == 1 { "running" } else { "restarted" }).await;
        engine = engine.restart(Duration::from_secs(1)).await;
    }
    let outcome = engine.outcome("acme", "r").await;
    assert_eq!((outcome.status, outcome.attempts[0].attempt), (Status::Succeeded, 6), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_costs_no_attempt_where_there_is_no_room_for_what_is_handed_back() {
    let mut engine = Engine::start().await;
    let slow = json!({"simulate": {"tokens": 1000, "tokens_per_second": 10}});
    engine.publish("acme", Action::ChatCompletion, chat("r", slow)).await;
    engine.event("acme", "r", "running").await;
    let full = engine.fail("dynode.work.>", Fault::Refuse(ErrorKind::Full));
    for round in 1..=5 {
        engine = engine.restart(Duration::from_secs(1)).await;
        let has_begun = |event: &Event| event.body.name() == "running";
        while engine.events("acme", "r").await.iter().filter(|event| has_begun(event)).count() <= round {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    engine.heal(full);
    let outcome = engine.outcome("acme", "r").await;
    assert_eq!(outcome.status, Status::Succeeded, "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_work_finish_and_hands_back_what_does_not() {
    let engine = Engine::start().await;
    let slow = json!({"simulate": {"tokens": 10, "tokens_per_second": 10}});
    engine.publish("acme", Action::ChatCompletion, chat("short", slow)).await;
    engine
        .publish(
            "acme",
            Action::ChatCompletion,
            chat("long", json!({"stream": true, "simulate": {"stall_after_tokens": 1}})),
        )
        .await;
    engine.event("acme", "short", "running").await;
    engine.event("acme", "long", "running").await;
    let engine = engine.restart(Duration::from_secs(5)).await;
    assert_eq!(engine.outcome("acme", "short").await.attempts[0].attempt, 1, "it finished in the drain");
    let outcome = engine.outcome("acme", "long").await;
    assert_eq!(outcome.attempts[0].attempt, 2, "it went on after the drain");
}
