//! What a person sees while it runs: one line for each scenario, written anew while it lasts where that is a terminal.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use tokio::time::Instant;

/// Names are written in a column as wide as the longest.
const NAME_COLUMNS: usize = 22;

/// The display.
#[derive(Debug)]
pub struct Board {
    lively: bool,
    name: &'static str,
    began: Instant,
}

impl Board {
    /// A display on standard error, lively where that is a terminal.
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

    /// How it goes.
    pub(crate) fn says(&mut self, what: &str) {
        if self.lively {
            let line = format!("{:<NAME_COLUMNS$} {:>4}  {what}", self.name, seconds(self.began.elapsed()));
            self.line(&line, "");
        }
    }

    /// How it ended.
    pub(crate) fn ends(&mut self, verdict: &str) {
        let line = format!("{:<NAME_COLUMNS$} {:>4}  {verdict}", self.name, seconds(self.began.elapsed()));
        self.line(&line, "\n");
    }

    fn line(&self, line: &str, end: &str) {
        let begin = if self.lively { "\r\x1b[K" } else { "" };
        let mut out = io::stderr().lock();
        // Where standard error is gone there is nobody to tell; the report has it all.
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
