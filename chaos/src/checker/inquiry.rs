//! Collects what a checker reports: how much it has looked at, and what it found.

use super::{Finding, Verdict};
use crate::Guarantee;
use crate::history::Key;

/// The inquiry into one guarantee.
#[derive(Debug)]
pub(super) struct Inquiry {
    guarantee: Guarantee,
    checked: u64,
    findings: Vec<Finding>,
}

impl Inquiry {
    pub(super) const fn new(guarantee: Guarantee) -> Self {
        Self { guarantee, checked: 0, findings: Vec::new() }
    }

    /// Counts one more thing that puts the guarantee to the test.
    pub(super) const fn checked(&mut self) {
        self.checked += 1;
    }

    /// Records a breach; `lines` prove it, in the order of the story.
    pub(super) fn broken<'k>(
        &mut self,
        request: impl Into<Option<&'k Key>>,
        kind: &'static str,
        sentence: String,
        lines: impl IntoIterator<Item = usize>,
    ) {
        let (guarantee, request) = (self.guarantee, request.into().cloned());
        let lines = lines.into_iter().collect();
        self.findings.push(Finding { guarantee, request, kind, sentence, lines });
    }

    pub(super) fn verdict(self) -> Verdict {
        match (self.findings.is_empty(), self.checked) {
            (false, _) => Verdict::Broken { findings: self.findings },
            (true, 0) => Verdict::NotExercised,
            (true, checked) => Verdict::Held { checked },
        }
    }
}
