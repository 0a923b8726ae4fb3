//! The engine as processes beside the gateway: whatever befalls one of them, it is replaced and its work is finished;
//! none outlives its parent.

use std::{collections::BTreeMap, time::Duration};

use broker::testing::Server;
use futures_util::StreamExt;
use rustix::process::{Pid, Signal, getpgid, kill_process};
use schemas::{Format, Heartbeat};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::{Broker, Dynode, Events, Launch, client, within};

mod told;

/// How often a test looks for what must come.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Long enough to be interrupted in the middle, at twenty a second.
const TOKENS: usize = 60;

/// A start with two workers, whose bounds are short.
pub(crate) fn launch(broker: &Broker) -> Launch {
    Launch::on(broker)
        .flags(["--workers", "2"])
        .variable("DYNODE_ENGINE__LEASE_MS", "3000")
        .variable("DYNODE_ENGINE__HEARTBEAT_MS", "250")
        .variable("DYNODE_WATCHDOG__SILENCE_KILL_MS", "3000")
}

/// Two workers, ready.
pub(crate) async fn start(broker: &Broker) -> Dynode {
    let dynode = launch(broker).start().await;
    until("two workers that are ready", || ready(&dynode).len() == 2).await;
    dynode
}

pub(crate) async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    within(what, async {
        while !reached() {
            sleep(LOOK_EVERY).await;
        }
    })
    .await;
}

/// The worker processes that live, by their slots.
pub(crate) fn workers(dynode: &Dynode) -> BTreeMap<String, Pid> {
    let parent = dynode.pid().as_raw_nonzero().to_string();
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().map(Result::unwrap) {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        // `pid (name) state parent …`
        let stat = read("stat");
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let lives = !matches!(fields.next(), None | Some("" | "Z" | "X"));
        let command_line = read("cmdline");
        let mut words = command_line.split('\0').skip(1);
        if lives && fields.next() == Some(&parent) && words.next() == Some("worker") {
            found.insert(words.nth(1).unwrap().to_owned(), pid);
        }
    }
    found
}

/// The workers that live and have been heard.
pub(crate) fn ready(dynode: &Dynode) -> BTreeMap<String, Pid> {
    let log = dynode.log();
    let mut workers = workers(dynode);
    workers.retain(|_, pid| {
        let pid = format!("pid={} ", pid.as_raw_nonzero());
        log.lines().any(|line| line.contains("is ready") && line.contains(&pid))
    });
    workers
}

fn lives(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    // One that nobody has waited for is dead all the same.
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}

fn chat(id: &str) -> Value {
    json!({"id": id, "action": "chat.completion", "payload": {
        "model": "sim-fast", "messages": [{"role": "user", "content": "x"}], "stream": true,
        "simulate": {"tokens": TOKENS, "tokens_per_second": 20},
    }})
}

/// Sends a request, and returns the worker that is at it.
async fn busy_worker(dynode: &Dynode, server: &Server, id: &str) -> Pid {
    let nats = async_nats::connect(server.url()).await.unwrap();
    let mut beats = nats.subscribe("dynode.hb.*.sim").await.unwrap();
    nats.flush().await.unwrap();
    let (status, accepted) = dynode.post("/v1/requests", &chat(id)).await;
    assert_eq!(status, 202, "{accepted}");
    within("a worker that is at it", async {
        loop {
            let beat: Heartbeat = Format::Json.decode(&beats.next().await.unwrap().payload).unwrap();
            if beat.inflight > 0 {
                return Pid::from_raw(beat.pid.cast_signed()).unwrap();
            }
        }
    })
    .await
}

/// Waits for two ready workers, of which `gone` is none.
async fn replaced(dynode: &Dynode, gone: Pid) {
    until("another worker", || {
        let ready = ready(dynode);
        ready.len() == 2 && !ready.values().any(|pid| *pid == gone)
    })
    .await;
}

/// The work was begun again by another, and is whole.
async fn check_second_attempt(dynode: &Dynode, id: &str) {
    let outcome = dynode.outcome(id).await;
    assert_eq!(outcome["status"], "succeeded", "{outcome:#}");
    assert_eq!(outcome["usage"]["output_tokens"], TOKENS, "{outcome:#}");
    assert_eq!(outcome["ended"][0], 2, "the second attempt: {outcome:#}");
}

#[tokio::test]
async fn two_workers_answer_and_a_managed_server_is_theirs_as_well() {
    let dynode = start(&Broker::Managed).await;
    for pid in workers(&dynode).into_values() {
        assert_eq!(getpgid(Some(pid)).unwrap(), pid, "Ctrl-C must not reach it");
    }
    let body = json!({"model": "sim-fast", "messages": [{"role": "user", "content": "Hello"}]});
    let (status, answer) = dynode.post("/v1/chat/completions", &body).await;
    assert_eq!((status, &answer["choices"][0]["message"]["content"]), (200, &json!("You said: Hello")));
}

#[tokio::test]
async fn a_worker_that_is_killed_in_mid_stream_is_replaced_and_its_work_is_finished() {
    let server = Server::start().await;
    let dynode = start(&Broker::Servers(server.url())).await;
    let victim = busy_worker(&dynode, &server, "killed").await;
    kill_process(victim, Signal::KILL).unwrap();
    let killed = Instant::now();
    replaced(&dynode, victim).await;
    println!("killed to replacement ready: {:?}", killed.elapsed());
    check_second_attempt(&dynode, "killed").await;
    assert!(dynode.log().contains("reason=\"killed\""), "the death is told with its reason");
}

#[tokio::test]
async fn a_worker_that_is_stopped_in_mid_stream_is_killed_and_its_work_is_finished() {
    let server = Server::start().await;
    let dynode = start(&Broker::Servers(server.url())).await;
    let victim = busy_worker(&dynode, &server, "stopped").await;
    kill_process(victim, Signal::STOP).unwrap();
    let stopped = Instant::now();
    until("the end of one that is silent", || !lives(victim)).await;
    println!("stopped to killed: {:?}", stopped.elapsed());
    replaced(&dynode, victim).await;
    println!("stopped to replacement ready: {:?}", stopped.elapsed());
    check_second_attempt(&dynode, "stopped").await;
    assert!(dynode.log().contains("reason=\"silent\""), "the death is told with its reason");
}

#[tokio::test]
async fn no_worker_outlives_a_parent_that_is_killed() {
    let server = Server::start().await;
    let mut dynode = start(&Broker::Servers(server.url())).await;
    busy_worker(&dynode, &server, "orphaned").await;
    let orphans = workers(&dynode);
    assert_eq!(orphans.len(), 2);
    dynode.kill().await;
    let killed = Instant::now();
    until("the end of all workers", || !orphans.values().any(|pid| lives(*pid))).await;
    println!("parent killed to workers gone: {:?}", killed.elapsed());
}

#[tokio::test]
async fn at_ctrl_c_running_work_is_finished_and_no_process_is_left() {
    let mut dynode = start(&Broker::Managed).await;
    let workers = workers(&dynode);
    let request = client().post(dynode.url() + "/v1/chat/completions").json(&chat("")["payload"]);
    let mut events = Events::of(request).await;
    events.next().await.expect("a first chunk");
    let (status, accepted) = dynode.post("/v1/requests", &chat("unattended")).await;
    assert_eq!(status, 202, "{accepted}");
    dynode.interrupt();
    let interrupted = Instant::now();
    let rest = events.rest().await;
    assert_eq!(rest.last().unwrap().data.as_deref(), Some("[DONE]"));
    let answered = Instant::now();
    assert_eq!(dynode.stopped().await, Some(0));
    println!(
        "Ctrl-C to exit: {:?}, of which {:?} after the answer",
        interrupted.elapsed(),
        answered.elapsed()
    );
    assert!(!workers.values().any(|pid| lives(*pid)), "a worker is left");
    assert!(!dynode.log().contains("ERROR"), "nothing went wrong:\n{}", dynode.log());
    dynode.restart().await;
    let outcome = dynode.outcome("unattended").await;
    assert_eq!((&outcome["status"], &outcome["ended"][0]), (&json!("succeeded"), &json!(1)), "{outcome:#}");
}

#[tokio::test]
async fn a_worker_that_dies_again_and_again_raises_an_alarm_and_the_others_go_on() {
    let dynode = start(&Broker::Managed).await;
    let alarm = || dynode.log().contains("alarm");
    until("an alarm", || {
        if let Some(pid) = workers(&dynode).get("1") {
            // It may have ended since.
            let _ = kill_process(*pid, Signal::KILL);
        }
        alarm()
    })
    .await;
    assert_eq!(workers(&dynode).into_keys().collect::<Vec<_>>(), ["2"], "the slot rests");
    let body = json!({"model": "sim-fast", "messages": [{"role": "user", "content": "still there?"}]});
    assert_eq!(dynode.post("/v1/chat/completions", &body).await.0, 200);
    let metrics = client().get(dynode.url() + "/metrics").send().await.unwrap().text().await.unwrap();
    for line in ["dynode_fleet_alarms_total 1", "dynode_fleet_restarts_total{reason=\"killed\"} 5"] {
        assert!(metrics.contains(line), "no `{line}` in\n{metrics}");
    }
}

#[tokio::test]
async fn workers_are_refused_where_they_cannot_reach_the_broker() {
    let refused = launch(&Broker::Memory).refused().await.failed(64);
    assert!(refused.contains("--workers") && refused.contains("managed"), "{refused}");
    let nowhere = tempfile::tempdir().unwrap();
    let none = Launch::bare().flags(["--workers", "2"]).variable("PATH", nowhere.path().to_str().unwrap());
    let none = none.refused().await.failed(64);
    assert!(none.contains("--workers") && none.contains("install"), "{none}");
}
