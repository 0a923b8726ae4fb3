//! Parity, as anybody runs it: the same requests through the WebSocket, every form of HTTP and the bus, on an engine of its
//! own and on a deployment; nothing may differ that is not allowed. The report stays below `target/`.

use std::{fs, path::Path, time::Duration};

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{Broker, Dynode, Ended, program, run, run_within};
use broker::testing::{self, Server};

/// Where the report of the last run is.
const REPORT: &str = "target/parity";

/// Every case through every handle, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// Reads the report that a run has left, and shows what differs.
fn report(file: &Path, ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.err);
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn names(report: &Value, field: &str) -> Vec<String> {
    report[field].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_handle_shows_the_same_on_a_real_broker() {
    let (dir, root) = (tempdir().unwrap(), Path::new(env!("CARGO_MANIFEST_DIR")).join(REPORT));
    fs::create_dir_all(&root).unwrap();
    let file = root.join("report.json");
    let mut command = program(dir.path());
    command.arg("parity").arg("--report").arg(&file).arg("--nats-server").arg(testing::binary());
    let ended = run_within(PATIENCE, command, "").await;
    fs::write(root.join("report.txt"), &ended.out).unwrap();
    let report = report(&file, &ended);
    assert_eq!(names(&report, "handles").len(), 9, "all handles");
    let cases = report["cases"].as_array().unwrap();
    assert!(cases.len() > 90 && cases.iter().all(|case| case["skipped"].is_null()), "{}", cases.len());
    let unmet: Vec<_> =
        report["allowed"].as_array().unwrap().iter().filter(|allowed| allowed[1] == 0).collect();
    assert!(unmet.is_empty(), "allowed differences that nobody meets any more: {unmet:#?}");
}

#[tokio::test]
async fn a_deployment_is_compared_with_and_without_its_bus() {
    let server = Server::start().await;
    let dynode = Dynode::start(&Broker::Servers(server.url())).await;
    for (nats, handles) in [(vec![], 7), (vec!["--nats".to_owned(), server.url()], 9)] {
        let file = dynode.dir().join("report.json");
        let mut command = program(dynode.dir());
        command
            .args(["parity", "--target", &dynode.url(), "--area", "stream", "--report"])
            .arg(&file)
            .args(nats);
        let report = report(&file, &run(command, "").await);
        assert_eq!(names(&report, "handles").len(), handles);
    }
}
