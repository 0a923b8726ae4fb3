//! Settings by file, environment and flag; and the wrong ones, which stop the start with the place and the mend.

use serde_json::json;

use crate::support::{Broker, Dynode, Launch};

/// Starts with this `dynode.toml`, which must be refused; returns the complaint.
async fn refusal_of_file(text: &str) -> String {
    Launch::bare().file(text).refused().await.failed(64)
}

#[tokio::test]
async fn the_printed_defaults_are_a_valid_file() {
    let dynode = Dynode::start(&Broker::Memory).await;
    let defaults = dynode.run(&["config"]).await.succeeded();
    assert!(defaults.lines().filter(|line| line.starts_with('#')).count() > 50, "without comments");
    let launch = Launch::on(&Broker::Memory).file(&defaults);
    let named = launch.dir().join("named.toml");
    std::fs::rename(launch.dir().join("dynode.toml"), &named).unwrap();
    let again = launch.flags(["--config", named.to_str().unwrap()]).start().await;
    let checked = again.run(&["config", "--check", named.to_str().unwrap()]).await.succeeded();
    assert!(checked.starts_with("ok"), "{checked}");
}

#[tokio::test]
async fn a_wrong_file_stops_the_start_with_file_line_and_mend() {
    let table = [
        ("\nlistn = \"127.0.0.1:1\"", "dynode.toml:2", &["listn", "did you mean `listen`"][..]),
        ("[gateway]\nbody_bytes_max = \"many\"", "dynode.toml:2", &["gateway.body_bytes_max"]),
        ("[engine]\n\nlease_ms = 1", "dynode.toml:3", &["engine.lease_ms", "the least is"]),
        ("log_format = \"xml\"", "dynode.toml:1", &["log_format", "json"]),
        ("broker = \"pigeon\"", "dynode.toml:1", &["broker", "memory"]),
        (
            "[providers.p]\nkind = \"psychic\"\nmodels = {}",
            "dynode.toml:2",
            &["providers.p.kind", "simulated"],
        ),
        ("listen = ", "dynode.toml:1", &[]),
        ("prefix = \"a b\"", "dynode.toml:1", &["prefix"]),
    ];
    for (text, place, pieces) in table {
        let complaint = refusal_of_file(text).await;
        for piece in pieces.iter().chain([&place]) {
            assert!(complaint.contains(piece), "{text:?}: no `{piece}` in: {complaint}");
        }
    }
}

#[tokio::test]
async fn a_wrong_variable_or_flag_is_named() {
    let unknown = Launch::on(&Broker::Memory).variable("DYNODE_GATEWAY__TENNANT", "x").refused().await;
    let complaint = unknown.failed(64);
    assert!(complaint.contains("DYNODE_GATEWAY__TENNANT") && complaint.contains("tenant"), "{complaint}");
    let mistyped = Launch::on(&Broker::Memory).variable("DYNODE_ENGINE__LEASE_MS", "soon").refused().await;
    assert!(mistyped.failed(64).contains("DYNODE_ENGINE__LEASE_MS"));
    let flag = Launch::bare().flags(["--broker", "pigeon"]).refused().await.failed(64);
    assert!(flag.contains("--broker") && flag.contains("`memory`"), "{flag}");
    let missing = Launch::on(&Broker::Memory).flags(["--config", "nowhere.toml"]).refused().await.failed(64);
    assert!(missing.contains("nowhere.toml"), "{missing}");
}

#[tokio::test]
async fn the_environment_is_over_the_file_and_the_flag_over_both() {
    let file = "log_format = \"xml\"\n[gateway]\ntenant = \"of-the-file\"\nbody_bytes_max = 1000";
    let launch = Launch::on(&Broker::Memory).file(file).flags(["--log-format", "json"]);
    let dynode = launch.variable("DYNODE_GATEWAY__TENANT", "of-the-environment").start().await;
    let payload = json!({"model": "sim-embed", "input": "x"});
    let (_, accepted) = dynode
        .post("/v1/requests", &json!({"id": "a", "action": "embedding.query", "payload": payload}))
        .await;
    assert_eq!(accepted["id"], "a", "{accepted}");
    assert_eq!(dynode.outcome("a").await["tenant"], "of-the-environment");
    let (status, _) = dynode.post("/v1/requests", &json!({"metadata": {"k": "x".repeat(1000)}})).await;
    assert_eq!(status, 413, "the limit of the file holds");
    let log = dynode.log();
    let line = log.lines().next().expect("a log line");
    assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "no JSON: {line}");
}

#[tokio::test]
async fn a_secret_is_never_shown() {
    let file = "[providers.p]\nkind = \"openai_compatible\"\napi_key = 12345678\nmodels = {}";
    let complaint = refusal_of_file(file).await;
    assert!(!complaint.contains("12345678"), "{complaint}");
}
