//! What an envelope costs: encoding, decoding, and the subjects that it travels on.

use std::collections::BTreeMap;

use divan::{AllocProfiler, Bencher, black_box};
use schemas::{
    Action, ChatDelta, ChatOutput, Event, EventBody, Format, LaneKind, Outcome, Output, Priority, Request,
    RequestId, Status, Subjects, Tenant, Timings, Usage,
};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const FORMATS: [&str; 2] = ["json", "msgpack"];

fn main() {
    divan::main();
}

fn format(name: &str) -> Format {
    if name == "json" { Format::Json } else { Format::MessagePack }
}

fn id() -> RequestId {
    RequestId::new("req-0190f3c2d4e57a6b").unwrap_or_else(|fault| panic!("{fault}"))
}

fn tenant() -> Tenant {
    Tenant::new("acme").unwrap_or_else(|fault| panic!("{fault}"))
}

fn request() -> Request {
    let question = "Answer in one short sentence. ".repeat(12);
    let payload = json!({"model": "m", "messages": [{"role": "user", "content": question}], "stream": true});
    Request { id: Some(id()), tenant: Some(tenant()), ..Request::new(Action::ChatCompletion, payload) }
}

fn delta() -> Event {
    let body = EventBody::ChatDelta(ChatDelta::text("token "));
    Event { id: id(), attempt: 1, seq: 7, body }
}

fn outcome() -> Outcome {
    Outcome {
        v: 1,
        id: id(),
        tenant: tenant(),
        action: Action::ChatCompletion,
        key: None,
        status: Status::Succeeded,
        output: Some(Output::Chat(ChatOutput { text: "word ".repeat(50), ..ChatOutput::default() })),
        usage: Usage { input_tokens: 90, output_tokens: 50, ..Usage::default() },
        cost_usd: None,
        provider: Some("p".into()),
        model: Some("m".into()),
        attempts: Vec::new(),
        timings: Timings::default(),
        error: None,
        metadata: BTreeMap::new(),
        session: None,
        fingerprint: "0123456789abcdef".into(),
        ended: (1, 7),
    }
}

#[divan::bench(args = FORMATS)]
fn encode_request(bencher: Bencher<'_, '_>, name: &str) {
    let (format, request) = (format(name), request());
    bencher.bench_local(|| format.encode(black_box(&request)));
}

#[divan::bench(args = FORMATS)]
fn decode_request(bencher: Bencher<'_, '_>, name: &str) {
    let format = format(name);
    let Ok(bytes) = format.encode(&request()) else { return };
    bencher.bench_local(|| format.decode::<Request>(black_box(&bytes)));
}

#[divan::bench(args = FORMATS)]
fn encode_delta(bencher: Bencher<'_, '_>, name: &str) {
    let (format, delta) = (format(name), delta());
    bencher.bench_local(|| format.encode(black_box(&delta)));
}

#[divan::bench(args = FORMATS)]
fn decode_delta(bencher: Bencher<'_, '_>, name: &str) {
    let format = format(name);
    let Ok(bytes) = format.encode(&delta()) else { return };
    bencher.bench_local(|| format.decode::<Event>(black_box(&bytes)));
}

#[divan::bench(args = FORMATS)]
fn encode_outcome(bencher: Bencher<'_, '_>, name: &str) {
    let (format, outcome) = (format(name), outcome());
    bencher.bench_local(|| format.encode(black_box(&outcome)));
}

#[divan::bench]
fn subjects_of_a_request(bencher: Bencher<'_, '_>) {
    let (subjects, tenant, id) = (Subjects::default(), tenant(), id());
    bencher.bench_local(|| {
        let tenant = black_box(&tenant);
        (
            subjects.request(tenant, Action::ChatCompletion),
            subjects.work("openai", Priority::Standard, LaneKind::Own, tenant),
            subjects.event(tenant, &id),
            subjects.outcome(tenant, &id),
        )
    });
}
