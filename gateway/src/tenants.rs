//! What the configuration says of tenants: to whom they belong, and how much each may ask for.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;
use schemas::{CallerLimits, Parents, Tenant};
use serde::Deserialize;

use crate::quota::{NO_LIMIT, zero};

/// One `[tenants.NAME]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantConfig {
    /// The organisation that it is of.
    pub organisation: Option<String>,
    /// The instance within that.
    pub instance: Option<String>,
    /// The project within that.
    pub project: Option<String>,
    /// The most requests in a minute.
    pub requests_per_minute: Option<u32>,
    /// The most tokens in a minute.
    pub tokens_per_minute: Option<u32>,
    /// The most requests at once.
    pub concurrency: Option<u32>,
}

/// The tenants of the configuration. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Tenants(Arc<RwLock<BTreeMap<Tenant, TenantConfig>>>);

impl TenantConfig {
    /// Checks all; the error is the place and what is wrong there.
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

    fn parents(&self) -> Parents {
        Parents {
            organisation: self.organisation.clone(),
            instance: self.instance.clone(),
            project: self.project.clone(),
        }
    }
}

impl Tenants {
    /// These `tenants`, which were checked.
    pub fn new(tenants: &BTreeMap<Tenant, TenantConfig>) -> Self {
        Self(Arc::new(RwLock::new(tenants.clone())))
    }

    /// From now on it is these.
    pub fn replace(&self, tenants: &BTreeMap<Tenant, TenantConfig>) {
        self.0.write().clone_from(tenants);
    }

    /// How much `tenant` may ask for.
    pub(crate) fn limits(&self, tenant: &Tenant) -> CallerLimits {
        self.0.read().get(tenant).map_or(CallerLimits::NONE, TenantConfig::limits)
    }

    /// To whom each belongs.
    pub(crate) fn parents(&self) -> BTreeMap<Tenant, Parents> {
        self.0.read().iter().map(|(name, tenant)| (name.clone(), tenant.parents())).collect()
    }
}
