//! Holds every provider to its contract: nothing comes after the deadline, and nothing after the end.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::{Stream, StreamExt};
use schemas::ErrorCode;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{Error, Progress, Progressed, Remedy};

/// A call that ends by its deadline. As soon as it has ended, it drops the inner stream, and with it the connection.
struct Bounded {
    inner: Option<Progressed>,
    deadline: Instant,
    /// Armed at the first wait only: an answer that never waits costs no timer.
    alarm: Option<Pin<Box<Sleep>>>,
    provider: String,
}

/// Ends `inner` at `deadline`, and after its `Finished` or its error.
pub(crate) fn bound(inner: Progressed, deadline: Instant, provider: &str) -> Progressed {
    Bounded { inner: Some(inner), deadline, alarm: None, provider: provider.to_owned() }.boxed()
}

/// The error of a call that was not done in time.
pub(crate) fn exceeded(provider: &str) -> Error {
    let why = "the deadline passed before the answer was complete; allow a longer one, or ask for less";
    Error::new(provider, ErrorCode::DeadlineExceeded, Remedy::Fatal, why)
}

impl Bounded {
    fn expire(&mut self) -> Poll<Option<Result<Progress, Error>>> {
        self.inner = None;
        Poll::Ready(Some(Err(exceeded(&self.provider))))
    }
}

impl Stream for Bounded {
    type Item = Result<Progress, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        // An answer that is always ready would otherwise keep its thread from every other task.
        let budget = ready!(tokio::task::coop::poll_proceed(cx));
        if Instant::now() >= this.deadline {
            return this.expire();
        }
        if let Poll::Ready(item) = inner.poll_next_unpin(cx) {
            budget.made_progress();
            if matches!(item, None | Some(Err(_) | Ok(Progress::Finished(_)))) {
                this.inner = None;
            }
            return Poll::Ready(item);
        }
        let alarm = this.alarm.get_or_insert_with(|| Box::pin(sleep_until(this.deadline)));
        ready!(alarm.as_mut().poll(cx));
        this.expire()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::stream;
    use schemas::ChatDelta;

    use super::*;

    fn delta() -> Progress {
        Progress::Delta(ChatDelta::text("a"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_provider_is_ended_at_the_deadline_once() {
        let deadline = Instant::now() + Duration::from_secs(3);
        let mut call = bound(stream::iter([Ok(delta())]).chain(stream::pending()).boxed(), deadline, "p");
        assert_eq!(call.next().await.unwrap().unwrap(), delta());
        let error = call.next().await.unwrap().unwrap_err();
        assert_eq!((error.code, error.remedy), (ErrorCode::DeadlineExceeded, Remedy::Fatal));
        assert_eq!(Instant::now(), deadline);
        assert!(call.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_never_stops_is_ended_too() {
        let deadline = Instant::now() + Duration::from_secs(1);
        let endless = stream::repeat_with(|| Ok(delta())).then(|item| async {
            tokio::time::advance(Duration::from_millis(10)).await;
            item
        });
        let items: Vec<_> = bound(endless.boxed(), deadline, "p").collect().await;
        assert_eq!(items.last().unwrap().as_ref().unwrap_err().code, ErrorCode::DeadlineExceeded);
        assert_eq!(items.iter().filter(|item| item.is_err()).count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_follows_an_error() {
        let broken = || Err(Error::new("p", ErrorCode::ProviderError, Remedy::Retry, "broken"));
        let inner = stream::iter([broken(), Ok(delta()), broken()]).boxed();
        let items: Vec<_> = bound(inner, Instant::now() + Duration::from_secs(1), "p").collect().await;
        assert_eq!(items.len(), 1);
    }
}
