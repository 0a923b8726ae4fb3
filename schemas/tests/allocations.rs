//! How many times the hot path asks the allocator: numbers that do not depend on the machine, and that may only fall. A
//! change that lets one grow has to say so here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use allocation_counter::measure;
use schemas::{
    Action, ChatDelta, Event, EventBody, Format, LaneKind, Priority, Request, RequestId, Subjects, Tenant,
};
use serde_json::json;

/// What was counted, and what it may be.
#[derive(Default)]
struct Ledger(Vec<String>);

impl Ledger {
    /// Notes where `work` allocates more often than it may.
    fn at_most(&mut self, limit: u64, what: &str, mut work: impl FnMut()) {
        // What is made once, such as a table, is not the path's.
        work();
        let counted = measure(work).count_total;
        println!("{what}: {counted}");
        if counted > limit {
            self.0.push(format!("{what}: {counted} allocations, and {limit} are enough"));
        }
    }

    #[track_caller]
    fn close(self) {
        assert!(self.0.is_empty(), "{:#?}", self.0);
    }
}

fn id() -> RequestId {
    RequestId::new("req-123").unwrap()
}

fn tenant() -> Tenant {
    Tenant::new("acme").unwrap()
}

#[test]
fn a_subject_costs_few_allocations() {
    let (subjects, tenant, id, mut ledger) = (Subjects::default(), tenant(), id(), Ledger::default());
    ledger.at_most(3, "outcome", || drop(subjects.outcome(&tenant, &id)));
    ledger.at_most(3, "event", || drop(subjects.event(&tenant, &id)));
    ledger.at_most(3, "request", || drop(subjects.request(&tenant, Action::ChatCompletion)));
    ledger.at_most(1, "work", || drop(subjects.work("openai", Priority::Standard, LaneKind::Own, &tenant)));
    ledger.close();
}

#[test]
fn a_delta_costs_few_allocations() {
    let body = EventBody::ChatDelta(ChatDelta::text("token "));
    let (event, mut ledger) = (Event { id: id(), attempt: 1, seq: 7, body }, Ledger::default());
    for (format, encode, decode) in [(Format::Json, 3, 15), (Format::MessagePack, 4, 21)] {
        ledger.at_most(encode, &format!("encode {format:?}"), || drop(format.encode(&event).unwrap()));
        let bytes = format.encode(&event).unwrap();
        ledger.at_most(decode, &format!("decode {format:?}"), || {
            drop(format.decode::<Event>(&bytes).unwrap());
        });
    }
    ledger.close();
}

#[test]
fn a_request_costs_as_many_as_it_has_fields() {
    let payload = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": true});
    let tenant = Some(tenant());
    let request = Request { id: Some(id()), tenant, ..Request::new(Action::ChatCompletion, payload) };
    let mut ledger = Ledger::default();
    for (format, encode, decode) in [(Format::Json, 5, 39), (Format::MessagePack, 8, 40)] {
        ledger.at_most(encode, &format!("encode {format:?}"), || drop(format.encode(&request).unwrap()));
        let bytes = format.encode(&request).unwrap();
        ledger.at_most(decode, &format!("decode {format:?}"), || {
            drop(format.decode::<Request>(&bytes).unwrap());
        });
    }
    ledger.close();
}
