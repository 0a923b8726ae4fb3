//! The wire, as files: a change of any byte that travels is a diff in `golden/`.
//!
//! After a wanted change: `INSTA_UPDATE=always cargo test -p schemas`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::BTreeMap;

use schemas::{
    Action, AttemptRecord, Backpressure, Callback, ChatDelta, ChatOutput, DeadLetter, EmbeddingOutput, Error,
    ErrorCode, Event, EventBody, Flow, Format, Heartbeat, LedgerEntry, MidstreamFailure, Outcome, Output,
    Prefer, Priority, Request, RequestId, Route, Secret, Status, Tenant, Timings, Unanswered, Usage,
    chat::{FinishReason, ToolCall, ToolCallDelta},
    embedding::Vector,
    event::Completion,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

fn id(text: &str) -> RequestId {
    RequestId::new(text).unwrap()
}

fn time(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_795_000_000 + second).unwrap()
}

/// Both formats as they stand in the golden files, and back.
#[track_caller]
fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str, value: &T) {
    let json = Format::Json.encode(value).unwrap();
    let packed = Format::MessagePack.encode(value).unwrap();
    assert_eq!(&Format::Json.decode::<T>(&json).unwrap(), value);
    assert_eq!(&Format::MessagePack.decode::<T>(&packed).unwrap(), value);
    let pretty =
        serde_json::to_string_pretty(&serde_json::from_slice::<serde_json::Value>(&json).unwrap()).unwrap();
    let hex: Vec<_> = packed
        .chunks(32)
        .map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        .collect();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, format!("{pretty}\n\nMessagePack:\n{}", hex.join("\n"))));
}

#[test]
fn request() {
    let payload =
        json!({"model": "sim-chat", "messages": [{"role": "user", "content": "hi"}], "stream": true});
    let request = Request {
        id: Some(id("req-123")),
        tenant: Some(Tenant::new("acme").unwrap()),
        deadline_ms: Some(60_000),
        priority: Priority::Interactive,
        session: Some(id("s-1")),
        route: Route {
            prefer: Some(Prefer::Latency),
            waterfall: vec!["a/x".into(), "b/y".into()],
            max_cost_usd: Some(0.05),
            on_midstream_failure: Some(MidstreamFailure::Continue),
            on_refusal: Some(Unanswered::Next),
            on_empty: Some(Unanswered::Fail),
            hedge_ms: Some(800),
            single_flight: false,
        },
        callback: Some(Callback {
            url: "https://example.com/hook".into(),
            secret: Some(Secret::new("whsec_a2V5")),
            second_secret: None,
        }),
        metadata: BTreeMap::from([("k".into(), "v".into())]),
        ..Request::new(Action::ChatCompletion, payload)
    };
    check("request", &request);
    check("request-least", &Request::new(Action::Auto, json!({"input": "hi"})));
}

#[test]
fn events() {
    let event = |attempt, seq, body| Event { id: id("req-123"), attempt, seq, body };
    let call =
        ToolCallDelta { index: 0, id: Some("c1".into()), name: Some("f".into()), arguments: "{}".into() };
    let output = Output::Chat(ChatOutput { text: "Hi".into(), ..ChatOutput::default() });
    let usage = Usage { input_tokens: 1, output_tokens: 2, ..Usage::default() };
    let done = Completion {
        output,
        usage,
        cost_usd: Some(0.01),
        provider: Some("sim".into()),
        model: Some("sim-chat".into()),
    };
    let bodies = [
        EventBody::Queued { position: Some(3), estimated_wait_ms: Some(250) },
        EventBody::Running { provider: "sim".into(), model: "sim-chat".into() },
        EventBody::ChatDelta(ChatDelta::text("Hi")),
        EventBody::ChatDelta(ChatDelta { tool_calls: vec![call], ..ChatDelta::default() }),
        EventBody::Restarted { reason: "the provider's answer broke off".into() },
        EventBody::Gap { from: 3, to: 9 },
        EventBody::ChatComplete(done.clone()),
        EventBody::Complete(done),
        EventBody::Fail { error: Error::new(ErrorCode::Overloaded, "too much").retry_after_ms(1500) },
        EventBody::Cancelled { usage },
    ];
    for (index, body) in bodies.into_iter().enumerate() {
        check(&format!("event-{}-{}", index, body.name()), &event(1, index as u64, body));
    }
}

#[test]
fn outcomes() {
    let call = ToolCall { id: "c1".into(), name: "f".into(), arguments: "{}".into() };
    let chat = ChatOutput {
        text: "Hi".into(),
        tool_calls: vec![call],
        finish_reason: Some(FinishReason::ToolCalls),
        alternatives: vec![ChatOutput { text: "Ho".into(), ..ChatOutput::default() }],
        ..ChatOutput::default()
    };
    let record = AttemptRecord {
        attempt: 1,
        provider: "sim".into(),
        model: "sim-chat".into(),
        started_at: time(1),
        ended_at: time(2),
        usage: Usage { output_tokens: 3, estimated: true, ..Usage::default() },
        cost_usd: Some(0.000_03),
        error: Some(Error::new(ErrorCode::Stalled, "no sign of life for 30s")),
    };
    let outcome = Outcome {
        v: schemas::VERSION,
        id: id("req-123"),
        tenant: Tenant::new("acme").unwrap(),
        action: Action::ChatCompletion,
        session: Some(id("s-1")),
        key: None,
        status: Status::Succeeded,
        output: Some(Output::Chat(chat)),
        usage: Usage {
            input_tokens: 9,
            output_tokens: 2,
            cached_tokens: 4,
            reasoning_tokens: 1,
            estimated: true,
            ..Usage::default()
        },
        cost_usd: Some(0.000_12),
        provider: Some("sim".into()),
        model: Some("sim-chat".into()),
        attempts: vec![record],
        timings: Timings { queued_ms: 1, first_event_ms: Some(2), total_ms: 3 },
        error: None,
        metadata: BTreeMap::new(),
        fingerprint: "00".repeat(16),
        ended: (1, 7),
    };
    check("outcome-chat", &outcome);
    check("ledger-entry", &LedgerEntry::of(&outcome).unwrap());
    let vectors = EmbeddingOutput { embeddings: vec![Vector(vec![0.5, -1.0])] };
    let embeddings = Outcome {
        action: Action::EmbeddingQuery,
        output: Some(Output::Embeddings(vectors)),
        attempts: Vec::new(),
        ..outcome.clone()
    };
    check("outcome-embeddings", &embeddings);
    assert_eq!(LedgerEntry::of(&embeddings), None, "nobody was called");
    let error = Some(Error::invalid("payload.model", "expected a string"));
    check("outcome-failed", &Outcome { status: Status::Failed, output: None, error, ..outcome });
}

#[test]
fn signals() {
    let heartbeat = Heartbeat {
        v: schemas::VERSION,
        node: "n1".into(),
        worker: "sim".into(),
        pid: 7,
        connected: true,
        every_ms: 2_000,
        slots: 4,
        queue: Some(3),
        inflight: 2,
        last_progress_ms: 10,
        average_job_ms: 1.5,
        governing: None,
        at: time(0),
    };
    check("heartbeat", &heartbeat);
    let signal = Backpressure {
        pool: "sim".into(),
        state: Flow::Pause,
        retry_after_ms: Some(1000),
        estimated_wait_ms: Some(2000),
    };
    check("backpressure", &signal);
}

#[test]
fn dead_letter() {
    let letter = DeadLetter {
        v: schemas::VERSION,
        stage: "classifier".into(),
        subject: "dynode.req.acme.auto".into(),
        content_type: Some("application/json".into()),
        body: bytes::Bytes::from_static(b"{"),
        missing_bytes: 0,
        reason: Error::new(ErrorCode::InvalidRequest, "invalid JSON"),
        deliveries: 1,
        parked_at: time(0),
    };
    check("dead-letter", &letter);
}

#[test]
fn schemas_of_the_contract() {
    for (name, schema) in schemas::export::schemas() {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("golden");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_json_snapshot!(format!("schema-{name}"), schema));
    }
}
