//! Applications of Anthropic's SDKs, which change their base URL and nothing else: in front of simulated models, and of
//! Anthropic's own API.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

use crate::support::{Broker, Chain, Dynode, Launch, client, node, python, within};

on_each_broker!(the_python_sdk_works, the_node_sdk_works);

/// A server that does one thing at a time, and a model that nobody can pay.
const TIGHT: &str = r#"
[gateway]
requests_inflight_max = 1
[providers.paid]
kind = "simulated"
[providers.paid.models.paid]
price = { input = 1000, output = 1000 }
[[budgets]]
tenant = "*"
per = "month"
usd = 0.001
"#;

async fn the_python_sdk_works(broker: Broker) {
    let (dynode, tight) = (Dynode::start(&broker).await, Launch::on(&broker).file(TIGHT).start().await);
    python("messages.py", &[&dynode.url(), &tight.url()]).await;
}

async fn the_node_sdk_works(broker: Broker) {
    let (dynode, tight) = (Dynode::start(&broker).await, Launch::on(&broker).file(TIGHT).start().await);
    node("messages.mjs", &[&dynode.url(), &tight.url()]).await;
}

/// The simulator refuses what Anthropic refuses, so that what it answers has crossed twice and is whole.
#[tokio::test]
async fn the_sdk_reaches_anthropic_through_both_translations() {
    let chain = Chain::start(|address| {
        format!(
            r#"
            [providers.claude]
            kind = "anthropic"
            base_url = "http://{address}/v1"
            api_key_env = "UPSTREAM_KEY"
            [providers.claude.models]
            claude = {{ upstream = "sim:gap=2ms,tokens=4" }}
            claude-busy = {{ upstream = "sim:tokens=4,status=529,times=1,retry-after=1" }}
            claude-none = {{ upstream = "sim:status=400" }}
            "#
        )
    })
    .await;
    python("messages_upstream.py", &[&chain.dynode.url()]).await;
    let calls = chain.calls.snapshot().entries;
    assert!(
        calls.iter().all(|call| call.path == "/v1/messages" && call.authorization.is_some()),
        "{calls:#?}"
    );
}

/// What an application asks Anthropic for.
fn question() -> Value {
    let text = |text: &str| json!({"type": "text", "text": text});
    let marked = |mut block: Value| {
        block["cache_control"] = json!({"type": "ephemeral", "ttl": "1h"});
        block
    };
    let png = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}});
    let linked = json!({"type": "image", "source": {"type": "url", "url": "https://images.test/a.png"}});
    let pdf = json!({"type": "document", "title": "Report",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}});
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let call = |id: &str, city: &str| json!({"type": "tool_use", "id": id, "name": "weather", "input": {"city": city}});
    let result =
        |id: &str, content: Value| json!({"type": "tool_result", "tool_use_id": id, "content": content});
    json!({
        "model": "claude", "max_tokens": 1_000,
        "system": [text("Be brief."), marked(text("Be kind."))],
        "messages": [
            {"role": "user", "content": [marked(png.clone()), linked, marked(pdf), text("What is this?")]},
            {"role": "assistant", "content": [text("Let me see."), call("toolu_1", "Oslo"), marked(call("toolu_2", "Rome"))]},
            {"role": "user", "content": [
                result("toolu_1", json!([text("rain"), png])), marked(result("toolu_2", json!([text("sun")]))), marked(text("And?")),
            ]},
        ],
        "tools": [
            {"name": "weather", "description": "Tells the weather.", "input_schema": schema, "strict": true},
            marked(json!({"name": "clock", "input_schema": {"type": "object"}})),
        ],
        "cache_control": {"type": "ephemeral"},
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "stop_sequences": ["END", "STOP"],
        "metadata": {"user_id": "u-1"},
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": "medium", "format": {"type": "json_schema", "schema": schema}},
    })
}

/// What Anthropic answers.
fn answer() -> Value {
    json!({
        "id": "msg_upstream", "type": "message", "role": "assistant", "model": "claude-real",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
            {"type": "text", "text": "{\"city\":\"Oslo\"}", "citations": null},
        ],
        "stop_reason": "stop_sequence", "stop_sequence": "END", "stop_details": null,
        "usage": {
            "input_tokens": 5, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 100,
            "output_tokens": 30, "output_tokens_details": {"thinking_tokens": 12}, "service_tier": "standard",
        },
    })
}

#[tokio::test]
async fn a_message_reaches_anthropic_as_it_was_sent_and_its_answer_comes_back() {
    let mut upstream = Upstream::start(answer()).await;
    let file = format!(
        "[providers.claude]\nkind = \"anthropic\"\nbase_url = \"http://{}/v1\"\napi_key_env = \"UPSTREAM_KEY\"\n\
         [providers.claude.models]\nclaude = {{ upstream = \"claude-real\" }}\n",
        upstream.address
    );
    let launch = Launch::on(&Broker::Memory).file(&file).variable("UPSTREAM_KEY", "k-upstream");
    let dynode = launch.start().await;
    let mut asked = question();
    let request = client().post(dynode.url() + "/v1/messages").header("anthropic-version", "2026-10-21");
    let response = within("an answer", request.json(&asked).send()).await.unwrap();
    assert_eq!(response.status(), 200);
    let told: Value = response.json().await.unwrap();

    let arrived = within("the call", upstream.bodies.recv()).await.unwrap();
    asked["model"] = json!("claude-real");
    assert_eq!(arrived, asked);

    let (mut expected, id) = (answer(), told["id"].clone());
    assert!(id.as_str().unwrap().starts_with("msg_"), "{id}");
    (expected["id"], expected["model"]) = (id, json!("claude"));
    // By which Anthropic knows its own thoughts again; it does not cross.
    expected["content"][0]["signature"] = json!("");
    expected["usage"].as_object_mut().unwrap().remove("service_tier");
    assert_eq!(told, expected);
}

/// A server that answers everything alike, and keeps what it was sent.
struct Upstream {
    address: String,
    bodies: mpsc::UnboundedReceiver<Value>,
    // Ends with the test.
    _serving: JoinSet<()>,
}

impl Upstream {
    async fn start(answer: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, bodies) = mpsc::unbounded_channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if sender.send(exchange(stream, &answer.to_string()).await).is_err() {
                    return;
                }
            }
        });
        Self { address, bodies, _serving: serving }
    }
}

/// Reads one request, and answers it; returns its body.
async fn exchange(stream: TcpStream, answer: &str) -> Value {
    let mut stream = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    while stream.read_line(&mut line).await.unwrap() > 2 {
        if let Some(told) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = told.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ";
    stream.write_all(format!("{head}{}\r\n\r\n{answer}", answer.len()).as_bytes()).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}
