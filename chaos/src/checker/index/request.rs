//! What a history says about one request, sorted: its sends and answers, reads, callbacks and records.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{ErrorCode, Status};

use super::{At, Index, Record};
use crate::history::{Door, Entry, Fact};

/// What a history says about one request.
#[derive(Debug, Default)]
pub(crate) struct Request<'a> {
    /// Each time it was sent.
    pub(crate) sends: Vec<Sending<'a>>,
    /// Answers that match no send.
    pub(crate) stray: Vec<(At, Answer)>,
    /// Each time a client asked to cancel it.
    pub(crate) cancelled: Vec<At>,
    /// What each reader saw, in order.
    pub(crate) readers: BTreeMap<&'a str, Vec<(At, Step<'a>)>>,
    /// Its calls: places in [`Index::calls`].
    pub(crate) calls: Vec<usize>,
    /// Each callback that arrived.
    pub(crate) callbacks: Vec<Callback<'a>>,
    /// Its outcomes; one, if all is well.
    pub(crate) recorded: Vec<Record<'a>>,
    /// Its ledger entries: the line, the calls and the tokens of each.
    pub(crate) ledgered: Vec<(At, u64, u64)>,
    /// Each time it was parked.
    pub(crate) parked: Vec<At>,
    /// Texts received for it outside frames.
    pub(crate) bodies: Vec<(At, &'a str, &'a str)>,
}

/// One send of a request.
#[derive(Debug)]
pub(crate) struct Sending<'a> {
    pub(crate) at: At,
    pub(crate) by: &'a str,
    pub(crate) door: Door,
    pub(crate) deadline_ms: u64,
    pub(crate) callback: bool,
    pub(crate) fingerprint: &'a str,
    pub(crate) answer: Option<(At, Answer)>,
    /// When the sender was told after all that another request holds its id.
    pub(crate) withdrawn: Option<At>,
}

impl Sending<'_> {
    /// Whether its sender was told that it is refused.
    pub(crate) const fn is_refused(&self) -> bool {
        matches!(self.answer, Some((_, Answer::Refused { .. })))
    }
}

/// What the sender was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Accepted,
    Refused { code: ErrorCode, retry_after_ms: Option<u64> },
    Unclear,
}

/// What a reader did or saw.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step<'a> {
    Reads { after: Option<(u32, u64)> },
    Frame(Frame<'a>),
    Gap,
    Left,
}

/// A frame, which may stand for several that were merged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) attempt: u32,
    /// The number of the first frame in it …
    pub(crate) first: u64,
    /// … and of the last.
    pub(crate) last: u64,
    pub(crate) event: &'a str,
    pub(crate) text: Option<&'a str>,
    pub(crate) status: Option<Status>,
}

/// A callback that arrived.
#[derive(Debug)]
pub(crate) struct Callback<'a> {
    pub(crate) at: At,
    pub(crate) webhook: &'a str,
    pub(crate) valid: bool,
    pub(crate) replied: u16,
    pub(crate) status: Option<Status>,
    pub(crate) digest: &'a str,
}

impl<'a> Request<'a> {
    /// When somebody was first told of its acceptance.
    pub(crate) fn accepted(&self) -> Option<At> {
        let stray = self.stray.iter().filter(|(_, answer)| *answer == Answer::Accepted).map(|(at, _)| *at);
        stray.chain(self.accepted_send().map(|(_, told)| told)).min()
    }

    /// The send whose acceptance was told first, and when that was.
    pub(crate) fn accepted_send(&self) -> Option<(&Sending<'a>, At)> {
        let told = self.sends.iter().filter_map(|send| match send.answer {
            Some((at, Answer::Accepted)) if send.withdrawn.is_none() => Some((send, at)),
            _ => None,
        });
        told.min_by_key(|(_, at)| *at)
    }

    /// Whether it may have been accepted: some sender was told so, or was told nothing.
    pub(crate) fn may_run(&self) -> bool {
        self.sends.iter().any(|send| !send.is_refused())
    }

    /// All frames of all readers, in the order of the history.
    pub(crate) fn frames(&self) -> Vec<(At, &'a str, Frame<'a>)> {
        let seen =
            self.readers.iter().flat_map(|(reader, steps)| steps.iter().map(move |step| (*reader, step)));
        let mut frames: Vec<_> = seen
            .filter_map(|(reader, (at, step))| match step {
                Step::Frame(frame) => Some((*at, reader, *frame)),
                _ => None,
            })
            .collect();
        frames.sort_by_key(|(at, ..)| *at);
        frames
    }

    /// The frames that tell its end.
    pub(crate) fn ends(&self) -> Vec<(At, Status, Frame<'a>)> {
        self.frames().into_iter().filter_map(|(at, _, frame)| Some((at, frame.status?, frame))).collect()
    }

    /// When its end was first seen, by a reader or a receiver.
    pub(crate) fn ended(&self) -> Option<At> {
        let told = self.ends().into_iter().map(|(at, ..)| at);
        told.chain(self.callbacks.iter().map(|callback| callback.at)).min()
    }

    /// Whether somebody would have seen its end: some reader does not leave.
    pub(crate) fn is_watched(&self) -> bool {
        self.readers.values().any(|steps| !matches!(steps.last(), Some((_, Step::Left)) | None))
    }

    /// The different fingerprints sent under its id.
    pub(crate) fn fingerprints(&self) -> BTreeSet<&'a str> {
        self.sends.iter().map(|send| send.fingerprint).collect()
    }

    /// An answer belongs to the last sending of the same client that has none yet.
    fn answer(&mut self, at: At, by: &str, answer: Answer) {
        let open = |send: &&mut Sending<'_>| send.by == by && send.answer.is_none();
        match self.sends.iter_mut().rev().find(open) {
            Some(send) => send.answer = Some((at, answer)),
            None if is_conflict(answer) => {}
            None => self.stray.push((at, answer)),
        }
        // A conflict takes back what the same client was told before about the same request.
        let last = self.sends.iter().rev().find(|send| send.by == by).map(|send| send.fingerprint);
        for send in &mut self.sends {
            if is_conflict(answer) && send.by == by && Some(send.fingerprint) == last {
                send.withdrawn.get_or_insert(at);
            }
        }
    }

    fn step(&mut self, at: At, reader: &'a str, step: Step<'a>) {
        self.readers.entry(reader).or_default().push((at, step));
    }
}

const fn is_conflict(answer: Answer) -> bool {
    matches!(answer, Answer::Refused { code: ErrorCode::Conflict, .. })
}

/// The end that one reader saw after `due_ms` although it waited for it before. A reader that still gets pieces after
/// the provider's last word is slow and does not count.
pub(super) fn late_end(steps: &[(At, Step<'_>)], due_ms: u64, spoken_ms: u64) -> Option<At> {
    let mut came = None;
    for (at, step) in steps {
        match step {
            Step::Reads { .. } => came = Some(at.ms),
            Step::Frame(frame) if frame.status.is_some() => {
                let waited = came.is_none_or(|came| came <= due_ms);
                return (waited && at.ms > due_ms).then_some(*at);
            }
            Step::Frame(frame) if frame.event.ends_with("delta") && at.ms > spoken_ms => return None,
            Step::Frame(_) | Step::Gap | Step::Left => {}
        }
    }
    None
}

impl<'a> Index<'a> {
    pub(crate) fn add_request_fact(&mut self, at: At, entry: &'a Entry) {
        let by = entry.by.as_str();
        match &entry.fact {
            Fact::Sent { request, door, deadline_ms, callback, fingerprint } => {
                let (door, deadline_ms, callback, answer) = (*door, *deadline_ms, *callback, None);
                let send =
                    Sending { at, by, door, deadline_ms, callback, fingerprint, answer, withdrawn: None };
                self.requests.entry(request).or_default().sends.push(send);
            }
            Fact::Accepted { request } => {
                self.requests.entry(request).or_default().answer(at, by, Answer::Accepted);
            }
            Fact::Refused { request, code, retry_after_ms } => {
                let answer = Answer::Refused { code: *code, retry_after_ms: *retry_after_ms };
                self.requests.entry(request).or_default().answer(at, by, answer);
            }
            Fact::Unclear { request, .. } => {
                self.requests.entry(request).or_default().answer(at, by, Answer::Unclear);
            }
            Fact::Cancelled { request } => self.requests.entry(request).or_default().cancelled.push(at),
            fact => {
                self.add_reader_fact(at, fact);
                self.add_end_fact(at, fact);
            }
        }
    }

    fn add_reader_fact(&mut self, at: At, fact: &'a Fact) {
        let (request, reader, step) = match fact {
            Fact::Reads { request, reader, after } => (request, reader, Step::Reads { after: *after }),
            Fact::Gap { request, reader } => (request, reader, Step::Gap),
            Fact::Left { request, reader } => (request, reader, Step::Left),
            Fact::Frame { request, reader, attempt, seq, event, text, status } => {
                let (attempt, first, last, text) = (*attempt, *seq, *seq, text.as_deref());
                let frame = Frame { attempt, first, last, event, text, status: *status };
                (request, reader, Step::Frame(frame))
            }
            _ => return,
        };
        self.requests.entry(request).or_default().step(at, reader, step);
    }

    fn add_end_fact(&mut self, at: At, fact: &'a Fact) {
        match fact {
            Fact::CalledBack { request, webhook, valid, replied, status, digest } => {
                let (valid, replied, status) = (*valid, *replied, *status);
                let callback = Callback { at, webhook, valid, replied, status, digest };
                self.requests.entry(request).or_default().callbacks.push(callback);
            }
            Fact::Recorded { request, status, code, text, digest, calls, tokens } => {
                let (status, code, text) = (*status, *code, text.as_deref());
                let record = Record { at, status, code, text, digest, calls: *calls, tokens: *tokens };
                self.requests.entry(request).or_default().recorded.push(record);
            }
            Fact::Ledgered { request, calls, tokens } => {
                self.requests.entry(request).or_default().ledgered.push((at, *calls, *tokens));
            }
            Fact::Parked { request, .. } => self.requests.entry(request).or_default().parked.push(at),
            Fact::Body { request, place, text } => {
                self.requests.entry(request).or_default().bodies.push((at, place, text));
            }
            _ => {}
        }
    }
}
