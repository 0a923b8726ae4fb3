//! Sorts a history once, by requests, calls, processes and phases. It judges nothing.

mod request;

use std::collections::BTreeMap;

use schemas::{ErrorCode, Status};

use super::Bounds;
use crate::history::{Entry, Fact, Key, Phase, Signal};

pub(crate) use request::{Answer, Frame, Request, Sending, Step};

/// A history, sorted.
#[derive(Debug)]
pub(crate) struct Index<'a> {
    /// The history itself.
    pub(crate) entries: &'a [Entry],
    /// What the history says about each request.
    pub(crate) requests: BTreeMap<&'a Key, Request<'a>>,
    /// All calls, in the order in which they began.
    pub(crate) calls: Vec<Call<'a>>,
    /// All processes, in the order in which they began.
    pub(crate) processes: Vec<Process<'a>>,
    /// All faults, in the order in which they began.
    pub(crate) faults: Vec<Fault<'a>>,
    /// How many messages still wait after the run, by stream.
    pub(crate) waiting: BTreeMap<&'a str, (At, u64)>,
}

/// A line of the history, and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) line: usize,
    pub(crate) ms: u64,
}

/// One call to the provider.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) at: At,
    pub(crate) request: Option<&'a Key>,
    pub(crate) idempotency_key: Option<&'a str>,
    pub(crate) model: &'a str,
    pub(crate) silent: Option<At>,
    pub(crate) answer: Option<Answered>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    pub(crate) at: At,
    pub(crate) status: Option<u16>,
    pub(crate) whole: bool,
    pub(crate) caller_gone: bool,
    pub(crate) retry_after_ms: Option<u64>,
    pub(crate) tokens: u64,
}

impl Call<'_> {
    /// Whether the caller has all of a good answer.
    pub(crate) fn is_answered_well(&self) -> bool {
        self.answer.is_some_and(|answer| {
            answer.whole && !answer.caller_gone && matches!(answer.status, Some(200..=299))
        })
    }

    /// Whether the provider only told the caller to come later: such a call is no try.
    pub(crate) fn is_throttled(&self) -> bool {
        self.answer.is_some_and(|answer| matches!(answer.status, Some(429 | 529)))
    }
}

/// One process of the engine, from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Process<'a> {
    pub(crate) role: &'a str,
    pub(crate) pid: u32,
    pub(crate) begun: At,
    pub(crate) signals: Vec<(At, Signal)>,
    pub(crate) ended: Option<(At, &'a str)>,
}

impl Process<'_> {
    /// Whether it lives at `ms`.
    pub(crate) fn lives_at(&self, ms: u64) -> bool {
        self.begun.ms <= ms && self.ended.is_none_or(|(at, _)| at.ms > ms)
    }
}

/// A fault from its beginning to its healing; if it never healed, it lasted to the end.
#[derive(Debug)]
pub(crate) struct Fault<'a> {
    pub(crate) class: &'a str,
    pub(crate) target: &'a str,
    pub(crate) from: At,
    pub(crate) until_ms: Option<u64>,
}

impl Fault<'_> {
    /// Whether it strikes only what the engine calls: the broker redelivers no work because of it.
    pub(crate) fn leaves_the_engine_alone(&self) -> bool {
        let of_others = |whose| self.class.starts_with(whose) && !self.class.ends_with("kills");
        of_others("provider") || of_others("target")
    }

    /// Whether it strikes only messages that say nothing about work and its attempts.
    pub(crate) fn strikes_only_beside_the_work(&self) -> bool {
        [".cb.", ".hb.", ".res.", ".req."].iter().any(|kind| self.target.contains(kind))
            && !["power failure", "restart", "disable"].iter().any(|class| self.class.ends_with(class))
    }

    /// Whether an attempt may miss what earlier attempts published: the broker does not have it, or not yet, because it
    /// delivers the same work twice at one moment.
    pub(crate) fn hides_events(&self) -> bool {
        let of_all = ["power failure", "restart", "link down", "cut off", "disconnect", "duplicate", "lapse"];
        self.target.contains(".evt.") || of_all.iter().any(|class| self.class.ends_with(class))
    }
}

/// An outcome that the broker keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) at: At,
    pub(crate) status: Status,
    pub(crate) code: Option<ErrorCode>,
    pub(crate) text: Option<&'a str>,
    pub(crate) digest: &'a str,
    pub(crate) calls: u64,
    pub(crate) tokens: u64,
}

impl<'a> Index<'a> {
    pub(crate) fn new(entries: &'a [Entry]) -> Self {
        let mut index = Self {
            entries,
            requests: BTreeMap::new(),
            calls: Vec::new(),
            processes: Vec::new(),
            faults: Vec::new(),
            waiting: BTreeMap::new(),
        };
        // Each provider counts its own calls.
        let mut open = BTreeMap::new();
        for (line, entry) in entries.iter().enumerate() {
            let at = At { line, ms: entry.at_ms };
            index.add_request_fact(at, entry);
            index.add_call_fact(at, entry, &mut open);
            index.add_process_fact(at, entry);
            index.add_fault_fact(at, entry);
            if let Fact::Waiting { stream, messages } = &entry.fact {
                index.waiting.insert(stream, (at, *messages));
            }
        }
        index
    }

    /// The requests that somebody was told are accepted, each with the first line that tells it, in that order.
    pub(crate) fn accepted(&self) -> Vec<(At, &'a Key, &Request<'a>)> {
        let told =
            self.requests.iter().filter_map(|(key, request)| Some((request.accepted()?, *key, request)));
        let mut accepted: Vec<_> = told.collect();
        accepted.sort_by_key(|(at, ..)| *at);
        accepted
    }

    /// The calls of one request, in the order in which they began.
    pub(crate) fn calls_of(&self, request: &Request<'a>) -> impl DoubleEndedIterator<Item = &Call<'a>> {
        request.calls.iter().map(|&call| &self.calls[call])
    }

    /// When a phase began first.
    pub(crate) fn phase(&self, wanted: Phase) -> Option<At> {
        self.facts()
            .find(|(_, fact)| matches!(fact, Fact::Phase { phase } if *phase == wanted))
            .map(|(at, _)| at)
    }

    /// Every line.
    pub(crate) fn facts(&self) -> impl Iterator<Item = (At, &'a Fact)> {
        self.entries.iter().enumerate().map(|(line, entry)| (At { line, ms: entry.at_ms }, &entry.fact))
    }

    /// The time of the last line of the run itself; facts read from the broker afterwards do not count.
    pub(crate) fn over_ms(&self) -> u64 {
        let last = || self.entries.last().map_or(0, |entry| entry.at_ms);
        self.phase(Phase::Over).map_or_else(last, |at| at.ms)
    }

    /// How many requests were accepted and had not ended at `ms`.
    pub(crate) fn open_at(&self, ms: u64) -> u64 {
        let is_open = |request: &&Request<'_>| {
            request.accepted().is_some_and(|at| at.ms <= ms) && request.ended().is_none_or(|at| at.ms > ms)
        };
        self.requests.values().filter(is_open).count() as u64
    }

    /// How many messages of requests still wait; callbacks do not count.
    pub(crate) fn waiting_requests(&self) -> u64 {
        let callbacks = |stream: &str| stream.to_ascii_uppercase().ends_with("_CB");
        let requests = self.waiting.iter().filter(|(stream, _)| !callbacks(stream));
        requests.map(|(_, (_, messages))| messages).sum()
    }

    /// When a reader saw the end of a request too late, if nobody saw it in time: a reader that waited for it before
    /// `due_ms` and kept up with its provider. Slow readers and late callbacks say nothing about the engine.
    pub(crate) fn late_end(&self, request: &Request<'a>, due_ms: u64, skew_ms: u64) -> Option<At> {
        let answers = self.calls_of(request).filter_map(|call| call.answer);
        let spoken_ms = answers.map(|answer| answer.at.ms + skew_ms).max().unwrap_or(u64::MAX);
        if request.ended()?.ms <= due_ms {
            return None;
        }
        request.readers.values().find_map(|steps| request::late_end(steps, due_ms, spoken_ms))
    }

    /// For how much of this time a provider could take no more calls: its slots were all in use, or earlier calls used
    /// up its rate. Calls do not say which engine makes them.
    pub(crate) fn full_ms(&self, bounds: &Bounds, from_ms: u64, until_ms: u64) -> u64 {
        let mut steps = Vec::new();
        let mut add = |begun_ms: u64, ended_ms: u64, full, of| {
            steps.push((begun_ms.clamp(from_ms, until_ms), 1_isize, full, of));
            steps.push((ended_ms.clamp(from_ms, until_ms), -1, full, of));
        };
        let mut taken_until = BTreeMap::<_, u64>::new();
        for call in &self.calls {
            let provider = call.model.split('/').next().unwrap_or(call.model);
            if let Some(slots) = bounds.slots {
                let ended_ms = call.answer.map_or(until_ms, |answer| answer.at.ms);
                add(call.at.ms, ended_ms, slots, (provider, "slots"));
            }
            if let Some(rate) = bounds.rates.get(call.model) {
                let taken_ms = taken_until.entry(provider).or_default();
                *taken_ms = call.at.ms.max(*taken_ms) + rate.taken_ms();
                add(call.at.ms, *taken_ms, 1, (provider, "rate"));
            }
        }
        steps.sort_unstable();
        let (mut full_ms, mut since_ms) = (0, from_ms);
        let mut open = BTreeMap::<_, (isize, usize)>::new();
        for (ms, step, full, of) in steps {
            if open.values().any(|(open, full)| usize::try_from(*open).is_ok_and(|open| open >= *full)) {
                full_ms += ms - since_ms;
            }
            open.entry(of).or_insert((0, full)).0 += step;
            since_ms = ms;
        }
        full_ms
    }

    /// Whether no fault was on at any moment of this time, apart from those that `excepted` accepts.
    pub(crate) fn is_calm(&self, from_ms: u64, until_ms: u64, excepted: impl Fn(&Fault<'a>) -> bool) -> bool {
        let overlaps =
            |fault: &Fault<'_>| fault.from.ms <= until_ms && fault.until_ms.is_none_or(|ms| ms >= from_ms);
        !self.faults.iter().any(|fault| overlaps(fault) && !excepted(fault))
    }

    /// Whether anything disturbed the run before `line`.
    pub(crate) fn is_disturbed_before(&self, line: usize) -> bool {
        self.facts().take(line).any(|(_, fact)| {
            matches!(
                fact,
                Fact::Injected { .. } | Fact::Signalled { .. } | Fact::Process { ended: Some(_), .. }
            )
        })
    }

    fn add_call_fact(&mut self, at: At, entry: &'a Entry, open: &mut BTreeMap<(&'a str, u64), usize>) {
        let by = entry.by.as_str();
        match &entry.fact {
            Fact::Called { call, request, idempotency_key, model } => {
                let number = self.calls.len();
                open.insert((by, *call), number);
                let (request, idempotency_key) = (request.as_ref(), idempotency_key.as_deref());
                self.calls.push(Call { at, request, idempotency_key, model, silent: None, answer: None });
                if let Some(key) = request {
                    self.requests.entry(key).or_default().calls.push(number);
                }
            }
            Fact::Silent { call } => {
                if let Some(&number) = open.get(&(by, *call)) {
                    self.calls[number].silent = Some(at);
                }
            }
            Fact::Answered { call, status, whole, caller_gone, retry_after_ms, tokens } => {
                if let Some(number) = open.remove(&(by, *call)) {
                    let (status, whole, caller_gone) = (*status, *whole, *caller_gone);
                    let (retry_after_ms, tokens) = (*retry_after_ms, *tokens);
                    let answer = Answered { at, status, whole, caller_gone, retry_after_ms, tokens };
                    self.calls[number].answer = Some(answer);
                }
            }
            _ => {}
        }
    }

    fn add_process_fact(&mut self, at: At, entry: &'a Entry) {
        match &entry.fact {
            Fact::Process { role, pid, ended: None } => {
                let (pid, signals) = (*pid, Vec::new());
                self.processes.push(Process { role, pid, begun: at, signals, ended: None });
            }
            Fact::Process { role, pid, ended: Some(how) } => {
                if let Some(process) = self.living(role, *pid) {
                    process.ended = Some((at, how));
                }
            }
            Fact::Signalled { role, pid, signal } => {
                if let Some(process) = self.living(role, *pid) {
                    process.signals.push((at, *signal));
                }
            }
            _ => {}
        }
    }

    fn add_fault_fact(&mut self, at: At, entry: &'a Entry) {
        match &entry.fact {
            Fact::Injected { fault, target } => {
                self.faults.push(Fault { class: fault, target, from: at, until_ms: None });
            }
            Fact::Healed { fault, target } => {
                let same = |open: &&mut Fault<'a>| {
                    open.class == fault && open.target == target && open.until_ms.is_none()
                };
                if let Some(open) = self.faults.iter_mut().find(same) {
                    open.until_ms = Some(at.ms);
                }
            }
            _ => {}
        }
    }

    fn living(&mut self, role: &str, pid: u32) -> Option<&mut Process<'a>> {
        let same = |process: &&mut Process<'a>| {
            process.role == role && process.pid == pid && process.ended.is_none()
        };
        self.processes.iter_mut().rev().find(same)
    }
}
