use serde_json::{Value, json};

use super::*;

fn build(providers: Value) -> Result<Registry, ConfigError> {
    Registry::build(&serde_json::from_value(providers).unwrap())
}

fn refused(provider: Value) -> ConfigError {
    build(json!({ "p": provider })).unwrap_err()
}

#[test]
fn models_are_found_by_name_and_by_provider() {
    let registry = build(json!({
        "near": {"kind": "openai_compatible", "base_url": "http://127.0.0.1:1/v1",
            "models": {"chat": {"upstream": "org/big"}, "org/big": {}}},
        "sim": {"kind": "simulated", "models": {"chat": {}, "embed": {"action": "embedding.query"}}},
    }))
    .unwrap();
    let found = |model, action| {
        let found = registry.resolve(model, action);
        found.into_iter().map(|model| format!("{}:{}", model.provider, model.upstream)).collect::<Vec<_>>()
    };
    assert_eq!(found("chat", Action::ChatCompletion), ["near:org/big", "sim:chat"]);
    assert_eq!(found("sim/chat", Action::ChatCompletion), ["sim:chat"]);
    assert_eq!(found("org/big", Action::ChatCompletion), ["near:org/big"]);
    assert_eq!(found("near/org/big", Action::ChatCompletion), ["near:org/big"]);
    assert_eq!(found("embed", Action::EmbeddingQuery), ["sim:embed"]);
    assert!(found("embed", Action::ChatCompletion).is_empty());
    assert!(found("other", Action::ChatCompletion).is_empty());
    assert_eq!(registry.models().len(), 4);
    assert_eq!(registry.adapter("sim").unwrap().name(), "sim");
    assert!(registry.adapter("other").is_none());
}

#[test]
fn what_is_wrong_is_named_with_its_key() {
    let simulated = |extra: Value| {
        let mut table = json!({"kind": "simulated", "models": {"m": {}}});
        table.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        table
    };
    let model = |model: Value| simulated(json!({"models": {"m": model}}));
    let rows = [
        (simulated(json!({"models": {}})), "providers.p.models"),
        (simulated(json!({"concurrency": 0})), "providers.p.concurrency"),
        (simulated(json!({"requests_per_minute": 0})), "providers.p.requests_per_minute"),
        (simulated(json!({"tokens_per_minute": 0})), "providers.p.tokens_per_minute"),
        (simulated(json!({"api_key_envs": ["K"]})), "providers.p.api_key_envs"),
        (simulated(json!({"api_key_files": ["/k"]})), "providers.p.api_key_files"),
        (simulated(json!({"base_url": "http://x"})), "providers.p.base_url"),
        (simulated(json!({"api_key": "k"})), "providers.p.api_key"),
        (simulated(json!({"api_key_env": "K"})), "providers.p.api_key_env"),
        (simulated(json!({"api_key_file": "/k"})), "providers.p.api_key_file"),
        (simulated(json!({"headers": {"a": "b"}})), "providers.p.headers"),
        (model(json!({"action": "video.render"})), "providers.p.models.m.action"),
        (model(json!({"action": "auto"})), "providers.p.models.m.action"),
        (model(json!({"upstream": "x"})), "providers.p.models.m.upstream"),
        (model(json!({"upstream": " "})), "providers.p.models.m.upstream"),
        (model(json!({"failure_rate": 1.5})), "providers.p.models.m.failure_rate"),
        (model(json!({"failure_rate": -0.1})), "providers.p.models.m.failure_rate"),
        (model(json!({"tokens_per_second": 0.0})), "providers.p.models.m.tokens_per_second"),
        (model(json!({"tokens_per_second": -1.0})), "providers.p.models.m.tokens_per_second"),
        (model(json!({"tokens_per_second": 1e-300})), "providers.p.models.m.tokens_per_second"),
        (model(json!({"output_tokens": 0})), "providers.p.models.m.output_tokens"),
        (model(json!({"first_token_ms": u64::MAX})), "providers.p.models.m.first_token_ms"),
        (model(json!({"dimensions": 8})), "providers.p.models.m.dimensions"),
        (
            json!({"kind": "anthropic", "api_key": "k", "models": {"m": {"action": "embedding.query"}}}),
            "providers.p.models.m.action",
        ),
        (json!({"kind": "anthropic", "api_key": "k", "seed": 1, "models": {"m": {}}}), "providers.p.seed"),
        (model(json!({"action": "embedding.query", "dimensions": 0})), "providers.p.models.m.dimensions"),
        (
            model(json!({"action": "embedding.query", "output_tokens": 5})),
            "providers.p.models.m.output_tokens",
        ),
    ];
    for (table, path) in rows {
        let error = refused(table.clone());
        assert_eq!(error.path, path, "{table}: {error}");
    }
    assert_eq!(refused(simulated(json!({"models": {"": {}}}))).path, "providers.p.models.");
}

#[test]
fn numbers_that_are_none_are_refused() {
    let mut providers: BTreeMap<String, ProviderConfig> =
        serde_json::from_value(json!({"p": {"kind": "simulated", "models": {"m": {}}}})).unwrap();
    for number in [f64::NAN, f64::INFINITY] {
        let model = |model: ModelConfig| BTreeMap::from([("m".to_owned(), model)]);
        let config = providers.get_mut("p").unwrap();
        config.models = model(ModelConfig { failure_rate: Some(number), ..ModelConfig::default() });
        assert!(Registry::build(&providers).is_err());
        let config = providers.get_mut("p").unwrap();
        config.models = model(ModelConfig { tokens_per_second: Some(number), ..ModelConfig::default() });
        assert!(Registry::build(&providers).is_err());
    }
}

#[test]
fn a_name_that_cannot_be_in_a_subject_is_refused() {
    for name in ["", "a.b", "a b", "*", "a\nb", &"x".repeat(65)] {
        let error = build(json!({name: {"kind": "simulated", "models": {"m": {}}}})).unwrap_err();
        assert!(error.why.contains("A-Z a-z 0-9"), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}
