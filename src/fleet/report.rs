//! Asks one worker process for its metrics over the two pipes between it and its parent. Needs no port, and works
//! without the broker. A hung process keeps nobody waiting for long.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    process::{ChildStdin, ChildStdout},
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

/// The line that asks for the metrics.
pub(crate) const QUESTION: &str = "metrics";
/// The last line of an answer: a comment within the Prometheus text.
pub(crate) const END: &str = "# EOF";

/// How long an answer may take. It takes milliseconds; a scrape of all metrics waits no longer than this.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How many askers may queue for one process; they queue only while it hangs.
const ASKERS_MAX: usize = 4;
/// The longest answer: far more than a thousand models and providers produce. Anything beyond is discarded.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Asks one process. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Reporter(mpsc::Sender<oneshot::Sender<String>>);

impl Reporter {
    /// The reporter of the process behind these pipes, and the task that holds them. When the task ends, it closes
    /// `questions`, which ends the process.
    pub(super) fn new(questions: ChildStdin, answers: ChildStdout) -> (Self, AbortOnDropHandle<()>) {
        let (asking, askers) = mpsc::channel(ASKERS_MAX);
        let talk = tokio::spawn(talk(questions, BufReader::new(answers), askers));
        (Self(asking), AbortOnDropHandle::new(talk))
    }

    /// Its metrics as Prometheus text; none if it does not answer in time.
    pub(super) async fn ask(&self) -> Option<String> {
        let (asker, answer) = oneshot::channel();
        self.0.try_send(asker).ok()?;
        timeout(ANSWER_MAX, answer).await.ok()?.ok()
    }
}

/// Answers one asker after the other, for as long as the process does.
async fn talk(
    mut questions: impl AsyncWrite + Unpin,
    mut answers: BufReader<impl AsyncRead + Unpin>,
    mut askers: mpsc::Receiver<oneshot::Sender<String>>,
) {
    while let Some(asker) = askers.recv().await {
        if asker.is_closed() {
            continue;
        }
        match exchange(&mut questions, &mut answers).await {
            // An asker that has given up no longer receives; that is fine.
            Ok(answer) => drop(asker.send(answer)),
            Err(error) => {
                debug!(%error, "a worker process does not tell its metrics any more");
                break;
            }
        }
    }
    askers.close();
    // Keeps `questions` open: closing it would tell the process that its parent has died.
    std::future::pending::<()>().await;
}

/// Asks one question and reads its whole answer, so that none of it is left for the next.
async fn exchange(
    questions: &mut (impl AsyncWrite + Unpin),
    answers: &mut BufReader<impl AsyncRead + Unpin>,
) -> io::Result<String> {
    questions.write_all(format!("{QUESTION}\n").as_bytes()).await?;
    questions.flush().await?;
    let (mut answer, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        if answers.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.trim_end() == END {
            return Ok(answer);
        }
        if answer.len() + line.len() <= ANSWER_BYTES_MAX {
            answer.push_str(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex, split};

    use super::*;

    /// A reporter and the process at the other end of its pipes.
    fn pipes() -> (Reporter, AbortOnDropHandle<()>, BufReader<DuplexStream>) {
        let (parent, child) = duplex(64);
        let (answers, questions) = split(parent);
        let (asking, askers) = mpsc::channel(ASKERS_MAX);
        let talk = tokio::spawn(talk(questions, BufReader::new(answers), askers));
        (Reporter(asking), AbortOnDropHandle::new(talk), BufReader::new(child))
    }

    async fn question(child: &mut BufReader<DuplexStream>) {
        let mut line = String::new();
        child.read_line(&mut line).await.unwrap();
        assert_eq!(line.trim_end(), QUESTION);
    }

    async fn say(child: &mut BufReader<DuplexStream>, text: &str) {
        child.write_all(format!("{text}{END}\n").as_bytes()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_late_is_not_taken_for_the_next_one() {
        let (reporter, _talk, mut child) = pipes();
        assert_eq!(reporter.ask().await, None, "it does not answer in time");
        let both = async {
            question(&mut child).await;
            say(&mut child, "a 1\n").await;
            question(&mut child).await;
            say(&mut child, "a 2\n").await;
        };
        assert_eq!(tokio::join!(reporter.ask(), both).0.as_deref(), Some("a 2\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_hangs_keeps_nobody_waiting_and_holds_little() {
        let (reporter, _talk, mut child) = pipes();
        let began = tokio::time::Instant::now();
        let asked = futures_util::future::join_all((0..100).map(|_| reporter.ask())).await;
        assert!(asked.iter().all(Option::is_none));
        assert_eq!(began.elapsed(), ANSWER_MAX);
        question(&mut child).await;
        say(&mut child, "late 1\n").await;
        let answered = async {
            question(&mut child).await;
            say(&mut child, "a 1\n").await;
        };
        assert_eq!(
            tokio::join!(reporter.ask(), answered).0.as_deref(),
            Some("a 1\n"),
            "asked once, not a hundred times"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_pipe_is_closed_is_not_asked_again() {
        let (reporter, _talk, child) = pipes();
        drop(child);
        assert_eq!(reporter.ask().await, None);
        assert!(reporter.0.is_closed());
    }
}
