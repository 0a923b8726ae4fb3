//! Plays an answer at its pace, with the failure or stall that the call asks for. Without a pace it never waits.

use std::{hint, time::Duration};

use futures_util::{Stream, future, stream};
use schemas::{ChatOutput, Output, Usage};
use tokio::time::{Instant, sleep_until};

use super::{
    answer::{Answer, Step},
    directives::Directives,
};
use crate::{Call, Error, Finished, Progress};

/// How fast tokens come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// The delay before the first token.
    pub(super) first_token: Duration,
    /// The delay before each token after it.
    pub(super) per_token: Duration,
}

impl From<&Directives> for Pace {
    fn from(directives: &Directives) -> Self {
        let per_token = directives.tokens_per_second.map(|pace| Duration::from_secs_f64(pace.recip()));
        Self {
            first_token: Duration::from_millis(directives.first_token_ms.unwrap_or(0)),
            per_token: per_token.unwrap_or_default(),
        }
    }
}

/// One answer in progress.
#[derive(Debug)]
pub(super) struct Play {
    answer: Answer,
    pace: Pace,
    began: Instant,
    /// After how many tokens it fails, and how.
    failure: Option<(u32, Error)>,
    /// After how many tokens nothing more comes.
    stall: Option<u32>,
    /// After how many tokens it spins and never yields.
    spin: Option<u32>,
    model: String,
    output: ChatOutput,
    output_tokens: u64,
}

impl Play {
    pub(super) fn new(provider: &str, call: &Call, answer: Answer, directives: &Directives) -> Self {
        Self {
            answer,
            pace: directives.into(),
            began: Instant::now(),
            failure: directives.after_tokens.zip(directives.failure(provider)),
            stall: directives.stall_after_tokens,
            spin: directives.spin_after_tokens,
            model: call.model.clone(),
            output: ChatOutput::default(),
            output_tokens: 0,
        }
    }

    /// Started, every delta, and the end.
    pub(super) fn streamed(self) -> impl Stream<Item = Result<Progress, Error>> + Send {
        // Boxed, so that a step moves a pointer and not the answer. `None` stands for the start.
        stream::unfold((Box::new(self), false), async |(mut play, started)| {
            let progress = if started { play.next().await } else { Ok(Progress::Started) };
            Some((progress, (play, true)))
        })
    }

    /// Only the end, at the time when a stream would come to it.
    pub(super) async fn whole(mut self) -> Result<Progress, Error> {
        loop {
            match self.next().await {
                Ok(Progress::Started | Progress::Delta(_)) => {}
                end => return end,
            }
        }
    }

    async fn next(&mut self) -> Result<Progress, Error> {
        let Some(Step { position, delta }) = self.answer.next() else {
            // A failure or stall that is set beyond the last token happens now.
            self.meet(u32::MAX).await?;
            return Ok(Progress::Finished(Box::new(self.finished())));
        };
        self.wait(position).await;
        self.meet(position).await?;
        self.output.absorb(&delta);
        self.output_tokens += u64::from(delta.finish_reason.is_none());
        Ok(Progress::Delta(delta))
    }

    /// Waits until the token at `position` is due. Counted from the beginning, so that delays do not add up.
    async fn wait(&self, position: u32) {
        let delay = self.pace.first_token + self.pace.per_token * position;
        if delay > Duration::ZERO {
            sleep_until(self.began + delay).await;
        }
    }

    /// Fails, stalls or spins, if that is due by now.
    async fn meet(&mut self, position: u32) -> Result<(), Error> {
        while self.spin.is_some_and(|spin| position >= spin) {
            hint::spin_loop();
        }
        if self.stall.is_some_and(|stall| position >= stall) {
            future::pending::<()>().await;
        }
        match self.failure.take_if(|(after, _)| position >= *after) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    fn finished(&mut self) -> Finished {
        let usage = Usage {
            input_tokens: self.answer.input_tokens,
            output_tokens: self.output_tokens,
            ..Usage::default()
        };
        let output = Output::Chat(std::mem::take(&mut self.output));
        Finished { output, usage, model: std::mem::take(&mut self.model) }
    }
}
