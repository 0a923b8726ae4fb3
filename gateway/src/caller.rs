//! The caller of a request: identified once at the door, and carried with the request from there.

use std::sync::Arc;

use schemas::{Action, Error, ErrorCode, KeyRecord, Request, Role, SentBy, Tenant};
use tokio_util::sync::CancellationToken;

use crate::{
    keys::{PassRef, unauthorized},
    quota::Quota,
};

/// Who sent a request; never read from its body.
#[derive(Debug)]
pub(crate) struct Caller {
    /// The tenant whose work it is.
    pub(crate) tenant: Tenant,
    /// What the caller may do; none if the caller is unknown.
    role: Option<Role>,
    /// The caller's key; none if it came in without one.
    pass: Option<PassRef>,
    /// Sees the data of all tenants: a superadmin that acts for none.
    sees_all: bool,
}

/// A caller, shared by everything that its connection asks for.
pub(crate) type CallerRef = Arc<Caller>;

impl Caller {
    /// Any caller while there are no keys: the one tenant of this gateway, which may do everything.
    pub(crate) fn anyone(tenant: Tenant) -> CallerRef {
        Arc::new(Self { tenant, role: Some(Role::Superadmin), pass: None, sees_all: false })
    }

    /// A caller without a key where none is needed, although there are keys.
    pub(crate) fn nobody(tenant: Tenant) -> CallerRef {
        Arc::new(Self { tenant, role: None, pass: None, sees_all: false })
    }

    /// The caller with this key, acting for the tenant `on_behalf` if given; the error says that it may not.
    pub(crate) fn with(pass: PassRef, on_behalf: Option<Tenant>) -> Result<CallerRef, Error> {
        let (own, role) = (&pass.record.tenant, pass.record.role);
        let sees_all = role == Role::Superadmin && on_behalf.is_none();
        let tenant = match on_behalf {
            Some(tenant) if tenant != *own && role != Role::Superadmin => {
                let why = format!(
                    "the API key belongs to `{own}`: only a superadmin's key may act for another tenant"
                );
                return Err(Error::new(ErrorCode::Forbidden, why));
            }
            Some(tenant) => tenant,
            None => own.clone(),
        };
        Ok(Arc::new(Self { tenant, role: Some(role), pass: Some(pass), sees_all }))
    }

    /// The record of the caller's key.
    pub(crate) fn key(&self) -> Option<&KeyRecord> {
        self.pass.as_ref().map(|pass| &pass.record)
    }

    /// What its requests carry about it.
    pub(crate) fn sent_by(&self) -> Option<SentBy> {
        self.key().map(|key| SentBy { key: key.id.clone(), mode: key.mode, budget: key.budget })
    }

    /// What its key has recently asked of this gateway.
    pub(crate) fn quota(&self) -> Option<Arc<Quota>> {
        self.pass.as_ref().map(|pass| pass.quota())
    }

    /// The tenant whose data it sees; none if it sees all tenants.
    pub(crate) fn sees(&self) -> Option<&Tenant> {
        (!self.sees_all).then_some(&self.tenant)
    }

    /// Whether its key allows the model of this name.
    pub(crate) fn may_ask_for(&self, model: &str) -> bool {
        self.key().is_none_or(|key| key.allows_model(model))
    }

    /// Cancelled when the caller's key is no longer valid.
    pub(crate) fn ended(&self) -> Option<CancellationToken> {
        self.pass.as_ref().map(|pass| pass.ended())
    }

    /// Refuses if the caller's role is below `role`.
    pub(crate) fn must_be(&self, role: Role) -> Result<(), Error> {
        match self.role {
            Some(own) if own >= role => Ok(()),
            Some(own) => {
                let why = format!("this needs an API key with the role `{role}`; this one has `{own}`");
                Err(Error::new(ErrorCode::Forbidden, why))
            }
            None => Err(unauthorized("an API key is needed: send `Authorization: Bearer dyn_live_…`")),
        }
    }

    /// Refuses an action or a model that its key does not allow; a model by the name that the request uses.
    pub(crate) fn check_scope(&self, request: &Request) -> Result<(), Error> {
        let Some(key) = self.key() else { return Ok(()) };
        if !key.allows_action(request.action) {
            return Err(not_for(key, "action", &action_named(request.action)));
        }
        let (model, steps) = (request.model(), &request.route.waterfall);
        if let Some(step) = steps.iter().find(|step| !allows_step(key, step, model)) {
            return Err(not_for(key, "route.waterfall", &format!("`{step}`")));
        }
        let model = model.unwrap_or(AUTO);
        if steps.is_empty() && !key.allows_model(model) {
            return Err(not_for(key, "payload.model", &format!("the model `{model}`")));
        }
        Ok(())
    }
}

/// The model of a request that names none.
const AUTO: &str = "auto";

/// A step names a model, with or without its provider, or a provider for the model that the payload names.
fn allows_step(key: &KeyRecord, step: &str, model: Option<&str>) -> bool {
    let name = match (step.split_once('/'), model) {
        (Some((_, name)), _) => name,
        (None, Some(model)) => model,
        (None, None) => step,
    };
    key.allows_model(step) || key.allows_model(name)
}

fn action_named(action: Action) -> String {
    match action {
        Action::Auto => "`auto`: say which action it is".to_owned(),
        action => format!("`{action}`"),
    }
}

fn not_for(key: &KeyRecord, param: &str, what: &str) -> Error {
    let why = format!("{param}: the API key `{}` does not allow {what}", key.id);
    Error { param: Some(param.to_owned()), ..Error::new(ErrorCode::Forbidden, why) }
}
