//! `POST /v1/webhooks/{token}`: a provider reports the end of long work. The gateway stores the report for the worker
//! that waits, and does not interpret it.
//!
//! The token names the call that waits, and is signed with the key of the installation; if the provider signs its
//! webhooks, the gateway checks that signature too. A forged webhook gets a 401 that gives no further reason.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, body::Body, extract::State, http::HeaderMap};
use broker::{ErrorKind, Message, Publication, secrets};
use parking_lot::RwLock;
use schemars::JsonSchema;
use schemas::{
    Error, ErrorCode, Format, Secret,
    signature::{NoKey, SigningKey},
    webhook::{Place, TokenKey},
};
use serde::{Serialize, de::IgnoredAny};
use sha2::{Digest, Sha256};

use crate::{
    Parts,
    app::{App, Shared},
    door::{self, Path},
    refusal::{self, Refusal},
};

/// No provider sends more: results are fetched, webhooks do not carry them.
const BODY_BYTES_MAX: usize = 512 * 1024;
/// How far a signed time may be from now, in seconds, either way; the specification's own libraries use the same.
const TOLERANCE_S: u64 = 300;

/// The keys with which providers sign their webhooks, by provider name; `None` for a provider that does not sign. A
/// provider that is not listed sends no webhooks.
/// Cheap to clone; all clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Signers(Arc<RwLock<BTreeMap<String, Option<SigningKey>>>>);

impl Signers {
    /// Uses these `secrets`; the error names the provider whose secret is invalid.
    pub fn new(secrets: &BTreeMap<String, Option<Secret>>) -> Result<Self, (String, NoKey)> {
        let signers = Self::default();
        signers.replace(secrets)?;
        Ok(signers)
    }

    /// Replaces all secrets.
    pub fn replace(&self, secrets: &BTreeMap<String, Option<Secret>>) -> Result<(), (String, NoKey)> {
        let parse = |(name, secret): (&String, &Option<Secret>)| match secret
            .as_ref()
            .map(SigningKey::parse)
            .transpose()
        {
            Ok(key) => Ok((name.clone(), key)),
            Err(why) => Err((name.clone(), why)),
        };
        let keys = secrets.iter().map(parse).collect::<Result<_, _>>()?;
        *self.0.write() = keys;
        Ok(())
    }

    fn of(&self, provider: &str) -> Option<Option<SigningKey>> {
        self.0.read().get(provider).cloned()
    }
}

/// The key that signs the tokens.
#[derive(Debug)]
pub(crate) struct Webhooks(TokenKey);

impl Webhooks {
    /// Reads the key, or creates it.
    pub(crate) async fn open(parts: &Parts) -> Result<Self, broker::Error> {
        let key = secrets::key(&*parts.broker, &parts.topology, &parts.seams, secrets::WEBHOOKS).await?;
        Ok(Self(TokenKey::new(&key)))
    }
}

/// Says that a webhook was received.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Received {
    /// Always `true`.
    received: bool,
}

/// `POST /v1/webhooks/{token}` → 200, also for a webhook that is repeated or too late.
pub(crate) async fn receive(
    State(app): State<App>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Received>, Refusal> {
    let place = app.webhooks.0.read(&token).ok_or_else(forged)?;
    let (body, _share) = door::read_body_within(&app, body, BODY_BYTES_MAX).await?;
    let signer = app.parts.signers.of(place.provider.as_str()).ok_or_else(forged)?;
    if signer.is_some_and(|key| !is_signed(&app, &key, &headers, &body)) {
        return Err(forged().into());
    }
    if serde_json::from_slice::<IgnoredAny>(&body).is_err() {
        return Err(Error::new(ErrorCode::InvalidRequest, "expected a webhook whose body is JSON").into());
    }
    if !has_ended(&app, &place).await? {
        store(&app, &place, body).await?;
    }
    Ok(Json(Received { received: true }))
}

fn is_signed(app: &Shared, key: &SigningKey, headers: &HeaderMap, body: &[u8]) -> bool {
    let header = |name| door::text(headers, name);
    let (Some(id), Some(signatures)) = (header("webhook-id"), header("webhook-signature")) else {
        return false;
    };
    let timestamp = header("webhook-timestamp").and_then(|text| text.parse::<i64>().ok());
    timestamp.is_some_and(|timestamp| {
        let is_recent = timestamp.abs_diff(app.broker().now().as_second()) <= TOLERANCE_S;
        key.has_signed(&id, timestamp, body, &signatures) && is_recent
    })
}

/// Whether the request has its outcome, so that nobody waits any more.
async fn has_ended(app: &Shared, place: &Place) -> Result<bool, Error> {
    let topology = &app.parts.topology;
    let subject = topology.subjects.outcome(&place.tenant, &place.id);
    let outcome = app.broker().last(&topology.outcomes, &subject).await;
    outcome.map(|outcome| outcome.is_some()).map_err(|error| refusal::of_broker(&error))
}

/// Stores the webhook for the worker that waits. The broker knows a repeat by its id.
async fn store(app: &Shared, place: &Place, body: bytes::Bytes) -> Result<(), Error> {
    let subject = app.parts.topology.subjects.webhook(place);
    let digest: String = Sha256::digest(&body)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let id = Some(format!("{subject}.{digest}"));
    match app.broker().publish(Publication { message: Message::new(subject, Format::Json, body), id }).await {
        Err(error) if error.kind() == ErrorKind::Exists => Ok(()),
        stored => stored.map(drop).map_err(|error| refusal::of_broker(&error)),
    }
}

fn forged() -> Error {
    Error::new(
        ErrorCode::Unauthorized,
        "this webhook is not authentic: the token in its URL or its signature is wrong",
    )
}
