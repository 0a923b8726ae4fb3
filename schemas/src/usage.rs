//! Sums over the ledger: what was used and spent, by whom, for what, where and when. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Action, Error, KeyId, LedgerEntry, LedgerLine, Parents, RequestId, Tenant, Usage};

/// What sums can be grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dimension {
    /// The hour, in UTC, in which the request's last call ended.
    Hour,
    /// The organisation of its tenant, according to the configuration.
    Organisation,
    /// The instance within that.
    Instance,
    /// The project within that.
    Project,
    /// The tenant whose request it was.
    Tenant,
    /// The API key with which it came in.
    Key,
    /// Its session.
    Session,
    /// Its action.
    Action,
    /// The provider that was called.
    Provider,
    /// The model that was called.
    Model,
}

impl Dimension {
    /// Every dimension, in the order in which rows are sorted.
    pub const ALL: [Self; 10] = [
        Self::Hour,
        Self::Organisation,
        Self::Instance,
        Self::Project,
        Self::Tenant,
        Self::Key,
        Self::Session,
        Self::Action,
        Self::Provider,
        Self::Model,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Organisation => "organisation",
            Self::Instance => "instance",
            Self::Project => "project",
            Self::Tenant => "tenant",
            Self::Key => "key",
            Self::Session => "session",
            Self::Action => "action",
            Self::Provider => "provider",
            Self::Model => "model",
        }
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Dimension {
    type Err = Error;

    /// Reads a name; the error lists the known ones.
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|dimension| dimension.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            Error::invalid("by", format!("`{}` is none of {known}", text.escape_debug()))
        })
    }
}

/// What a row is about. It has each dimension that was asked for, except the session or key of requests that have none,
/// and parents that a tenant does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct UsageKey {
    /// The beginning of the hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hour: Option<Timestamp>,
    /// The organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// The instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The lookup id of the API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// The session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<RequestId>,
    /// The action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// The configured name of the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// A sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UsageSum {
    /// The requests. If providers or models are distinguished, a request that failed over from one to another counts in
    /// the rows of both; everything else adds up.
    pub requests: u64,
    /// The calls.
    pub calls: u64,
    /// The calls that used something without a known price.
    pub unpriced_calls: u64,
    /// What was used; `estimated` if part of it is an estimate.
    pub usage: Usage,
    /// What it cost, in US dollars, as far as prices are known.
    pub cost_usd: f64,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UsageRow {
    /// What it is about.
    #[serde(flatten)]
    pub key: UsageKey,
    /// Its sum.
    #[serde(flatten)]
    pub sum: UsageSum,
}

/// The answer of `GET /v1/usage`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UsageReport {
    /// `list`.
    pub object: String,
    /// The start of the period that is summed.
    pub since: Timestamp,
    /// Its end, exclusive; if absent, the period runs up to now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What the rows are grouped by.
    pub by: Vec<Dimension>,
    /// The rows, sorted.
    pub data: Vec<UsageRow>,
    /// The sum over everything.
    pub total: UsageSum,
}

/// Sums that grow entry by entry; they take as much memory as their rows.
#[derive(Debug, Clone)]
pub struct Sums {
    by: BTreeSet<Dimension>,
    since: Timestamp,
    until: Option<Timestamp>,
    rows: BTreeMap<UsageKey, UsageSum>,
    total: UsageSum,
    parents: BTreeMap<Tenant, Parents>,
}

impl Sums {
    /// No sums yet: entries from `since` on and before `until` will be grouped `by` these dimensions.
    pub fn new(by: impl IntoIterator<Item = Dimension>, since: Timestamp, until: Option<Timestamp>) -> Self {
        let by = by.into_iter().collect();
        let (rows, total, parents) = (BTreeMap::new(), UsageSum::default(), BTreeMap::new());
        Self { by, since, until, rows, total, parents }
    }

    /// The same, with the parents of tenants known.
    pub fn of_parents(self, parents: BTreeMap<Tenant, Parents>) -> Self {
        Self { parents, ..self }
    }

    /// Adds an entry; ignores it if it is outside the period.
    pub fn add(&mut self, entry: &LedgerEntry) {
        if entry.at < self.since || self.until.is_some_and(|until| entry.at >= until) {
            return;
        }
        self.total.requests += 1;
        let mut told = BTreeSet::new();
        for line in &entry.lines {
            let key = self.key(entry, line);
            let row = self.rows.entry(key.clone()).or_default();
            row.requests += u64::from(told.insert(key));
            row.add(line);
            self.total.add(line);
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The report of all sums.
    pub fn report(self) -> UsageReport {
        let Self { by, since, until, rows, total, .. } = self;
        UsageReport {
            object: "list".into(),
            since,
            until,
            by: by.into_iter().collect(),
            data: rows.into_iter().map(|(key, sum)| UsageRow { key, sum }).collect(),
            total,
        }
    }

    fn key(&self, entry: &LedgerEntry, line: &LedgerLine) -> UsageKey {
        let asked = |dimension| self.by.contains(&dimension);
        let parents = self.parents.get(&entry.tenant);
        let parent = |dimension, of: fn(&Parents) -> &Option<String>| {
            parents.filter(|_| asked(dimension)).and_then(|parents| of(parents).clone())
        };
        UsageKey {
            hour: asked(Dimension::Hour).then(|| hour_of(entry.at)),
            organisation: parent(Dimension::Organisation, |parents| &parents.organisation),
            instance: parent(Dimension::Instance, |parents| &parents.instance),
            project: parent(Dimension::Project, |parents| &parents.project),
            key: entry.key.clone().filter(|_| asked(Dimension::Key)),
            tenant: asked(Dimension::Tenant).then(|| entry.tenant.clone()),
            session: entry.session.clone().filter(|_| asked(Dimension::Session)),
            action: asked(Dimension::Action).then_some(entry.action),
            provider: asked(Dimension::Provider).then(|| line.provider.clone()),
            model: asked(Dimension::Model).then(|| line.model.clone()),
        }
    }
}

impl UsageSum {
    fn add(&mut self, line: &LedgerLine) {
        self.calls += 1;
        self.unpriced_calls += u64::from(line.is_unpriced());
        self.usage = self.usage.plus(&line.usage);
        self.cost_usd += line.cost_usd.unwrap_or(0.0);
    }
}

/// The start of the hour in which `at` lies.
fn hour_of(at: Timestamp) -> Timestamp {
    let down = TimestampRound::new().smallest(Unit::Hour).mode(RoundMode::Floor);
    // Hours divide all representable time: this never fails.
    at.round(down).unwrap_or(at)
}

#[cfg(test)]
mod tests;
