//! Long work whose end the provider tells: what it is given, what is read, and what is not believed.

use std::io::Write;

use adapters::{Remedy, Webhook};
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use schemas::ErrorCode;

use super::{
    server::{Act, Seen, Server, reply},
    *,
};

const URL: &str = "https://ai.test/v1/webhooks/token";

const FILE: &str = r#"
[models]
told = { call = "told" }
first = { call = "first" }
both = { call = "both" }

[calls.told]
action = "tool.invoke"
[calls.told.request]
path = "jobs"
json = { hook = "{{ webhook.url }}" }
[calls.told.webhook]
state = "{{ reply.state }}"
pending = ["on"]
done = ["off"]
failed = ["broken"]
[calls.told.reply]
output = { made = "{{ reply.made }}", job = "{{ submitted.id }}" }

[calls.first]
action = "tool.invoke"
[calls.first.request]
path = "jobs"
json = { hook = "{{ webhook.url }}" }
[calls.first.webhook]
[calls.first.reply]
output = { made = "{{ reply.made }}" }

[calls.both]
action = "tool.invoke"
[calls.both.request]
path = "jobs"
json = { hook = "{{ webhook.url | optional }}" }
[calls.both.webhook]
every_ms = 20_000
[calls.both.poll]
path = "jobs/{{ submitted.id }}"
state = "{{ reply.state }}"
pending = []
done = ["on"]
every_ms = 50
[calls.both.reply]
output = { made = "{{ reply.made }}" }

[refusal]
message = "{{ reply.why }}"
[[errors]]
status = 200
when = "{{ reply.unsafe }}"
code = "invalid_request"
remedy = "fatal"
says = "withheld it"
"#;

/// A place at which these are told.
#[derive(Debug)]
struct Told(Vec<Value>);

impl Webhook for Told {
    fn url(&self) -> &str {
        URL
    }

    fn told(&self) -> BoxStream<'static, Value> {
        stream::iter(self.0.clone()).chain(stream::pending()).boxed()
    }
}

async fn asked(model: &str, told: Option<Vec<Value>>) -> (Vec<Result<Progress, Error>>, Server) {
    let submitted = json!({"id": "j", "state": "on", "made": "by the reply"}).to_string();
    let acts: Vec<Act> = vec![reply(200, "content-type: application/json\r\n", &submitted)];
    let server = Server::start(acts).await;
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(FILE.as_bytes()).unwrap();
    let adapter = provider(json!({"kind": "dynamic", "file": file.path(), "base_url": server.base_url}));
    let webhook = told.map(|told| Arc::new(Told(told)) as Arc<dyn Webhook>);
    let call = Call {
        action: Action::ToolInvoke,
        model: model.into(),
        payload: json!({}),
        webhook,
        ..chat(json!({}))
    };
    (all(&*adapter, call).await, server)
}

fn made(items: &[Result<Progress, Error>]) -> &Value {
    match items.last() {
        Some(Ok(Progress::Finished(finished))) => match &finished.output {
            Output::Other(output) => output,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_provider_is_given_the_place_and_what_it_tells_is_the_reply() {
    let told = vec![
        json!({"state": "on"}),
        json!({"state": "off", "made": "by the webhook"}),
        json!({"state": "broken"}),
    ];
    let (items, mut server) = asked("told", Some(told)).await;
    assert_eq!(*made(&items), json!({"made": "by the webhook", "job": "j"}));
    let moved = items.iter().filter(|item| matches!(item, Ok(Progress::Moved { .. }))).count();
    assert_eq!(moved, 2, "that it goes on: by the first reply, and by the first webhook");
    let Seen::Request { body, .. } = server.seen().await else { panic!() };
    assert_eq!(body, json!({"hook": URL}));
}

#[tokio::test]
async fn without_states_the_first_webhook_is_the_end() {
    let (items, _server) = asked("first", Some(vec![json!({"made": 1}), json!({"made": 2})])).await;
    assert_eq!(*made(&items), json!({"made": 1}));
}

#[tokio::test]
async fn beside_a_poll_the_place_is_given_where_there_is_one() {
    let (items, mut server) = asked("both", Some(vec![json!({"made": "by somebody else"})])).await;
    assert_eq!(*made(&items), json!({"made": "by the reply"}));
    let Seen::Request { body, .. } = server.seen().await else { panic!() };
    assert_eq!(body, json!({"hook": URL}));
    let (items, mut server) = asked("both", None).await;
    assert_eq!(*made(&items), json!({"made": "by the reply"}));
    let Seen::Request { body, .. } = server.seen().await else { panic!() };
    assert_eq!(body, json!({}));
}

#[tokio::test]
async fn what_a_webhook_tells_may_be_that_it_failed() {
    let rows = [
        (
            json!({"state": "broken", "why": "no disk"}),
            ErrorCode::ProviderError,
            "ended as `broken`: no disk",
        ),
        (json!({"state": "dreaming"}), ErrorCode::ProviderError, "`dreaming`; add it to pending"),
        (json!({"unsafe": true, "state": "off"}), ErrorCode::InvalidRequest, "withheld it"),
        (json!([]), ErrorCode::ProviderError, "reported no state"),
    ];
    for (told, code, words) in rows {
        let (items, _server) = asked("told", Some(vec![told])).await;
        let error = failure(&items);
        assert_eq!(error.code, code, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[tokio::test]
async fn where_no_webhook_can_come_nothing_is_ordered() {
    let (items, mut server) = asked("told", None).await;
    let error = failure(&items);
    assert_eq!(error.remedy, Remedy::FallBack);
    assert!(error.message.contains("gateway.public_url"), "{error}");
    let seen = tokio::time::timeout(Duration::from_millis(50), server.seen()).await;
    assert!(seen.is_err(), "{seen:?}");
}
