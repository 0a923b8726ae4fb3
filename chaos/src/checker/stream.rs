//! I5: what each reader saw is one stream: in order, without an unreported gap, without a repeat, with one end at the
//! end, and with the recorded text.

use schemas::Status;

use super::{
    Bounds, Inquiry,
    index::{At, Frame, Index, Request, Step},
};
use crate::history::Key;

/// How soon after its call the other workers know that an attempt runs.
const TOLD_MS: u64 = 150;

pub(super) fn check(index: &Index<'_>, _: &Bounds, inquiry: &mut Inquiry) {
    for (key, request) in &index.requests {
        for (reader, steps) in &request.readers {
            let mut view = View {
                key,
                reader,
                may_share: may_share(index, request),
                last: None,
                resumed: false,
                told: false,
                parts: Vec::new(),
                whole: true,
                end: None,
            };
            for (at, step) in steps {
                view.step(*at, *step, inquiry);
            }
            view.over(index, request, steps.last().map(|(at, step)| (*at, *step)), inquiry);
        }
    }
}

/// Whether somebody deleted the consumer of work before the first attempt had announced that it runs.
fn may_share(index: &Index<'_>, request: &Request<'_>) -> bool {
    let Some(sent_ms) = request.sends.first().map(|send| send.at.ms) else { return false };
    let called_ms = index.calls_of(request).next().map_or(sent_ms, |call| call.at.ms);
    let untold = sent_ms..called_ms + TOLD_MS;
    index
        .faults
        .iter()
        .any(|fault| fault.class.ends_with("delete consumer") && untold.contains(&fault.from.ms))
}

/// What one reader has seen so far.
struct View<'a> {
    key: &'a Key,
    reader: &'a str,
    /// Whether two attempts may share one number.
    may_share: bool,
    /// The last frame that it saw.
    last: Option<(u32, u64, At)>,
    /// It has just come back.
    resumed: bool,
    /// It was told that frames are missing.
    told: bool,
    /// The pieces of the answer: their places and their texts.
    parts: Vec<(u32, u64, &'a str)>,
    /// Whether all pieces of the answer are there.
    whole: bool,
    end: Option<(At, Frame<'a>)>,
}

impl<'a> View<'a> {
    fn step(&mut self, at: At, step: Step<'a>, inquiry: &mut Inquiry) {
        match step {
            Step::Reads { after } => self.comes_back(at, after),
            Step::Gap => (self.told, self.whole) = (true, false),
            Step::Left => {}
            Step::Frame(frame) => {
                inquiry.checked();
                self.place(at, &frame, inquiry);
                self.take(at, frame);
            }
        }
    }

    /// Forgets frames after `after`: the reader says that it does not have them.
    fn comes_back(&mut self, at: At, after: Option<(u32, u64)>) {
        let has = |attempt, seq| after.is_some_and(|after| (attempt, seq) <= after);
        self.parts.retain(|(attempt, seq, _)| has(*attempt, *seq));
        // A reader that claims a frame it never showed has seen it elsewhere; its text is not known here.
        let known = self.last.is_some_and(|(attempt, seq, _)| after <= Some((attempt, seq)));
        self.whole = after.is_none() || (self.whole && known);
        self.last = after.map(|(attempt, seq)| (attempt, seq, at));
        (self.resumed, self.told, self.end) = (true, false, None);
    }

    /// Checks whether the frame may stand here.
    fn place(&mut self, at: At, frame: &Frame<'a>, inquiry: &mut Inquiry) {
        let reader = self.reader;
        if let Some((end, _)) = self.end {
            let kind = if frame.status.is_some() { "two_ends" } else { "after_the_end" };
            let sentence = format!("{reader} got `{}` after the end", frame.event);
            return inquiry.broken(self.key, kind, sentence, [end.line, at.line]);
        }
        let Some((attempt, seq, before)) = self.last else {
            // Attempt 0 comes before the first attempt; a refusal may stand there alone.
            if frame.first > 0 && frame.attempt > 0 && !self.is_told(frame) {
                let sentence = format!("{reader} began at {}; frames before it are missing", place(frame));
                inquiry.broken(self.key, "gap", sentence, [at.line]);
            }
            return;
        };
        let lines = [before.line, at.line];
        // A reader that resumes with everything is told the end again.
        let repeated_end =
            self.resumed && frame.status.is_some() && (frame.attempt, frame.last) == (attempt, seq);
        let expected = if frame.attempt == attempt { seq + 1 } else { 0 };
        if frame.attempt < attempt {
            let sentence = format!("{reader} got {} after a frame of attempt {attempt}", place(frame));
            inquiry.broken(self.key, "older_attempt", sentence, lines);
        } else if frame.first < expected && !repeated_end && !self.may_share {
            let sentence = format!("{reader} got {} after ({attempt}, {seq})", place(frame));
            inquiry.broken(self.key, "repeat", sentence, lines);
        } else if frame.first > expected && !self.is_told(frame) {
            let sentence = format!(
                "{reader} got {} after ({attempt}, {seq}), and nothing told it of a gap",
                place(frame)
            );
            inquiry.broken(self.key, "gap", sentence, lines);
        }
    }

    fn is_told(&self, frame: &Frame<'_>) -> bool {
        self.told || frame.event == "gap"
    }

    fn take(&mut self, at: At, frame: Frame<'a>) {
        let newer = self.last.is_some_and(|(attempt, ..)| frame.attempt > attempt);
        if newer || frame.event == "restarted" {
            self.parts.clear();
            self.whole = true;
        }
        self.whole &= frame.event != "gap" && !self.told;
        if frame.event.ends_with("delta") {
            self.parts.extend(frame.text.map(|text| (frame.attempt, frame.last, text)));
        }
        if frame.status.is_some() {
            self.end.get_or_insert((at, frame));
        }
        self.told = false;
        self.resumed = false;
        self.last = Some((frame.attempt, frame.last, at)).max(self.last);
    }

    fn over(
        &self,
        index: &Index<'_>,
        request: &Request<'_>,
        last: Option<(At, Step<'_>)>,
        inquiry: &mut Inquiry,
    ) {
        let Some((end_at, end)) = self.end else {
            if let (Some((at, step)), Some(told)) = (last, request.accepted())
                && !matches!(step, Step::Left)
            {
                let sentence = format!(
                    "{} read to the end of the run ({} ms) and got no end",
                    self.reader,
                    index.over_ms()
                );
                inquiry.broken(self.key, "no_end", sentence, [told.line, at.line]);
            }
            return;
        };
        let Some(record) = request.recorded.first() else { return };
        let Some(recorded) = record.text.filter(|_| record.status == Status::Succeeded) else { return };
        if end.status != Some(Status::Succeeded) || self.parts.is_empty() || !self.whole {
            return;
        }
        let shown: String = self.parts.iter().map(|(.., text)| *text).collect();
        if shown != recorded {
            let (shown, recorded) = (shown.chars().count(), recorded.chars().count());
            let sentence = format!(
                "the pieces that {} got make {shown} letters; the recorded answer is another one, of {recorded}",
                self.reader
            );
            inquiry.broken(self.key, "other_text", sentence, [end_at.line, record.at.line]);
        }
    }
}

fn place(frame: &Frame<'_>) -> String {
    format!("({}, {})", frame.attempt, frame.first)
}
