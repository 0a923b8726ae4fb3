//! What browsers are told, and what is refused to the pages in them; and who finds what is for operators.

use axum::{
    body::Body,
    http::{Method, Request},
};
use gateway::Access;
use serde_json::json;

use crate::{
    client::{Reply, chat, post, send},
    keys::broker,
    rig::Rig,
};

const PAGE: &str = "https://chat.example";

async fn ask(rig: &Rig, method: Method, path: &str, headers: &[(&'static str, &str)]) -> Reply {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    rig.request(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn every_answer_tells_a_browser_to_be_careful() {
    let rig = Rig::start().await;
    let missing = rig.get("/v1/nothing").await;
    for reply in [rig.get("/").await, rig.get("/health/live").await, missing] {
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
        assert_eq!(reply.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
        assert!(!reply.headers.contains_key("access-control-allow-origin"), "CORS is off");
    }
}

#[tokio::test]
async fn a_foreign_page_is_refused_by_every_door() {
    let rig = Rig::start().await;
    let mut work = post("/v1/chat/completions", &chat("sim-chat"));
    work.headers_mut().insert("origin", PAGE.parse().unwrap());
    // What a page may send without being asked: a form.
    work.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    let refused = rig.request(work).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (403, &json!("forbidden")));
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("gateway.origins_allowed"));
    let preflight = [
        ("origin", PAGE),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];
    let reply = ask(&rig, Method::OPTIONS, "/v1/chat/completions", &preflight).await;
    assert_eq!(reply.status, 403);
    assert!(!reply.headers.contains_key("access-control-allow-origin"));
    assert_eq!(
        ask(&rig, Method::GET, "/v1/models", &[("origin", "http://localhost")]).await.status,
        200,
        "its own"
    );
}

#[tokio::test]
async fn a_page_that_is_allowed_may_ask_and_read() {
    let rig = Rig::with(json!({ "origins_allowed": [PAGE] })).await;
    let preflight = [
        ("origin", PAGE),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    let reply = ask(&rig, Method::OPTIONS, "/v1/chat/completions", &preflight).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("access-control-allow-origin"), PAGE);
    assert!(reply.header("access-control-allow-headers").contains("authorization"));
    assert!(reply.header("access-control-allow-methods").contains("POST"));
    let mut work = post("/v1/chat/completions", &chat("sim-chat"));
    work.headers_mut().insert("origin", PAGE.parse().unwrap());
    let reply = rig.request(work).await;
    assert_eq!((reply.status.as_u16(), reply.header("access-control-allow-origin")), (200, PAGE));
    assert!(reply.header("access-control-expose-headers").contains("x-request-id"));
    assert!(
        !reply.headers.contains_key("access-control-allow-credentials"),
        "keys go in headers, not in cookies"
    );
    let other = ask(&rig, Method::GET, "/v1/models", &[("origin", "https://evil.example")]).await;
    assert_eq!(other.status, 403);
    assert!(!other.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn a_name_that_was_pointed_at_this_machine_is_refused() {
    let rig = Rig::start().await;
    let target = "http://evil.example/v1/models";
    // In HTTP/2 the name stands in the target; in HTTP/1 a client may send it so too.
    let reply = rig.request(Request::get(target).body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, 403);
    assert!(reply.json()["error"]["message"].as_str().unwrap().contains("gateway.public_url"));
    let rig = Rig::with(json!({ "public_url": "https://evil.example" })).await;
    assert_eq!(rig.request(Request::get(target).body(Body::empty()).unwrap()).await.status, 200);
}

#[tokio::test]
async fn operators_have_an_address_of_their_own_where_one_is_set() {
    let rig = Rig::with(json!({ "manage_listen": "127.0.0.1:0" })).await;
    let manage = rig.manage.unwrap();
    let operate = async |path: &str| send(manage, Request::get(path).body(Body::empty()).unwrap()).await;
    for path in ["/metrics", "/v1/status", "/v1/dead"] {
        assert_eq!(rig.get(path).await.status, 404, "{path}");
        assert_eq!(operate(path).await.status, 200, "{path}");
    }
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(
            (rig.get(path).await.status, operate(path).await.status),
            (200.try_into().unwrap(), 200.try_into().unwrap())
        );
    }
    assert_eq!(operate("/v1/models").await.status, 404);
    let (clients, operators) = (rig.get("/").await.json(), operate("/").await.json());
    assert!(clients["operations"].is_null() && clients["openai"].is_array(), "{clients}");
    assert!(operators["operations"].is_array() && operators["openai"].is_null(), "{operators}");
}

#[tokio::test]
async fn an_open_address_has_nothing_for_operators() {
    let access = Access { without_keys: true, ..Access::default() };
    let rig = Rig::guarded(broker().await, access, json!({ "listen": "0.0.0.0:0" })).await;
    assert!(rig.manage.is_none());
    for path in ["/metrics", "/v1/status", "/v1/dead"] {
        assert_eq!(rig.get(path).await.status, 404, "{path}");
    }
    assert_eq!(rig.get("/v1/models").await.status, 200);
}
