//! Every subject of the contract: a typed constructor, and a parser back.

use std::sync::Arc;

use crate::{Action, Error, InvalidToken, Priority, RequestId, Tenant, webhook::Place};

/// The kind of lane in which the work of a tenant waits for a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneKind {
    /// Its own lane: nobody else waits behind it.
    Own,
    /// The lane shared by all tenants with little work waiting.
    Shared,
}

impl LaneKind {
    /// Its name in a subject.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Shared => "shared",
        }
    }
}

/// The subjects under one prefix (`dynode` by default). Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subjects {
    prefix: Arc<str>,
}

impl Default for Subjects {
    fn default() -> Self {
        Self { prefix: "dynode".into() }
    }
}

impl Subjects {
    /// Subjects under `prefix`: one subject token.
    pub fn new(prefix: &str) -> Result<Self, InvalidToken> {
        Tenant::new(prefix).map(|prefix| Self { prefix: prefix.as_str().into() })
    }

    /// The prefix itself.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// `dynode.req.<tenant>.<action>`: an incoming request.
    pub fn request(&self, tenant: &Tenant, action: Action) -> String {
        format!("{}.req.{tenant}.{action}", self.prefix)
    }

    /// `dynode.work.<pool>.<priority>.<lane>.<tenant>`: a classified request.
    pub fn work(&self, pool: &str, priority: Priority, lane: LaneKind, tenant: &Tenant) -> String {
        let parts = [&*self.prefix, "work", pool, priority.as_str(), lane.as_str(), tenant.as_str()];
        parts.join(".")
    }

    /// `dynode.req.<tenant>.>`: the requests of one tenant.
    pub fn requests_of(&self, tenant: &Tenant) -> String {
        format!("{}.req.{tenant}.>", self.prefix)
    }

    /// `dynode.work.*.*.*.<tenant>`: the classified requests of one tenant.
    pub fn work_of(&self, tenant: &Tenant) -> String {
        format!("{}.work.*.*.*.{tenant}", self.prefix)
    }

    /// `dynode.evt.<tenant>.<id>`: the events of a request.
    pub fn event(&self, tenant: &Tenant, id: &RequestId) -> String {
        format!("{}.evt.{tenant}.{id}", self.prefix)
    }

    /// `dynode.res.<tenant>.<id>`: the outcome.
    pub fn outcome(&self, tenant: &Tenant, id: &RequestId) -> String {
        format!("{}.res.{tenant}.{id}", self.prefix)
    }

    /// `dynode.use.<tenant>`: what its requests have used. Not one subject per request, because a broker remembers
    /// every subject as long as it holds a message, and the ledger is long.
    pub fn ledger(&self, tenant: &Tenant) -> String {
        format!("{}.use.{tenant}", self.prefix)
    }

    /// Whether `subject` is a `use` subject.
    pub fn is_ledger(&self, subject: &str) -> bool {
        self.strip(subject, "use").is_some()
    }

    /// `dynode.cb.<tenant>.<id>`: an outcome to deliver.
    pub fn callback(&self, tenant: &Tenant, id: &RequestId) -> String {
        format!("{}.cb.{tenant}.{id}", self.prefix)
    }

    /// `dynode.dead.<stage>.<tenant>.<id>`: parked work.
    pub fn dead(&self, stage: &str, tenant: &str, id: &str) -> String {
        format!("{}.dead.{stage}.{tenant}.{id}", self.prefix)
    }

    /// `dynode.dead.<stage>.<tenant>.*`: the parked work of one tenant, of one stage or of all.
    pub fn dead_of(&self, stage: Option<&str>, tenant: &str) -> String {
        self.dead(stage.unwrap_or("*"), tenant, "*")
    }

    /// Reads the stage, the tenant and the id of a `dead` subject; `None` if it is not one.
    pub fn parse_dead<'a>(&self, subject: &'a str) -> Option<(&'a str, &'a str, &'a str)> {
        let (stage, rest) = self.strip(subject, "dead")?.split_once('.')?;
        let (tenant, id) = rest.split_once('.')?;
        Some((stage, tenant, id))
    }

    /// `dynode.ctl.<tenant>.<id>`: a cancel.
    pub fn control(&self, tenant: &Tenant, id: &RequestId) -> String {
        format!("{}.ctl.{tenant}.{id}", self.prefix)
    }

    /// `dynode.hook.<tenant>.<id>.<attempt>.<call>`: a provider reports the end of its work.
    pub fn webhook(&self, place: &Place) -> String {
        let Place { tenant, id, attempt, call, .. } = place;
        format!("{}.hook.{tenant}.{id}.{attempt}.{call}", self.prefix)
    }

    /// `dynode.att.<tenant>.<id>`: a client reads a request that another gateway has accepted.
    pub fn attendance(&self, tenant: &Tenant, id: &RequestId) -> String {
        format!("{}.att.{tenant}.{id}", self.prefix)
    }

    /// `dynode.hb.<node>.<worker>`: a heartbeat.
    pub fn heartbeat(&self, node: &str, worker: &str) -> String {
        format!("{}.hb.{node}.{worker}", self.prefix)
    }

    /// `dynode.sig.<pool>`: pause and resume.
    pub fn signal(&self, pool: &str) -> String {
        format!("{}.sig.{pool}", self.prefix)
    }

    /// `dynode.lim.<provider>.<key>`: until when a provider wants no calls with one of its keys, counted from 0.
    pub fn closing(&self, provider: &str, key: usize) -> String {
        format!("{}.lim.{provider}.{key}", self.prefix)
    }

    /// Reads the provider and the key of a `lim` subject; `None` if it is not one.
    pub fn parse_closing<'a>(&self, subject: &'a str) -> Option<(&'a str, usize)> {
        let (provider, key) = self.strip(subject, "lim")?.split_once('.')?;
        Some((provider, key.parse().ok()?))
    }

    /// `dynode.<path>`: what comes before the lanes of a queue.
    pub fn queue(&self, path: &str) -> String {
        format!("{}.{path}", self.prefix)
    }

    /// `dynode.bell.<path>`: where these lanes ring.
    pub fn bells(&self, path: &str) -> String {
        format!("{}.bell.{path}", self.prefix)
    }

    /// All subjects of a kind: `req`, `work`, `evt`, `res`, `use`, `cb`, `dead`, `ctl`, `hook`, `att`, `hb`, `sig`,
    /// `lim`.
    pub fn all(&self, kind: &str) -> String {
        format!("{}.{kind}.>", self.prefix)
    }

    /// Reads `dynode.req.<tenant>.<action>`.
    pub fn parse_request(&self, subject: &str) -> Result<(Tenant, Action), Error> {
        let mismatch = || {
            let expected = format!("`{subject}` is not `{}.req.<tenant>.<action>`", self.prefix);
            Error::invalid("subject", expected)
        };
        let rest = self.strip(subject, "req").ok_or_else(mismatch)?;
        let (tenant, action) = rest.split_once('.').ok_or_else(mismatch)?;
        let tenant = Tenant::new(tenant).map_err(|error| Error::invalid("subject", error))?;
        Ok((tenant, action.parse()?))
    }

    /// The tenant of a request's subject, even if its action is unknown; `None` if there is no valid one.
    pub fn request_tenant(&self, subject: &str) -> Option<Tenant> {
        Tenant::new(self.strip(subject, "req")?.split('.').next()?).ok()
    }

    /// The pool of a `work` subject; `None` if it is not one.
    pub fn parse_pool<'a>(&self, subject: &'a str) -> Option<&'a str> {
        Some(self.strip(subject, "work")?.split_once('.')?.0)
    }

    /// Reads the tenant and the id of an `evt`, `res`, `cb`, `ctl` or `att` subject; `None` if it is not one.
    pub fn parse_request_key(&self, kind: &str, subject: &str) -> Option<(Tenant, RequestId)> {
        let (tenant, id) = self.strip(subject, kind)?.split_once('.')?;
        Some((Tenant::new(tenant).ok()?, RequestId::new(id).ok()?))
    }

    fn strip<'a>(&self, subject: &'a str, kind: &str) -> Option<&'a str> {
        subject.strip_prefix(&*self.prefix)?.strip_prefix('.')?.strip_prefix(kind)?.strip_prefix('.')
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_round_trip() {
        let subjects = Subjects::default();
        let tenant = Tenant::new("acme").unwrap();
        for action in Action::ALL {
            let subject = subjects.request(&tenant, action);
            assert_eq!(subjects.parse_request(&subject).unwrap(), (tenant.clone(), action));
        }
    }

    #[test]
    fn what_is_not_a_request_is_told_what_is() {
        let subjects = Subjects::default();
        for bad in ["dynode.req", "dynode.req.acme", "other.req.acme.auto", "dynode.req.a b.auto"] {
            assert_eq!(subjects.parse_request(bad).unwrap_err().param.as_deref(), Some("subject"), "{bad}");
        }
        let unknown = subjects.parse_request("dynode.req.acme.chat.complete").unwrap_err();
        assert!(unknown.message.contains("chat.completion"), "{unknown}");
    }

    #[test]
    fn work_says_whose_pool_it_is_in() {
        let subjects = Subjects::default();
        let work = subjects.work("openai", Priority::Batch, LaneKind::Own, &Tenant::new("acme").unwrap());
        assert_eq!(subjects.parse_pool(&work), Some("openai"));
        assert_eq!(subjects.parse_pool("dynode.worker.openai.batch.own.acme"), None);
    }

    #[test]
    fn parked_work_says_whose_it_was() {
        let subjects = Subjects::default();
        let subject = subjects.dead("delivery", "acme", "r1");
        assert_eq!(subjects.parse_dead(&subject), Some(("delivery", "acme", "r1")));
        assert_eq!(subjects.parse_dead("dynode.dead.delivery.acme"), None);
        assert_eq!(subjects.dead_of(None, "acme"), "dynode.dead.*.acme.*");
    }

    proptest! {
        #[test]
        fn no_subject_panics(subject in ".{0,200}") {
            let _ = Subjects::default().parse_request(&subject);
            let _ = Subjects::default().parse_request_key("evt", &subject);
        }

        #[test]
        fn keys_round_trip(tenant in "[A-Za-z0-9_-]{1,64}", id in "[A-Za-z0-9_-]{1,64}") {
            let subjects = Subjects::default();
            let (tenant, id) = (Tenant::new(tenant).unwrap(), RequestId::new(id).unwrap());
            let subject = subjects.outcome(&tenant, &id);
            prop_assert_eq!(subjects.parse_request_key("res", &subject), Some((tenant, id)));
        }
    }
}
