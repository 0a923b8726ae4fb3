//! Makes streams anew that went with a server: those in memory do not survive its restart, and nothing else would bring
//! them back.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::{connection::Connection, streams};
use crate::{ErrorKind, Link, StreamSpec};

/// The pause after a failure: a server that has just come back may not be ready.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Remembers the streams that must be there.
#[derive(Debug)]
pub(super) struct Keeper {
    kept: Arc<Mutex<Vec<StreamSpec>>>,
    // Without it a stream in memory would be missing after a restart; it ends only with the connection.
    _task: AbortOnDropHandle<()>,
}

impl Keeper {
    /// Looks after the streams of `connection`.
    pub(super) fn start(connection: Arc<Connection>, replicas: usize) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(run(connection, Arc::clone(&kept), replicas));
        Self { kept, _task: AbortOnDropHandle::new(task) }
    }

    /// Looks after these too.
    pub(super) fn keep(&self, streams: &[StreamSpec]) {
        let mut kept = self.kept.lock();
        kept.retain(|known| streams.iter().all(|stream| stream.name != known.name));
        kept.extend_from_slice(streams);
    }
}

async fn run(connection: Arc<Connection>, kept: Arc<Mutex<Vec<StreamSpec>>>, replicas: usize) {
    let mut sessions = connection.session();
    // The session that is standing now is the one in which streams are made by whoever asks for them.
    let mut seen = sessions.borrow_and_update().number;
    loop {
        let next =
            sessions.wait_for(|s| s.closed || (s.number != seen && s.link == Link::Up)).await.map(|s| *s);
        let Ok(session) = next else { return };
        if session.closed {
            return;
        }
        seen = if restore(&connection, &kept, replicas).await { session.number } else { seen };
    }
}

/// Whether all streams are there.
async fn restore(connection: &Connection, kept: &Mutex<Vec<StreamSpec>>, replicas: usize) -> bool {
    let specs = kept.lock().clone();
    for spec in &specs {
        match streams::ensure(connection, spec, replicas).await {
            Ok(()) => {}
            // No time will mend this; those who use the stream will meet the same error.
            Err(error) if error.kind() == ErrorKind::Invalid => {
                tracing::error!(stream = %spec.name, %error, "a stream is not what it must be");
            }
            Err(error) => {
                tracing::warn!(stream = %spec.name, %error, "cannot look after a stream");
                sleep(AGAIN_AFTER).await;
                return false;
            }
        }
    }
    true
}
