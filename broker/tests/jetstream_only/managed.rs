//! The server as a child: restarted when it dies, replaced when an earlier Dynode left one, gone when it should be.

use std::path::Path;

use broker::{
    managed::{Managed, ManagedConfig},
    testing,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::*;

fn config(dir: &Path) -> ManagedConfig {
    let sync_interval = Duration::from_millis(100);
    ManagedConfig { binary: testing::binary(), data_dir: dir.to_owned(), port: None, sync_interval }
}

/// A process that is gone with the test, also when that fails.
fn spawn(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> (Child, u32) {
    let child = Command::new(program).args(arguments).kill_on_drop(true).spawn().unwrap();
    let pid = child.id().unwrap();
    (child, pid)
}

fn is_running(pid: u32) -> bool {
    // A child that has ended and was not waited for yet has no command line any more.
    let output =
        std::process::Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8(output.stdout).unwrap();
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}

async fn gone(pid: u32) {
    within("the end of the server", async {
        while is_running(pid) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn kill(pid: u32) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
}

async fn publish_one(url: String, number: usize) {
    let broker = JetStream::connect(Config::new(url)).await.unwrap();
    broker.ensure(&[queue("JOBS")]).await.unwrap();
    broker.publish(numbered("jobs.a", number)).await.unwrap();
    broker.close().await;
}

#[tokio::test]
async fn a_managed_server_keeps_its_store_and_ends_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let managed = Managed::start(config(dir.path())).await.unwrap();
    let pid = managed.pid().unwrap();
    publish_one(managed.url(), 1).await;
    within("the stop", managed.stop()).await;
    assert!(!is_running(pid));

    let managed = Managed::start(config(dir.path())).await.unwrap();
    let broker = JetStream::connect(Config::new(managed.url())).await.unwrap();
    assert_eq!(number(&broker.last("JOBS", "jobs.a").await.unwrap().unwrap().message), 1);
    managed.stop().await;
}

#[tokio::test]
async fn a_managed_server_may_sync_before_each_acknowledgement() {
    let dir = tempfile::tempdir().unwrap();
    let sync_interval = Duration::ZERO;
    let managed = Managed::start(ManagedConfig { sync_interval, ..config(dir.path()) }).await.unwrap();
    let settings = std::fs::read_to_string(dir.path().join("nats-server.conf")).unwrap();
    assert!(settings.contains("sync_interval: always"), "{settings}");
    let config = Config { sync_interval: Some(sync_interval), ..Config::new(managed.url()) };
    let survives = JetStream::connect(config).await.unwrap().describe().survives;
    assert!(survives.contains("nor a power failure loses anything"), "{survives}");
    publish_one(managed.url(), 1).await;
    managed.stop().await;
}

#[tokio::test]
async fn a_managed_server_is_gone_when_its_handle_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let managed = Managed::start(config(dir.path())).await.unwrap();
    let pid = managed.pid().unwrap();
    drop(managed);
    gone(pid).await;
}

#[tokio::test]
async fn a_managed_server_that_dies_is_restarted_on_its_port() {
    let dir = tempfile::tempdir().unwrap();
    let managed = Managed::start(config(dir.path())).await.unwrap();
    let url = managed.url();
    let broker = JetStream::connect(Config::new(url.clone())).await.unwrap();
    broker.ensure(&[queue("JOBS")]).await.unwrap();
    for number in 1..=2 {
        let pid = managed.pid().unwrap();
        kill(pid);
        until(&broker, |link| matches!(link, Link::Down(_))).await;
        until(&broker, |link| *link == Link::Up).await;
        persist(&broker, numbered("jobs.a", number)).await;
        within("another process", async {
            while managed.pid().is_none_or(|now| now == pid) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    assert_eq!(managed.url(), url);
    managed.stop().await;
}

#[tokio::test]
async fn a_server_left_behind_by_a_killed_dynode_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let first = Managed::start(config(dir.path())).await.unwrap();
    publish_one(first.url(), 1).await;
    first.stop().await;
    // As after a kill of Dynode: the server runs with our file, its id is noted, nobody holds the lock.
    let dir_path = dir.path().canonicalize().unwrap();
    let file = dir_path.join("nats-server.conf");
    let (_left, pid) = spawn(testing::binary(), &["--config", file.to_str().unwrap()]);
    std::fs::write(dir_path.join("nats-server.pid"), pid.to_string()).unwrap();
    let ports = dir_path.join("ports").join(format!("nats-server_{pid}.ports"));
    within("the server", async {
        while !ports.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;

    let second = Managed::start(config(dir.path())).await.unwrap();
    assert!(!is_running(pid));
    let broker = JetStream::connect(Config::new(second.url())).await.unwrap();
    assert_eq!(number(&broker.last("JOBS", "jobs.a").await.unwrap().unwrap().message), 1);
    second.stop().await;
}

#[tokio::test]
async fn a_process_that_only_has_the_noted_id_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (_stranger, pid) = spawn("sleep", &["600"]);
    std::fs::write(dir.path().join("nats-server.pid"), pid.to_string()).unwrap();
    let managed = Managed::start(config(dir.path())).await.unwrap();
    assert!(is_running(pid));
    managed.stop().await;
}

#[tokio::test]
async fn a_data_directory_has_one_dynode() {
    let dir = tempfile::tempdir().unwrap();
    let managed = Managed::start(config(dir.path())).await.unwrap();
    let error = Managed::start(config(dir.path())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("another dynode runs"), "{error}");
    managed.stop().await;
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = Some(taken.local_addr().unwrap().port());
    let error = Managed::start(ManagedConfig { port, ..config(dir.path()) }).await.unwrap_err();
    assert!(error.to_string().contains("address already in use"), "{error}");
}
