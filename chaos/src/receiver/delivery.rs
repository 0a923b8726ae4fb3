//! One callback as it arrived. Headers with credentials are kept as fingerprints only.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use schemas::Outcome;
use serde::{Deserialize, Serialize, Serializer};

use crate::fingerprint::{fingerprint, of_outcome};
use crate::history::{Fact, Key};
use crate::scribe::Scribe;

/// The receiver's name in the history.
const NAME: &str = "receiver";

/// One attempt to deliver a message.
#[derive(Clone, Debug, Serialize)]
pub struct Delivery {
    /// When its whole body had arrived.
    pub at: Timestamp,
    /// Its path and query.
    pub target: String,
    /// Its headers, names in lower case; several values of one name are joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// Its body, byte for byte. The HTTP view shows text as it is and other bytes as `base64:…`.
    #[serde(serialize_with = "text_or_base64")]
    pub body: Bytes,
    /// Its `webhook-id`, which the retries of one message share.
    pub message: Option<String>,
    /// Which attempt of its message it was, from 1.
    pub attempt: u32,
    /// Whether its signature held.
    pub signature: SignatureCheck,
    /// The status chosen for the reply.
    pub status: u16,
}

/// Whether the holder of the secret signed a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureCheck {
    /// The receiver has no secret.
    NotChecked,
    /// Valid.
    Valid,
    /// Invalid, for this reason.
    Invalid(String),
}

impl Delivery {
    /// Writes it into the history, if its body is that of a callback.
    pub(super) fn write_down(&self, scribe: &Scribe) {
        #[derive(Deserialize)]
        struct Notice {
            data: Outcome,
        }
        let Ok(Notice { data: outcome }) = serde_json::from_slice(&self.body) else { return };
        let request = Key { tenant: outcome.tenant.clone(), id: outcome.id.clone() };
        let text = String::from_utf8_lossy(&self.body).into_owned();
        let body = Fact::Body { request: request.clone(), place: "callback".to_owned(), text };
        scribe.write(NAME, body);
        let webhook = self.message.clone().unwrap_or_default();
        let valid = self.signature == SignatureCheck::Valid;
        let (status, digest) = (Some(outcome.status), of_outcome(&outcome));
        let fact = Fact::CalledBack { request, webhook, valid, replied: self.status, status, digest };
        scribe.write(NAME, fact);
    }
}

/// The headers as the journal keeps them.
pub(super) fn kept(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let value = if [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(name) {
            format!("sha256:{}", fingerprint(value.as_bytes()))
        } else {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        kept.entry(name.to_string()).and_modify(|all| *all += &format!(", {value}")).or_insert(value);
    }
    kept
}

fn text_or_base64<S: Serializer>(body: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    match std::str::from_utf8(body) {
        Ok(text) => serializer.serialize_str(text),
        Err(_) => serializer.serialize_str(&format!("base64:{}", STANDARD.encode(body))),
    }
}
