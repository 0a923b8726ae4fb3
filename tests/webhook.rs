//! A provider tells the end of long work itself: once, twice, not at all, and while others pretend to be it.

use std::{net::SocketAddr, time::Duration};

use adapters::http;
use chaos::{
    Journal,
    provider::{Call, CallOutcome, Config, Provider, WEBHOOK_SECRET},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet, time::Instant};

use crate::support::{Broker, Dynode, Launch};

/// Nothing is done sooner by asking: it must be told, or asked after its end.
const NEVER: &str = "polls=100000";

/// A provider file of one's own whose work has no other end than a webhook.
const TOLD_ONLY: &str = r#"
base_url = "http://ADDRESS/replicate/v1"
key = { variable = "UPSTREAM_KEY" }
webhook_secret = { variable = "HOOK_SECRET" }
[models]
"black-forest-labs/flux-schnell" = { call = "image" }
[calls.image]
action = "image.generate"
[calls.image.request]
path = "models/{{ model | safe }}/predictions"
[calls.image.request.json]
webhook = "{{ webhook.url }}"
input = { prompt = "{{ payload.prompt }}" }
[calls.image.webhook]
state = "{{ reply.status }}"
pending = ["starting", "processing"]
done = ["succeeded"]
failed = ["failed"]
[calls.image.reply]
files = { urls = "{{ reply.output }}" }
"#;

/// The shipped file of Shotstack, but for how often it is asked where a webhook may come.
fn video_file(every_ms: u32) -> String {
    let shipped = include_str!("../config/providers/shotstack.toml");
    let table = "[calls.render.webhook]\n";
    assert!(shipped.contains(table));
    shipped.replace(table, &format!("{table}every_ms = {every_ms}\n"))
}

struct Rig {
    dynode: Dynode,
    calls: Journal<Call>,
    _serving: JoinSet<std::io::Result<()>>,
}

impl Rig {
    /// A simulator whose webhooks have this fate, and Dynode within its reach.
    async fn start(broker: &Broker, fate: &str) -> Self {
        Self::asking(broker, fate, 15_000, &[]).await
    }

    /// The same, and its videos are asked after every so many milliseconds nevertheless.
    async fn asking(broker: &Broker, fate: &str, every_ms: u32, flags: &[&str]) -> Self {
        http::install_crypto();
        let config = Config { api_key: Some("k-upstream".into()), ..Config::default() };
        let provider = Provider::bind(config).await.unwrap();
        let (upstream, calls) = (provider.local_addr(), provider.calls());
        let mut serving = JoinSet::new();
        serving.spawn(provider.serve(std::future::pending()));
        let own = free_address().await;
        let provider = |name: &str, file: &str, path: &str| {
            format!(
                "[providers.{name}]\nkind = \"dynamic\"\nfile = \"{file}\"\nbase_url = \"http://{upstream}/{path}\"\n\
                 api_key_env = \"UPSTREAM_KEY\"\nheaders = {{ \"x-sim-media\" = \"{NEVER},hook={fate}\" }}\n"
            )
        };
        let launch =
            Launch::on(broker).listen(own).flags(["--log-format", "json"]).flags(flags.iter().copied());
        let write = |name: &str, text: &str| std::fs::write(launch.dir().join(name), text).unwrap();
        write("told.toml", &TOLD_ONLY.replace("ADDRESS", &upstream.to_string()));
        write("video.toml", &video_file(every_ms));
        let file = format!(
            "[gateway]\npublic_url = \"http://{own}\"\n{}{}{}",
            provider("video", "./video.toml", "shotstack/edit/v1"),
            provider("hosted", "replicate", "replicate/v1"),
            provider("told", "./told.toml", "replicate/v1"),
        );
        let launch = launch.file(&file).variable("UPSTREAM_KEY", "k-upstream");
        let launch = launch.variable("HOOK_SECRET", WEBHOOK_SECRET);
        let dynode = launch.variable("REPLICATE_WEBHOOK_SECRET", WEBHOOK_SECRET).start().await;
        Self { dynode, calls, _serving: serving }
    }

    async fn ask(&self, id: &str, action: &str, payload: Value) -> Value {
        let body = json!({"id": id, "action": action, "payload": payload});
        let (status, accepted) = self.dynode.post("/v1/requests", &body).await;
        assert_eq!(status, 202, "{accepted:#}");
        self.dynode.outcome(id).await
    }

    /// A video by Shotstack, which does not sign.
    async fn video(&self, id: &str) -> Value {
        let clip = json!({"asset": {"type": "html", "html": "<p>hello</p>"}, "start": 0, "length": 2});
        let payload = json!({"model": "shotstack", "timeline": {"tracks": [{"clips": [clip]}]}});
        self.ask(id, "video.render", payload).await
    }

    /// An image by Replicate, which signs.
    async fn image(&self, id: &str, provider: &str) -> Value {
        let model = format!("{provider}/black-forest-labs/flux-schnell");
        self.ask(id, "image.generate", json!({"model": model, "prompt": "a cube"})).await
    }

    /// What webhooks of that name were answered with, once all of them were.
    async fn answers(&self, name: &str, count: usize) -> Vec<Option<u16>> {
        let of = |calls: &[Call]| {
            let hooks = calls.iter().filter(|call| call.path == name);
            hooks
                .filter(|call| call.outcome != CallOutcome::InProgress)
                .map(|call| call.status)
                .collect::<Vec<_>>()
        };
        of(&self.calls.wait_until(|calls| of(calls).len() >= count).await)
    }

    /// How often the state was asked.
    fn polls(&self, path: &str) -> usize {
        let is_poll =
            |call: &&Call| call.path.contains(path) && !call.path.ends_with(path.trim_end_matches('/'));
        self.calls.snapshot().entries.iter().filter(is_poll).count()
    }
}

async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn succeeded(outcome: &Value) {
    assert_eq!(outcome["status"], "succeeded", "{outcome:#}");
    assert_eq!(outcome["output"]["assets"].as_array().map(Vec::len), Some(1), "{outcome:#}");
    assert_eq!(outcome["attempts"].as_array().map(Vec::len), Some(1), "{outcome:#}");
}

on_each_broker!(what_is_told_is_done_at_once);

async fn what_is_told_is_done_at_once(broker: Broker) {
    let rig = Rig::start(&broker, "once").await;
    let began = Instant::now();
    succeeded(&rig.video("v").await);
    succeeded(&rig.image("i", "hosted").await);
    succeeded(&rig.image("j", "told").await);
    assert!(began.elapsed() < Duration::from_secs(15), "nothing was waited for");
    assert_eq!(rig.answers("/_hook", 3).await, [Some(200); 3]);
    assert_eq!(rig.polls("/edit/v1/render/"), 1, "told of the end, it was asked once");
    assert_eq!(rig.polls("/replicate/v1/predictions/"), 1, "and where there is no poll, not at all");
}

#[tokio::test]
async fn a_worker_process_hears_what_its_gateway_took() {
    let rig = Rig::asking(&Broker::Managed, "once", 15_000, &["--workers", "1"]).await;
    succeeded(&rig.image("j", "told").await);
    assert_eq!(rig.answers("/_hook", 1).await, [Some(200)]);
}

#[tokio::test]
async fn a_webhook_that_is_forged_is_refused_and_logged_without_what_it_says() {
    let rig = Rig::start(&Broker::Memory, "forged").await;
    succeeded(&rig.image("i", "told").await);
    assert_eq!(rig.answers("/_hook/forged", 2).await, [Some(401); 2]);
    assert_eq!(rig.answers("/_hook", 1).await, [Some(200)]);
    let log = rig.dynode.log();
    let refused = log.lines().filter(|line| line.contains("/v1/webhooks/{token}") && line.contains("401"));
    assert_eq!(refused.count(), 2, "{log}");
    assert!(!log.contains("forged-canary"), "{log}");
}

#[tokio::test]
async fn a_webhook_that_comes_twice_has_no_further_effect() {
    let rig = Rig::start(&Broker::Memory, "twice").await;
    let outcome = rig.image("i", "told").await;
    succeeded(&outcome);
    assert_eq!(rig.answers("/_hook/again", 1).await, [Some(200)]);
    assert_eq!(rig.dynode.get("/v1/requests/i").await.1, outcome);
}

#[tokio::test]
async fn a_webhook_that_is_lost_is_made_good_by_asking() {
    let rig = Rig::asking(&Broker::Memory, "lost", 500, &[]).await;
    succeeded(&rig.video("v").await);
    assert!(rig.polls("/edit/v1/render/") >= 1);
    assert!(rig.answers("/_hook", 0).await.is_empty());
}

#[tokio::test]
async fn work_whose_webhook_never_comes_ends_with_its_deadline_or_a_cancel() {
    let rig = Rig::start(&Broker::Memory, "lost").await;
    let payload = json!({"model": "told/black-forest-labs/flux-schnell", "prompt": "a cube"});
    let body = json!({"id": "late", "action": "image.generate", "deadline_ms": 2_000, "payload": payload});
    rig.dynode.post("/v1/requests", &body).await;
    assert_eq!(rig.dynode.outcome("late").await["status"], "expired");
    let body = json!({"id": "unwanted", "action": "image.generate", "payload": payload});
    rig.dynode.post("/v1/requests", &body).await;
    rig.calls.wait_until(|calls| calls.len() >= 2).await;
    rig.dynode.delete("/v1/requests/unwanted").await;
    assert_eq!(rig.dynode.outcome("unwanted").await["status"], "cancelled");
}
