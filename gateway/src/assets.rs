//! Serves assets, the files that providers made, to their tenant or to any client with a signed link. A door passes
//! them on piece by piece and never holds a whole one.

mod answer;
mod link;

use std::{sync::Arc, time::Duration};

use broker::{ErrorKind, ObjectInfo, Objects, secrets};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use schemas::{Asset, AssetRecord, Error, ErrorCode, Tenant};

use crate::{
    Parts,
    app::{App, Shared},
    refusal,
};

pub(crate) use answer::{AssetLink, Signed, get, link_to};
use link::{Link, Signer};

/// The store of assets, and the key that signs links into it.
#[derive(Debug)]
pub(crate) struct Assets {
    objects: Objects,
    signer: Signer,
    /// How long a link is valid.
    link: Duration,
}

/// An asset that exists.
#[derive(Debug)]
pub(crate) struct Found {
    info: ObjectInfo,
    pub(crate) asset: Asset,
    tenant: Tenant,
}

impl Assets {
    /// Opens the store.
    pub(crate) async fn open(parts: &Parts) -> Result<Self, broker::Error> {
        let spec = parts.topology.assets(&parts.assets);
        let objects = Objects::open(Arc::clone(&parts.broker), spec, parts.seams.clone()).await?;
        let key = secrets::key(&*parts.broker, &parts.topology, &parts.seams, secrets::ASSET_LINKS).await?;
        Ok(Self { objects, signer: Signer::new(&key), link: parts.assets.link })
    }

    /// The asset `id` of any tenant.
    async fn find(&self, app: &Shared, id: &str) -> Result<Found, Error> {
        let info = self.objects.info(id).await.map_err(|error| match error.kind() {
            ErrorKind::Invalid => missing(),
            _ => refusal::of_broker(&error),
        })?;
        let info = info.ok_or_else(missing)?;
        // An object without such a record is not Dynode's.
        let AssetRecord { asset, tenant, .. } = serde_json::from_str(info.note()).map_err(|_| missing())?;
        if asset.expires_at <= app.broker().now() {
            return Err(missing());
        }
        Ok(Found { info, asset, tenant })
    }
}

/// The asset `id` of `tenant`. Another tenant's asset is reported as missing.
pub(crate) async fn of_tenant(app: &Shared, id: &str, tenant: &Tenant) -> Result<Found, Error> {
    let found = app.assets.find(app, id).await?;
    if found.tenant == *tenant { Ok(found) } else { Err(missing()) }
}

/// The asset `id`, for a client with a link to it.
async fn by_link(app: &Shared, id: &str, link: &Link) -> Result<Found, Error> {
    if link.expires <= app.broker().now().as_second() {
        let why = "the link has expired; its tenant gets another at GET /v1/assets/{id}/link";
        return Err(Error::new(ErrorCode::Forbidden, why));
    }
    let found = app.assets.find(app, id).await?;
    if app.assets.signer.is_signed(&found.tenant, id, link) { Ok(found) } else { Err(missing()) }
}

/// A signed path, valid for a while but no longer than the asset, and when it expires.
pub(crate) fn signed_path(app: &Shared, found: &Found) -> (String, jiff::Timestamp) {
    let end = app.broker().now().saturating_add(app.assets.link).unwrap_or(jiff::Timestamp::MAX);
    let end = end.min(found.asset.expires_at);
    let link = app.assets.signer.sign(&found.tenant, &found.asset.id, end.as_second());
    (format!("{}?expires={}&signature={}", found.asset.url, link.expires, link.signature), end)
}

/// Streams the bytes of an asset from `from` to `to`, as fast as the client reads. A drain waits for the stream.
pub(crate) fn bytes(
    app: &App,
    found: &Found,
    from: u64,
    to: u64,
) -> impl Stream<Item = Result<Bytes, broker::Error>> + Send + use<> {
    let token = app.work.token();
    app.assets.objects.read(&found.info, from..to).map(move |piece| {
        let _held = &token;
        piece
    })
}

fn missing() -> Error {
    Error::new(
        ErrorCode::NotFound,
        "there is no such asset that you may read; assets are kept for a limited time",
    )
}
