//! What the first process tells of its workers: their metrics, and whether there is anybody to do the work.

use super::*;

/// Far above the bound of one answer, far below the time after which a silent worker is ended.
const METRICS_MAX: Duration = Duration::from_millis(2_500);

/// Everything that `/metrics` says.
async fn metrics(dynode: &Dynode) -> String {
    let request = client().get(dynode.url() + "/metrics").send();
    within("metrics", request).await.unwrap().text().await.unwrap()
}

/// The sum of the samples of `name` that have `label`.
fn sum(metrics: &str, name: &str, label: &str) -> f64 {
    let sample = |line: &&str| line.starts_with(&format!("{name}{{")) && line.contains(label);
    metrics.lines().filter(sample).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// Whether the worker in `slot` has told its metrics.
fn up(metrics: &str, slot: &str) -> bool {
    sum(metrics, "dynode_fleet_worker_up", &format!("worker=\"{slot}\"")) > 0.0
}

#[tokio::test]
async fn the_metrics_of_every_worker_are_on_the_first_process() {
    const REQUESTS: usize = 20;
    let dynode = start(&Broker::Managed).await;
    let body = json!({"model": "sim-fast", "messages": [{"role": "user", "content": "Hello"}]});
    for _ in 0..REQUESTS {
        assert_eq!(dynode.post("/v1/chat/completions", &body).await.0, 200);
    }
    let asked = Instant::now();
    let text = metrics(&dynode).await;
    println!("{} bytes of metrics after {:?}", text.len(), asked.elapsed());
    for slot in ["1", "2"] {
        let label = format!("worker=\"{slot}\"");
        assert!(up(&text, slot), "{text}");
        assert!(sum(&text, "process_resident_memory_bytes", &label) > 0.0, "{text}");
    }
    assert!(text.lines().any(|line| line.starts_with("process_uptime_seconds ")), "its own:\n{text}");
    let calls = sum(&text, "dynode_provider_calls_total", "worker=");
    assert!((calls - REQUESTS as f64).abs() < 0.5, "{calls}:\n{text}");
    let mut told: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    let all = told.len();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), all, "each name once:\n{text}");
}

#[tokio::test]
async fn a_worker_that_hangs_does_not_hold_the_metrics_up() {
    let launch = launch(&Broker::Managed).variable("DYNODE_WATCHDOG__SILENCE_KILL_MS", "15000");
    let dynode = launch.start().await;
    until("two workers that are ready", || ready(&dynode).len() == 2).await;
    let victim = workers(&dynode)["1"];
    kill_process(victim, Signal::STOP).unwrap();
    let asked = Instant::now();
    let text = metrics(&dynode).await;
    let took = asked.elapsed();
    println!("metrics beside one that hangs: {took:?}");
    assert!(took < METRICS_MAX, "{took:?}");
    assert!(!up(&text, "1") && up(&text, "2"), "{text}");
    kill_process(victim, Signal::CONT).unwrap();
    within("its metrics again", async {
        while !up(&metrics(&dynode).await, "1") {
            sleep(LOOK_EVERY).await;
        }
    })
    .await;
}

#[tokio::test]
async fn readiness_tells_of_workers_that_die_and_liveness_does_not() {
    let dynode = start(&Broker::Managed).await;
    let quiet = json!({"status": "ready", "reasons": [], "alarms": []});
    assert_eq!(dynode.get("/health/ready").await, (200, quiet.clone()));
    until("an alarm", || {
        if let Some(pid) = workers(&dynode).get("1") {
            // It may have ended since.
            let _ = kill_process(*pid, Signal::KILL);
        }
        dynode.log().contains("alarm")
    })
    .await;
    let (status, body) = dynode.get("/health/ready").await;
    assert_eq!((status, &body["reasons"]), (200, &json!([])), "the other works on: {body:#}");
    let alarm = body["alarms"][0].as_str().unwrap();
    assert!(alarm.contains("worker 1 ") && alarm.contains("killed"), "{alarm}");

    kill_process(workers(&dynode)["2"], Signal::KILL).unwrap();
    let unready = within("a change of readiness", async {
        loop {
            let (status, body) = dynode.get("/health/ready").await;
            if status == 503 {
                return body;
            }
        }
    })
    .await;
    assert_eq!(unready["reasons"], json!(["no worker process is ready"]));
    assert_eq!(dynode.get("/health/live").await, (200, json!({"status": "live"})));
    within("readiness again", async {
        while dynode.get("/health/ready").await.0 != 200 {
            sleep(LOOK_EVERY).await;
        }
    })
    .await;
}
