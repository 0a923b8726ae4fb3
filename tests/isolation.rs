//! Tenants on one NATS server whose accounts `dynode nats-auth` has printed: the services of each use the bus, and reach
//! nothing of another, whatever they ask of the server.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_nats::{Client, ConnectOptions, Event, RequestErrorKind, jetstream};
use broker::testing::Server;
use futures_util::StreamExt;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Broker, Dynode, Launch, program, run, within};

/// How the server answers who asks for streams in an account of a tenant.
const NO_JETSTREAM: &str = "JetStream not enabled for account";

/// A server by the printed configuration, and the seeds of its users.
struct Ground {
    server: Server,
    seeds: TempDir,
}

impl Ground {
    async fn start() -> Self {
        let seeds = tempfile::tempdir().unwrap();
        let mut command = program(seeds.path());
        command.args(["nats-auth", "--tenant", "acme", "--tenant", "globex", "--seeds", "."]);
        let printed = run(command, "").await;
        assert_eq!(printed.code, Some(0), "{}", printed.err);
        Self { server: Server::with_config(&printed.out).await, seeds }
    }

    fn seed(&self, user: &str) -> PathBuf {
        self.seeds.path().join(format!("{user}.nk"))
    }

    fn launch(&self, user: &str) -> Launch {
        Launch::on(&Broker::Servers(self.server.url()))
            .variable("DYNODE_NATS_CREDENTIALS", self.seed(user).display().to_string())
    }

    /// A connection of this user, and what the server has denied to it.
    async fn connect(&self, user: &str) -> (Client, Denials) {
        let denials = Denials::default();
        let noted = denials.clone();
        let seed = fs::read_to_string(self.seed(user)).unwrap();
        let options = ConnectOptions::with_nkey(seed).event_callback(move |event| {
            if let Event::ServerError(error) = event {
                noted.0.lock().push(error.to_string());
            }
            std::future::ready(())
        });
        (options.connect(self.server.url()).await.unwrap(), denials)
    }
}

#[derive(Debug, Clone, Default)]
struct Denials(Arc<Mutex<Vec<String>>>);

impl Denials {
    /// Waits until the server has said that `subject` is denied.
    async fn await_of(&self, subject: &str) {
        let denied = async {
            while !self.0.lock().iter().any(|why| why.contains(subject)) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within(&format!("a denial of {subject}"), denied).await;
    }
}

fn chat(id: &str) -> bytes::Bytes {
    let payload = json!({"model": "sim-fast", "messages": [{"role": "user", "content": "secret"}]});
    json!({"id": id, "payload": payload}).to_string().into()
}

/// Sends a request of `tenant` and returns its outcome, as a service finds it.
async fn use_the_bus(service: &Client, tenant: &str, id: &str) -> Value {
    let mut outcomes = service.subscribe(format!("dynode.res.{tenant}.*")).await.unwrap();
    let mut events = service.subscribe(format!("dynode.evt.{tenant}.{id}")).await.unwrap();
    service.flush().await.unwrap();
    let stream = jetstream::new(service.clone());
    let stored = stream.publish(format!("dynode.req.{tenant}.chat.completion"), chat(id)).await.unwrap();
    assert_eq!(within("the ack", async { stored.await }).await.unwrap().stream, "DYNODE_REQ");
    let subject = format!("dynode.res.{tenant}.{id}");
    // Another request of the same tenant may end first.
    let outcome = loop {
        let outcome = within("the outcome", outcomes.next()).await.unwrap();
        if outcome.subject.as_str() == subject {
            break outcome;
        }
    };
    assert!(within("an event", events.next()).await.is_some());
    let later = format!("$JS.API.DIRECT.GET.DYNODE_RES.dynode.res.{tenant}.{id}");
    let found = service.request(later, "".into()).await.unwrap();
    assert_eq!(found.payload, outcome.payload, "whoever comes later finds it");
    serde_json::from_slice(&outcome.payload).unwrap()
}

#[tokio::test]
async fn a_tenant_reaches_its_own_work_and_nothing_of_another() {
    let ground = Ground::start().await;
    let _dynode = ground.launch("engine").start().await;
    let (globex, _) = ground.connect("tenant-globex").await;
    let (operator, _) = ground.connect("operator").await;
    let mut requests = operator.subscribe("dynode.req.>").await.unwrap();
    operator.flush().await.unwrap();

    // It may listen to whatever it likes in its own account; nothing of the other's comes there.
    let mut heard = globex.subscribe(">").await.unwrap();
    globex.flush().await.unwrap();
    let (acme, _) = ground.connect("tenant-acme").await;
    let outcome = use_the_bus(&acme, "acme", "a-1").await;
    assert_eq!((&outcome["status"], &outcome["tenant"]), (&json!("succeeded"), &json!("acme")));
    assert_eq!(requests.next().await.unwrap().subject.as_str(), "dynode.req.acme.chat.completion");
    globex.publish("own", "".into()).await.unwrap();
    let first = loop {
        let message = within("its own message", heard.next()).await.unwrap();
        // When to wait is told to everybody.
        if !message.subject.starts_with("dynode.sig.") {
            break message;
        }
    };
    assert_eq!(first.subject.as_str(), "own", "nothing came before it");
    heard.unsubscribe().await.unwrap();

    for (subject, body) in [
        ("dynode.req.acme.chat.completion", chat("forged")),
        ("dynode.ctl.acme.a-1", "".into()),
        ("dynode.res.acme.forged", "{}".into()),
        ("$JS.API.DIRECT.GET.DYNODE_RES.dynode.res.acme.a-1", "".into()),
        ("$JS.API.DIRECT.GET.DYNODE_RES", r#"{"last_by_subj":"dynode.res.acme.a-1"}"#.into()),
        ("$JS.API.DIRECT.GET.DYNODE_EVT.dynode.evt.acme.a-1", "".into()),
        ("$JS.API.DIRECT.GET.DYNODE_RES.>", "".into()),
        ("$JS.API.STREAM.MSG.GET.DYNODE_RES", r#"{"last_by_subj":"dynode.res.acme.a-1"}"#.into()),
        ("$JS.API.STREAM.INFO.DYNODE_RES", "".into()),
        ("$JS.API.STREAM.PURGE.DYNODE_RES", "".into()),
        (
            "$JS.API.CONSUMER.CREATE.DYNODE_RES.spy.dynode.res.acme.>",
            r#"{"stream_name":"DYNODE_RES","config":{"name":"spy","filter_subject":"dynode.res.acme.>"}}"#
                .into(),
        ),
        ("$KV.DYNODE_SECRETS.asset-links", "mine".into()),
        ("$JS.API.DIRECT.GET.KV_DYNODE_SECRETS.$KV.DYNODE_SECRETS.asset-links", "".into()),
    ] {
        match within(subject, globex.request(subject, body)).await {
            Err(error) => assert_eq!(error.kind(), RequestErrorKind::NoResponders, "{subject}"),
            // The server itself answers for an account that has no streams.
            Ok(answer) => {
                let told = String::from_utf8_lossy(&answer.payload);
                assert!(told.contains(NO_JETSTREAM), "{subject}: {told}");
            }
        }
    }
    // The answer to what it may ask is no way to speak as another.
    globex
        .publish_with_reply(
            "dynode.req.globex.chat.completion",
            "dynode.req.acme.chat.completion",
            chat("g-0"),
        )
        .await
        .unwrap();
    let outcome = use_the_bus(&globex, "globex", "g-1").await;
    assert_eq!(outcome["tenant"], "globex");
    for _ in 0..2 {
        assert_eq!(requests.next().await.unwrap().subject.as_str(), "dynode.req.globex.chat.completion");
    }
}

#[tokio::test]
async fn gateways_and_workers_do_with_less() {
    let ground = Ground::start().await;
    let worker = ground.seed("worker").display().to_string();
    let launch = ground.launch("gateway").flags(["--workers", "1"]);
    let dynode = launch.variable("DYNODE_NATS_WORKER_CREDENTIALS", worker).start().await;
    check_answers(&dynode).await;
    let (acme, _) = ground.connect("tenant-acme").await;
    assert_eq!(use_the_bus(&acme, "acme", "a-1").await["status"], "succeeded");

    let (worker, denied) = ground.connect("worker").await;
    worker.publish("dynode.req.acme.chat.completion", chat("forged")).await.unwrap();
    denied.await_of("dynode.req.acme.chat.completion").await;
    let _spying = worker.subscribe("_INBOX.>").await.unwrap();
    denied.await_of("_INBOX.>").await;
    let (gateway, denied) = ground.connect("gateway").await;
    gateway.publish("dynode.res.acme.forged", "{}".into()).await.unwrap();
    denied.await_of("dynode.res.acme.forged").await;
    gateway.publish("$JS.API.STREAM.DELETE.DYNODE_RES", "".into()).await.unwrap();
    denied.await_of("$JS.API.STREAM.DELETE.DYNODE_RES").await;
    assert!(!dynode.log().contains("Permissions Violation"), "{}", dynode.log());
}

/// The doors answer, and look up what they need.
async fn check_answers(dynode: &Dynode) {
    let payload = json!({"model": "sim-fast", "messages": [{"role": "user", "content": "Hello"}]});
    let answered = async {
        // Until the workers are there.
        while dynode.post("/v1/chat/completions", &payload).await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    within("an answer", answered).await;
    let image = json!({"model": "sim-image", "prompt": "x"});
    assert_eq!(dynode.post("/v1/images/generations", &image).await.0, 200, "files are kept, and read");
    assert_eq!(dynode.get("/v1/dead").await.0, 200);
    assert_eq!(dynode.get("/v1/usage").await.0, 200);
}

#[tokio::test]
async fn a_stranger_is_refused_and_told_how_to_mend_it() {
    let ground = Ground::start().await;
    let ended = Launch::on(&Broker::Servers(ground.server.url())).refused().await;
    assert_eq!(ended.code, Some(69), "{}", ended.err);
    assert!(ended.err.contains("nats_credentials"), "{}", ended.err);
    let missing = Path::new("/nonexistent/engine.nk").display().to_string();
    let launch =
        Launch::on(&Broker::Servers(ground.server.url())).variable("DYNODE_NATS_CREDENTIALS", missing);
    let ended = launch.refused().await;
    assert_eq!(ended.code, Some(69), "{}", ended.err);
    assert!(ended.err.contains("engine.nk"), "{}", ended.err);
}
