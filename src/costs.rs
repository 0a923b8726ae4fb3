//! The cost check of the doors: refuses a request if no model can serve it within its `max_cost_usd`, or if a budget
//! does not allow it. The exact check happens when a call starts; this one only rejects early.

use std::sync::Arc;

use actors::{Planner, budgets::Remaining};
use futures_util::{FutureExt, future::ready};
use gateway::CostCheck;
use schemas::{Request, Tenant};

/// Checks against the prices that `planner` knows and the budgets that `remaining` tracks.
pub(crate) fn check(planner: Planner, remaining: Arc<Remaining>) -> CostCheck {
    Arc::new(move |tenant: &Tenant, request: &Request| {
        let is_bounded = remaining.is_bounded(tenant, request.sent_by.as_ref());
        if !is_bounded && request.route.max_cost_usd.is_none() {
            return ready(Ok(())).boxed();
        }
        let least = match planner.least_cost(tenant, request) {
            Ok(Some(least)) if is_bounded => least,
            other => return ready(other.map(drop)).boxed(),
        };
        let (remaining, tenant, sent_by) = (Arc::clone(&remaining), tenant.clone(), request.sent_by.clone());
        async move { remaining.check(&tenant, sent_by.as_ref(), least).await }.boxed()
    })
}
