//! The tenants in the configuration: what they belong to, and the limits of each, and of all tenants of an organisation
//! together.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use parking_lot::RwLock;
use schemas::{CallerLimits, Parents, Tenant};
use serde::Deserialize;

use crate::quota::{NO_LIMIT, zero};

/// One `[tenants.NAME]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantConfig {
    /// The organisation to which it belongs.
    pub organisation: Option<String>,
    /// The instance within that.
    pub instance: Option<String>,
    /// The project within that.
    pub project: Option<String>,
    /// The maximum number of requests in a minute.
    pub requests_per_minute: Option<u32>,
    /// The maximum number of tokens in a minute.
    pub tokens_per_minute: Option<u32>,
    /// The maximum number of concurrent requests.
    pub concurrency: Option<u32>,
}

/// One `[[limits]]`: how much all tenants of an organisation, instance or project may ask for together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitConfig {
    /// The organisation.
    pub organisation: String,
    /// The instance within that; all of them if none is named.
    #[serde(default)]
    pub instance: Option<String>,
    /// The project within that; all of them if none is named.
    #[serde(default)]
    pub project: Option<String>,
    /// The maximum number of requests in a minute.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
    /// The maximum number of tokens in a minute.
    #[serde(default)]
    pub tokens_per_minute: Option<u32>,
    /// The maximum number of concurrent requests.
    #[serde(default)]
    pub concurrency: Option<u32>,
}

/// The configured tenants. Cheap to clone; all clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Tenants(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    tenants: BTreeMap<Tenant, TenantConfig>,
    limits: Vec<LimitConfig>,
}

/// Who may have limits besides a single key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Group {
    /// All keys of a tenant.
    Tenant(Tenant),
    /// All tenants with these parents.
    Parents(Parents),
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(tenant) => write!(f, "the tenant `{tenant}`"),
            Self::Parents(parents) => write!(f, "{parents}"),
        }
    }
}

impl TenantConfig {
    /// Checks all tenants; the error holds the place and what is wrong there.
    pub fn check(all: &BTreeMap<Tenant, Self>) -> Result<(), (String, String)> {
        let fault = |(name, tenant): (&Tenant, &Self)| {
            let field = zero(&tenant.limits())?;
            Some((format!("tenants.{name}.{field}"), NO_LIMIT.to_owned()))
        };
        all.iter().find_map(fault).map_or(Ok(()), Err)
    }

    const fn limits(&self) -> CallerLimits {
        CallerLimits {
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
            concurrency: self.concurrency,
        }
    }

    /// What the tenant belongs to.
    pub fn parents(&self) -> Parents {
        Parents {
            organisation: self.organisation.clone(),
            instance: self.instance.clone(),
            project: self.project.clone(),
        }
    }
}

impl LimitConfig {
    /// Checks all limits, given these `tenants`; the error holds the place and what is wrong there.
    pub fn check(all: &[Self], tenants: &BTreeMap<Tenant, TenantConfig>) -> Result<(), (String, String)> {
        let mut seen = BTreeSet::new();
        for (index, limit) in all.iter().enumerate() {
            let fault = |field: &str, why: String| Err((format!("limits[{index}].{field}"), why));
            let (parents, limits) = (limit.parents(), limit.limits());
            if let Some(field) = zero(&limits) {
                return fault(field, NO_LIMIT.to_owned());
            }
            if limits == CallerLimits::NONE {
                let why = "nothing is limited: name requests_per_minute, tokens_per_minute or concurrency";
                return fault("organisation", why.to_owned());
            }
            if !tenants.values().any(|tenant| parents.include(&tenant.parents())) {
                return fault("organisation", format!("no tenant in [tenants] belongs to {parents}"));
            }
            if !seen.insert(parents.clone()) {
                return fault("organisation", format!("{parents} has its limits already"));
            }
        }
        Ok(())
    }

    const fn limits(&self) -> CallerLimits {
        CallerLimits {
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
            concurrency: self.concurrency,
        }
    }

    fn parents(&self) -> Parents {
        Parents {
            organisation: Some(self.organisation.clone()),
            instance: self.instance.clone(),
            project: self.project.clone(),
        }
    }
}

impl Tenants {
    /// These `tenants`, and the `limits` of their parents; both must have been checked.
    pub fn new(tenants: &BTreeMap<Tenant, TenantConfig>, limits: &[LimitConfig]) -> Self {
        let known = Self::default();
        known.replace(tenants, limits);
        known
    }

    /// Replaces all tenants and limits.
    pub fn replace(&self, tenants: &BTreeMap<Tenant, TenantConfig>, limits: &[LimitConfig]) {
        *self.0.write() = Known { tenants: tenants.clone(), limits: limits.to_vec() };
    }

    /// The limits of `tenant` and of each group to which it belongs; its own come first.
    pub(crate) fn limits(&self, tenant: &Tenant) -> Vec<(Group, CallerLimits)> {
        let known = self.0.read();
        let Some(config) = known.tenants.get(tenant) else { return Vec::new() };
        let own = Some(config.limits()).filter(|limits| *limits != CallerLimits::NONE);
        let mut limits: Vec<_> =
            own.map(|limits| (Group::Tenant(tenant.clone()), limits)).into_iter().collect();
        if !known.limits.is_empty() {
            let parents = config.parents();
            let of_parents = known.limits.iter().map(|limit| (limit.parents(), limit.limits()));
            let of_parents = of_parents.filter(|(group, _)| group.include(&parents));
            limits.extend(of_parents.map(|(group, limits)| (Group::Parents(group), limits)));
        }
        limits
    }

    /// What each tenant belongs to.
    pub(crate) fn parents(&self) -> BTreeMap<Tenant, Parents> {
        self.0.read().tenants.iter().map(|(name, tenant)| (name.clone(), tenant.parents())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(organisation: &str, instance: Option<&str>) -> LimitConfig {
        LimitConfig {
            organisation: organisation.to_owned(),
            instance: instance.map(str::to_owned),
            requests_per_minute: Some(7),
            ..LimitConfig::default()
        }
    }

    fn tenants() -> BTreeMap<Tenant, TenantConfig> {
        let of = |instance: &str| TenantConfig {
            organisation: Some("Acme".to_owned()),
            instance: Some(instance.to_owned()),
            ..TenantConfig::default()
        };
        let name = |name| Tenant::new(name).unwrap();
        [(name("a"), of("production")), (name("b"), of("staging")), (name("c"), TenantConfig::default())]
            .into()
    }

    #[test]
    fn a_tenant_falls_under_the_limits_of_those_that_it_is_of() {
        let known = Tenants::new(&tenants(), &[limit("Acme", Some("staging")), limit("Acme", None)]);
        let of = |tenant| {
            let limits = known.limits(&Tenant::new(tenant).unwrap());
            limits.iter().map(|(group, _)| group.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of("a"), ["the organisation `Acme`"]);
        assert_eq!(of("b"), ["the organisation `Acme`, instance `staging`", "the organisation `Acme`"]);
        assert!(of("c").is_empty() && of("d").is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let ok = limit("Acme", None);
        let rows = [
            (
                limit("Acne", None),
                "limits[1].organisation: no tenant in [tenants] belongs to the organisation `Acne`",
            ),
            (ok.clone(), "limits[1].organisation: the organisation `Acme` has its limits already"),
            (
                LimitConfig { concurrency: Some(0), ..limit("Acme", Some("staging")) },
                "limits[1].concurrency: ",
            ),
            (
                LimitConfig { requests_per_minute: None, ..limit("Acme", Some("staging")) },
                "limits[1].organisation: nothing is limited",
            ),
        ];
        for (wrong, why) in rows {
            let (path, what) = LimitConfig::check(&[ok.clone(), wrong], &tenants()).unwrap_err();
            let fault = format!("{path}: {what}");
            assert!(fault.starts_with(why), "{fault}");
        }
    }
}
