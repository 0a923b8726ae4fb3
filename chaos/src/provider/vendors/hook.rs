//! Webhooks: the vendor itself tells the end of long work, a moment after it was asked for. What became of each is
//! among the calls, under `/_hook`, `/_hook/again` and `/_hook/forged`, with the status of its answer.

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

/// The secret with which Replicate signs here; `GET /webhooks/default/secret` tells it.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The secret with which somebody else signs.
const FORGER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// How long the announced work takes.
const TAKES: Duration = Duration::from_millis(50);

/// A webhook to send.
pub(super) struct Hook {
    pub(super) url: String,
    pub(super) body: Value,
    /// Whether the vendor signs it.
    pub(super) signs: bool,
}

/// Sends `hook` when the work of `visit` has ended, which is soon.
pub(super) fn promise(visit: &Visit<'_>, hook: Hook) {
    let (sim, id, fate) = (Arc::clone(visit.sim), visit.id.clone(), visit.twist.hook);
    // If this task died, the webhook would be lost, as in life.
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
            // The token with another last letter.
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
