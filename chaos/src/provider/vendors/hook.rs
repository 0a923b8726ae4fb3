//! Webhooks: the vendor tells the end of long work itself, a moment after it was asked for. What became of each is among the
//! calls, under `/_hook`, `/_hook/again` and `/_hook/forged`, with the status that it was answered with.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use jiff::Timestamp;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::twist::Fate;
use super::visit::Visit;
use crate::provider::calls::{Call, CallOutcome, OpenCall};
use crate::provider::sim::Sim;
use crate::receiver::Secret;
use crate::run::load::http_client;

/// By which Replicate signs here; it tells it at `GET /webhooks/default/secret`.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// By which somebody else signs.
const FORGER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// How long the work takes of which is told.
const TAKES: Duration = Duration::from_millis(50);

/// A webhook that is to be sent.
pub(super) struct Hook {
    pub(super) url: String,
    pub(super) body: Value,
    /// Whether the vendor signs it.
    pub(super) signs: bool,
}

/// The work of `visit` ends soon, and this tells it.
pub(super) fn promise(visit: &Visit<'_>, hook: Hook) {
    let (sim, id, fate) = (Arc::clone(visit.sim), visit.id.clone(), visit.twist.hook);
    // If it died the webhook would be lost, as in life.
    tokio::spawn(async move {
        sleep(TAKES).await;
        sim.jobs.lock().of(&id).ended = true;
        let Ok(client) = http_client() else { return };
        hook.send(&sim, &client, &id, fate).await;
    });
}

impl Hook {
    async fn send(&self, sim: &Sim, client: &Client, id: &str, fate: Fate) {
        let signer = self.signs.then_some(SECRET);
        if fate == Fate::Forged {
            let forged = json!({"id": id, "status": "failed", "error": "forged-canary"});
            // The last letter of the token is another one.
            let (kept, last) = self.url.split_at(self.url.len().saturating_sub(1));
            let elsewhere = format!("{kept}{}", if last == "A" { "Q" } else { "A" });
            post(sim, client, "/_hook/forged", &elsewhere, &forged, id, signer).await;
            if self.signs {
                post(sim, client, "/_hook/forged", &self.url, &forged, id, Some(FORGER)).await;
            }
        }
        if fate != Fate::Lost {
            post(sim, client, "/_hook", &self.url, &self.body, id, signer).await;
        }
        if fate == Fate::Twice {
            post(sim, client, "/_hook/again", &self.url, &self.body, id, signer).await;
        }
    }
}

async fn post(
    sim: &Sim,
    client: &Client,
    name: &str,
    url: &str,
    body: &Value,
    id: &str,
    signer: Option<&str>,
) {
    let mut call = OpenCall::new(sim.calls.clone(), Call::arrived(name, &HeaderMap::new()), None);
    let body = body.to_string();
    let mut request = client.post(url).header("content-type", "application/json");
    if let Some(secret) = signer.and_then(|secret| secret.parse::<Secret>().ok()) {
        for (name, value) in secret.sign(&format!("msg_{id}"), body.as_bytes(), Timestamp::now()) {
            request = request.header(name, value);
        }
    }
    if let Ok(response) = request.body(body).send().await {
        let status = response.status();
        let outcome = if status.is_success() { CallOutcome::Answered } else { CallOutcome::Refused };
        call.end(outcome, status.as_u16());
    }
}
