//! `/v1/assets`, `/v1/images/generations` and `/v1/audio/speech`.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, http::Request as HttpRequest};
use base64::{Engine, prelude::BASE64_STANDARD};
use broker::{AssetLimits, Objects, Seams, Topology, memory::Memory};
use jiff::Timestamp;
use schemas::{Action, Asset, AssetRecord, MediaOutput, Request, RequestId, Tenant};
use serde_json::{Value, json};

use crate::rig::Rig;

/// Longer than one piece of the store.
const LENGTH: usize = 300_000;
const SHA256: &str = "e3b0c442";

fn content(number: usize) -> Vec<u8> {
    (0..LENGTH + number).map(|place| (place / 3 + number) as u8).collect()
}

/// What the engine does: files in the store, and what the outcome says of them.
pub(crate) async fn made(broker: &Memory, topology: &Topology, request: &Request) -> MediaOutput {
    let count = request.payload["n"].as_u64().unwrap_or(1) as usize;
    let kind = if request.action == Action::ImageGenerate { "image/png" } else { "audio/wav" };
    let tenant = request.tenant.as_ref().unwrap().as_str();
    let mut assets = Vec::new();
    for number in 0..count {
        let id = format!("{}-{number}", request.id.as_ref().unwrap());
        assets.push(put(broker, topology, tenant, &id, kind, &content(number)).await);
    }
    MediaOutput { assets, details: Value::Null }
}

async fn put(
    broker: &Memory,
    topology: &Topology,
    tenant: &str,
    id: &str,
    media_type: &str,
    content: &[u8],
) -> Asset {
    let spec = topology.assets(&AssetLimits::default());
    let objects = Objects::open(Arc::new(broker.clone()), spec, Seams::system()).await.unwrap();
    let mut writer = objects.write();
    writer.write(content).await.unwrap();
    let expires_at = Timestamp::now() + Duration::from_secs(if id == "old" { 0 } else { 3600 });
    let asset = Asset {
        id: id.into(),
        url: Asset::path(id),
        media_type: media_type.into(),
        bytes: content.len() as u64,
        sha256: SHA256.into(),
        expires_at,
    };
    let record = AssetRecord {
        asset: asset.clone(),
        tenant: Tenant::new(tenant).unwrap(),
        request: RequestId::new("r").unwrap(),
        provider: "sim".into(),
        model: "sim-image".into(),
        prompt_sha256: String::new(),
    };
    let note = serde_json::to_string(&record).unwrap();
    writer.seal().await.unwrap().keep(id, note).await.unwrap();
    asset
}

impl Rig {
    async fn put(&self, tenant: &str, id: &str) {
        put(&self.broker, &self.topology, tenant, id, "image/png", &content(0)).await;
    }

    async fn asset(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> crate::client::Reply {
        let mut request = HttpRequest::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.request(request.body(Body::empty()).unwrap()).await
    }
}

#[tokio::test]
async fn an_asset_is_read_whole_or_in_part_and_never_twice() {
    let rig = Rig::start().await;
    rig.put("default", "a").await;
    let whole = rig.get("/v1/assets/a").await;
    assert_eq!((whole.status.as_u16(), whole.header("content-type")), (200, "image/png"));
    assert!(whole.body == content(0));
    let (etag, length) = (whole.header("etag").to_owned(), LENGTH.to_string());
    assert_eq!((etag.as_str(), whole.header("content-length")), ("\"e3b0c442\"", length.as_str()));
    assert_eq!((whole.header("accept-ranges"), whole.header("x-content-type-options")), ("bytes", "nosniff"));
    assert_eq!(whole.header("content-disposition"), "inline; filename=\"a.png\"");
    assert_eq!(whole.header("content-security-policy"), "default-src 'none'; sandbox");

    let head = rig.asset("HEAD", "/v1/assets/a", &[]).await;
    assert_eq!(
        (head.status.as_u16(), head.header("content-length"), head.body.len()),
        (200, length.as_str(), 0)
    );

    for (range, from, to) in
        [("bytes=0-0", 0, 1), ("bytes=131071-131073", 131_071, 131_074), ("bytes=-5", LENGTH - 5, LENGTH)]
    {
        let part = rig.asset("GET", "/v1/assets/a", &[("range", range), ("if-range", &etag)]).await;
        assert_eq!(part.status.as_u16(), 206, "{range}");
        assert_eq!(part.header("content-range"), format!("bytes {from}-{}/{LENGTH}", to - 1));
        assert!(part.body == content(0)[from..to], "{range}");
    }
    let changed = [("range", "bytes=0-0"), ("if-range", "\"other\"")];
    assert_eq!(rig.asset("GET", "/v1/assets/a", &changed).await.body.len(), LENGTH);
    let beyond = rig.asset("GET", "/v1/assets/a", &[("range", "bytes=300000-")]).await;
    assert_eq!((beyond.status.as_u16(), beyond.header("content-range")), (416, "bytes */300000"));
    let known = rig.asset("GET", "/v1/assets/a", &[("if-none-match", &etag), ("range", "bytes=0-0")]).await;
    assert_eq!((known.status.as_u16(), known.body.len(), known.header("etag")), (304, 0, etag.as_str()));
}

#[tokio::test]
async fn what_is_not_there_is_somebody_elses_or_has_expired_is_not_found() {
    let rig = Rig::start().await;
    rig.put("other", "theirs").await;
    rig.put("default", "old").await;
    let unknown = rig.get("/v1/assets/none").await;
    assert_eq!((unknown.status.as_u16(), &unknown.json()["error"]["code"]), (404, &json!("not_found")));
    for id in ["theirs", "old", "theirs/link", "old/link"] {
        let reply = rig.get(&format!("/v1/assets/{id}")).await;
        assert_eq!((reply.status.as_u16(), reply.body), (404, unknown.body.clone()), "{id}");
    }
}

#[tokio::test]
async fn a_signed_link_is_good_for_its_asset_until_its_end() {
    let rig = Rig::start().await;
    rig.put("default", "a").await;
    rig.put("default", "b").await;
    let link = rig.get("/v1/assets/a/link").await.json();
    assert_eq!(link["asset"]["id"], "a");
    let url = link["url"].as_str().unwrap();
    assert!(rig.get(url).await.body == content(0));
    let (path, query) = url.split_once('?').unwrap();
    assert_eq!(path, "/v1/assets/a");
    let later = query.replacen("expires=1", "expires=2", 1);
    for (bad, status) in [
        (format!("/v1/assets/b?{query}"), 404),
        (format!("{path}?{later}"), 404),
        (format!("{path}?{}", query.replacen("signature=", "signature=x", 1)), 404),
        (format!("{path}?{}", query.replacen("expires=", "expires=x", 1)), 400),
        (format!("{path}?expires=1"), 400),
    ] {
        assert_eq!(rig.get(&bad).await.status.as_u16(), status, "{bad}");
    }
}

#[tokio::test]
async fn a_link_expires() {
    let rig = Rig::with_links_for(Duration::ZERO).await;
    rig.put("default", "a").await;
    let link = rig.get("/v1/assets/a/link").await.json();
    let expired = rig.get(link["url"].as_str().unwrap()).await;
    assert_eq!((expired.status.as_u16(), &expired.json()["error"]["code"]), (403, &json!("forbidden")));
    assert_eq!(rig.get("/v1/assets/a").await.status.as_u16(), 200, "its tenant still reads it");
}

#[tokio::test]
async fn gateways_of_one_broker_know_each_others_links() {
    let rig = Rig::start().await;
    rig.put("default", "a").await;
    let link = rig.get("/v1/assets/a/link").await.json();
    let another = Rig::on(rig.broker.clone(), json!({})).await;
    assert_eq!(another.get(link["url"].as_str().unwrap()).await.status.as_u16(), 200);
}

#[tokio::test]
async fn images_come_as_base64_or_as_links() {
    let rig = Rig::start().await;
    let ask =
        |form: Value| json!({"model": "lab/sim-image", "prompt": "a cat", "n": 2, "response_format": form});
    for form in [Value::Null, json!("b64_json")] {
        let reply = rig.post("/v1/images/generations", &ask(form)).await;
        assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "application/json"));
        let reply = reply.json();
        assert!(reply["created"].is_i64());
        assert_eq!((&reply["output_format"], &reply["usage"]["total_tokens"]), (&json!("png"), &json!(8)));
        let images = reply["data"].as_array().unwrap();
        assert_eq!(images.len(), 2);
        for (number, image) in images.iter().enumerate() {
            let bytes = BASE64_STANDARD.decode(image["b64_json"].as_str().unwrap()).unwrap();
            assert!(bytes == content(number));
        }
    }
    let reply = rig.post_as("painting", "/v1/images/generations", &ask(json!("url"))).await.json();
    let url = reply["data"][1]["url"].as_str().unwrap();
    let path = url.strip_prefix("http://localhost").unwrap();
    assert!(path.starts_with("/v1/assets/painting-1?expires="), "{url}");
    assert!(rig.get(path).await.body == content(1));
    let same = rig.post_as("painting", "/v1/images/generations", &ask(Value::Null)).await;
    assert_eq!(same.status.as_u16(), 200, "the form is no part of what was asked for");
}

#[tokio::test]
async fn what_images_cannot_be_is_refused_by_name() {
    let rig = Rig::start().await;
    for (more, param) in [
        (json!({"response_format": "hex"}), "response_format"),
        (json!({"stream": true}), "stream"),
        (json!({"prompt": ""}), "prompt"),
        (json!({"n": 11}), "n"),
    ] {
        let mut body = json!({"model": "lab/sim-image", "prompt": "a cat"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let reply = rig.post("/v1/images/generations", &body).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["error"]["param"]), (400, &json!(param)));
    }
    let broken = rig.post("/v1/images/generations", &json!({"model": "broken", "prompt": "a cat"})).await;
    assert_eq!(
        (broken.status.as_u16(), &broken.json()["error"]["code"]),
        (503, &json!("provider_unavailable"))
    );
}

#[tokio::test]
async fn speech_comes_as_bytes_with_their_type() {
    let rig = Rig::start().await;
    let body =
        json!({"model": "lab/sim-speech", "input": "Hello", "voice": "alloy", "stream_format": "audio"});
    let reply = rig.post_as("spoken", "/v1/audio/speech", &body).await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "audio/wav"));
    assert_eq!((reply.header("content-length"), reply.header("x-request-id")), ("300000", "spoken"));
    assert!(reply.body == content(0));
    let events = json!({"model": "lab/sim-speech", "input": "Hello", "stream_format": "sse"});
    let refused = rig.post("/v1/audio/speech", &events).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["param"]), (400, &json!("stream_format")));
}
