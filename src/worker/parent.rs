//! The parent of a worker process, at the other end of two pipes: it hands down the settings and asks for metrics, and
//! the worker notices its death, even by a kill.
//!
//! A thread outside the runtime does all this, so that a process whose runtime stands still does not outlive its parent
//! and still reports its metrics.

use std::{
    io::{self, BufRead, Write},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    config::Config,
    exit,
    fleet::report::{END, QUESTION},
    telemetry::RenderMetrics,
};

/// How long the process may outlive its parent. Handing work back may take five seconds.
const ORPHAN_MAX: Duration = Duration::from_secs(10);

/// The other end of standard input.
#[derive(Debug)]
pub(crate) struct Parent {
    gone: CancellationToken,
}

impl Parent {
    /// Reads the settings from the parent.
    pub(crate) fn settings() -> anyhow::Result<Config> {
        let mut line = String::new();
        io::stdin().read_line(&mut line).context("standard input")?;
        Config::from_parent(&line)
            .context("no settings on standard input: only `dynode up --workers N` can start a worker")
    }

    /// Starts to listen to the parent, and answers its questions with `metrics`.
    pub(crate) fn listen(metrics: RenderMetrics) -> Self {
        let gone = CancellationToken::new();
        // However the thread ends, the parent then counts as gone.
        let seen = gone.clone().drop_guard();
        thread::spawn(move || {
            answer(io::stdin().lock(), &mut io::stdout().lock(), &metrics);
            drop(seen);
            // Nobody sends: this only waits. If all goes well, the process ends first.
            let (_never, end) = mpsc::channel::<()>();
            let _ = end.recv_timeout(ORPHAN_MAX);
            error!("the parent is gone and the work was not handed back in time; the process ends");
            std::process::exit(exit::FAILED.into());
        });
        Self { gone }
    }

    /// Resolves when the parent has died.
    pub(crate) async fn gone(&self) {
        self.gone.cancelled().await;
    }
}

/// Answers each question until the other end is closed.
fn answer(questions: impl BufRead, answers: &mut impl Write, metrics: &RenderMetrics) {
    // A read error ends the questions too.
    for question in questions.lines().map_while(Result::ok) {
        if question == QUESTION {
            // Fails only if nobody reads, which ends the questions too.
            let _ = writeln!(answers, "{}{END}", metrics()).and_then(|()| answers.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn each_question_is_answered_and_what_is_none_is_passed_over() {
        let metrics: RenderMetrics = Arc::new(|| "a 1\n".to_owned());
        let mut answers = Vec::new();
        answer(&b"metrics\nwhat?\nmetrics\n"[..], &mut answers, &metrics);
        assert_eq!(String::from_utf8(answers).unwrap(), "a 1\n# EOF\na 1\n# EOF\n");
    }
}
