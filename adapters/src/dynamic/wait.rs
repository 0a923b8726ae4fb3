//! How the end of long work is waited for: its state is asked again and again.

use std::time::Duration;

use schemas::ErrorCode;
use serde_json::Value;
use tokio::time::sleep;

use super::{
    job::{Job, words},
    outlet::Outlet,
    plan::Poll,
    template::Scope,
};
use crate::{Error, Progress, Remedy};

/// How often in a row the state of work may not be had before the work is given up: a few lost packets are no reason to
/// pay for it twice.
const POLL_FAILURES_MAX: u32 = 5;

/// The longest pause between two questions that failed.
const PAUSE_MAX: Duration = Duration::from_secs(10);

impl Job {
    /// Asks for the state until the work is done. The deadline and the engine's clocks end what never does.
    pub(super) async fn wait(&self, poll: &Poll, submitted: Scope, outlet: &Outlet) -> Result<Scope, Error> {
        let mut scope = submitted.copied("reply", "submitted");
        let asking = scope.clone();
        let mut failures = 0;
        // The first reply may know the state already; where it does not, that is no fault.
        let mut state = poll.state(&scope).filter(|state| poll.knows(state));
        loop {
            if let Some(state) = state.take() {
                if poll.done.contains(&state) {
                    return Ok(scope);
                }
                if poll.failed.contains(&state) {
                    return Err(self.failed(&scope, &state));
                }
                if !poll.pending.contains(&state) {
                    return Err(self.unknown_state(&state));
                }
                outlet.give(poll.moved(&scope, state)).await;
            }
            sleep(poll.every.max(PAUSE_MAX.min(poll.every * 2_u32.pow(failures)))).await;
            match self.state(poll, &asking).await {
                Ok((heard, told)) => (scope, state, failures) = (heard, Some(told), 0),
                Err(error) => {
                    failures += 1;
                    if failures > POLL_FAILURES_MAX
                        || !matches!(error.remedy, Remedy::Throttle | Remedy::Retry)
                    {
                        return Err(error);
                    }
                    sleep(error.retry_after.unwrap_or(Duration::ZERO)).await;
                }
            }
        }
    }

    async fn state(&self, poll: &Poll, scope: &Scope) -> Result<(Scope, String), Error> {
        let response = self.provider.send(&poll.request, scope, &self.call).await?;
        let scope = self.hear(scope, response).await?;
        match poll.state(&scope) {
            Some(state) => Ok((scope, state)),
            None => Err(self.provider.nonsense("told no state of the work")),
        }
    }

    fn failed(&self, scope: &Scope, state: &str) -> Error {
        let endpoint = &self.provider.endpoint;
        let why = match self.provider.program.errors.words(scope) {
            Some(words) => endpoint.quote(&format!("the work ended as `{state}`: {words}")),
            None => endpoint.quote(&format!("the work ended as `{state}`")),
        };
        Error::new(&endpoint.name, ErrorCode::ProviderError, Remedy::FallBack, why)
    }

    /// Not to be tried again: the work may go on there, and a second one would be paid for as well.
    fn unknown_state(&self, state: &str) -> Error {
        let endpoint = &self.provider.endpoint;
        let why =
            format!("told a state that its file does not know: `{state}`; add it to pending, done or failed");
        Error::new(&endpoint.name, ErrorCode::ProviderError, Remedy::FallBack, endpoint.quote(&why))
    }
}

impl Poll {
    /// The state that a reply tells.
    fn state(&self, scope: &Scope) -> Option<String> {
        match self.state.render(scope).ok()? {
            Value::String(state) if !state.is_empty() => Some(state),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            _ => None,
        }
    }

    fn knows(&self, state: &String) -> bool {
        [&self.pending, &self.done, &self.failed].into_iter().any(|states| states.contains(state))
    }

    fn moved(&self, scope: &Scope, state: String) -> Progress {
        let fraction = self.fraction.as_ref().and_then(|fraction| fraction.render(scope).ok()?.as_f64());
        let message = self.message.as_ref().and_then(|message| message.render(scope).ok());
        let message = message.map(|message| words(&message)).filter(|message| !message.is_empty());
        Progress::Moved {
            fraction: fraction.map(|fraction| fraction.clamp(0.0, 1.0)),
            message: Some(message.unwrap_or(state)),
        }
    }
}
