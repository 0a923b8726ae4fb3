//! How many times the hot path asks the allocator: a number that does not depend on the machine, and that may only fall.
//! A change that lets it grow has to say so here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use allocation_counter::measure;
use schemas::{Action, ChatDelta, Event, EventBody, Format, Priority, Request, RequestId, Subjects, Tenant};
use serde_json::json;

/// Fails where `work` allocates more often than it may.
#[track_caller]
fn at_most(limit: u64, mut work: impl FnMut()) {
    // What is made once, such as a table, is not the path's.
    work();
    let counted = measure(work).count_total;
    assert!(counted <= limit, "{counted} allocations, and {limit} are enough");
}

fn id() -> RequestId {
    RequestId::new("req-123").unwrap()
}

#[test]
fn a_subject_is_one_allocation() {
    let (subjects, tenant, id) = (Subjects::default(), Tenant::new("acme").unwrap(), id());
    at_most(1, || drop(subjects.outcome(&tenant, &id)));
    at_most(1, || drop(subjects.event(&tenant, &id)));
    at_most(2, || drop(subjects.request(&tenant, Action::ChatCompletion)));
    at_most(2, || drop(subjects.work("openai", Priority::Standard, &tenant)));
}

#[test]
fn a_delta_costs_few_allocations() {
    let body = EventBody::ChatDelta(ChatDelta::text("token "));
    let event = Event { id: id(), attempt: 1, seq: 7, body };
    for (format, encode, decode) in [(Format::Json, 4, 12), (Format::MessagePack, 6, 12)] {
        at_most(encode, || drop(format.encode(&event).unwrap()));
        let bytes = format.encode(&event).unwrap();
        at_most(decode, || drop(format.decode::<Event>(&bytes).unwrap()));
    }
}

#[test]
fn a_request_costs_as_many_as_it_has_fields() {
    let payload = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": true});
    let tenant = Some(Tenant::new("acme").unwrap());
    let request = Request { id: Some(id()), tenant, ..Request::new(Action::ChatCompletion, payload) };
    for (format, encode, decode) in [(Format::Json, 6, 60), (Format::MessagePack, 8, 60)] {
        at_most(encode, || drop(format.encode(&request).unwrap()));
        let bytes = format.encode(&request).unwrap();
        at_most(decode, || drop(format.decode::<Request>(&bytes).unwrap()));
    }
}
