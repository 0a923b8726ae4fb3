//! A call that spins without yielding: nothing within the runtime can end it, so the watchdog outside ends the process,
//! and whoever supervises that goes on.

use std::time::Duration;

use broker::testing::Server;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    support::{Broker, Dynode, Launch},
    workers::{launch, ready, until},
};

/// A model whose calls never end and never yield.
const FILE: &str = "[providers.sim.models.poison]\noutput_tokens = 10\nspin_after_tokens = 3\n";
/// What the log says at the end.
const END: &str = "the process ends, to be replaced";
/// One second for the watchdog, which no other bound here is as short as, and what a machine under load may add.
const BOUND: Duration = Duration::from_secs(8);

fn hasty(launch: Launch) -> Launch {
    launch.file(FILE).variable("DYNODE_WATCHDOG__NO_PROGRESS_KILL_MS", "1000")
}

async fn send(dynode: &Dynode, model: &str, id: &str) {
    let request = json!({"id": id, "action": "chat.completion", "payload": {
        "model": model, "messages": [{"role": "user", "content": id}], "stream": true,
    }});
    let (status, accepted) = dynode.post("/v1/requests", &request).await;
    assert_eq!(status, 202, "{accepted}");
}

#[tokio::test]
async fn a_process_in_which_a_call_spins_ends_itself_and_says_why() {
    let mut dynode = hasty(Launch::on(&Broker::Memory)).start().await;
    let began = Instant::now();
    send(&dynode, "poison", "spin").await;
    assert_eq!(dynode.stopped().await, Some(71));
    let took = began.elapsed();
    println!("spin to exit: {took:?}");
    assert!(took < BOUND, "{took:?}");
    let log = dynode.log();
    let why = log.lines().find(|line| line.contains(END)).unwrap_or_else(|| panic!("no reason in\n{log}"));
    assert!(why.contains("ERROR") && why.contains("code=71"), "{why}");
}

#[tokio::test]
async fn a_request_that_spins_ends_its_workers_and_then_itself_and_nothing_else() {
    const OTHERS: usize = 20;
    let server = Server::start().await;
    let launch = hasty(launch(&Broker::Servers(server.url())))
        // So that it is each worker's own watchdog that ends it, and not its parent.
        .variable("DYNODE_WATCHDOG__SILENCE_KILL_MS", "30000");
    let dynode = launch.start().await;
    until("two workers that are ready", || ready(&dynode).len() == 2).await;
    let began = Instant::now();
    send(&dynode, "poison", "poison").await;
    until("the end of a worker", || dynode.log().contains("reason=\"no_progress\"")).await;
    println!("spin to the end of the worker, as its parent sees it: {:?}", began.elapsed());
    assert!(began.elapsed() < BOUND);
    for number in 0..OTHERS {
        send(&dynode, "sim-fast", &format!("other-{number}")).await;
        let outcome = dynode.outcome(&format!("other-{number}")).await;
        assert_eq!(outcome["status"], "succeeded", "{outcome:#}");
    }
    let outcome = dynode.outcome("poison").await;
    println!("spin to the outcome of the poison: {:?}", began.elapsed());
    assert_eq!(outcome["status"], "failed", "{outcome:#}");
    assert_eq!(outcome["error"]["code"], "stalled", "{outcome:#}");
    let (status, parked) = dynode.get("/v1/dead").await;
    assert_eq!(status, 200, "{parked:#}");
    assert!(parked.to_string().contains("poison"), "{parked:#}");
    until("both workers again", || ready(&dynode).len() == 2).await;
    send(&dynode, "sim-fast", "after").await;
    assert_eq!(dynode.outcome("after").await["status"], "succeeded");
}
