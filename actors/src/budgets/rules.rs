//! Which budgets are configured, whose they are, and the periods that they hold for. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::{Timestamp, ToSpan, civil::DateTime, tz::TimeZone};
use schemas::{KeyBudget, KeyId, Per, SentBy, Tenant};
use serde::Deserialize;

use super::money::Money;

/// Stands for each tenant that has no budget of its own.
const EACH: &str = "*";

/// One `[[budgets]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetConfig {
    /// Whose it is: a tenant, or `*` for each tenant that has none of its own for such a period.
    pub tenant: String,
    /// What it holds for.
    pub per: Per,
    /// The most that may be spent, in US dollars.
    pub usd: f64,
    /// The share of it from which on it is warned.
    #[serde(default = "default_warn_at")]
    pub warn_at: f64,
}

const fn default_warn_at() -> f64 {
    0.8
}

/// A budget makes no sense: `path` is the key, `why` how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct BadBudget {
    /// The key.
    pub path: String,
    /// What is wrong and how to mend it.
    pub why: String,
}

/// Whose a budget is: a tenant's, or a key's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    pub(crate) tenant: String,
    pub(crate) key: Option<String>,
}

impl Owner {
    pub(super) fn tenant(tenant: &Tenant) -> Self {
        Self { tenant: tenant.to_string(), key: None }
    }

    pub(super) fn key(tenant: &Tenant, key: &KeyId) -> Self {
        Self { tenant: tenant.to_string(), key: Some(key.to_string()) }
    }

    /// The beginning of the names of its books.
    pub(super) fn name(&self) -> String {
        match &self.key {
            None => format!("tenant.{}", self.tenant),
            Some(key) => format!("key.{}.{key}", self.tenant),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            None => write!(f, "`{}`", self.tenant),
            Some(key) => write!(f, "the API key `{key}`"),
        }
    }
}

/// One budget of one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) per: Per,
    pub(super) limit: Money,
    pub(super) warn_from: Money,
}

/// From when to when, the end not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

/// All budgets.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    by_tenant: BTreeMap<String, Vec<Budget>>,
    each: Vec<Budget>,
}

impl BudgetConfig {
    /// Checks all; the first fault is the error.
    pub fn check(all: &[Self]) -> Result<(), BadBudget> {
        let mut seen = BTreeSet::new();
        for (index, budget) in all.iter().enumerate() {
            let fault =
                |key: &str, why: String| Err(BadBudget { path: format!("budgets[{index}].{key}"), why });
            if budget.tenant != EACH
                && let Err(error) = Tenant::new(&budget.tenant)
            {
                return fault("tenant", format!("{error}; or `*` for each tenant"));
            }
            if !budget.usd.is_finite() || budget.usd <= 0.0 {
                return fault("usd", "expected an amount of US dollars, more than 0".to_owned());
            }
            if !(budget.warn_at > 0.0 && budget.warn_at <= 1.0) {
                return fault("warn_at", "expected a share, more than 0 and at most 1".to_owned());
            }
            if !seen.insert((&budget.tenant, budget.per)) {
                let why = format!("`{}` has a budget per {} already", budget.tenant, budget.per.as_str());
                return fault("per", why);
            }
        }
        Ok(())
    }
}

impl Period {
    /// The one that `now` is in.
    pub(super) fn at(now: Timestamp, per: Per) -> Self {
        let now = TimeZone::UTC.to_datetime(now);
        let (start, span) = match per {
            Per::Hour => (now.date().at(now.hour(), 0, 0, 0), 1.hour()),
            Per::Day => (now.date().at(0, 0, 0, 0), 1.day()),
            Per::Month => (now.date().first_of_month().at(0, 0, 0, 0), 1.month()),
        };
        let end = start.checked_add(span).unwrap_or(DateTime::MAX);
        Self { start: instant(start), end: instant(end) }
    }
}

impl Budget {
    /// The key of its book in `period`.
    pub(super) fn book(&self, owner: &Owner, period: Period) -> String {
        format!("{}.{}.{}", owner.name(), self.per.as_str(), period.start.as_second())
    }
}

impl From<KeyBudget> for Budget {
    fn from(budget: KeyBudget) -> Self {
        let KeyBudget { usd, per } = budget;
        Self { per, limit: Money::of_usd(usd), warn_from: Money::of_usd(usd * default_warn_at()) }
    }
}

/// The last instants of the calendar are not reached.
fn instant(date: DateTime) -> Timestamp {
    TimeZone::UTC.to_timestamp(date).unwrap_or(Timestamp::MAX)
}

impl Rules {
    pub(super) fn new(all: &[BudgetConfig]) -> Self {
        let mut rules = Self::default();
        for config in all {
            let BudgetConfig { ref tenant, per, usd, warn_at } = *config;
            let (limit, warn_from) = (Money::of_usd(usd), Money::of_usd(usd * warn_at));
            let of_tenant = match &**tenant {
                EACH => &mut rules.each,
                tenant => rules.by_tenant.entry(tenant.to_owned()).or_default(),
            };
            of_tenant.push(Budget { per, limit, warn_from });
        }
        rules
    }

    /// The budgets of `tenant`: all of them hold.
    pub(super) fn of(&self, tenant: &str) -> impl Iterator<Item = Budget> {
        let own = self.by_tenant.get(tenant).map_or(&[][..], Vec::as_slice);
        let has_own = |per| own.iter().any(|budget| budget.per == per);
        own.iter().copied().chain(self.each.iter().copied().filter(move |budget| !has_own(budget.per)))
    }

    /// Those that a call falls under: all of its tenant's, and its key's.
    pub(super) fn over<'a>(
        &'a self,
        tenant: &'a Tenant,
        sent_by: Option<&'a SentBy>,
    ) -> impl Iterator<Item = (Owner, Budget)> {
        let of_key = sent_by.and_then(|sent_by| {
            let budget = sent_by.budget.filter(KeyBudget::is_sound)?;
            Some((Owner::key(tenant, &sent_by.key), Budget::from(budget)))
        });
        self.of(tenant.as_str()).map(|budget| (Owner::tenant(tenant), budget)).chain(of_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(tenant: &str, per: Per, usd: f64) -> BudgetConfig {
        BudgetConfig { tenant: tenant.to_owned(), per, usd, warn_at: 0.8 }
    }

    #[test]
    fn periods_are_those_of_the_calendar() {
        let now: Timestamp = "2026-12-31T23:59:59.5Z".parse().unwrap();
        let rows = [
            (Per::Hour, "2026-12-31T23:00:00Z"),
            (Per::Day, "2026-12-31T00:00:00Z"),
            (Per::Month, "2026-12-01T00:00:00Z"),
        ];
        for (per, start) in rows {
            let period = Period::at(now, per);
            assert_eq!(period.start, start.parse().unwrap(), "{per:?}");
            assert_eq!(period.end, "2027-01-01T00:00:00Z".parse().unwrap(), "{per:?}");
            assert_eq!(Period::at(period.end, per).start, period.end, "the end is not in it");
        }
        assert_eq!(Period::at(Timestamp::MAX, Per::Day).end, Timestamp::MAX, "however late it is");
    }

    #[test]
    fn a_budget_of_a_tenants_own_takes_the_place_of_that_of_each() {
        let all = [
            config("*", Per::Day, 1.0),
            config("acme", Per::Day, 2.0),
            config("acme", Per::Hour, 3.0),
            config("*", Per::Month, 4.0),
        ];
        BudgetConfig::check(&all).unwrap();
        let rules = Rules::new(&all);
        let of = |tenant| rules.of(tenant).map(|budget| budget.limit.usd()).collect::<Vec<_>>();
        assert_eq!(of("acme"), [2.0, 3.0, 4.0]);
        assert_eq!(of("other"), [1.0, 4.0]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let ok = config("acme", Per::Day, 1.0);
        let rows = [
            (BudgetConfig { tenant: "a.b".into(), ..ok.clone() }, "budgets[1].tenant: `a.b` is not"),
            (BudgetConfig { usd: 0.0, ..ok.clone() }, "budgets[1].usd: expected an amount"),
            (BudgetConfig { usd: f64::NAN, ..ok.clone() }, "budgets[1].usd: expected an amount"),
            (BudgetConfig { warn_at: 1.5, ..ok.clone() }, "budgets[1].warn_at: expected a share"),
            (ok.clone(), "budgets[1].per: `acme` has a budget per day already"),
        ];
        for (wrong, why) in rows {
            let fault = BudgetConfig::check(&[ok.clone(), wrong]).unwrap_err().to_string();
            assert!(fault.starts_with(why), "{fault}");
        }
    }
}
