//! Lets work that is written from top to bottom emit its pieces while it goes on.

use futures_util::{StreamExt, future, stream};
use tokio::sync::mpsc;

use crate::{Error, Finished, Progress, Progressed};

/// Where the work puts its pieces. The work waits until there is room for the next one.
#[derive(Debug)]
pub(super) struct Outlet(mpsc::Sender<Result<Progress, Error>>);

impl Outlet {
    /// Emits `progress`.
    pub(super) async fn give(&self, progress: Progress) {
        // If the reader has gone, the work is dropped with the stream that it feeds.
        let _ = self.0.send(Ok(progress)).await;
    }
}

/// The pieces that `work` emits, and then how it ended. Dropping the stream drops the work.
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
