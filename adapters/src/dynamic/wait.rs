//! Waits for the end of long work: polls its state, or listens for the provider's webhook, or both.
//!
//! If there are both, a webhook only says that it is time to poll: Dynode does not trust its content, since not every
//! provider signs. If there is no poll, the webhook is the reply.

use std::time::Duration;

use futures_util::{StreamExt, stream::BoxStream};
use reqwest::header::HeaderMap;
use schemas::ErrorCode;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{
    heard,
    job::{Job, words},
    outlet::Outlet,
    plan::{Poll, States, Webhook},
    template::Scope,
};
use crate::{Error, Progress, Remedy};

/// How many polls in a row may fail before the work is given up: a few lost packets are no reason to pay for it twice.
const POLL_FAILURES_MAX: u32 = 5;

/// The longest pause between two polls that failed.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The progress message of work whose webhook has not come.
const WAITING: &str = "waiting for its webhook";

/// The webhooks of one call.
type Told = BoxStream<'static, Value>;

impl Job {
    /// Waits until the work is done, and returns the reply that says so. The deadline and the engine's timers end what
    /// never does.
    pub(super) async fn wait(&self, submitted: Scope, outlet: &Outlet) -> Result<Scope, Error> {
        let scope = submitted.copied("reply", "submitted");
        let webhook =
            self.plan.webhook.as_ref().zip(self.webhook()).map(|(plan, place)| (plan, place.told()));
        match (&self.plan.poll, webhook) {
            (Some(poll), webhook) => self.ask(poll, webhook, scope, outlet).await,
            (None, Some((webhook, told))) => self.listen(webhook, told, scope, outlet).await,
            (None, None) => Ok(scope),
        }
    }

    /// Polls at once, and then repeatedly until the work is done.
    pub(super) async fn ask_now(&self, poll: &Poll, asking: Scope, outlet: &Outlet) -> Result<Scope, Error> {
        if let Ok((scope, state)) = self.state(poll, &asking).await
            && self.is_done(&poll.states, &scope, state, outlet).await?
        {
            return Ok(scope);
        }
        self.ask(poll, None, asking, outlet).await
    }

    /// Polls the state until the work is done; slowly, as long as a webhook may come.
    async fn ask(
        &self,
        poll: &Poll,
        mut webhook: Option<(&Webhook, Told)>,
        mut scope: Scope,
        outlet: &Outlet,
    ) -> Result<Scope, Error> {
        let asking = scope.clone();
        let mut failures = 0;
        // The first reply may hold the state already; if not, that is no fault.
        let mut state = poll.states.read(&scope).filter(|state| poll.states.know(state));
        loop {
            if let Some(state) = state.take()
                && self.is_done(&poll.states, &scope, state, outlet).await?
            {
                return Ok(scope);
            }
            let pause = poll.every.max(PAUSE_MAX.min(poll.every * 2_u32.pow(failures)));
            match &mut webhook {
                Some((plan, told)) => {
                    if timeout(pause.max(plan.every), told.next()).await.is_ok() {
                        // Time to poll. Polling finds whatever comes after this webhook.
                        webhook = None;
                    }
                }
                None => sleep(pause).await,
            }
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

    /// Listens for webhooks until the work is done.
    async fn listen(
        &self,
        webhook: &Webhook,
        mut told: Told,
        submitted: Scope,
        outlet: &Outlet,
    ) -> Result<Scope, Error> {
        if let Some(states) = &webhook.states
            && let Some(state) = states.read(&submitted).filter(|state| states.know(state))
            && self.is_done(states, &submitted, state, outlet).await?
        {
            return Ok(submitted);
        }
        loop {
            let Ok(reply) = timeout(webhook.every, told.next()).await else {
                outlet.give(Progress::Moved { fraction: None, message: Some(WAITING.to_owned()) }).await;
                continue;
            };
            let reply = reply.ok_or_else(|| self.provider.nonsense("told nothing of the work"))?;
            let scope = heard(&submitted, 200, &HeaderMap::new(), &reply);
            self.refuse(&scope, 200, &HeaderMap::new(), reply.to_string().as_bytes())?;
            let Some(states) = &webhook.states else { return Ok(scope) };
            let state = states.read(&scope).ok_or_else(|| self.stateless())?;
            if self.is_done(states, &scope, state, outlet).await? {
                return Ok(scope);
            }
        }
    }

    /// Whether `state` is the end of work that went well. If the work goes on, reports its progress.
    pub(super) async fn is_done(
        &self,
        states: &States,
        scope: &Scope,
        state: String,
        outlet: &Outlet,
    ) -> Result<bool, Error> {
        if states.done.contains(&state) {
            return Ok(true);
        }
        if states.failed.contains(&state) {
            return Err(self.failed(scope, &state));
        }
        if !states.pending.contains(&state) {
            return Err(self.unknown_state(&state));
        }
        outlet.give(states.moved(scope, state)).await;
        Ok(false)
    }

    pub(super) async fn state(&self, poll: &Poll, scope: &Scope) -> Result<(Scope, String), Error> {
        let response = self.provider.send(&poll.request, scope, &self.call).await?;
        let scope = self.hear(scope, response).await?;
        match poll.states.read(&scope) {
            Some(state) => Ok((scope, state)),
            None => Err(self.stateless()),
        }
    }

    fn stateless(&self) -> Error {
        self.provider.nonsense("reported no state of the work")
    }

    fn failed(&self, scope: &Scope, state: &str) -> Error {
        let endpoint = &self.provider.endpoint;
        let why = match self.provider.program.errors.words(scope) {
            Some(words) => endpoint.quote(&format!("the work ended as `{state}`: {words}")),
            None => endpoint.quote(&format!("the work ended as `{state}`")),
        };
        Error::new(&endpoint.name, ErrorCode::ProviderError, Remedy::FallBack, why)
    }

    /// Not retried: the work may go on at the provider, and a second attempt would cost as much again.
    fn unknown_state(&self, state: &str) -> Error {
        let endpoint = &self.provider.endpoint;
        let why = format!(
            "reported a state that its file does not name: `{state}`; add it to pending, done or failed"
        );
        Error::new(&endpoint.name, ErrorCode::ProviderError, Remedy::FallBack, endpoint.quote(&why))
    }
}

impl States {
    /// The state that a reply reports.
    fn read(&self, scope: &Scope) -> Option<String> {
        match self.state.render(scope).ok()? {
            Value::String(state) if !state.is_empty() => Some(state),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            _ => None,
        }
    }

    fn know(&self, state: &String) -> bool {
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
