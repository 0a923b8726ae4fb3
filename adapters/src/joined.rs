//! Pieces of an answer that have come at once are passed on as one: each costs a message on its way to the reader, and what
//! a provider sends in one packet was never apart. Nothing is waited for.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::{Stream, StreamExt};
use schemas::ChatDelta;

use crate::{Error, Progress, Progressed};

/// The text of one joined piece, in bytes: readers count frames, so a frame stays small.
const BYTES_MAX: usize = 16 << 10;

struct Joined {
    inner: Progressed,
    /// What was read ahead, the end of all included.
    ahead: Option<Option<Result<Progress, Error>>>,
}

/// Joins the pieces of `inner` that follow each other without a wait between them.
pub(crate) fn join(inner: Progressed) -> Progressed {
    Joined { inner, ahead: None }.boxed()
}

impl Stream for Joined {
    type Item = Result<Progress, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let first = match this.ahead.take() {
            Some(ahead) => ahead,
            None => ready!(this.inner.poll_next_unpin(cx)),
        };
        let Some(Ok(Progress::Delta(mut whole))) = first else { return Poll::Ready(first) };
        while takes_more(&whole) {
            match this.inner.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(Progress::Delta(next)))) if next.choice == whole.choice => {
                    whole.append(next);
                }
                Poll::Ready(other) => {
                    this.ahead = Some(other);
                    break;
                }
                Poll::Pending => break,
            }
        }
        Poll::Ready(Some(Ok(Progress::Delta(whole))))
    }
}

/// Nothing follows the last piece of an answer.
const fn takes_more(whole: &ChatDelta) -> bool {
    whole.finish_reason.is_none() && whole.delta.len() + whole.reasoning.len() < BYTES_MAX
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

    /// What comes without a wait, in words.
    fn at_once(joined: &mut Progressed) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(Some(item)) = joined.next().now_or_never() {
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
    }
}
