//! Makes the keys of everybody who asks, over HTTP, as an operator makes them.

use std::io;

use reqwest::{StatusCode, header::AUTHORIZATION};
use schemas::Secret;
use serde_json::{Value, json};

use super::{
    ground::{Ground, Name, USUAL},
    handle::Who,
};

/// The tenant besides the usual one.
const OTHER: &str = "other";
/// A key that looks right but was never made: its checksum is right, so that the gateway looks it up.
const NEVER_MADE: &str = "dyn_live_0123456789_0123456789abcdefghijABCDEFGHIJ01000000";

/// Makes a key for everybody. The first is a superadmin's; from then on everybody needs one.
pub(super) async fn make(ground: &mut Ground) -> io::Result<()> {
    let (admin, _) = create(ground, None, &json!({"name": "parity", "role": "superadmin"})).await?;
    let wishes = [
        (Name::Usual, USUAL, json!({})),
        (Name::Other, OTHER, json!({})),
        (Name::Scoped, USUAL, json!({"actions": ["embedding.query"]})),
        (Name::OneModel, USUAL, json!({"models": ["sim-embed"]})),
        (Name::Revoked, USUAL, json!({})),
    ];
    for (name, tenant, mut wish) in wishes {
        wish["tenant"] = tenant.into();
        let (key, id) = create(ground, Some(&admin), &wish).await?;
        if name == Name::Revoked {
            let request = ground.http.delete(ground.url(&format!("/v1/keys/{id}")));
            let request = request.header(AUTHORIZATION, format!("Bearer {}", admin.expose()));
            request.send().await.and_then(reqwest::Response::error_for_status).map_err(io::Error::other)?;
        }
        ground.knows(name, tenant, Some(key))?;
    }
    ground.knows(Name::Stranger, USUAL, Some(Secret::new(NEVER_MADE)))?;
    ground.knows(Name::Nobody, USUAL, None)?;
    ground.knows(Name::Admin, USUAL, Some(admin))
}

/// Somebody who may ask once a minute; and the key's id, which appears in messages about its limit.
pub(super) async fn hurried(ground: &Ground) -> io::Result<(Who, String)> {
    let usual = ground.who(Name::Usual);
    let wish = json!({"tenant": usual.tenant, "requests_per_minute": 1});
    let (key, id) = create(ground, ground.who(Name::Admin).key.as_ref(), &wish).await?;
    Ok((Who { key: Some(key), ..usual }, id))
}

/// A key and its id.
async fn create(ground: &Ground, by: Option<&Secret>, wish: &Value) -> io::Result<(Secret, String)> {
    let mut request = ground.http.post(ground.url("/v1/keys")).json(wish);
    if let Some(key) = by {
        request = request.header(AUTHORIZATION, format!("Bearer {}", key.expose()));
    }
    let response = request.send().await.map_err(io::Error::other)?;
    let status = response.status();
    let body: Value = response.json().await.map_err(io::Error::other)?;
    match (status, body["key"].as_str(), body["id"].as_str()) {
        (StatusCode::CREATED, Some(key), Some(id)) => Ok((Secret::new(key), id.to_owned())),
        _ => Err(io::Error::other(format!("no key was made: {status} {}", body["error"]["message"]))),
    }
}
