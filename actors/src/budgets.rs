//! Decides what tenants, keys and organisations may spend: each call holds the most that it may cost before it starts,
//! and spends what it did cost when it has ended. So the calls that have started never cost more together than was
//! expected of them and the budget allows, however many start at once on however many engines.
//!
//! | file | what it holds |
//! |---|---|
//! | `rules` | which budgets there are, and their periods |
//! | `account` | one budget in one period, as this engine has it |
//! | `purse` | this engine's part of it, which pays for calls |
//! | `book` | what all engines have spent and reserved of it |
//! | `remaining` | what is left, so that doors refuse what will not be allowed |
//! | `store` | the books in the broker |
//! | `money` | amounts |
//!
//! A tenant without a budget costs nothing here, nor does a model without a price.

mod account;
mod book;
mod money;
mod purse;
mod remaining;
mod rules;
mod store;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use broker::Seams;
use futures_util::future::join_all;
use jiff::Timestamp;
use parking_lot::Mutex;
use schemas::{Error, Parents, Per, SentBy, Tenant};
use tokio::time::{self, MissedTickBehavior, sleep};
use tracing::{debug, warn};

use crate::{metrics::Metrics, outbox::Outbox};
use account::{Account, Reason};
use money::Money;
pub use remaining::Remaining;
pub(crate) use rules::Owner;
pub use rules::{BadBudget, BudgetConfig};
use rules::{Budget, Period, Rules};
use store::Store;

/// How often an engine writes down what was spent, and gives back what was not needed.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// How long to wait before asking again a broker that did not say what is left.
const PAUSE: Duration = Duration::from_millis(500);

/// The budgets of all tenants.
#[derive(Debug)]
pub struct Budgets {
    rules: Rules,
    store: Store,
    node: String,
    seams: Seams,
    metrics: Arc<Metrics>,
    /// By owner, period and its beginning.
    accounts: Mutex<BTreeMap<(Owner, Per, Timestamp), Arc<Account>>>,
}

/// The money held for one call in each budget that it falls under. Dropped before the call has begun, all of it comes
/// back; after that, all of it is spent, since nobody can tell what the call has cost.
#[derive(Debug, Default)]
pub struct Hold {
    accounts: Vec<(Arc<Account>, Money)>,
    has_begun: bool,
}

impl Budgets {
    /// The budgets that `rules` set for tenants with these `parents`, for the engine `node`.
    pub fn new(
        rules: &[BudgetConfig],
        parents: BTreeMap<Tenant, Parents>,
        outbox: &Outbox,
        node: String,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (rules, seams) = (Rules::new(rules, parents), outbox.seams().clone());
        let store = Store::new(outbox.broker(), outbox.topology().budgets.clone());
        Self { rules, store, node, seams, metrics, accounts: Mutex::default() }
    }

    /// Holds `cost_usd` for a call that is to start, of `tenant` and by the key that sent its request. Fails with
    /// `budget_exceeded` if a budget does not allow it. Waits while the broker does not say what is left.
    pub async fn hold(
        &self,
        tenant: &Tenant,
        sent_by: Option<&SentBy>,
        cost_usd: f64,
    ) -> Result<Hold, Error> {
        let cost = Money::of_usd(cost_usd).max(Money::LEAST);
        let mut hold = Hold::default();
        for (owner, budget) in self.rules.over(tenant, sent_by) {
            loop {
                let account = self.account(&owner, budget);
                match account.hold(&self.store, cost).await {
                    Ok(()) => {
                        hold.accounts.push((account, cost));
                        break;
                    }
                    Err(Reason::Spent(shortage)) => {
                        self.metrics.budget_refused(&owner, budget.per.as_str());
                        return Err(account.refusal(cost, shortage, self.store.now()));
                    }
                    Err(Reason::Unknown(error)) => {
                        match error.is_transient() {
                            true => debug!(%error, %owner, "it is not known what is left of a budget"),
                            false => {
                                warn!(%error, %owner, "cannot read what is left of a budget; its calls wait")
                            }
                        }
                        sleep(PAUSE).await;
                    }
                }
            }
        }
        Ok(hold)
    }

    /// Writes down from time to time what was spent, until dropped. Without it, spent money stays reserved.
    pub async fn keep(&self) {
        let mut ticks = time::interval(TELL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tell(false).await;
        }
    }

    /// Writes down what was spent and gives back the rest: the engine ends. What could not be written stays reserved.
    pub async fn close(&self) {
        self.tell(true).await;
    }

    async fn tell(&self, gives_all: bool) {
        let accounts: Vec<_> = self.accounts.lock().values().cloned().collect();
        join_all(accounts.iter().map(async |account| {
            if let Err(error) = account.tell(&self.store, gives_all).await {
                debug!(%error, owner = %account.owner, "other engines do not hear what was spent of a budget");
            }
        }))
        .await;
        let now = self.store.now();
        for account in accounts {
            self.show(&account, now);
        }
        // Every hold takes its account from this map, so none can come in between.
        self.accounts.lock().retain(|_, account| {
            account.period.end > now || Arc::strong_count(account) > 1 || !account.is_told(now)
        });
    }

    /// A period that is over shows nothing spent, until the next one is shown.
    fn show(&self, account: &Account, now: Timestamp) {
        let Budget { per, limit, .. } = account.budget;
        let (owner, per) = (&account.owner, per.as_str());
        let is_over = account.period.end <= now;
        let spent = if is_over { Money::ZERO } else { account.spent() };
        self.metrics.budget(owner, per, spent.usd(), limit.usd());
        if !is_over && account.must_warn() {
            let (until, limit) = (account.period.end, limit.to_string());
            warn!(%owner, per, %spent, limit, %until, "a budget is nearly spent");
            self.metrics.budget_warned(owner, per);
        }
    }

    fn account(&self, owner: &Owner, budget: Budget) -> Arc<Account> {
        let period = Period::at(self.store.now(), budget.per);
        let open = || {
            let holder = format!("{}-{:x}", self.node, self.seams.random.next_u64());
            Arc::new(Account::new(owner.clone(), budget, period, holder))
        };
        let name = (owner.clone(), budget.per, period.start);
        Arc::clone(self.accounts.lock().entry(name).or_insert_with(open))
    }
}

impl Hold {
    /// The call begins: from here on it may cost something.
    pub fn begin(&mut self) {
        self.has_begun = true;
    }

    /// The call has ended and has cost `cost_usd`.
    pub fn settle(mut self, cost_usd: f64) {
        self.pay(|_| Money::of_usd(cost_usd));
    }

    fn pay(&mut self, cost: impl Fn(Money) -> Money) {
        for (account, held) in self.accounts.drain(..) {
            account.settle(held, cost(held));
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let has_begun = self.has_begun;
        self.pay(|held| if has_begun { held } else { Money::ZERO });
    }
}
