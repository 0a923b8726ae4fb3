//! What a handle shows of one request, piece by piece, in the same form for all handles: the parts to compare, and
//! where the handle broke its own protocol.

use std::collections::BTreeMap;

use schemas::{ChatDelta, ChatOutput, Error, ErrorCode, Event, EventBody, Output, Usage, event::Completion};
use serde_json::{Value, json};

use super::normal;

/// What was shown so far.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// The names of the events; equal neighbours count once.
    events: Vec<String>,
    /// Who answers, as `running` events tell it: `provider/model`.
    running: Vec<String>,
    /// The pieces of text, by choice; each with how many were joined into it, if the handle tells.
    pieces: BTreeMap<u32, Vec<(String, Option<u64>)>>,
    /// The pieces of tool calls, by choice and call.
    calls: BTreeMap<String, Vec<String>>,
    /// All pieces together.
    streamed: ChatOutput,
    /// How many pieces with text or calls came.
    deltas: u32,
    /// The last place seen.
    last: Option<(u32, u64)>,
    faults: Vec<String>,
    end: Option<Value>,
}

impl Shown {
    /// An event comes. One that is not after the last is dropped, as the contract requires of readers.
    pub(super) fn hears(&mut self, event: &Event) {
        let place = (event.attempt, event.seq);
        if self.last.is_some_and(|last| place <= last) {
            return;
        }
        if let Some((attempt, seq)) = self.last
            && event.attempt == attempt
            && event.first_seq() != seq + 1
        {
            self.fault(format!("a gap before {}-{}", event.attempt, event.first_seq()));
        }
        self.last = Some(place);
        // A refusal stands where `queued` would, but no request exists.
        if place != (0, 0) || !matches!(event.body, EventBody::Fail { .. }) {
            self.names(event.body.name());
        }
        match &event.body {
            EventBody::Running { provider, model } => self.running.push(format!("{provider}/{model}")),
            EventBody::ChatDelta(delta) => self.absorbs(delta, Some(event.seq - event.first_seq() + 1)),
            EventBody::Restarted { .. } => self.restarts(),
            EventBody::Gap { from, to } => self.fault(format!("told of a gap from {from} to {to}")),
            EventBody::Complete(done) | EventBody::ChatComplete(done) => self.completes(done),
            EventBody::Fail { error } => {
                let end = match error.code {
                    _ if place == (0, 0) => "refused",
                    ErrorCode::DeadlineExceeded => "expired",
                    _ => "failed",
                };
                self.fails(end, normal::error(error));
            }
            EventBody::Cancelled { usage } => self.ends(json!({"end": "cancelled", "usage": usage})),
            _ => {}
        }
    }

    /// A piece of a chat answer comes; `joined` is how many pieces it was made of, if the handle tells.
    pub(super) fn absorbs(&mut self, delta: &ChatDelta, joined: Option<u64>) {
        self.streamed.absorb(delta);
        if !delta.delta.is_empty() {
            self.pieces.entry(delta.choice).or_default().push((delta.delta.clone(), joined));
        }
        for piece in &delta.tool_calls {
            let call = self.calls.entry(format!("{}/{}", delta.choice, piece.index)).or_default();
            let name = piece.name.iter().map(|name| format!("{name} {}", piece.id.as_deref().unwrap_or("-")));
            call.extend(name.chain([piece.arguments.clone()]).filter(|text| !text.is_empty()));
        }
        self.deltas += u32::from(!delta.delta.is_empty() || !delta.tool_calls.is_empty());
    }

    fn restarts(&mut self) {
        (self.pieces, self.calls, self.streamed) = Default::default();
    }

    fn completes(&mut self, done: &Completion) {
        self.succeeds(&done.output, Some(&done.usage));
    }

    /// The answer as told at the end, and its usage if that was told.
    pub(super) fn succeeds(&mut self, output: &Output, usage: Option<&Usage>) {
        self.ends(json!({"end": "succeeded", "output": normal::output(output), "usage": usage}));
    }

    /// It was refused, or failed.
    pub(super) fn fails(&mut self, end: &str, error: Value) {
        self.ends(json!({"end": end, "error": error}));
    }

    /// The end, in another form.
    pub(super) fn ends(&mut self, end: Value) {
        match self.end {
            None => self.end = Some(end),
            Some(_) => self.fault("a second end".to_owned()),
        }
    }

    /// The streamed text is the answer: for a handle that tells the answer only in pieces.
    pub(super) fn ends_as_streamed(&mut self, usage: Option<&Usage>) {
        let output = Output::Chat(self.streamed.clone());
        self.succeeds(&output, usage);
    }

    /// A handle has broken its own protocol.
    pub(super) fn fault(&mut self, what: String) {
        self.faults.push(what);
    }

    /// An event of this name was seen.
    fn names(&mut self, name: &str) {
        if self.events.last().is_none_or(|last| last != name) {
            self.events.push(name.to_owned());
        }
    }

    pub(super) const fn deltas(&self) -> u32 {
        self.deltas
    }

    pub(super) const fn last(&self) -> Option<(u32, u64)> {
        self.last
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Whether a record is sure to come, perhaps later than the end that was shown: the reader went away, or had seen
    /// some of the answer, and its API may be unable to take that back when the answer begins anew.
    pub(super) fn has_a_record(&self) -> bool {
        self.deltas > 0 || self.end.as_ref().is_some_and(|end| end["end"] == "left")
    }

    /// Names the end of a failed request by its record: an error without a record was a refusal, unless the handle had
    /// told part of the answer before.
    pub(super) fn failed_as(&mut self, status: Option<&str>) {
        let untold = if self.deltas > 0 { "failed" } else { "refused" };
        let end = status.filter(|status| *status != "succeeded").unwrap_or(untold);
        if let Some(Value::Object(fields)) = &mut self.end
            && fields.contains_key("error")
        {
            fields.insert("end".to_owned(), end.into());
        }
    }

    /// All of it, in the form to compare.
    pub(super) fn into_value(self) -> Value {
        let mut value = json!({
            "events": self.events, "running": self.running, "pieces": self.pieces, "calls": self.calls,
            "faults": self.faults,
        });
        if self.deltas > 0 {
            value["streamed"] = normal::output(&Output::Chat(self.streamed));
        }
        let end = self.end.unwrap_or_else(|| json!({"end": "none came"}));
        if let (Value::Object(all), Value::Object(end)) = (&mut value, end) {
            all.extend(end);
        }
        value
    }
}

/// A refusal of a frame without an id.
pub(super) fn refused(error: &Error) -> Shown {
    let mut shown = Shown::default();
    shown.fails("refused", normal::error(error));
    shown
}
