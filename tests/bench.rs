//! `dynode bench`: that it measures what it says, and says where it does not. How fast anything is, is no test's business.

use serde_json::Value;
use tempfile::tempdir;
use tokio::process::Command;

use crate::support::{Broker, Dynode, Ended, program, run};

/// Fractions of a second: enough for some requests.
const TINY: [&str; 6] = ["--rounds", "2", "--seconds", "0.3", "--warm-up", "0.1"];

fn bench(dir: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = program(dir);
    command.arg("bench").args(arguments);
    command
}

async fn measured(arguments: &[&str]) -> (Ended, Value) {
    let dir = tempdir().unwrap();
    let arguments = [arguments, &TINY, &["--json", "figures.json", "--html", "figures.html"]].concat();
    let mut command = bench(dir.path(), &arguments);
    command.env("DYNODE_NATS_SERVER", broker::testing::binary());
    let ended = run(command, "").await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let page = std::fs::read_to_string(dir.path().join("figures.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("</html>"), "{page}");
    let text = std::fs::read_to_string(dir.path().join("figures.json")).unwrap();
    (ended, serde_json::from_str(&text).unwrap())
}

/// The figure of one side under the first load.
fn median(figures: &Value, scenario: &str, side: &str, metric: &str) -> f64 {
    let scenarios = figures["scenarios"].as_array().unwrap();
    let scenario = scenarios.iter().find(|one| one["name"] == scenario).unwrap();
    let side = &scenario["points"][0]["sides"][side];
    let figure = &side["metrics"][metric];
    assert!(side["failures"].is_null(), "{side:#}");
    assert!(figure["low"].as_f64() <= figure["high"].as_f64(), "{figure:#}");
    figure["median"].as_f64().unwrap_or_else(|| panic!("no {metric}: {side:#}"))
}

#[tokio::test]
async fn a_tiny_bench_measures_an_engine_and_what_stands_around_it() {
    let asked = [
        "chat",
        "stream",
        "socket-chat",
        "embeddings",
        "publish",
        "--broker",
        "memory",
        "--connections",
        "2",
    ];
    let (ended, figures) = measured(&asked).await;
    for scenario in ["chat", "stream", "socket-chat", "embeddings"] {
        for side in ["direct", "engine"] {
            assert!(median(&figures, scenario, side, "rate") > 0.0);
            assert!(median(&figures, scenario, side, "p99_ms") >= median(&figures, scenario, side, "p50_ms"));
        }
        assert!(median(&figures, scenario, "engine", "cpu_ms") > 0.0);
        assert!(median(&figures, scenario, "engine", "engine_mib") > 1.0);
    }
    assert!(median(&figures, "stream", "engine", "chunk_rate") > 0.0);
    assert!(median(&figures, "stream", "engine", "first_p50_ms") > 0.0);
    assert_eq!(figures["skipped"][0]["name"], "publish", "memory has no bus");
    assert!(
        ended.out.contains("over direct") && ended.out.contains("weakened: broker = memory"),
        "{}",
        ended.out
    );
}

#[tokio::test]
async fn a_tiny_bench_measures_the_floor_under_a_durable_request() {
    let managed = ["--broker", "managed", "--sync-ms", "0", "--floor", "--connections", "4"];
    let (ended, figures) = measured(&[&["publish", "start"], &managed[..]].concat()).await;
    for side in ["engine", "floor"] {
        assert!(median(&figures, "publish", side, "rate") > 0.0);
        assert!(median(&figures, "publish", side, "cpu_ms") > 0.0);
        assert!(median(&figures, "publish", side, "broker_cpu_ms") > 0.0);
    }
    assert!(median(&figures, "start", "engine", "ready_ms") > 0.0);
    assert!(median(&figures, "start", "engine", "broker_mib") > 1.0, "the server is known as the broker");
    assert!(ended.out.contains("of floor") && !ended.out.contains("weakened"), "{}", ended.out);
}

#[tokio::test]
async fn an_open_loop_measures_a_server_that_runs_already() {
    let dynode = Dynode::start(&Broker::Memory).await;
    let (url, pid) = (dynode.url(), dynode.pid().to_string());
    let target = ["--target", &url, "--model", "sim-fast", "--pid", &pid, "--rate", "50"];
    let (_, figures) = measured(&[&["chat", "sockets"], &target[..]].concat()).await;
    assert!(median(&figures, "chat", "engine", "rate") > 0.0);
    assert!(median(&figures, "chat", "engine", "engine_mib") > 1.0);
    assert_eq!(figures["scenarios"][0]["points"][0]["load"], "50 a second");
    assert_eq!(figures["skipped"][0]["name"], "sockets");
}

#[tokio::test]
async fn a_comparison_ends_with_what_it_found() {
    let dir = tempdir().unwrap();
    let write = |name: &str, rate: f64| {
        let figure = serde_json::json!({"median": rate, "low": rate, "high": rate, "rounds": [rate]});
        let sides = serde_json::json!({"engine": {"metrics": {"rate": figure}}});
        let points = serde_json::json!([{"load": "1 at once", "sides": sides}]);
        let figures = serde_json::json!({
            "format": 1, "began": "", "took_ms": 0, "command": "", "skipped": [],
            "environment": {"facts": [], "weakened": [], "warnings": []},
            "scenarios": [{"name": "chat", "about": "", "points": points}],
        });
        std::fs::write(dir.path().join(name), figures.to_string()).unwrap();
    };
    write("a.json", 100.0);
    write("b.json", 50.0);
    let compare =
        async |arguments: &[&str]| run(bench(dir.path(), &[&["compare"], arguments].concat()), "").await;
    assert!(compare(&["a.json", "b.json"]).await.code == Some(1));
    assert!(compare(&["a.json", "b.json", "--tolerance", "60%"]).await.code == Some(0));
    assert!(compare(&["b.json", "a.json"]).await.succeeded().contains("better"));
    let wrong = compare(&["a.json", "none.json"]).await;
    assert!(wrong.failed(1).contains("none.json"));
}

#[tokio::test]
async fn what_cannot_be_measured_is_told_at_once() {
    let dir = tempdir().unwrap();
    let unknown = run(bench(dir.path(), &["chats"]), "").await;
    assert!(unknown.failed(2).contains("--list"));
    let listed = run(bench(dir.path(), &["--list"]), "").await.succeeded();
    assert!(listed.contains("chat-60ms") && listed.contains("soak"), "{listed}");
    let broker = run(bench(dir.path(), &["--broker", "kafka"]), "").await;
    assert!(broker.failed(2).contains("managed"));
}
