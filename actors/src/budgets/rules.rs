//! The configured budgets, their owners, and the periods that they cover. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::{Timestamp, ToSpan, civil::DateTime, tz::TimeZone};
use schemas::{KeyBudget, KeyId, Parents, Per, SentBy, Tenant};
use serde::Deserialize;

use super::money::Money;

/// Stands for each tenant that has no budget of its own.
const EACH: &str = "*";

/// One `[[budgets]]` entry: of a tenant, or of an organisation.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetConfig {
    /// Its owner: a tenant, or `*` for each tenant that has none of its own for such a period.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Or its owner: all tenants of an organisation together.
    #[serde(default)]
    pub organisation: Option<String>,
    /// Of these, only those of an instance.
    #[serde(default)]
    pub instance: Option<String>,
    /// Of these, only those of a project.
    #[serde(default)]
    pub project: Option<String>,
    /// The period that it covers.
    pub per: Per,
    /// The most that may be spent, in US dollars.
    pub usd: f64,
    /// The share of it from which the engine warns.
    #[serde(default = "default_warn_at")]
    pub warn_at: f64,
}

const fn default_warn_at() -> f64 {
    0.8
}

/// A budget is invalid: `path` is the key, `why` how to fix it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct BadBudget {
    /// The key.
    pub path: String,
    /// What is wrong and how to fix it.
    pub why: String,
}

/// Who owns a budget.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// A tenant.
    Tenant(Tenant),
    /// A key of a tenant.
    Key(Tenant, KeyId),
    /// All tenants that have these parents.
    Parents(Parents),
}

impl Owner {
    /// The prefix of the names of its books.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Tenant(tenant) => format!("tenant.{tenant}"),
            Self::Key(tenant, key) => format!("key.{tenant}.{key}"),
            Self::Parents(parents) => {
                let names = parents.named().map(|(_, name)| name.map_or_else(|| "=".to_owned(), token));
                format!("parents.{}", names.collect::<Vec<_>>().join("."))
            }
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(tenant) => write!(f, "`{tenant}`"),
            Self::Key(_, key) => write!(f, "the API key `{key}`"),
            Self::Parents(parents) => write!(f, "{parents}"),
        }
    }
}

/// Any name as a token between the dots of a key in the broker; no other name gives the same token.
fn token(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let escaped =
        |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("={byte:02x}") };
    name.bytes().map(escaped).collect()
}

/// One budget of one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) per: Per,
    pub(super) limit: Money,
    pub(super) warn_from: Money,
}

/// From `start` to `end`, the end not included.
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
    of_parents: Vec<(Parents, Budget)>,
    /// The parents of each tenant.
    parents: BTreeMap<Tenant, Parents>,
}

impl BudgetConfig {
    /// Checks all budgets, given the `parents` of tenants; the first fault is the error.
    pub fn check(all: &[Self], parents: &BTreeMap<Tenant, Parents>) -> Result<(), BadBudget> {
        let mut seen = BTreeSet::new();
        for (index, budget) in all.iter().enumerate() {
            let fault =
                |key: &str, why: String| Err(BadBudget { path: format!("budgets[{index}].{key}"), why });
            if let Err((key, why)) = budget.check_whose(parents) {
                return fault(key, why);
            }
            if !budget.usd.is_finite() || budget.usd <= 0.0 {
                return fault("usd", "expected an amount of US dollars, more than 0".to_owned());
            }
            if !(budget.warn_at > 0.0 && budget.warn_at <= 1.0) {
                return fault("warn_at", "expected a share, more than 0 and at most 1".to_owned());
            }
            if !seen.insert((&budget.tenant, budget.parents(), budget.per)) {
                let whose = match &budget.tenant {
                    Some(tenant) => format!("`{tenant}`"),
                    None => budget.parents().to_string(),
                };
                return fault("per", format!("{whose} has a budget per {} already", budget.per.as_str()));
            }
        }
        Ok(())
    }

    fn check_whose(&self, all: &BTreeMap<Tenant, Parents>) -> Result<(), (&'static str, String)> {
        let parents = self.parents();
        let Some(tenant) = &self.tenant else {
            let is_known = all.values().any(|of| parents.include(of));
            return match &self.organisation {
                None => {
                    Err(("tenant", "expected a tenant, `*` for each tenant, or an `organisation`".to_owned()))
                }
                Some(_) if is_known => Ok(()),
                Some(_) => Err(("organisation", format!("no tenant in [tenants] belongs to {parents}"))),
            };
        };
        if parents != Parents::default() {
            return Err((
                "tenant",
                "is named beside an organisation, instance or project: leave one out".to_owned(),
            ));
        }
        match Tenant::new(tenant) {
            Err(error) if tenant != EACH => Err(("tenant", format!("{error}; or `*` for each tenant"))),
            _ => Ok(()),
        }
    }

    fn parents(&self) -> Parents {
        Parents {
            organisation: self.organisation.clone(),
            instance: self.instance.clone(),
            project: self.project.clone(),
        }
    }
}

impl Period {
    /// The period that `now` is in.
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
    pub(super) fn new(all: &[BudgetConfig], parents: BTreeMap<Tenant, Parents>) -> Self {
        let mut rules = Self { parents, ..Self::default() };
        for config in all {
            let BudgetConfig { ref tenant, per, usd, warn_at, .. } = *config;
            let budget = Budget { per, limit: Money::of_usd(usd), warn_from: Money::of_usd(usd * warn_at) };
            match tenant.as_deref() {
                None => rules.of_parents.push((config.parents(), budget)),
                Some(EACH) => rules.each.push(budget),
                Some(tenant) => rules.by_tenant.entry(tenant.to_owned()).or_default().push(budget),
            }
        }
        rules
    }

    /// The budgets that `tenant` falls under: all of them hold.
    pub(super) fn of(&self, tenant: &Tenant) -> impl Iterator<Item = (Owner, Budget)> {
        let own = self.by_tenant.get(tenant.as_str()).map_or(&[][..], Vec::as_slice);
        let has_own = |per| own.iter().any(|budget| budget.per == per);
        let own = own.iter().chain(self.each.iter().filter(move |budget| !has_own(budget.per)));
        let own = own.map(|budget| (Owner::Tenant(tenant.clone()), *budget));
        let parents = self.parents.get(tenant);
        let shared = self.of_parents.iter().filter(move |(of, _)| parents.is_some_and(|its| of.include(its)));
        own.chain(shared.map(|(of, budget)| (Owner::Parents(of.clone()), *budget)))
    }

    /// The budgets that a call falls under: all of its tenant's, and its key's.
    pub(super) fn over<'a>(
        &'a self,
        tenant: &'a Tenant,
        sent_by: Option<&'a SentBy>,
    ) -> impl Iterator<Item = (Owner, Budget)> {
        let of_key = sent_by.and_then(|sent_by| {
            let budget = sent_by.budget.filter(KeyBudget::is_sound)?;
            Some((Owner::Key(tenant.clone(), sent_by.key.clone()), Budget::from(budget)))
        });
        self.of(tenant).chain(of_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(tenant: &str, per: Per, usd: f64) -> BudgetConfig {
        let tenant = Some(tenant.to_owned());
        BudgetConfig { tenant, organisation: None, instance: None, project: None, per, usd, warn_at: 0.8 }
    }

    fn shared(organisation: &str, instance: Option<&str>, usd: f64) -> BudgetConfig {
        let (organisation, instance) = (Some(organisation.to_owned()), instance.map(str::to_owned));
        BudgetConfig { tenant: None, organisation, instance, ..config("", Per::Day, usd) }
    }

    fn name(tenant: &str) -> Tenant {
        Tenant::new(tenant).unwrap()
    }

    fn known() -> BTreeMap<Tenant, Parents> {
        let of = |instance: &str| Parents {
            organisation: Some("Acme & Co.".to_owned()),
            instance: Some(instance.to_owned()),
            project: None,
        };
        [(name("a"), of("live")), (name("b"), of("staging"))].into()
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
        BudgetConfig::check(&all, &known()).unwrap();
        let rules = Rules::new(&all, known());
        let of = |tenant| rules.of(&name(tenant)).map(|(_, budget)| budget.limit.usd()).collect::<Vec<_>>();
        assert_eq!(of("acme"), [2.0, 3.0, 4.0]);
        assert_eq!(of("other"), [1.0, 4.0]);
    }

    #[test]
    fn a_tenant_falls_under_the_budgets_of_those_that_it_is_of_as_well() {
        let all = [
            shared("Acme & Co.", None, 5.0),
            config("a", Per::Day, 1.0),
            shared("Acme & Co.", Some("live"), 2.0),
        ];
        BudgetConfig::check(&all, &known()).unwrap();
        let rules = Rules::new(&all, known());
        let of = |tenant: &str| {
            rules
                .of(&name(tenant))
                .map(|(owner, budget)| (owner.name(), budget.limit.usd()))
                .collect::<Vec<_>>()
        };
        let (whole, live) = ("parents.Acme=20=26=20Co=2e.=.=", "parents.Acme=20=26=20Co=2e.live.=");
        let expected =
            [("tenant.a", 1.0), (whole, 5.0), (live, 2.0)].map(|(name, usd)| (name.to_owned(), usd));
        assert_eq!(of("a"), expected);
        assert_eq!(of("b"), [(whole.to_owned(), 5.0)]);
        assert!(of("c").is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let ok = config("acme", Per::Day, 1.0);
        let rows = [
            (BudgetConfig { tenant: Some("a.b".into()), ..ok.clone() }, "budgets[1].tenant: `a.b` is not"),
            (BudgetConfig { tenant: None, ..ok.clone() }, "budgets[1].tenant: expected a tenant"),
            (BudgetConfig { project: Some("x".into()), ..ok.clone() }, "budgets[1].tenant: is named beside"),
            (
                shared("Acme", None, 1.0),
                "budgets[1].organisation: no tenant in [tenants] belongs to the organisation",
            ),
            (BudgetConfig { usd: 0.0, ..ok.clone() }, "budgets[1].usd: expected an amount"),
            (BudgetConfig { usd: f64::NAN, ..ok.clone() }, "budgets[1].usd: expected an amount"),
            (BudgetConfig { warn_at: 1.5, ..ok.clone() }, "budgets[1].warn_at: expected a share"),
            (ok.clone(), "budgets[1].per: `acme` has a budget per day already"),
        ];
        for (wrong, why) in rows {
            let fault = BudgetConfig::check(&[ok.clone(), wrong], &known()).unwrap_err().to_string();
            assert!(fault.starts_with(why), "{fault}");
        }
    }
}
