//! The history of a run: what clients, the provider, the callback receiver and the nemesis did and saw, in the order in
//! which they wrote it down. Checkers believe nothing else; the engine never writes to it.

use schemas::{ErrorCode, RequestId, Status, Tenant};
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Milliseconds since the run began, by a clock that only goes forward.
    pub at_ms: u64,
    /// Who wrote it: `client 3`, `provider`, `receiver`, `nemesis`, `harness`.
    pub by: String,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
}

/// A request, as everyone identifies it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Whose it is.
    pub tenant: Tenant,
    /// Its id.
    pub id: RequestId,
}

/// The door through which a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// Published to a subject.
    Bus,
    /// HTTP, in OpenAI's form or Dynode's own.
    Http,
    /// A WebSocket.
    Socket,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// A client is about to send a request.
    Sent {
        /// Which.
        request: Key,
        /// Through which door.
        door: Door,
        /// Its deadline, from now.
        deadline_ms: u64,
        /// Whether it asks for a callback.
        callback: bool,
        /// Tells two requests of one id apart.
        fingerprint: String,
    },
    /// It was accepted: publish ack, 202, or `queued`.
    Accepted {
        /// Which.
        request: Key,
    },
    /// It was refused.
    Refused {
        /// Which.
        request: Key,
        /// Why.
        code: ErrorCode,
        /// When to come back, if that was said.
        retry_after_ms: Option<u64>,
    },
    /// The client did not learn whether it was accepted.
    Unclear {
        /// Which.
        request: Key,
        /// What came instead of an answer.
        why: String,
    },
    /// A client asks to cancel it.
    Cancelled {
        /// Which.
        request: Key,
    },
    /// A reader starts, or resumes after the last frame that it saw. As the contract requires, a reader that listens on
    /// the bus itself drops every frame that is not newer than its last one before it writes.
    Reads {
        /// Which.
        request: Key,
        /// One reader of many.
        reader: String,
        /// The last `(attempt, seq)` it has seen.
        after: Option<(u32, u64)>,
    },
    /// A reader sees a frame.
    Frame {
        /// Which.
        request: Key,
        /// Who sees it.
        reader: String,
        /// Its attempt.
        attempt: u32,
        /// Its number within the attempt.
        seq: u64,
        /// Its name on the wire: `chat.delta`.
        event: String,
        /// Its text, or that of its outcome.
        text: Option<String>,
        /// How the request ended, if this is its end: a `fail` with `deadline_exceeded` is `expired`.
        status: Option<Status>,
    },
    /// A reader is told that it missed frames.
    Gap {
        /// Which.
        request: Key,
        /// Who is told.
        reader: String,
    },
    /// A reader leaves, or is closed.
    Left {
        /// Which.
        request: Key,
        /// Who.
        reader: String,
    },
    /// The provider is called.
    Called {
        /// The number of the call.
        call: u64,
        /// Which request, as the marker in its prompt says.
        request: Option<Key>,
        /// The idempotency key, if the call carries one.
        idempotency_key: Option<String>,
        /// The model.
        model: String,
    },
    /// The provider's side of the call is over.
    Answered {
        /// The number of the call.
        call: u64,
        /// Its HTTP status; none if it broke off before.
        status: Option<u16>,
        /// Whether the whole answer went out.
        whole: bool,
        /// Whether the caller went away.
        caller_gone: bool,
        /// When the provider allows the next call, if it said so.
        retry_after_ms: Option<u64>,
        /// Tokens that the provider will bill.
        tokens: u64,
    },
    /// A callback arrives.
    CalledBack {
        /// Which request, as its body says.
        request: Key,
        /// Its `webhook-id`.
        webhook: String,
        /// Whether its signature held.
        valid: bool,
        /// The status it was answered with.
        replied: u16,
        /// The end that its body tells.
        status: Option<Status>,
        /// A digest of the outcome.
        digest: String,
    },
    /// A fault begins.
    Injected {
        /// Its class, in the words of the plan.
        fault: String,
        /// What it strikes.
        target: String,
    },
    /// A fault ends.
    Healed {
        /// Its class.
        fault: String,
        /// What it struck.
        target: String,
    },
    /// How often a fault really struck.
    Fired {
        /// Its class.
        fault: String,
        /// How often.
        times: u64,
    },
    /// A part of the run begins.
    Phase {
        /// Which.
        phase: Phase,
    },
    /// A bounded thing was measured.
    Measured {
        /// What: `rss_bytes engine`, `queue sim`.
        gauge: String,
        /// How much.
        value: f64,
        /// The cap that it must not exceed, if there is one.
        cap: Option<f64>,
    },
    /// A process of the engine began or ended.
    Process {
        /// Its role: `gateway`, `worker-1`, `broker`.
        role: String,
        /// Its id.
        pid: u32,
        /// How it ended, `exit 0` or `signal 9`; none at its beginning.
        ended: Option<String>,
    },
    /// After the run: an outcome that the broker keeps.
    Recorded {
        /// Which.
        request: Key,
        /// How it ended.
        status: Status,
        /// Its error, if it has one.
        code: Option<ErrorCode>,
        /// Its text.
        text: Option<String>,
        /// A digest of it.
        digest: String,
        /// The calls that it counts.
        calls: u64,
        /// The tokens that it counts.
        tokens: u64,
    },
    /// After the run: an entry of the ledger that the broker keeps.
    Ledgered {
        /// Which.
        request: Key,
        /// The calls that it counts.
        calls: u64,
        /// The tokens that it counts.
        tokens: u64,
    },
    /// After the run: work that was parked.
    Parked {
        /// Which.
        request: Key,
        /// Why.
        code: ErrorCode,
    },
    /// After the run: messages that still wait in a queue.
    Waiting {
        /// The stream.
        stream: String,
        /// How many messages.
        messages: u64,
    },
    /// The harness does something to a process of the engine.
    Signalled {
        /// Its role, as in [`Fact::Process`].
        role: String,
        /// Its id.
        pid: u32,
        /// What.
        signal: Signal,
    },
    /// The provider falls silent in the middle of a call, on purpose, and will not speak again.
    Silent {
        /// The number of the call.
        call: u64,
    },
    /// The wall clock of the engine jumps.
    Jumped {
        /// How far, in milliseconds; back if negative.
        by_ms: i64,
    },
    /// Text that somebody received for a request outside a frame: the body of a callback, the message of an error.
    Body {
        /// Whose.
        request: Key,
        /// Where: `callback`, `error`.
        place: String,
        /// Its text.
        text: String,
    },
    /// A request names an address to which the engine must not go.
    Lured {
        /// Which request.
        request: Key,
        /// The address.
        address: String,
    },
    /// A message of a request was undone: a power failure took what the broker had acked and not synced, or a kill took
    /// what it had not written down.
    Undone {
        /// Whose.
        request: Key,
        /// The kind of its subject: `req`, `work`, `res`, `cb`, `dead`, `ctl`.
        kind: String,
        /// What of the message was undone.
        what: Undoing,
    },
    /// The engine came to an address to which it must not go.
    Trespassed {
        /// The address.
        address: String,
    },
    /// After the run: a place was searched for planted secrets; [`Fact::Leaked`] has what was found.
    Searched {
        /// Where: a file, a stream.
        place: String,
        /// How many secrets had been planted.
        canaries: u64,
    },
    /// A planted secret was found where none may be.
    Leaked {
        /// Where: a file, a stream.
        place: String,
        /// The line, with the secret taken out.
        line: String,
    },
}

/// What a power failure has undone of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undoing {
    /// Its storage: it is gone.
    Stored,
    /// Its removal: it is back.
    Removed,
    /// Its delivery: its deliveries count from an earlier number.
    Delivered,
}

/// What a harness does to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// SIGTERM: it is asked to drain and go.
    Drain,
    /// SIGKILL.
    Kill,
    /// SIGSTOP: it stands still.
    Stop,
    /// SIGCONT: it goes on.
    Continue,
    /// It is made to run without yielding.
    Spin,
    /// It is slowed down, but moves.
    Slow,
}

/// The parts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Load without faults.
    Quiet,
    /// Load and faults.
    Fault,
    /// Load, after the faults are over.
    Healed,
    /// No load: accepted requests come to their ends.
    Settle,
    /// Over.
    Over,
}

/// The marker in the prompt of a request, by which its bytes are recognised wherever they turn up:
/// `⟦tenant/id⟧`. A reader that sees another request's marker sees another's bytes.
pub fn marker(request: &Key) -> String {
    format!("⟦{}/{}⟧", request.tenant, request.id)
}

/// The request that a marker without its brackets names.
pub fn key_of(marker: &str) -> Option<Key> {
    let (tenant, id) = marker.split_once('/')?;
    Some(Key { tenant: Tenant::new(tenant).ok()?, id: RequestId::new(id).ok()? })
}

/// The markers in a text.
pub fn markers(text: &str) -> impl Iterator<Item = &str> {
    text.split('⟦').skip(1).filter_map(|rest| rest.split_once('⟧')).map(|(marker, _)| marker)
}
