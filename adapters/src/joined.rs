//! Joins pieces of an answer that arrive together: each costs a message on its way to the client.
//!
//! The HTTP client hands over one piece a turn, however many a packet holds. So if pieces follow each other closely,
//! the reader of the connection gets a turn before one goes out. The stream waits for nothing else.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use schemas::ChatDelta;
use tokio::time::Instant;

use crate::{Error, Progress, Progressed};

/// The most text in one joined piece, in bytes: a reader's queue is counted in frames, so a frame stays small.
const BYTES_MAX: usize = 4 << 10;
/// The most entries in each of its lists, such as log probabilities: one takes some kilobytes if many are asked for.
const LISTED_MAX: usize = 16;
/// A piece that arrives this soon after the last one went out may be one of several. No piece is held for longer.
const BURST: Duration = Duration::from_millis(5);

type Item = Result<Progress, Error>;

struct Joined {
    inner: Progressed,
    /// The piece to which others may be joined, and when it arrived.
    begun: Option<(ChatDelta, Instant)>,
    /// What was read after it, including the end of the stream.
    ahead: Option<Option<Item>>,
    /// When the last piece went out.
    left: Option<Instant>,
}

/// Joins pieces of `inner` that follow each other without a wait between them.
pub(crate) fn join(inner: Progressed) -> Progressed {
    Joined { inner, begun: None, ahead: None, left: None }.boxed()
}

impl Stream for Joined {
    type Item = Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        let this = self.get_mut();
        let mut has_grown = false;
        loop {
            if this.begun.as_ref().is_some_and(|(whole, _)| !takes_more(whole)) {
                return this.leave();
            }
            match (this.read(cx), &mut this.begun) {
                (Poll::Ready(Some(Ok(Progress::Delta(next)))), None) => {
                    this.begun = Some((next, Instant::now()));
                    has_grown = true;
                }
                (Poll::Ready(Some(Ok(Progress::Delta(next)))), Some((whole, _))) if whole.takes(&next) => {
                    whole.append(next);
                    has_grown = true;
                }
                (read, None) => return read,
                (Poll::Ready(other), Some(_)) => {
                    this.ahead = Some(other);
                    return this.leave();
                }
                (Poll::Pending, Some((_, since))) if has_grown && is_burst(this.left, *since) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                (Poll::Pending, Some(_)) => return this.leave(),
            }
        }
    }
}

impl Joined {
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        match self.ahead.take() {
            Some(ahead) => Poll::Ready(ahead),
            None => self.inner.poll_next_unpin(cx),
        }
    }

    fn leave(&mut self) -> Poll<Option<Item>> {
        self.left = Some(Instant::now());
        Poll::Ready(self.begun.take().map(|(whole, _)| Ok(Progress::Delta(whole))))
    }
}

/// Whether a piece that arrived at `since` may be one of several.
fn is_burst(left: Option<Instant>, since: Instant) -> bool {
    left.is_some_and(|left| since.duration_since(left) < BURST) && since.elapsed() < BURST
}

/// Whether `whole` may grow; nothing follows the last piece of an answer.
fn takes_more(whole: &ChatDelta) -> bool {
    let called: usize = whole.tool_calls.iter().map(|call| call.arguments.len()).sum();
    let text = whole.delta.len() + whole.reasoning.len() + whole.refusal.len() + called;
    whole.finish_reason.is_none()
        && text < BYTES_MAX
        && whole.tool_calls.len().max(whole.logprobs.len()) < LISTED_MAX
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, stream};
    use schemas::{ErrorCode, chat::FinishReason};
    use tokio::sync::mpsc;

    use super::*;
    use crate::Remedy;

    fn piece(delta: ChatDelta) -> Result<Progress, Error> {
        Ok(Progress::Delta(delta))
    }

    fn text(text: &str) -> Result<Progress, Error> {
        piece(ChatDelta::text(text))
    }

    /// What comes without a wait, but for the turn that a burst gives away, in words.
    fn at_once(joined: &mut Progressed) -> Vec<String> {
        let mut told = Vec::new();
        let mut next = || joined.next().now_or_never().or_else(|| joined.next().now_or_never()).flatten();
        while let Some(item) = next() {
            told.push(match item {
                Ok(Progress::Delta(delta)) => format!("{}{}", delta.choice, delta.delta),
                Ok(other) => format!("{other:?}"),
                Err(error) => error.message,
            });
        }
        told
    }

    #[test]
    fn what_is_there_at_once_is_one_piece_and_what_comes_later_is_another() {
        let (more, mut pieces) = mpsc::unbounded_channel();
        let mut joined = join(stream::poll_fn(move |cx| pieces.poll_recv(cx)).boxed());
        for words in [["Hel", "lo"], [", ", "you"]] {
            for word in words {
                more.send(text(word)).unwrap();
            }
            assert_eq!(at_once(&mut joined), [format!("0{}", words.concat())]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_that_is_handed_over_one_by_one_is_joined_but_for_its_first() {
        let (more, mut pieces) = mpsc::channel(1);
        let mut joined = join(stream::poll_fn(move |cx| pieces.poll_recv(cx)).boxed());
        tokio::spawn(async move {
            for word in ["a", "b", "c", "d", "e"] {
                more.send(text(word)).await.unwrap();
            }
        });
        let mut told = Vec::new();
        while let Some(item) = joined.next().await {
            let Ok(Progress::Delta(delta)) = item else { panic!("{item:?}") };
            told.push(delta.delta);
        }
        assert_eq!(told, ["a", "bcde"]);
    }

    #[tokio::test(start_paused = true)]
    async fn pieces_that_come_apart_leave_at_once() {
        let (more, mut pieces) = mpsc::unbounded_channel();
        let mut joined = join(stream::poll_fn(move |cx| pieces.poll_recv(cx)).boxed());
        for word in ["a", "b"] {
            more.send(text(word)).unwrap();
            let told = joined.next().now_or_never().flatten();
            assert!(matches!(&told, Some(Ok(Progress::Delta(delta))) if delta.delta == word), "{told:?}");
            tokio::time::advance(BURST).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_that_does_not_end_leaves_piece_by_piece_of_so_long() {
        const MILLISECOND: Duration = Duration::from_millis(1);
        let mut turn = 0;
        let joined = join(
            stream::poll_fn(move |cx| {
                turn += 1;
                match turn {
                    81 => Poll::Ready(None),
                    turn if turn % 2 == 1 => Poll::Ready(Some(text("x"))),
                    _ => {
                        // The first poll moves the clock.
                        let _ = tokio::time::advance(MILLISECOND).now_or_never();
                        cx.waker().wake_by_ref();
                        Poll::Pending
                    }
                }
            })
            .boxed(),
        );
        let lengths = joined.map(|item| match item {
            Ok(Progress::Delta(delta)) => delta.delta.len(),
            other => panic!("{other:?}"),
        });
        assert_eq!(lengths.collect::<Vec<_>>().await, [1, 5, 5, 5, 5, 5, 5, 5, 4]);
    }

    #[test]
    fn another_choice_the_end_of_an_answer_and_an_error_keep_their_places() {
        let end = ChatDelta { finish_reason: Some(FinishReason::Stop), ..ChatDelta::text("!") };
        let failed = Error::new("p", ErrorCode::ProviderError, Remedy::Retry, "broke off");
        let other = ChatDelta { choice: 1, ..ChatDelta::text("b") };
        let items = [text("a"), piece(other), text("c"), piece(end), text("d"), Err(failed)];
        let told = at_once(&mut join(stream::iter(items).boxed()));
        assert_eq!(told[..4], ["0a", "1b", "0c!", "0d"]);
        assert!(told[4].contains("broke off"), "{told:?}");
    }

    #[test]
    fn a_joined_piece_stays_small() {
        let long = "x".repeat(BYTES_MAX / 2);
        let items: Vec<_> = (0..4).map(|_| text(&long)).collect();
        let told = at_once(&mut join(stream::iter(items).boxed()));
        assert_eq!(told.iter().map(String::len).collect::<Vec<_>>(), [BYTES_MAX + 1; 2]);
        let weighed =
            ChatDelta { logprobs: vec![serde_json::Value::Null; LISTED_MAX / 2], ..ChatDelta::text("x") };
        let items: Vec<_> = (0..4).map(|_| piece(weighed.clone())).collect();
        assert_eq!(at_once(&mut join(stream::iter(items).boxed())), ["0xx", "0xx"]);
    }
}
