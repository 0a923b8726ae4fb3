//! What a request would cost and who would be asked, by the router that plans it. Asks nobody and sends nothing.

use std::{fmt, sync::Arc};

use adapters::Registry;
use parking_lot::RwLock;
use schemas::{Action, Error, Estimate, Request, Tenant};

use crate::{
    RuleConfig, Waterfalls,
    classifier::{BadRule, Router, Rules},
    form::Form,
    measured::Measured,
};

/// Estimates by the configuration as it is now. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Estimator(Arc<RwLock<Arc<Judge>>>);

struct Judge {
    rules: Rules,
    router: Router,
}

impl Estimator {
    /// Decides `auto` by `rules`, and chooses among the models of `registry`, down the `waterfalls`. Nothing is measured
    /// here: where a request prefers the quickest, the order is that of the configuration.
    pub fn new(
        rules: &[RuleConfig],
        registry: Arc<Registry>,
        waterfalls: Waterfalls,
    ) -> Result<Self, BadRule> {
        let router = Router::new(registry, waterfalls, Arc::new(Measured::default()));
        Ok(Self(Arc::new(RwLock::new(Arc::new(Judge { rules: Rules::new(rules)?, router })))))
    }

    /// From now on it estimates as `other` does.
    pub fn replace(&self, other: &Self) {
        let judge = Arc::clone(&other.0.read());
        *self.0.write() = judge;
    }

    /// What `request` of `tenant` would cost. The error is that with which it would be refused, but that a model which
    /// lacks something is told as left out.
    pub fn estimate(&self, tenant: &Tenant, mut request: Request) -> Result<Estimate, Error> {
        let judge = Arc::clone(&self.0.read());
        if request.action == Action::Auto {
            request.action = judge.rules.decide(&request.payload)?;
        }
        request.check()?;
        Form::of(request.action, &request.payload)?;
        judge.router.estimate(tenant, &request)
    }
}

impl Estimator {
    /// The least that `request` of `tenant` must be allowed to cost, in US dollars: what the cheapest of the models costs at most
    /// that may be asked. None where one of them has no price, or where nobody can be asked: why is told later.
    ///
    /// # Errors
    /// That nobody is left whose call may cost no more than `route.max_cost_usd`.
    pub fn least_cost(&self, tenant: &Tenant, request: &Request) -> Result<Option<f64>, Error> {
        let judge = Arc::clone(&self.0.read());
        if request.action != Action::Auto {
            return judge.router.least_cost(tenant, request);
        }
        let Ok(action) = judge.rules.decide(&request.payload) else { return Ok(None) };
        judge.router.least_cost(tenant, &Request { action, ..request.clone() })
    }
}

impl fmt::Debug for Estimator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Estimator").finish()
    }
}
