//! The default waterfalls, by the configuration that is shipped: keys are set, and where the APIs are, since here they are
//! simulated. Through the command line and through HTTP.

use std::collections::BTreeMap;

use adapters::http;
use chaos::provider::{Behaviour, Config, Provider};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Broker, Dynode, Events, Launch, client, run};

/// The providers of the shipped configuration: the variable of the key, and the path of the API at a simulator.
const PROVIDERS: [(&str, &str, &str); 10] = [
    ("zai", "ZAI_API_KEY", "/v1"),
    ("anthropic", "ANTHROPIC_API_KEY", "/v1"),
    ("gemini", "GEMINI_API_KEY", "/v1beta"),
    ("openai", "OPENAI_API_KEY", "/v1"),
    ("ideogram", "IDEOGRAM_API_KEY", "/ideogram"),
    ("stability", "STABILITY_API_KEY", "/stability"),
    ("elevenlabs", "ELEVENLABS_API_KEY", "/elevenlabs"),
    ("shotstack", "SHOTSTACK_API_KEY", "/shotstack/edit/v1"),
    ("pexels", "PEXELS_API_KEY", "/pexels"),
    ("replicate", "REPLICATE_API_TOKEN", "/replicate/v1"),
];

/// The models of the shipped configuration whose names the simulator would not know.
const MODELS: [&str; 8] = [
    "glm-5.3",
    "claude-sonnet-5-5",
    "gemini-3.8-flash",
    "gemini-embedding-001",
    "gpt-6.1-sol",
    "text-embedding-3-small",
    "gpt-image-2",
    "gpt-4o-mini-tts",
];

/// A server of one's own where nobody listens.
const LOCAL: &str = r#"
[providers.local]
kind = "openai_compatible"
base_url = "http://127.0.0.1:1/v1"
models.chat = { upstream = "nemotron" }
"#;

/// A simulated vendor that takes `key` and answers by `behaviour`.
async fn vendor(serving: &mut JoinSet<std::io::Result<()>>, key: &str, behaviour: &str) -> String {
    http::install_crypto();
    let config = Config {
        api_key: Some(key.into()),
        models: MODELS.map(str::to_owned).into(),
        behaviour: Behaviour::default().with(behaviour).unwrap(),
        ..Config::default()
    };
    let provider = Provider::bind(config).await.unwrap();
    let address = provider.local_addr().to_string();
    serving.spawn(provider.serve(std::future::pending()));
    address
}

/// Dynode by the shipped configuration, with the keys of `addresses` and nothing else.
async fn start(file: &str, addresses: &BTreeMap<&str, String>) -> Dynode {
    let mut launch = Launch::on(&Broker::Memory).flags(["--config", "everything"]).file(file);
    for (provider, variable, path) in PROVIDERS {
        let Some(address) = addresses.get(provider) else { continue };
        let base_url = format!("DYNODE_PROVIDERS__{}__BASE_URL", provider.to_uppercase());
        launch = launch.variable(variable, "k-right").variable(&base_url, format!("http://{address}{path}"));
    }
    launch.start().await
}

/// Four providers that are dead, each in its own way, and a fifth.
async fn ruins(serving: &mut JoinSet<std::io::Result<()>>) -> Dynode {
    let addresses = BTreeMap::from([
        ("zai", vendor(serving, "k-right", "status=500").await),
        ("anthropic", vendor(serving, "k-another", "").await),
        ("gemini", vendor(serving, "k-right", "error-after=0").await),
        ("openai", vendor(serving, "k-right", "tokens=7").await),
    ]);
    start(LOCAL, &addresses).await
}

/// The outcome says who was asked, in which order, and what each of them had to say.
fn check_fall(outcome: &Value) {
    assert_eq!(
        (&outcome["status"], &outcome["provider"]),
        (&json!("succeeded"), &json!("openai")),
        "{outcome:#}"
    );
    let attempts = outcome["attempts"].as_array().unwrap();
    let mut asked: Vec<_> = attempts.iter().map(|call| call["provider"].as_str().unwrap()).collect();
    asked.dedup();
    assert_eq!(asked, ["local", "zai", "anthropic", "gemini", "openai"]);
    let error = |provider: &str| {
        let call = attempts.iter().find(|call| call["provider"] == provider).unwrap();
        call.get("error").cloned().unwrap_or_default()
    };
    assert_eq!(error("local")["code"], "provider_unavailable", "{outcome:#}");
    assert_eq!(error("zai")["upstream_status"], 500, "{outcome:#}");
    assert_eq!(error("anthropic")["upstream_status"], 401, "{outcome:#}");
    assert!(error("gemini")["message"].as_str().unwrap().contains("overloaded"), "{outcome:#}");
    assert_eq!(error("openai"), Value::Null);
}

#[tokio::test]
async fn a_chat_falls_through_four_dead_providers_to_the_fifth_from_the_command_line() {
    let mut serving = JoinSet::new();
    let dynode = ruins(&mut serving).await;
    let sent = dynode.run(&["send", "--model", "auto", "--id", "fallen", "hello"]).await.succeeded();
    assert!(!sent.trim().is_empty());
    check_fall(&dynode.outcome("fallen").await);
}

#[tokio::test]
async fn a_chat_falls_through_four_dead_providers_to_the_fifth_over_http() {
    let mut serving = JoinSet::new();
    let dynode = ruins(&mut serving).await;
    let body = json!({"model": "auto", "stream": true, "messages": [{"role": "user", "content": "hello"}]});
    let request = client().post(dynode.url() + "/v1/chat/completions").json(&body);
    let chunks = Events::of(request.header("Idempotency-Key", "fallen")).await.rest().await;
    assert_eq!(chunks.last().unwrap().data.as_deref(), Some("[DONE]"));
    check_fall(&dynode.outcome("fallen").await);
}

/// Each action of the contract that has providers: what is asked, and who is asked first.
fn rows() -> [(&'static str, Value, &'static str); 7] {
    let clip = json!({"asset": {"type": "html", "html": "<p>hello</p>"}, "start": 0, "length": 2});
    let video = json!({"model": "auto", "timeline": {"tracks": [{"clips": [clip]}]},
        "output": {"format": "mp4", "resolution": "preview"}});
    [
        (
            "chat.completion",
            json!({"model": "auto", "messages": [{"role": "user", "content": "hello"}]}),
            "zai",
        ),
        ("embedding.query", json!({"model": "auto", "input": "hello"}), "openai"),
        ("image.generate", json!({"model": "auto", "prompt": "a cube"}), "ideogram"),
        ("audio.synthesize", json!({"model": "auto", "input": "hello"}), "elevenlabs"),
        ("video.render", video, "shotstack"),
        ("media.search", json!({"model": "auto", "query": "sea", "per_page": 2}), "pexels"),
        (
            "image.generate",
            json!({"model": "black-forest-labs/flux-schnell", "prompt": "a cube"}),
            "replicate",
        ),
    ]
}

#[tokio::test]
async fn every_action_is_done_by_the_first_of_its_waterfall() {
    let mut serving = JoinSet::new();
    let address = vendor(&mut serving, "k-right", "tokens=7").await;
    let dynode = start("", &PROVIDERS.map(|(provider, ..)| (provider, address.clone())).into()).await;
    for (index, (action, payload, provider)) in rows().into_iter().enumerate() {
        let (sent, posted) = (format!("sent-{index}"), format!("posted-{index}"));
        let command = dynode.command(&["send", "--action", action, "--id", &sent, "--payload", "-"]);
        let shown = run(command, &payload.to_string()).await.succeeded();
        assert!(!shown.trim().is_empty(), "{action}");
        let body = json!({"id": posted, "action": action, "payload": payload});
        let (status, accepted) = dynode.post("/v1/requests", &body).await;
        assert_eq!(status, 202, "{accepted:#}");
        for id in [&sent, &posted] {
            let outcome = dynode.outcome(id).await;
            let ended = (&outcome["status"], &outcome["provider"]);
            assert_eq!(ended, (&json!("succeeded"), &json!(provider)), "{action}: {outcome:#}");
        }
    }
    let doors = [
        ("/v1/chat/completions", 0, "/choices/0/message/content"),
        ("/v1/embeddings", 1, "/data/0/embedding"),
        ("/v1/images/generations", 2, "/data/0/b64_json"),
    ];
    for (path, row, answer) in doors {
        let (status, body) = dynode.post(path, &rows()[row].1).await;
        assert_eq!(status, 200, "{path}: {body:#}");
        assert!(body.pointer(answer).is_some_and(|answer| !answer.is_null()), "{path}: {body:#}");
    }
    let mut speech = rows()[3].1.clone();
    speech["voice"] = json!("JBFqnCBsd6RMkjVDRZzb");
    let spoken = client().post(dynode.url() + "/v1/audio/speech").json(&speech).send().await.unwrap();
    assert_eq!(spoken.status(), 200);
    assert!(!spoken.bytes().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_server_of_ones_own_goes_first_whichever_api_it_speaks() {
    http::install_crypto();
    let mut serving = JoinSet::new();
    let openai = vendor(&mut serving, "k-right", "").await;
    let own = Provider::bind(Config::default()).await.unwrap();
    let address = own.local_addr();
    serving.spawn(own.serve(std::future::pending()));
    for (kind, path) in [("openai_compatible", "/v1"), ("ollama", "/api")] {
        let local = format!(
            "[providers.local]\nkind = \"{kind}\"\nbase_url = \"http://{address}{path}\"\n\
             models.chat = {{ upstream = \"sim\" }}\n\
             models.embed = {{ upstream = \"sim\", action = \"embedding.query\" }}\n"
        );
        let dynode = start(&local, &BTreeMap::from([("openai", openai.clone())])).await;
        for (index, (action, payload, _)) in rows().into_iter().take(2).enumerate() {
            let (sent, posted) = (format!("sent-{index}"), format!("posted-{index}"));
            let command = dynode.command(&["send", "--action", action, "--id", &sent, "--payload", "-"]);
            run(command, &payload.to_string()).await.succeeded();
            dynode.post("/v1/requests", &json!({"id": posted, "action": action, "payload": payload})).await;
            for id in [&sent, &posted] {
                let outcome = dynode.outcome(id).await;
                assert_eq!(outcome["provider"], "local", "{kind}: {outcome:#}");
            }
        }
    }
}

#[tokio::test]
async fn a_provider_without_a_key_is_left_out_and_told() {
    let mut serving = JoinSet::new();
    let address = vendor(&mut serving, "k-right", "tokens=7").await;
    let dynode = start("", &BTreeMap::from([("openai", address)])).await;
    let log = dynode.log();
    let told = log.lines().find(|line| line.contains("ANTHROPIC_API_KEY")).unwrap_or_default();
    assert!(told.contains("left out"), "{log}");
    let body = json!({"id": "one", "action": "chat.completion",
        "payload": {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}});
    dynode.post("/v1/requests", &body).await;
    let outcome = dynode.outcome("one").await;
    let asked: Vec<_> =
        outcome["attempts"].as_array().unwrap().iter().map(|call| &call["provider"]).collect();
    assert_eq!(asked, [&json!("openai")], "{outcome:#}");
    assert_eq!(dynode.get("/v1/models/claude-sonnet-5-5").await.0, 404);
}
