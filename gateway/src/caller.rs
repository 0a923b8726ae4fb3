//! Who comes in: found out once at the door, and carried with the request from there.

use std::sync::Arc;

use schemas::{Action, Error, ErrorCode, KeyRecord, Request, Role, SentBy, Tenant};
use tokio_util::sync::CancellationToken;

use crate::{
    keys::{PassRef, unauthorized},
    quota::Quota,
};

/// Who sent a request. The body never says it.
#[derive(Debug)]
pub(crate) struct Caller {
    /// Whose work it is.
    pub(crate) tenant: Tenant,
    /// What may be done; none where nobody knows who it is.
    role: Option<Role>,
    /// By which key; none where none is needed.
    pass: Option<PassRef>,
    /// Looks at the things of all tenants, where it looks for no tenant's own.
    sees_all: bool,
}

/// One caller, shared by all that one connection asks for.
pub(crate) type CallerRef = Arc<Caller>;

impl Caller {
    /// Whoever comes in where no keys are set: the one tenant of this gateway, which may do everything.
    pub(crate) fn anyone(tenant: Tenant) -> CallerRef {
        Arc::new(Self { tenant, role: Some(Role::Superadmin), pass: None, sees_all: false })
    }

    /// Whoever comes in without a key where none is needed, though there are keys.
    pub(crate) fn nobody(tenant: Tenant) -> CallerRef {
        Arc::new(Self { tenant, role: None, pass: None, sees_all: false })
    }

    /// Whoever has this key, on behalf of `tenant`, where that is asked for; the error says that it may not be.
    pub(crate) fn with(pass: PassRef, on_behalf: Option<Tenant>) -> Result<CallerRef, Error> {
        let (own, role) = (&pass.record.tenant, pass.record.role);
        let sees_all = role == Role::Superadmin && on_behalf.is_none();
        let tenant = match on_behalf {
            Some(tenant) if tenant != *own && role != Role::Superadmin => {
                let why = format!("the API key is of `{own}`: only a superadmin's acts for another tenant");
                return Err(Error::new(ErrorCode::Forbidden, why));
            }
            Some(tenant) => tenant,
            None => own.clone(),
        };
        Ok(Arc::new(Self { tenant, role: Some(role), pass: Some(pass), sees_all }))
    }

    /// What is known of its key.
    pub(crate) fn key(&self) -> Option<&KeyRecord> {
        self.pass.as_ref().map(|pass| &pass.record)
    }

    /// What its requests say of it on their way.
    pub(crate) fn sent_by(&self) -> Option<SentBy> {
        self.key().map(|key| SentBy { key: key.id.clone(), mode: key.mode, budget: key.budget })
    }

    /// What was asked for by its key lately, here.
    pub(crate) fn quota(&self) -> Option<Arc<Quota>> {
        self.pass.as_ref().map(|pass| pass.quota())
    }

    /// The tenant whose things it sees; none where it sees those of all.
    pub(crate) fn sees(&self) -> Option<&Tenant> {
        (!self.sees_all).then_some(&self.tenant)
    }

    /// Whether its key is for the model of this name.
    pub(crate) fn may_ask_for(&self, model: &str) -> bool {
        self.key().is_none_or(|key| key.allows_model(model))
    }

    /// Ends when it may not be here any more.
    pub(crate) fn ended(&self) -> Option<CancellationToken> {
        self.pass.as_ref().map(|pass| pass.ended())
    }

    /// Refuses what its role does not allow.
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

    /// Refuses what its key is not for: an action, or a model by the name by which it is asked for.
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
    let why = format!("{param}: the API key `{}` is not for {what}", key.id);
    Error { param: Some(param.to_owned()), ..Error::new(ErrorCode::Forbidden, why) }
}
