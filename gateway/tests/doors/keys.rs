//! API keys at every door: who comes in, whose work it is, what they may do, and that it ends with the key.

use axum::{
    body::Body,
    http::{Method, Request},
};
use broker::{Broker, Limits, Message as BrokerMessage, Publication, Topology, memory::Memory};
use futures_util::StreamExt;
use gateway::{Access, ConfiguredKeys, KeyConfig};
use schemas::{ApiKey, Format, KeyMode, Subjects};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error, Message, client::IntoClientRequest};

use crate::{
    client::{Reply, chat, native},
    rig::{PATIENCE, Rig},
    socket::Socket,
};

/// A broker with its streams.
pub(crate) async fn broker() -> Memory {
    let broker = Memory::default();
    broker.ensure(&Topology::new(Subjects::default()).streams(&Limits::default())).await.unwrap();
    broker
}

fn request(key: &str, method: Method, path: &str, body: Option<&Value>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if !key.is_empty() {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    match body {
        Some(body) => {
            request.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()
        }
        None => request.body(Body::empty()).unwrap(),
    }
}

impl Rig {
    pub(crate) async fn get_by(&self, key: &str, path: &str) -> Reply {
        self.request(request(key, Method::GET, path, None)).await
    }

    pub(crate) async fn post_by(&self, key: &str, path: &str, body: &Value) -> Reply {
        self.request(request(key, Method::POST, path, Some(body))).await
    }

    async fn delete_by(&self, key: &str, path: &str) -> Reply {
        self.request(request(key, Method::DELETE, path, None)).await
    }

    /// The key and its id.
    pub(crate) async fn make(&self, by: &str, wish: Value) -> (String, String) {
        let reply = self.post_by(by, "/v1/keys", &wish).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        assert_eq!(reply.header("cache-control"), "no-store");
        let made = reply.json();
        (made["key"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap().to_owned())
    }

    /// The first key of this installation, and a user's of `acme` and of `other`.
    async fn staffed(&self) -> (String, String, String) {
        let (root, _) = self.make("", json!({})).await;
        let (acme, _) = self.make(&root, json!({"tenant": "acme"})).await;
        let (other, _) = self.make(&root, json!({"tenant": "other"})).await;
        (root, acme, other)
    }

    pub(crate) async fn socket_by(&self, key: &str) -> Result<Socket, Error> {
        let mut request = format!("ws://{}/ws", self.address).into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        tokio_tungstenite::connect_async(request).await.map(|(socket, _)| Socket(socket))
    }

    /// Waits until `key` is answered so.
    pub(crate) async fn until_status(&self, key: &str, status: u16) {
        let wait = async {
            while self.get_by(key, "/v1/models").await.status.as_u16() != status {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap();
    }
}

pub(crate) fn code(reply: &Reply) -> (u16, String) {
    (reply.status.as_u16(), reply.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
}

pub(crate) fn unauthorized() -> (u16, String) {
    (401, "unauthorized".to_owned())
}

pub(crate) fn forbidden() -> (u16, String) {
    (403, "forbidden".to_owned())
}

#[tokio::test]
async fn on_this_machine_the_first_key_is_made_by_whoever_asks_and_then_one_is_needed() {
    let rig = Rig::start().await;
    assert_eq!(rig.post("/v1/chat/completions", &chat("sim-chat")).await.status, 200, "nobody has a key");
    assert_eq!(rig.get_by("sk-whatever", "/v1/models").await.status, 200, "SDKs send something");
    let users = rig.post_by("", "/v1/keys", &json!({"role": "user"})).await;
    assert_eq!((users.status.as_u16(), &users.json()["error"]["param"]), (400, &json!("role")));
    let page = Request::post("/v1/keys").header("content-type", "text/plain").body(Body::from("{}")).unwrap();
    assert_eq!(
        rig.request(page).await.status,
        415,
        "a page of another origin can send this without being asked"
    );

    let (key, id) = rig.make("", json!({"name": "first"})).await;
    assert!(key.starts_with(&format!("dyn_live_{id}_")), "{key}");
    assert_eq!(code(&rig.get_by("", "/v1/models").await), unauthorized());
    assert_eq!(code(&rig.post_by("", "/v1/keys", &json!({})).await), unauthorized());
    assert_eq!(rig.get_by(&key, "/v1/models").await.status, 200);
    let listed = rig.get_by(&key, "/v1/keys").await;
    assert!(!listed.text().contains(&key[20..]) && !listed.text().contains("hash"), "{}", listed.text());
    let first = &listed.json()["data"][0];
    let told = (&first["id"], &first["role"], &first["tenant"], &first["name"]);
    assert_eq!(told, (&json!(id), &json!("superadmin"), &json!("default"), &json!("first")));
    assert!(first["last_used_at"].is_string(), "{first}");
}

#[tokio::test]
async fn every_route_needs_a_key_but_the_open_ones() {
    let rig = Rig::start().await;
    let (_, user, _) = rig.staffed().await;
    let routes = [
        (Method::POST, "/v1/chat/completions"),
        (Method::POST, "/v1/embeddings"),
        (Method::POST, "/v1/images/generations"),
        (Method::POST, "/v1/audio/speech"),
        (Method::GET, "/v1/models"),
        (Method::GET, "/v1/models/sim-chat"),
        (Method::POST, "/v1/requests"),
        (Method::GET, "/v1/requests/a"),
        (Method::DELETE, "/v1/requests/a"),
        (Method::GET, "/v1/requests/a/events"),
        (Method::GET, "/v1/assets/a"),
        (Method::GET, "/v1/assets/a?xsignature=a"),
        (Method::GET, "/v1/assets/a/link"),
        (Method::GET, "/v1/events"),
        (Method::POST, "/v1/estimate"),
        (Method::GET, "/v1/status"),
        (Method::GET, "/ws"),
        (Method::OPTIONS, "/v1/chat/completions"),
    ];
    let managed = [
        (Method::GET, "/v1/usage"),
        (Method::GET, "/v1/dead"),
        (Method::GET, "/v1/dead/1"),
        (Method::DELETE, "/v1/dead/1"),
        (Method::POST, "/v1/dead/1/replay"),
        (Method::GET, "/v1/keys"),
        (Method::POST, "/v1/keys"),
        (Method::GET, "/v1/keys/a"),
        (Method::DELETE, "/v1/keys/a"),
        (Method::POST, "/v1/keys/a/rotate"),
        (Method::GET, "/metrics"),
    ];
    for (method, path) in routes.iter().chain(&managed) {
        let reply = rig.request(request("", method.clone(), path, Some(&json!({})))).await;
        assert_eq!(code(&reply), unauthorized(), "{method} {path}");
        assert_eq!(reply.header("www-authenticate"), "Bearer");
    }
    for (method, path) in managed {
        let reply = rig.request(request(&user, method.clone(), path, Some(&json!({})))).await;
        assert_eq!(code(&reply), forbidden(), "{method} {path}");
    }
    for path in ["/", "/health/live", "/health/ready"] {
        assert_eq!(rig.get_by("", path).await.status, 200, "{path}");
    }
    assert_eq!(rig.get_by("", "/nowhere").await.status, 404);
}

#[tokio::test]
async fn a_key_may_stand_where_sdks_and_pages_can_put_it() {
    let rig = Rig::start().await;
    let (_, user, _) = rig.staffed().await;
    let of_anthropic = Request::get("/v1/models").header("x-api-key", &user).body(Body::empty()).unwrap();
    assert_eq!(rig.request(of_anthropic).await.status, 200);

    let mut request = format!("ws://{}/ws", rig.address).into_client_request().unwrap();
    let protocols = format!("dynode, dynode.key.{user}");
    request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
    let (socket, response) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "dynode", "the key is not repeated");
    let mut socket = Socket(socket);
    socket.say(native("a", "sim-chat")).await;
    assert_eq!(socket.hear().await["event"], "queued");
    assert!(rig.socket_by(&user).await.is_ok());
    match rig.socket_by("dyn_live_x").await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 401),
        other => panic!("{:?}", other.map(drop)),
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_key_is_told_to_whoever_has_it_and_to_nobody_else() {
    let rig = Rig::start().await;
    let (root, user, _) = rig.staffed().await;
    let (dead, id) = rig.make(&root, json!({"expires_in_ms": 0})).await;
    let (gone, gone_id) = rig.make(&root, json!({})).await;
    assert_eq!(rig.delete_by(&root, &format!("/v1/keys/{gone_id}")).await.status, 200);
    let mistyped = format!("{}x", &user[..user.len() - 1]);
    // Another secret under an id that there is.
    let forged = {
        let mut numbers = 0_u64;
        let other = ApiKey::make(KeyMode::Live, || {
            numbers += 0x1234_5678_9abc_def1;
            numbers
        });
        other.expose().to_owned()
    };
    for (key, why) in [
        ("sk-1", "does not look like a key"),
        (&mistyped, "checksum is wrong"),
        (&forged, "there is no such API key"),
        (&dead, &*format!("`{id}` has expired")),
        (&gone, &*format!("`{gone_id}` was revoked")),
    ] {
        let reply = rig.get_by(key, "/v1/models").await;
        assert_eq!(code(&reply), unauthorized(), "{key}");
        let body = reply.json();
        assert_eq!(body["error"]["type"], "authentication_error");
        assert!(body["error"]["message"].as_str().unwrap().contains(why), "{body}");
        assert!(key.len() < 30 || !reply.text().contains(&key[25..]), "it is not repeated: {body}");
    }
}

#[tokio::test]
async fn a_key_of_one_gateway_is_good_at_another_and_ends_there_with_what_goes_on_by_it() {
    let broker = broker().await;
    let (one, two) = (Rig::on(broker.clone(), json!({})).await, Rig::on(broker, json!({})).await);
    let (root, user, _) = one.staffed().await;
    let id = user.split('_').nth(2).unwrap().to_owned();
    two.until_status("", 401).await;
    assert_eq!(two.get_by(&user, "/v1/models").await.status, 200);

    let mut socket = two.socket_by(&user).await.unwrap();
    socket.say(native("held", "hold")).await;
    assert_eq!(socket.hear().await["event"], "queued");
    let mut events = two.open(request(&user, Method::GET, "/v1/events", None)).await;
    let mut stream = two.open(request(&user, Method::GET, "/v1/requests/held/events", None)).await;
    stream.read_until("event: queued").await;
    let waiting = request(&user, Method::POST, "/v1/chat/completions", Some(&chat("hold")));

    let address = two.address;
    let waiting = tokio::spawn(async move { crate::client::send(address, waiting).await });
    events.read_until("event: running").await;
    assert_eq!(one.delete_by(&root, &format!("/v1/keys/{id}")).await.status, 200);
    assert_eq!(
        code(&one.get_by(&user, "/v1/models").await),
        unauthorized(),
        "at once where it was asked for"
    );
    assert!(events.read_until("data: {\"error\"").await.contains("was revoked"));
    assert!(stream.read_until("data: {\"error\"").await.contains("was revoked"));
    let refused = tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap();
    assert_eq!(code(&refused), unauthorized());
    let closed = loop {
        match socket.0.next().await.unwrap().unwrap() {
            Message::Close(close) => break close.unwrap(),
            _ => continue,
        }
    };
    assert_eq!(u16::from(closed.code), 1008);
    assert_eq!(code(&two.get_by(&user, "/v1/models").await), unauthorized());
}

#[tokio::test]
async fn what_goes_on_ends_when_its_key_expires() {
    let rig = Rig::start().await;
    let (root, _, _) = rig.staffed().await;
    let (key, _) = rig.make(&root, json!({"expires_in_ms": 1_500})).await;
    let mut events = rig.open(request(&key, Method::GET, "/v1/events", None)).await;
    events.read_until("data: {\"error\"").await;
    assert_eq!(code(&rig.get_by(&key, "/v1/models").await), unauthorized());
}

#[tokio::test]
async fn a_key_that_is_rotated_stays_good_for_its_grace_and_its_heir_is_like_it() {
    let rig = Rig::start().await;
    let (root, _, _) = rig.staffed().await;
    let wish = json!({"tenant": "acme", "role": "admin", "models": ["sim-*"], "concurrency": 3, "name": "n"});
    let (old, id) = rig.make(&root, wish.clone()).await;
    let rotate = async |id: &str, body: Value| {
        let reply = rig.post_by(&root, &format!("/v1/keys/{id}/rotate"), &body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()
    };
    let heir = rotate(&id, json!({})).await;
    for (field, value) in wish.as_object().unwrap() {
        assert_eq!(&heir[field], value, "{field}");
    }
    let fresh = heir["key"].as_str().unwrap();
    assert_eq!(rig.get_by(&old, "/v1/models").await.status, 200);
    assert_eq!(rig.get_by(fresh, "/v1/models").await.status, 200);
    let kept = rig.get_by(&root, &format!("/v1/keys/{id}")).await.json();
    assert!(kept["expires_at"].is_string(), "{kept}");
    let second = rotate(heir["id"].as_str().unwrap(), json!({"grace_ms": 0})).await;
    assert_eq!(code(&rig.get_by(fresh, "/v1/models").await), unauthorized());
    assert_eq!(rig.get_by(second["key"].as_str().unwrap(), "/v1/models").await.status, 200);
    let again =
        rig.post_by(&root, &format!("/v1/keys/{}/rotate", heir["id"].as_str().unwrap()), &json!({})).await;
    assert_eq!(code(&again), (409, "conflict".to_owned()));
}

#[tokio::test]
async fn whoever_manages_keys_gives_away_no_more_than_they_have() {
    let rig = Rig::start().await;
    let (root, user, _) = rig.staffed().await;
    let (admin, _) = rig.make(&root, json!({"tenant": "acme", "role": "admin"})).await;
    let (narrow, _) = rig.make(&root, json!({"tenant": "acme", "role": "admin", "models": ["sim-*"]})).await;
    let (test, test_id) = rig.make(&root, json!({"tenant": "acme", "role": "admin", "mode": "test"})).await;
    assert!(test.starts_with("dyn_test_"));
    let (_, foreign) = rig.make(&root, json!({"tenant": "other"})).await;
    for (by, wish) in [
        (&user, json!({})),
        (&admin, json!({"role": "superadmin"})),
        (&admin, json!({"tenant": "other"})),
        (&narrow, json!({})),
        (&narrow, json!({"models": ["*"]})),
        (&test, json!({"mode": "live"})),
    ] {
        assert_eq!(code(&rig.post_by(by, "/v1/keys", &wish).await), forbidden(), "{wish}");
    }
    let (_, wide) = rig.make(&admin, json!({})).await;
    for by in [&narrow, &test] {
        let rotated = rig.post_by(by, &format!("/v1/keys/{wide}/rotate"), &json!({})).await;
        assert_eq!(code(&rotated), forbidden(), "its heir would be handed to whoever may not make it");
    }
    rig.make(&admin, json!({"role": "admin"})).await;
    rig.make(&narrow, json!({"models": ["sim-chat"]})).await;
    let (heir, _) = rig.make(&test, json!({})).await;
    assert!(heir.starts_with("dyn_test_"), "{heir}");

    let tenants = |reply: Reply| -> Vec<String> {
        let reply = reply.json();
        let keys = reply["data"].as_array().unwrap();
        keys.iter().map(|key| key["tenant"].as_str().unwrap().to_owned()).collect()
    };
    assert!(tenants(rig.get_by(&admin, "/v1/keys").await).iter().all(|tenant| tenant == "acme"));
    assert!(tenants(rig.get_by(&root, "/v1/keys").await).contains(&"other".to_owned()));
    for path in [format!("/v1/keys/{foreign}"), format!("/v1/keys/{}", root.split('_').nth(2).unwrap())] {
        assert_eq!(rig.get_by(&admin, &path).await.status, 404, "{path}");
        assert_eq!(rig.delete_by(&admin, &path).await.status, 404, "{path}");
        assert_eq!(rig.post_by(&admin, &format!("{path}/rotate"), &json!({})).await.status, 404, "{path}");
    }
    assert_eq!(rig.delete_by(&admin, &format!("/v1/keys/{test_id}")).await.status, 200);
    let wrong = rig.post_by(&root, "/v1/keys", &json!({"rolle": "user"})).await;
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    let zero = rig.post_by(&root, "/v1/keys", &json!({"concurrency": 0})).await;
    assert_eq!(zero.json()["error"]["param"], "concurrency");
}

#[tokio::test]
async fn a_key_is_for_its_actions_and_models() {
    let rig = Rig::start().await;
    let (root, _, _) = rig.staffed().await;
    let (chats, _) = rig.make(&root, json!({"actions": ["chat.completion"], "models": ["sim-*"]})).await;
    assert_eq!(rig.post_by(&chats, "/v1/chat/completions", &chat("sim-chat")).await.status, 200);
    let embed = json!({"model": "sim-embed", "input": "a"});
    let refused = rig.post_by(&chats, "/v1/embeddings", &embed).await;
    assert_eq!(code(&refused), forbidden());
    assert_eq!(refused.json()["error"]["type"], "permission_error");
    let refused = rig.post_by(&chats, "/v1/chat/completions", &chat("dear")).await;
    assert_eq!((code(&refused), &refused.json()["error"]["param"]), (forbidden(), &json!("model")));

    let mut around = native("a", "sim-chat");
    around["route"] = json!({"waterfall": ["sim-chat", "lab/dear"]});
    assert_eq!(code(&rig.post_by(&chats, "/v1/requests", &around).await), forbidden());
    let mut vague = native("a", "sim-chat");
    vague["action"] = json!("auto");
    assert_eq!(code(&rig.post_by(&chats, "/v1/requests", &vague).await), forbidden());
    assert_eq!(code(&rig.post_by(&chats, "/v1/estimate", &native("a", "dear")).await), forbidden());
    let mut socket = rig.socket_by(&chats).await.unwrap();
    socket.say(native("a", "dear")).await;
    assert_eq!(socket.hear().await["error"]["code"], "forbidden");

    let models = rig.get_by(&chats, "/v1/models").await.json();
    let models: Vec<_> = models["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(models, ["sim-chat"]);
    assert_eq!(rig.get_by(&chats, "/v1/models/lab%2Fsim-embed").await.status, 404);
}

#[tokio::test]
async fn no_door_shows_a_tenant_what_is_another_tenants() {
    let rig = Rig::start().await;
    let (root, acme, other) = rig.staffed().await;
    let (admin, _) = rig.make(&root, json!({"tenant": "other", "role": "admin"})).await;
    let image =
        json!({"action": "image.generate", "id": "i", "payload": {"model": "sim-image", "prompt": "a"}});
    assert_eq!(rig.post_by(&acme, "/v1/requests", &image).await.status, 202);
    assert_eq!(rig.post_by(&acme, "/v1/requests", &native("a", "hold")).await.status, 202);
    let wait = async { while rig.get_by(&acme, "/v1/assets/i-0").await.status != 200 {} };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();

    for path in ["/v1/requests/a", "/v1/requests/a/events", "/v1/assets/i-0", "/v1/assets/i-0/link"] {
        assert_eq!(rig.get_by(&other, path).await.status, 404, "{path}");
    }
    assert_eq!(rig.delete_by(&other, "/v1/requests/a").await.status, 404);
    let mut socket = rig.socket_by(&other).await.unwrap();
    socket.say(json!({"action": "cancel", "id": "a"})).await;
    assert_eq!(socket.hear().await["error"]["code"], "not_found");
    socket.say(json!({"action": "resume", "id": "a", "attempt": 0, "after": 0})).await;
    assert_eq!(socket.hear().await["error"]["code"], "not_found");
    let mut named = native("b", "sim-chat");
    named["tenant"] = json!("acme");
    assert_eq!(code(&rig.post_by(&other, "/v1/requests", &named).await), forbidden());
    let on_behalf = Request::get("/v1/requests/a").header("x-dynode-tenant", "acme");
    let on_behalf = on_behalf.header("authorization", format!("Bearer {other}")).body(Body::empty()).unwrap();
    assert_eq!(code(&rig.request(on_behalf).await), forbidden());

    // The same id is another request.
    let mut events = rig.open(request(&other, Method::GET, "/v1/events", None)).await;
    rig.worker.go.notify_one();
    assert_eq!(rig.post_by(&other, "/v1/requests", &native("a", "sim-chat")).await.status, 202);
    let heard = events.read_until("event: chat.complete").await;
    assert_eq!(heard.matches("event: queued").count(), 1, "{heard}");

    let dead = json!({"v": 1, "stage": "classifier", "subject": "dynode.req.acme.auto", "body": [],
        "reason": {"code": "stalled", "message": "", "retryable": true}, "deliveries": 1, "parked_at": "1970-01-01T00:00:00Z"});
    let payload = Format::Json.encode(&dead).unwrap();
    let message = BrokerMessage::new("dynode.dead.classifier.acme.a", Format::Json, payload);
    let letter = rig.broker.publish(Publication { message, id: None }).await.unwrap().sequence;
    assert_eq!(rig.get_by(&admin, "/v1/dead").await.json()["letters"], json!([]));
    let at = format!("/v1/dead/{letter}");
    assert_eq!(rig.get_by(&admin, &at).await.status, 404);
    assert_eq!(rig.delete_by(&admin, &at).await.status, 404);
    assert_eq!(rig.post_by(&admin, &format!("{at}/replay"), &json!({})).await.status, 404);
    assert_eq!(rig.get_by(&root, "/v1/dead").await.json()["letters"].as_array().unwrap().len(), 1);

    let of = async |key: &str, on_behalf: &str| {
        let request = Request::get("/v1/usage?by=tenant").header("authorization", format!("Bearer {key}"));
        let request = match on_behalf {
            "" => request,
            tenant => request.header("x-dynode-tenant", tenant),
        };
        let reply = rig.request(request.body(Body::empty()).unwrap()).await.json();
        let rows = reply["data"].as_array().unwrap();
        rows.iter().map(|row| row["tenant"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    rig.used("acme", "x", 0, &[("m", Some(1.0))]).await;
    rig.used("other", "y", 0, &[("m", Some(1.0))]).await;
    assert_eq!(of(&admin, "").await, ["other"]);
    assert_eq!(of(&root, "").await, ["acme", "other"]);
    assert_eq!(of(&root, "acme").await, ["acme"]);
}

#[tokio::test]
async fn keys_of_the_configuration_are_good_until_they_are_taken_out_of_it() {
    let mut number = 7_u64;
    let key = ApiKey::make(KeyMode::Live, || {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        number
    });
    let config =
        json!({"id": key.id(), "hash": gateway::config_hash(&key), "tenant": "acme", "role": "admin"});
    let config: KeyConfig = serde_json::from_value(config).unwrap();
    let configured = ConfiguredKeys::new(std::slice::from_ref(&config));
    let access = Access { configured: configured.clone(), ..Access::default() };
    let rig = Rig::guarded(broker().await, access, json!({"listen": "0.0.0.0:0"})).await;
    let key = key.expose();
    assert_eq!(code(&rig.get_by("", "/v1/models").await), unauthorized());
    assert_eq!(rig.post_by(key, "/v1/requests", &native("a", "sim-chat")).await.status, 202);
    let revoked = rig.delete_by(key, &format!("/v1/keys/{}", config.id)).await;
    assert_eq!(code(&revoked), (409, "conflict".to_owned()));
    let mut events = rig.open(request(key, Method::GET, "/v1/events", None)).await;
    configured.replace(&[config]);
    assert_eq!(rig.get_by(key, "/v1/models").await.status, 200, "nothing has changed");
    configured.replace(&[]);
    events.read_until("was revoked").await;
    assert_eq!(code(&rig.get_by(key, "/v1/models").await), unauthorized());
    assert_eq!(code(&rig.get_by("", "/v1/models").await), unauthorized(), "there was a key once");
}
