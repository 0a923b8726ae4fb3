use schemas::{ErrorCode, RequestId, Status, Tenant};

use crate::history::{Door, Entry, Fact, Key, Phase, Signal};

/// A history told by hand. Each line is written at the time that was set last.
#[derive(Debug, Clone, Default)]
pub(super) struct Story {
    pub(super) entries: Vec<Entry>,
    now_ms: u64,
}

/// `acme/r1` or, without a tenant, `r1` of acme.
pub(super) fn key(name: &str) -> Key {
    let (tenant, id) = name.split_once('/').unwrap_or(("acme", name));
    Key { tenant: Tenant::new(tenant).unwrap(), id: RequestId::new(id).unwrap() }
}

impl Story {
    pub(super) fn at(mut self, ms: u64) -> Self {
        self.now_ms = ms;
        self
    }

    pub(super) const fn now_ms(&self) -> u64 {
        self.now_ms
    }

    pub(super) fn fact(mut self, by: &str, fact: Fact) -> Self {
        self.entries.push(Entry { at_ms: self.now_ms, by: by.to_owned(), fact });
        self
    }

    pub(super) fn sent_as(self, by: &str, name: &str, door: Door, fingerprint: &str, callback: bool) -> Self {
        let (request, fingerprint) = (key(name), fingerprint.to_owned());
        self.fact(by, Fact::Sent { request, door, deadline_ms: 10_000, callback, fingerprint })
    }

    pub(super) fn sent(self, name: &str) -> Self {
        self.sent_as("client 1", name, Door::Http, "f1", false)
    }

    pub(super) fn accepted(self, name: &str) -> Self {
        self.accepted_by("client 1", name)
    }

    pub(super) fn accepted_by(self, by: &str, name: &str) -> Self {
        self.fact(by, Fact::Accepted { request: key(name) })
    }

    pub(super) fn asked(self, name: &str) -> Self {
        self.sent(name).accepted(name)
    }

    pub(super) fn refused(self, name: &str, code: ErrorCode, retry_after_ms: Option<u64>) -> Self {
        self.fact("client 1", Fact::Refused { request: key(name), code, retry_after_ms })
    }

    pub(super) fn unclear(self, name: &str) -> Self {
        self.fact("client 1", Fact::Unclear { request: key(name), why: "cut".into() })
    }

    pub(super) fn cancelled(self, name: &str) -> Self {
        self.fact("client 1", Fact::Cancelled { request: key(name) })
    }

    pub(super) fn reads(self, name: &str, after: Option<(u32, u64)>) -> Self {
        self.fact("client 1", Fact::Reads { request: key(name), reader: "a".into(), after })
    }

    pub(super) fn left(self, name: &str) -> Self {
        self.fact("client 1", Fact::Left { request: key(name), reader: "a".into() })
    }

    pub(super) fn gap(self, name: &str) -> Self {
        self.fact("client 1", Fact::Gap { request: key(name), reader: "a".into() })
    }

    pub(super) fn frame(
        self,
        name: &str,
        (attempt, seq): (u32, u64),
        event: &str,
        text: Option<&str>,
    ) -> Self {
        let (request, reader, event) = (key(name), "a".to_owned(), event.to_owned());
        let text = text.map(str::to_owned);
        self.fact("client 1", Fact::Frame { request, reader, attempt, seq, event, text, status: None })
    }

    pub(super) fn end(self, name: &str, (attempt, seq): (u32, u64), status: Status, text: &str) -> Self {
        let (request, reader) = (key(name), "a".to_owned());
        let event = if status == Status::Succeeded { "chat.complete" } else { "fail" }.to_owned();
        let (text, status) = (Some(text.to_owned()), Some(status));
        self.fact("client 1", Fact::Frame { request, reader, attempt, seq, event, text, status })
    }

    /// A reader that sees `text` as one piece and then the end.
    pub(super) fn streamed(self, name: &str, text: &str) -> Self {
        self.reads(name, None)
            .frame(name, (0, 0), "queued", None)
            .frame(name, (1, 0), "running", None)
            .frame(name, (1, 1), "chat.delta", Some(text))
            .end(name, (1, 2), Status::Succeeded, text)
    }

    pub(super) fn called(self, call: u64, name: &str) -> Self {
        self.called_as(call, name, "sim", Some(name))
    }

    pub(super) fn called_as(self, call: u64, name: &str, model: &str, idempotency_key: Option<&str>) -> Self {
        let idempotency_key = idempotency_key.map(str::to_owned);
        let (request, model) = (Some(key(name)), model.to_owned());
        self.fact("provider", Fact::Called { call, request, idempotency_key, model })
    }

    pub(super) fn answered(self, call: u64, tokens: u64) -> Self {
        let (status, whole) = (Some(200), true);
        let (caller_gone, retry_after_ms) = (false, None);
        self.fact("provider", Fact::Answered { call, status, whole, caller_gone, retry_after_ms, tokens })
    }

    pub(super) fn throttled(self, call: u64, wait_ms: u64) -> Self {
        let (status, retry_after_ms) = (Some(429), Some(wait_ms));
        let (whole, caller_gone, tokens) = (true, false, 0);
        self.fact("provider", Fact::Answered { call, status, whole, caller_gone, retry_after_ms, tokens })
    }

    pub(super) fn abandoned(self, call: u64) -> Self {
        let (status, retry_after_ms) = (Some(200), None);
        let (whole, caller_gone, tokens) = (false, true, 0);
        self.fact("provider", Fact::Answered { call, status, whole, caller_gone, retry_after_ms, tokens })
    }

    pub(super) fn silent(self, call: u64) -> Self {
        self.fact("provider", Fact::Silent { call })
    }

    pub(super) fn called_back(self, name: &str, replied: u16) -> Self {
        self.called_back_as(name, replied, &format!("msg_{name}"), true, "d1")
    }

    pub(super) fn called_back_as(
        self,
        name: &str,
        replied: u16,
        webhook: &str,
        valid: bool,
        digest: &str,
    ) -> Self {
        let (request, webhook, digest) = (key(name), webhook.to_owned(), digest.to_owned());
        let status = Some(Status::Succeeded);
        self.fact("receiver", Fact::CalledBack { request, webhook, valid, replied, status, digest })
    }

    pub(super) fn recorded(self, name: &str, text: &str) -> Self {
        self.recorded_as(name, Status::Succeeded, Some(text), None, 10)
    }

    pub(super) fn recorded_as(
        self,
        name: &str,
        status: Status,
        text: Option<&str>,
        code: Option<ErrorCode>,
        tokens: u64,
    ) -> Self {
        let (request, text, digest) = (key(name), text.map(str::to_owned), "d1".to_owned());
        let calls = u64::from(tokens > 0);
        self.fact("harness", Fact::Recorded { request, status, code, text, digest, calls, tokens })
    }

    pub(super) fn ledgered(self, name: &str, calls: u64, tokens: u64) -> Self {
        self.fact("harness", Fact::Ledgered { request: key(name), calls, tokens })
    }

    pub(super) fn parked(self, name: &str) -> Self {
        self.fact("harness", Fact::Parked { request: key(name), code: ErrorCode::ProviderUnavailable })
    }

    pub(super) fn waiting(self, stream: &str, messages: u64) -> Self {
        self.fact("harness", Fact::Waiting { stream: stream.to_owned(), messages })
    }

    pub(super) fn phase(self, phase: Phase) -> Self {
        self.fact("harness", Fact::Phase { phase })
    }

    pub(super) fn begins(self, role: &str, pid: u32) -> Self {
        self.fact("harness", Fact::Process { role: role.to_owned(), pid, ended: None })
    }

    pub(super) fn dies(self, role: &str, pid: u32, how: &str) -> Self {
        self.fact("harness", Fact::Process { role: role.to_owned(), pid, ended: Some(how.to_owned()) })
    }

    pub(super) fn signal(self, role: &str, pid: u32, signal: Signal) -> Self {
        self.fact("nemesis", Fact::Signalled { role: role.to_owned(), pid, signal })
    }

    pub(super) fn over(self, ms: u64) -> Self {
        self.at(ms).phase(Phase::Over)
    }
}
