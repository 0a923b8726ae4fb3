//! How work that is written from top to bottom tells its pieces while it goes on.

use futures_util::{StreamExt, future, stream};
use tokio::sync::mpsc;

use crate::{Error, Finished, Progress, Progressed};

/// Where the work puts its pieces. It waits until each is taken.
#[derive(Debug)]
pub(super) struct Outlet(mpsc::Sender<Result<Progress, Error>>);

impl Outlet {
    /// Tells `progress`.
    pub(super) async fn give(&self, progress: Progress) {
        // Whoever has gone takes the work along: it is dropped with the stream that it feeds.
        let _ = self.0.send(Ok(progress)).await;
    }
}

/// What `work` tells, and then how it ended. Nothing of it goes on once the stream is dropped.
pub(super) fn told<F>(work: impl FnOnce(Outlet) -> F) -> Progressed
where
    F: Future<Output = Result<Finished, Error>> + Send + 'static,
{
    let (sender, mut receiver) = mpsc::channel(1);
    let work = work(Outlet(sender.clone()));
    let work = async move {
        let end = work.await.map(|finished| Progress::Finished(Box::new(finished)));
        let _ = sender.send(end).await;
    };
    let pieces = stream::poll_fn(move |cx| receiver.poll_recv(cx));
    let silent = stream::once(Box::pin(work)).filter_map(|()| future::ready(None));
    stream::select(pieces, silent).boxed()
}
