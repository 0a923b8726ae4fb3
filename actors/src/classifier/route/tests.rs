use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;
use crate::vitals::PoolVitals;

/// Three providers: `a` is plain, `b` is good and dear, `c` is cheap, local and can do little.
fn router(waterfalls: Value) -> Router {
    let table = json!({
        "a": {"kind": "simulated", "models": {"m": {"quality": 0.5, "price": {"input": 1, "output": 2}}, "other": {}}},
        "b": {"kind": "simulated", "models": {"m": {"quality": 0.9, "price": {"input": 9, "output": 20}}}},
        "c": {"kind": "simulated", "only_when_idle": true, "models": {"m": {
            "tools": false, "vision": false, "json": false, "context_tokens": 100, "price": {"input": 0}}}},
    });
    let registry = Registry::build(&serde_json::from_value(table).unwrap()).unwrap();
    let waterfalls = serde_json::from_value(waterfalls).unwrap();
    Router::new(Arc::new(registry), waterfalls, Arc::default())
}

fn request(fields: Value, route: Value) -> Request {
    let mut payload = json!({"messages": [{"role": "user", "content": "hi"}]});
    payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let request = json!({"action": "chat.completion", "payload": payload, "route": route});
    serde_json::from_value(request).unwrap()
}

fn planned(router: &Router, tenant: &str, request: &Request) -> Result<String, Error> {
    let plan = router.plan(&Tenant::new(tenant).unwrap(), request)?;
    let steps = plan.steps.iter().map(|step| format!("{}/{}", step.provider, step.model));
    Ok(steps.collect::<Vec<_>>().join(" "))
}

fn plan(router: &Router, fields: Value, route: Value) -> String {
    planned(router, "acme", &request(fields, route)).unwrap()
}

#[test]
fn a_model_is_tried_wherever_it_is_served_and_busy_machines_are_left_out() {
    let router = router(json!({}));
    assert_eq!(plan(&router, json!({"model": "m"}), json!({})), "a/m b/m", "nothing is known of c");
    router.measured.watch(&Arc::new(PoolVitals::new("c".into(), 1)), &Arc::new(Semaphore::new(1)));
    assert_eq!(plan(&router, json!({"model": "m"}), json!({})), "a/m b/m c/m");
    assert_eq!(plan(&router, json!({"model": "b/m"}), json!({})), "b/m");
    assert_eq!(plan(&router, json!({"model": "c/m"}), json!({})), "c/m");
}

#[test]
fn a_busy_machine_is_better_than_nobody() {
    let router = router(json!({}));
    assert_eq!(plan(&router, json!({"model": "c/m"}), json!({})), "c/m");
}

#[test]
fn waterfalls_have_names_and_tenants() {
    let router = router(json!({"chat.completion": {
        "smart": {"steps": ["b/m", "a/other"], "tenants": {"poor": ["a/m"]}},
        "auto": {"steps": ["a/other"]},
    }}));
    assert_eq!(plan(&router, json!({"model": "smart"}), json!({})), "b/m a/other");
    assert_eq!(planned(&router, "poor", &request(json!({"model": "smart"}), json!({}))).unwrap(), "a/m");
    assert_eq!(plan(&router, json!({"model": "auto"}), json!({})), "a/other");
    assert_eq!(plan(&router, json!({}), json!({})), "a/other", "no model is as good as `auto`");
}

#[test]
fn without_a_waterfall_auto_is_everything() {
    let all = plan(&router(json!({})), json!({"model": "auto"}), json!({}));
    assert_eq!(all, "a/m a/other b/m");
}

#[test]
fn the_request_may_name_its_own() {
    let router = router(json!({}));
    let route = json!({"waterfall": ["b", "a/other"]});
    assert_eq!(plan(&router, json!({"model": "m"}), route), "b/m a/other");
    let route = json!({"waterfall": ["nobody/m"]});
    let error = planned(&router, "acme", &request(json!({"model": "m"}), route)).unwrap_err();
    assert_eq!((error.code, error.param.as_deref()), (ErrorCode::NotFound, Some("route.waterfall")));
}

#[test]
fn whoever_cannot_is_left_out_and_when_nobody_can_each_lack_is_told() {
    let router = router(json!({"chat.completion": {"w": {"steps": ["c/m", "a/m"]}}}));
    router.measured.watch(&Arc::new(PoolVitals::new("c".into(), 1)), &Arc::new(Semaphore::new(1)));
    assert_eq!(plan(&router, json!({"model": "w"}), json!({})), "c/m a/m");
    assert_eq!(plan(&router, json!({"model": "w", "tools": [{}]}), json!({})), "a/m");
    assert_eq!(plan(&router, json!({"model": "w", "max_tokens": 200}), json!({})), "a/m");
    let error =
        planned(&router, "acme", &request(json!({"model": "c/m", "tools": [{}]}), json!({}))).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidRequest);
    assert!(error.message.contains("`c/m` calls no tools"), "{}", error.message);
}

#[test]
fn what_is_too_dear_is_left_out() {
    let router = router(json!({}));
    let fields = json!({"model": "m", "max_tokens": 1_000});
    assert_eq!(plan(&router, fields.clone(), json!({"max_cost_usd": 0.01})), "a/m");
    let request = request(fields, json!({"max_cost_usd": 0.001}));
    let error = planned(&router, "acme", &request).unwrap_err();
    assert!(error.message.contains("`b/m` is expected to cost 0.02"), "{}", error.message);
}

#[test]
fn a_door_is_told_the_least_that_a_request_must_be_allowed_to_cost() {
    let router = router(json!({"chat.completion": {"w": {"steps": ["a/m", "a/other"]}}}));
    let acme = Tenant::new("acme").unwrap();
    let least = |fields, route| router.least_cost(&acme, &request(fields, route));
    let (a, b) = (
        least(json!({"model": "a/m", "max_tokens": 1_000}), json!({})),
        json!({"model": "b/m", "max_tokens": 1_000}),
    );
    let a = a.unwrap().unwrap();
    assert!((0.002..0.003).contains(&a) && least(b, json!({})).unwrap().unwrap() > 0.02, "{a}");
    let both = json!({"waterfall": ["b/m", "a/m"]});
    assert_eq!(least(json!({"model": "m", "max_tokens": 1_000}), both), Ok(Some(a)), "the cheapest counts");
    assert_eq!(least(json!({"model": "w", "max_tokens": 1_000}), json!({})), Ok(None), "one has no price");
    assert_eq!(least(json!({"model": "nobody"}), json!({"max_cost_usd": 1})), Ok(None), "that is told later");
    let fields = json!({"model": "m", "max_tokens": 1_000});
    let dear = request(fields, json!({"max_cost_usd": 0.001}));
    let error = router.least_cost(&acme, &dear).unwrap_err();
    assert_eq!(error, planned(&router, "acme", &dear).unwrap_err(), "what the classifier would say");
}

#[test]
fn what_is_preferred_goes_first() {
    let router =
        router(json!({"chat.completion": {"w": {"steps": ["a/m", "b/m", "a/other"], "prefer": "quality"}}}));
    assert_eq!(plan(&router, json!({"model": "w"}), json!({})), "b/m a/m a/other");
    assert_eq!(plan(&router, json!({"model": "w"}), json!({"prefer": "cost"})), "a/m b/m a/other");
    router.measured.began("a", "m", Duration::from_millis(300));
    router.measured.began("b", "m", Duration::from_millis(100));
    let latency = plan(&router, json!({"model": "w"}), json!({"prefer": "latency"}));
    assert_eq!(latency, "a/other b/m a/m", "who was never asked is tried first");
}

#[test]
fn a_model_that_nobody_serves_is_told_what_is() {
    let router = router(json!({"chat.completion": {"w": {"steps": ["a/m"]}}}));
    let error = planned(&router, "acme", &request(json!({"model": "gpt"}), json!({}))).unwrap_err();
    assert_eq!((error.code, error.param.as_deref()), (ErrorCode::NotFound, Some("payload.model")));
    assert!(error.message.contains("are w, m, other, m, m"), "{}", error.message);
}

fn estimated(router: &Router, fields: Value, route: Value) -> Estimate {
    router.estimate(&Tenant::new("acme").unwrap(), &request(fields, route)).unwrap()
}

#[test]
fn an_estimate_goes_down_the_same_waterfall_as_the_work() {
    let router = router(json!({"chat.completion": {"w": {"steps": ["c/m", "b/m", "a/m", "a/other"]}}}));
    router.measured.watch(&Arc::new(PoolVitals::new("c".into(), 1)), &Arc::new(Semaphore::new(1)));
    let rows = [
        (json!({}), json!({})),
        (json!({"max_tokens": 200}), json!({})),
        (json!({"tools": [{}], "max_tokens": 10}), json!({"prefer": "cost"})),
        (json!({"max_tokens": 1_000}), json!({"max_cost_usd": 0.01, "prefer": "quality"})),
    ];
    for (mut fields, route) in rows {
        fields["model"] = json!("w");
        let Estimate { steps, left_out, .. } = estimated(&router, fields.clone(), route.clone());
        let tried: Vec<_> = steps.iter().map(|step| format!("{}/{}", step.provider, step.model)).collect();
        assert_eq!(tried.join(" "), plan(&router, fields, route));
        assert_eq!(steps.len() + left_out.len(), 4, "{left_out:?}");
    }
}

#[test]
fn an_estimate_tells_what_each_costs_and_why_others_are_left_out() {
    let router = router(json!({}));
    let route = json!({"waterfall": ["a/m", "c/m", "a/other"]});
    let estimate = estimated(&router, json!({"max_tokens": 1_000_000, "tools": [{}]}), route);
    assert_eq!((estimate.action, estimate.input_tokens), (schemas::Action::ChatCompletion, 1));
    let [priced, unpriced] = estimate.steps.as_slice() else { panic!("{estimate:?}") };
    assert_eq!(priced.output_tokens_max, Some(1_000_000));
    assert!(priced.cost_usd_min.is_some_and(|cost| (cost - 1e-6).abs() < 1e-12), "{priced:?}");
    assert!(priced.cost_usd_max.is_some_and(|cost| (cost - 2.000_001).abs() < 1e-9), "{priced:?}");
    assert_eq!((unpriced.cost_usd_min, unpriced.cost_usd_max), (None, None));
    let [left_out] = estimate.left_out.as_slice() else { panic!("{estimate:?}") };
    assert_eq!((left_out.provider.as_str(), left_out.why.as_str()), ("c", "calls no tools"));
}

#[test]
fn where_nobody_can_the_estimate_has_no_step_and_says_why() {
    let router = router(json!({}));
    let estimate = estimated(&router, json!({"model": "c/m", "tools": [{}]}), json!({}));
    assert!(estimate.steps.is_empty() && estimate.left_out.len() == 1, "{estimate:?}");
}

#[test]
fn a_test_key_reaches_simulated_providers_only() {
    let table = json!({
        "sim": {"kind": "simulated", "models": {"m": {}, "toy": {}}},
        "paid": {"kind": "openai_compatible", "base_url": "http://127.0.0.1:9", "models": {"m": {}, "real": {}}},
    });
    let registry = Registry::build(&serde_json::from_value(table).unwrap()).unwrap();
    let waterfalls = json!({"chat.completion": {"auto": {"steps": ["paid/real", "sim/toy"]}}});
    let waterfalls = serde_json::from_value(waterfalls).unwrap();
    let router = Router::new(Arc::new(registry), waterfalls, Arc::default());
    let by = |mode: &str, model: &str, route: Value| {
        let mut request = request(json!({"model": model}), route);
        request.sent_by = serde_json::from_value(json!({"key": "k", "mode": mode})).unwrap();
        (planned(&router, "acme", &request), router.estimate(&Tenant::new("acme").unwrap(), &request))
    };
    let named = json!({"waterfall": ["paid/m", "sim/m"]});
    for (model, route, live, test) in [
        ("m", json!({}), "paid/m sim/m", "sim/m"),
        ("auto", json!({}), "paid/real sim/toy", "sim/toy"),
        ("m", named, "paid/m sim/m", "sim/m"),
    ] {
        assert_eq!(by("live", model, route.clone()).0.unwrap(), live);
        let (plan, estimate) = by("test", model, route);
        assert_eq!(plan.unwrap(), test);
        assert!(estimate.unwrap().steps.iter().all(|step| step.provider == "sim"));
    }
    for (model, route, param) in
        [("real", json!({}), "payload.model"), ("m", json!({"waterfall": ["paid"]}), "route.waterfall")]
    {
        let (plan, estimate) = by("test", model, route);
        let error = plan.unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), (ErrorCode::Forbidden, Some(param)), "{error}");
        assert_eq!(estimate.unwrap_err(), error);
    }
}
