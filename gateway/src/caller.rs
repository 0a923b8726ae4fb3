//! Who comes in: found out once at the door, and carried with the request from there.

use std::sync::Arc;

use schemas::Tenant;

/// Who sent a request. The body never says it.
#[derive(Debug)]
pub(crate) struct Caller {
    /// Whose work it is.
    pub(crate) tenant: Tenant,
}

/// One caller, shared by all that one connection asks for.
pub(crate) type CallerRef = Arc<Caller>;

impl Caller {
    /// Whoever comes in where no keys are set: the one tenant of this gateway.
    pub(crate) fn anyone(tenant: Tenant) -> CallerRef {
        Arc::new(Self { tenant })
    }
}
