//! Tells doors what is left of budgets, so that they refuse what no budget will allow before it waits in a queue.
//! Nothing is held here, and what others hold does not count: what a door lets pass may still be refused when its call
//! is to start.
//!
//! What is spent never becomes less within a period. So whatever a door refuses would be refused at its call too,
//! however old the door's figures are.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use broker::{Broker, Topology};
use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use schemas::{Error, ErrorCode, Parents, SentBy, Tenant, outcome::milliseconds};
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::{
    money::Money,
    rules::{Budget, BudgetConfig, Owner, Period, Rules},
    store::Store,
};
use crate::metrics::Metrics;

/// How long the last reading of a book is good enough: the engines write no more often.
const FRESH_FOR: Duration = Duration::from_secs(2);
/// A door waits no longer for the broker: the request goes on, and meets its budget later.
const PATIENCE: Duration = Duration::from_millis(500);
/// How many books to remember; beyond that, all are read anew.
const BOOKS_MAX: usize = 10_000;

/// The remains of all tenants' budgets, as doors see them.
#[derive(Debug)]
pub struct Remaining {
    rules: RwLock<Arc<Rules>>,
    store: Store,
    metrics: Arc<Metrics>,
    /// What each book had spent when it was last read.
    books: Mutex<BTreeMap<String, Seen>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    spent: Money,
    /// Until when it is not read again.
    until: Instant,
}

impl Remaining {
    /// Goes by `rules` and the books that the engines on `broker` keep; `parents` says which tenants belong to whom.
    pub fn new(
        rules: &[BudgetConfig],
        parents: BTreeMap<Tenant, Parents>,
        broker: Arc<dyn Broker>,
        topology: &Topology,
    ) -> Self {
        Self {
            rules: RwLock::new(Arc::new(Rules::new(rules, parents))),
            store: Store::new(broker, topology.budgets.clone()),
            metrics: Arc::default(),
            books: Mutex::default(),
        }
    }

    /// From now on these rules hold.
    pub fn replace(&self, rules: &[BudgetConfig], parents: BTreeMap<Tenant, Parents>) {
        *self.rules.write() = Arc::new(Rules::new(rules, parents));
    }

    /// Whether any budget covers what `tenant` sends by that key.
    pub fn is_bounded(&self, tenant: &Tenant, sent_by: Option<&SentBy>) -> bool {
        self.rules.read().over(tenant, sent_by).next().is_some()
    }

    /// Refuses a request that costs at least `cost_usd` if a budget leaves less.
    ///
    /// # Errors
    /// `budget_exceeded`.
    pub async fn check(&self, tenant: &Tenant, sent_by: Option<&SentBy>, cost_usd: f64) -> Result<(), Error> {
        let cost = Money::of_usd(cost_usd).max(Money::LEAST);
        let rules = Arc::clone(&self.rules.read());
        for (owner, budget) in rules.over(tenant, sent_by) {
            let now = self.store.now();
            let period = Period::at(now, budget.per);
            let spent = self.spent(&owner, budget, period).await;
            if spent.plus(cost) > budget.limit {
                self.metrics.budget_refused(&owner, budget.per.as_str());
                return Err(refusal(&owner, budget, cost, spent, (now, period.end)));
            }
        }
        Ok(())
    }

    /// A lower bound of what is spent. One caller reads the book; those that come meanwhile go by the last reading.
    async fn spent(&self, owner: &Owner, budget: Budget, period: Period) -> Money {
        let name = budget.book(owner, period);
        let now = Instant::now();
        {
            let mut books = self.books.lock();
            if books.len() >= BOOKS_MAX && !books.contains_key(&name) {
                books.clear();
            }
            let seen = books.entry(name.clone()).or_insert(Seen { spent: Money::ZERO, until: now });
            if now < seen.until {
                return seen.spent;
            }
            seen.until = now + FRESH_FOR;
        }
        match timeout(PATIENCE, self.store.read(&name)).await {
            Ok(Ok((book, _))) => {
                let spent = book.spent();
                let mut books = self.books.lock();
                let seen = books.entry(name).or_insert(Seen { spent, until: now + FRESH_FOR });
                seen.spent = seen.spent.max(spent);
                seen.spent
            }
            Ok(Err(error)) => {
                debug!(%error, %owner, "it is not known at the door what is left of a budget");
                Money::ZERO
            }
            Err(_) => Money::ZERO,
        }
    }
}

fn refusal(
    owner: &Owner,
    Budget { per, limit, .. }: Budget,
    cost: Money,
    spent: Money,
    (now, end): (Timestamp, Timestamp),
) -> Error {
    let per = per.as_str();
    let why = format!(
        "the budget of {owner} does not allow this request, which may cost {cost}: of {limit} a {per} {spent} are spent; \
         it begins anew at {end}"
    );
    Error::new(ErrorCode::BudgetExceeded, why).retry_after_ms(milliseconds(now, end))
}
