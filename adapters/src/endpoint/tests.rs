use std::io::Write;

use reqwest::header::AUTHORIZATION;
use serde_json::json;

use super::*;
use crate::openai_compatible::MANNERS;

pub(crate) const KEY: &str = "sk-canary-0123456789";

fn config(toml: serde_json::Value) -> ProviderConfig {
    let mut table =
        json!({"kind": "openai_compatible", "base_url": "https://api.test/v1", "models": {"m": {}}});
    table.as_object_mut().unwrap().extend(toml.as_object().unwrap().clone());
    serde_json::from_value(table).unwrap()
}

fn read(table: serde_json::Value) -> Result<Endpoint, ConfigError> {
    let client = http::client_builder().build().unwrap();
    Endpoint::new("p", &config(table), &MANNERS, client, |name| {
        (name == "KEY_OF_P").then(|| format!("{KEY}\n"))
    })
}

/// An endpoint with a key, for the tests of the siblings.
pub(crate) fn endpoint() -> Endpoint {
    read(json!({"api_key": KEY})).unwrap()
}

#[test]
fn the_key_is_taken_from_each_of_its_places() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{KEY}").unwrap();
    let places =
        [json!({"api_key": KEY}), json!({"api_key_env": "KEY_OF_P"}), json!({"api_key_file": file.path()})];
    for place in places {
        assert_eq!(read(place).unwrap().headers(0)[AUTHORIZATION], format!("Bearer {KEY}"));
    }
    let none = read(json!({})).unwrap();
    assert!(!none.headers(0).contains_key(AUTHORIZATION));
    assert_eq!(none.keys(), 1, "one that needs no key");
}

#[test]
fn several_keys_are_told_apart_and_none_is_shown() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "sk-canary-of-a-file").unwrap();
    let table =
        json!({"api_key": "sk-canary-itself", "api_key_envs": ["KEY_OF_P"], "api_key_files": [file.path()]});
    let endpoint = read(table).unwrap();
    let keys: Vec<_> = (0..endpoint.keys()).map(|key| endpoint.headers(key)[AUTHORIZATION].clone()).collect();
    assert_eq!(
        keys,
        [
            "Bearer sk-canary-itself".to_owned(),
            format!("Bearer {KEY}"),
            "Bearer sk-canary-of-a-file".to_owned()
        ]
    );
    assert_eq!(endpoint.quote(&format!("{KEY} sk-canary-of-a-file")), "[redacted] [redacted]");
}

#[test]
fn what_is_wrong_is_named_and_never_shown() {
    let rows = [
        (json!({"base_url": null}), "providers.p.base_url", "is missing"),
        (json!({"base_url": "api.test/v1"}), "providers.p.base_url", "not an absolute URL"),
        (json!({"base_url": "ftp://api.test"}), "providers.p.base_url", "http://"),
        (json!({"base_url": "https://user:canary@api.test"}), "providers.p.base_url", "no user or password"),
        (json!({"base_url": "https://api.test/v1?key=canary"}), "providers.p.base_url", "no `?`"),
        (json!({"api_key_env": "MISSING"}), "providers.p.api_key_env", "`MISSING` is not set"),
        (
            json!({"api_key_file": "/no/such/file"}),
            "providers.p.api_key_file",
            "`/no/such/file` cannot be read",
        ),
        (json!({"api_key": ""}), "providers.p.api_key", "empty"),
        (json!({"api_key": "canary\nx"}), "providers.p.api_key", "line breaks"),
        (json!({"api_key_envs": ["MISSING"]}), "providers.p.api_key_envs", "`MISSING` is not set"),
        (json!({"api_key": KEY, "api_key_envs": ["KEY_OF_P"]}), "providers.p.api_key_envs", "given twice"),
        (json!({"api_key": "canary", "api_key_env": "KEY_OF_P"}), "providers.p", "only one of"),
        (json!({"headers": {"Host": "canary"}}), "providers.p.headers.Host", "set by dynode"),
        (json!({"headers": {"a b": "canary"}}), "providers.p.headers.a b", "not the name of a header"),
        (json!({"headers": {"x": "canary\n"}}), "providers.p.headers.x", "cannot carry"),
        (
            json!({"api_key": KEY, "headers": {"Authorization": "Basic canary"}}),
            "providers.p.api_key",
            "keep one",
        ),
        (json!({"seed": 7}), "providers.p.seed", "does not belong"),
        (json!({"kind": "gemini", "chat_fields": {"a": 1}}), "providers.p.chat_fields", "does not belong"),
        (json!({"kind": "anthropic", "cache_control": true}), "providers.p.cache_control", "does not belong"),
        (
            json!({"models": {"m": {"failure_rate": 0.1}}}),
            "providers.p.models.m.failure_rate",
            "does not belong",
        ),
    ];
    for (table, path, why) in rows {
        let error = read(table.clone()).unwrap_err();
        assert_eq!(error.path, path, "{table}");
        assert!(error.why.contains(why), "{table}: {error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

#[test]
fn paths_are_joined_whatever_the_slashes() {
    for base in ["https://api.test/v1", "https://api.test/v1/", "https://api.test/v1//"] {
        let url = read(json!({ "base_url": base })).unwrap().url("chat/completions");
        assert_eq!(url.as_str(), "https://api.test/v1/chat/completions");
    }
    let root = read(json!({"base_url": "http://127.0.0.1:8000"})).unwrap();
    assert_eq!(root.url("embeddings").as_str(), "http://127.0.0.1:8000/embeddings");
    let with_a_query = root.url("models/m:stream?alt=sse");
    assert_eq!(with_a_query.as_str(), "http://127.0.0.1:8000/models/m:stream?alt=sse");
}

#[test]
fn neither_endpoint_nor_configuration_print_a_secret() {
    let table = json!({"api_key": KEY, "headers": {"api-key": "canary-of-a-header"}});
    let shown = format!("{:?} {:?}", config(table.clone()), read(table).unwrap());
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn quotes_are_short_single_lines_without_secrets() {
    let endpoint =
        read(json!({"api_key": KEY, "headers": {"api-key": "canary-of-a-header", "x-beta": "on"}}));
    let words = format!("on\u{0}\r\n{KEY}  canary-of-a-header");
    assert_eq!(endpoint.unwrap().quote(&words), "on [redacted] [redacted]");
}
