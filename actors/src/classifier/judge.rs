//! Decides what a request asks for, who does it and until when: all of classification that asks no broker. Pure but for
//! what was measured.

use std::{sync::Arc, time::Duration};

use adapters::{Registry, egress::Guard};
use jiff::Timestamp;
use reqwest::Url;
use schemas::{Action, Callback, Error, Request};

use super::{BadRule, Router, Rules};
use crate::{CallbackConfig, EngineConfig, RuleConfig, Waterfalls, form::Form, measured::Measured};

/// Judges by one configuration.
#[derive(Debug)]
pub struct Judge {
    rules: Rules,
    /// Chooses who does a request, once its action is decided.
    pub(crate) router: Router,
    /// Whether callbacks without a secret have a default one.
    can_sign: bool,
    /// Where callbacks may go.
    guard: Guard,
    default_deadline_ms: u64,
}

impl Judge {
    /// Decides `auto` by `rules`, and chooses among the models of `registry`, down the `waterfalls`, by what was
    /// `measured`.
    pub fn new(
        (engine, rules, callbacks): (&EngineConfig, &[RuleConfig], &CallbackConfig),
        registry: Arc<Registry>,
        waterfalls: Waterfalls,
        measured: Arc<Measured>,
    ) -> Result<Self, BadRule> {
        Ok(Self {
            rules: Rules::new(rules)?,
            router: Router::new(registry, waterfalls, measured),
            can_sign: callbacks.default_secret.is_some(),
            guard: callbacks.guard(),
            default_deadline_ms: engine.default_deadline_ms,
        })
    }

    /// What is asked for; the error says that no rule fits.
    pub(crate) fn action(&self, request: &Request) -> Result<Action, Error> {
        match request.action {
            Action::Auto => self.rules.decide(&request.payload),
            named => Ok(named),
        }
    }

    /// Checks a request whose action is decided; the error names the field by its path.
    pub(crate) fn check(&self, request: &Request) -> Result<(), Error> {
        request.callback.as_ref().map_or(Ok(()), |callback| self.check_callback(callback))?;
        request.check()?;
        Form::of(request.action, &request.payload).map(drop)
    }

    /// Whether anything could be sent to `callback`, as far as can be told without asking anybody: where a name leads
    /// shows when it is called.
    pub(crate) fn check_callback(&self, callback: &Callback) -> Result<(), Error> {
        if !self.can_sign && callback.secret.is_none() {
            let why = "is required: this server has no default key (`callbacks.default_secret`)";
            return Err(Error::invalid("callback.secret", why));
        }
        callback.check()?;
        let at_url = |why: String| Error::invalid("callback.url", why);
        let url = Url::parse(&callback.url).map_err(|error| at_url(error.to_string()))?;
        self.guard.check_literal(&url).map_err(at_url)
    }

    /// Until when the sender waits.
    pub(crate) fn deadline(&self, request: &Request, accepted_at: Timestamp) -> Timestamp {
        let wait = Duration::from_millis(request.deadline_ms.unwrap_or(self.default_deadline_ms));
        accepted_at.saturating_add(wait).unwrap_or(accepted_at)
    }
}
