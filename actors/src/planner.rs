//! Plans requests by the current configuration: what one would cost, who would be asked, and the work it becomes. Uses
//! the classifier's judge; asks nobody and sends nothing.

use std::{borrow::Cow, fmt, sync::Arc};

use adapters::Registry;
use broker::Publication;
use jiff::Timestamp;
use parking_lot::RwLock;
use schemas::{Action, Error, Estimate, Format, Request, Subjects, Tenant, Work};

use crate::{
    CallbackConfig, EngineConfig, RuleConfig, Waterfalls,
    classifier::{BadRule, Judge},
    lanes::Lanes,
    measured::Measured,
    outbox,
};

/// Plans requests. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Planner {
    judge: Arc<RwLock<Arc<Judge>>>,
    lanes: Arc<Lanes>,
}

impl Planner {
    /// Plans by this configuration. Nothing is measured here: if a request prefers the quickest, its estimate is in the
    /// order of the configuration, and its work is made elsewhere.
    pub fn new(
        config: (&EngineConfig, &[RuleConfig], &CallbackConfig),
        registry: Arc<Registry>,
        waterfalls: Waterfalls,
    ) -> Result<Self, BadRule> {
        let judge = Judge::new(config, registry, waterfalls, Arc::new(Measured::default()))?;
        Ok(Self { judge: Arc::new(RwLock::new(Arc::new(judge))), lanes: Arc::default() })
    }

    /// From now on it plans as `other` does.
    pub fn replace(&self, other: &Self) {
        let judge = other.judge();
        *self.judge.write() = judge;
    }

    /// What `request` of `tenant` would cost. The error is the one that would refuse it, except that a model which
    /// lacks something is listed as left out.
    pub fn estimate(&self, tenant: &Tenant, mut request: Request) -> Result<Estimate, Error> {
        let judge = self.judge();
        request.action = judge.action(&request)?;
        judge.check(&request)?;
        judge.router.estimate(tenant, &request)
    }

    /// The least that `request` of `tenant` must be allowed to cost, in US dollars: the most that a call of the
    /// cheapest model that may be asked costs. `None` if one of these has no price, or if nobody can be asked: the
    /// reason is given later.
    ///
    /// # Errors
    /// No model is left whose call may cost no more than `route.max_cost_usd`.
    pub fn least_cost(&self, tenant: &Tenant, request: &Request) -> Result<Option<f64>, Error> {
        let judge = self.judge();
        match judge.action(request) {
            Ok(action) if action == request.action => judge.router.least_cost(tenant, request),
            Ok(action) => judge.router.least_cost(tenant, &Request { action, ..request.clone() }),
            Err(_) => Ok(None),
        }
    }

    /// The work that `request` becomes, for the pool that does it first; its id and its tenant are known, `ahead` of
    /// its tenant's requests wait already, and `fingerprint` tells a different request under this id apart. `None` if
    /// only the classifier can tell: who does it depends on what was measured, or nobody does, and the reason must be
    /// recorded.
    pub fn work(
        &self,
        subjects: &Subjects,
        (request, format): (&Request, Format),
        fingerprint: &str,
        ahead: u64,
        now: Timestamp,
    ) -> Option<Publication> {
        let judge = self.judge();
        let (id, tenant) = (request.id.clone()?, request.tenant.clone()?);
        let request = match judge.action(request).ok()? {
            Action::SystemHealth => return None,
            action if action == request.action => Cow::Borrowed(request),
            action => Cow::Owned(Request { action, ..request.clone() }),
        };
        judge.check(&request).ok()?;
        let plan = judge.router.plan_unmeasured(&tenant, &request)?;
        let deadline = judge.deadline(&request, now);
        let work = Work {
            id,
            tenant,
            request: &*request,
            plan,
            accepted_at: now,
            deadline,
            format: format.into(),
            fingerprint: fingerprint.to_owned(),
            delivered_before: 0,
            forgiven: 0,
        };
        let queue = (work.plan.pool(), request.priority);
        outbox::work(self.lanes.subject(subjects, queue, &work.tenant, ahead), &work).ok()
    }

    fn judge(&self) -> Arc<Judge> {
        Arc::clone(&self.judge.read())
    }
}

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Planner").finish()
    }
}

#[cfg(test)]
mod tests {
    use schemas::{Plan, RequestId, Step};
    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn planner() -> Planner {
        let engine = json!({
            "classifier_concurrency": 1, "delivery_concurrency": 1, "lease_ms": 20_000, "attempts_max": 3,
            "retries": 2, "default_deadline_ms": 60_000, "first_event_ms": 1, "between_events_ms": 1,
            "total_ms": 1, "drain_ms": 1, "heartbeat_ms": 1, "pause_wait_ms": 1, "resume_wait_ms": 1,
        });
        let rules = json!([{"when": "/messages", "action": "chat.completion"}]);
        let callbacks = json!({
            "attempts_max": 1, "timeout_ms": 1, "retry_first_ms": 1, "retry_longest_ms": 1, "disable_after": 0,
        });
        let providers = json!({
            "a": {"kind": "simulated", "models": {"m": {}, "only": {}}},
            "b": {"kind": "simulated", "models": {"m": {}}},
            "home": {"kind": "simulated", "only_when_idle": true, "models": {"own": {}}},
            "away": {"kind": "simulated", "models": {"own": {}}},
        });
        let registry = Registry::build(&serde_json::from_value(providers).unwrap()).unwrap();
        let read = (
            serde_json::from_value(engine).unwrap(),
            serde_json::from_value::<Vec<_>>(rules).unwrap(),
            serde_json::from_value(callbacks).unwrap(),
        );
        Planner::new((&read.0, &read.1, &read.2), Arc::new(registry), Waterfalls::default()).unwrap()
    }

    /// A chat that is otherwise as `fields` say.
    fn request(model: &str, fields: Value) -> Request {
        let payload = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
        let mut request =
            json!({"id": "r", "tenant": "acme", "action": "chat.completion", "payload": payload});
        request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(request).unwrap()
    }

    fn work(request: &Request) -> Option<Publication> {
        planner().work(&Subjects::default(), (request, Format::Json), "print", 0, NOW)
    }

    #[test]
    fn a_request_is_the_work_that_the_classifier_would_make_of_it() {
        let asked = request("m", json!({"action": "auto", "priority": "batch", "deadline_ms": 5_000}));
        let Publication { message, id } = work(&asked).unwrap();
        assert_eq!(
            (message.subject.as_str(), id.as_deref()),
            ("dynode.work.a.batch.shared.acme", Some("acme.r"))
        );
        let step = |provider: &str| Step { provider: provider.into(), model: "m".into() };
        let expected = Work {
            id: RequestId::new("r").unwrap(),
            tenant: Tenant::new("acme").unwrap(),
            request: Request { action: Action::ChatCompletion, ..asked },
            plan: Plan { steps: vec![step("a"), step("b")] },
            accepted_at: NOW,
            deadline: Timestamp::from_millisecond(5_000).unwrap(),
            format: Format::Json.into(),
            fingerprint: "print".into(),
            delivered_before: 0,
            forgiven: 0,
        };
        assert_eq!(message.format().decode::<Work>(&message.payload).unwrap(), expected);
    }

    #[test]
    fn what_only_the_classifier_can_tell_is_left_to_it() {
        let left = [
            ("nobody serves it", request("unknown", json!({}))),
            ("the quickest is measured", request("m", json!({"route": {"prefer": "latency"}}))),
            ("so is who is idle", request("own", json!({}))),
            ("it is answered at once", request("m", json!({"action": "system.health"}))),
            ("nobody could sign", request("m", json!({"callback": {"url": "http://a.example/"}}))),
            ("no rule fits", request("m", json!({"action": "auto", "payload": {}}))),
        ];
        for (why, request) in left {
            assert_eq!(work(&request), None, "{why}");
        }
        assert!(
            work(&request("only", json!({"route": {"prefer": "latency"}}))).is_some(),
            "there is but one"
        );
        assert!(work(&request("home/own", json!({}))).is_some(), "nobody else is named");
    }
}
