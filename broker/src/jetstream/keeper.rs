//! Re-creates missing streams: those in memory do not survive a restart of their server, and any can be deleted by hand
//! under a live connection. Never touches a stream that nobody here asked for.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{connection::Connection, room};
use crate::{Error, ErrorKind, Link, StreamSpec, subject::Pattern};

/// The pause after a failure: a server that has just come back may not be ready.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// A stream is checked no more often than this, however many callers miss it: somebody who keeps deleting it must not
/// make this a loop.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a caller that misses a stream waits for it: two questions to the broker, and one of an earlier caller.
const MEND_MAX: Duration = Duration::from_secs(5);
/// How many callers may wait for the keeper. Each is an operation that waits anyway; more wait for a place here.
const CALLS_MAX: usize = 64;

/// Remembers the streams that must be there.
#[derive(Debug)]
pub(super) struct Keeper {
    kept: Arc<Mutex<Vec<StreamSpec>>>,
    calls: mpsc::Sender<Call>,
    // Without this task a missing stream would stay missing; it ends only with the connection.
    _task: AbortOnDropHandle<()>,
}

/// A caller misses a stream.
#[derive(Debug)]
struct Call {
    stream: String,
    done: oneshot::Sender<Result<(), Error>>,
}

impl Keeper {
    /// Looks after the streams of `connection`.
    pub(super) fn start(connection: Arc<Connection>, replicas: usize) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (calls, called) = mpsc::channel(CALLS_MAX);
        let rounds = Rounds { connection, kept: Arc::clone(&kept), replicas, looks: HashMap::new() };
        Self { kept, calls, _task: AbortOnDropHandle::new(tokio::spawn(rounds.run(called))) }
    }

    /// Looks after these streams too.
    pub(super) fn keep(&self, streams: &[StreamSpec]) {
        let mut kept = self.kept.lock();
        kept.retain(|known| streams.iter().all(|stream| stream.name != known.name));
        kept.extend_from_slice(streams);
    }

    /// Runs `operation` on `stream`, and once more if the stream was missing and has been re-created.
    pub(super) async fn healing<T, F>(
        &self,
        stream: &str,
        mut operation: impl FnMut() -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        match operation().await {
            Err(error) if error.kind() == ErrorKind::NotFound && self.keeps(stream) => {
                self.mend(stream).await?;
                operation().await
            }
            result => result,
        }
    }

    /// The kept stream that captures `subject`.
    pub(super) fn stream_of(&self, subject: &str) -> Option<String> {
        let takes =
            |pattern: &String| Pattern::parse(pattern).is_some_and(|pattern| pattern.matches(subject));
        self.kept.lock().iter().find(|spec| spec.subjects.iter().any(takes)).map(|spec| spec.name.clone())
    }

    /// Has `stream` checked without waiting: it may or may not be missing.
    pub(super) fn suspect(&self, stream: &str) {
        let (done, _) = oneshot::channel();
        // It fails if enough callers wait for the keeper already.
        let _ = self.calls.try_send(Call { stream: stream.to_owned(), done });
    }

    /// Waits until `stream` has been checked.
    pub(super) async fn mend(&self, stream: &str) -> Result<(), Error> {
        let (done, mended) = oneshot::channel();
        let call = Call { stream: stream.to_owned(), done };
        let closed = || Error::new(ErrorKind::Closed, format!("nobody looks after stream {stream} any more"));
        let answer = async {
            self.calls.send(call).await.map_err(|_| closed())?;
            mended.await.map_err(|_| closed())?
        };
        timeout(MEND_MAX, answer).await.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Timeout,
                format!("stream {stream} is missing, and was not made in time"),
            ))
        })
    }

    fn keeps(&self, stream: &str) -> bool {
        self.kept.lock().iter().any(|spec| spec.name == stream)
    }
}

/// The task that re-creates streams: one at a time, whoever asks.
struct Rounds {
    connection: Arc<Connection>,
    kept: Arc<Mutex<Vec<StreamSpec>>>,
    replicas: usize,
    looks: HashMap<String, Look>,
}

/// When a stream was last checked on demand, and the result.
struct Look {
    at: Instant,
    failed: Option<(ErrorKind, String)>,
}

impl Rounds {
    async fn run(mut self, mut calls: mpsc::Receiver<Call>) {
        let mut sessions = self.connection.session();
        // In the session that is up now, callers create the streams that they ask for.
        let mut seen = sessions.borrow_and_update().number;
        loop {
            let next = async {
                sessions.wait_for(|s| s.closed || (s.number != seen && s.link == Link::Up)).await.map(|s| *s)
            };
            tokio::select! {
                session = next => match session {
                    Ok(session) if !session.closed => {
                        seen = if self.restore().await { session.number } else { seen };
                    }
                    _ => return,
                },
                call = calls.recv() => match call {
                    Some(Call { stream, done }) => {
                        // It fails only if the caller has gone.
                        let _ = done.send(self.look_after(&stream).await);
                    }
                    None => return,
                },
            }
        }
    }

    /// Checks all streams after a new connection; returns whether they are all there.
    async fn restore(&self) -> bool {
        let specs = self.kept.lock().clone();
        let mut are_there = true;
        for spec in &specs {
            match self.ensure(spec).await {
                Ok(()) => {}
                // Time will not mend this; operations on the stream will fail with the same error.
                Err(error) if error.kind() == ErrorKind::Invalid => {
                    tracing::error!(stream = %spec.name, %error, "a stream is not what it must be");
                }
                Err(error) => {
                    tracing::warn!(stream = %spec.name, %error, "cannot look after a stream");
                    are_there = false;
                }
            }
        }
        if !are_there {
            sleep(AGAIN_AFTER).await;
        }
        are_there
    }

    /// Makes sure of one stream for a caller that misses it. The result holds for all callers that ask soon after.
    async fn look_after(&mut self, stream: &str) -> Result<(), Error> {
        let Some(spec) = self.kept.lock().iter().find(|spec| spec.name == stream).cloned() else {
            return Err(Error::new(ErrorKind::NotFound, format!("stream {stream} is none of ours")));
        };
        if let Some(look) = self.looks.get(stream).filter(|look| look.at.elapsed() < LOOK_EVERY) {
            return look.failed.clone().map_or(Ok(()), |(kind, words)| Err(Error::new(kind, words)));
        }
        let looked = self.ensure(&spec).await;
        if let Err(error) = &looked {
            tracing::warn!(%stream, %error, "a stream is missing and cannot be made anew");
        }
        let failed = looked.as_ref().err().map(|error| (error.kind(), format!("stream {stream}: {error}")));
        self.looks.insert(spec.name, Look { at: Instant::now(), failed });
        looked
    }

    async fn ensure(&self, spec: &StreamSpec) -> Result<(), Error> {
        // An ack names its message by the sequence: a late one, for a message of the old stream, must not meet a
        // message of the new stream. Microseconds are ahead of any count of messages.
        let first = u64::try_from(Timestamp::now().as_microsecond()).ok();
        if room::fit(&self.connection, std::slice::from_ref(spec), self.replicas, first).await? {
            let stream = &spec.name;
            tracing::warn!(%stream, "a stream was missing and has been made anew; what it held is lost");
        }
        Ok(())
    }
}
