//! Shows progress to a person: one line per scenario, redrawn while it runs if standard error is a terminal.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use tokio::time::Instant;

/// The width of the column of names: that of the longest.
const NAME_COLUMNS: usize = 22;

/// The display.
#[derive(Debug)]
pub struct Board {
    lively: bool,
    name: &'static str,
    began: Instant,
}

impl Board {
    /// A display on standard error, lively if that is a terminal.
    #[must_use]
    pub fn new() -> Self {
        Self { lively: io::stderr().is_terminal(), name: "", began: Instant::now() }
    }

    /// A scenario begins.
    pub(crate) fn begins(&mut self, name: &'static str) {
        (self.name, self.began) = (name, Instant::now());
        if !self.lively {
            self.line(&format!("{name:<NAME_COLUMNS$} …"), "\n");
        }
    }

    /// Shows its progress.
    pub(crate) fn says(&mut self, what: &str) {
        if self.lively {
            let line = format!("{:<NAME_COLUMNS$} {:>4}  {what}", self.name, seconds(self.began.elapsed()));
            self.line(&line, "");
        }
    }

    /// Shows its verdict.
    pub(crate) fn ends(&mut self, verdict: &str) {
        let line = format!("{:<NAME_COLUMNS$} {:>4}  {verdict}", self.name, seconds(self.began.elapsed()));
        self.line(&line, "\n");
    }

    fn line(&self, line: &str, end: &str) {
        let begin = if self.lively { "\r\x1b[K" } else { "" };
        let mut out = io::stderr().lock();
        // If standard error is gone nobody watches; the report has it all.
        let _ = write!(out, "{begin}{line}{end}").and_then(|()| out.flush());
    }
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}
