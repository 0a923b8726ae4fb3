//! Writes a planned request in its form on the wire.

use schemas::{Callback, Format, Request, Secret};
use serde_json::{Value, json};

use super::{Ask, Planned, Wire};
use crate::history::{Key, marker};

/// Where callbacks go, and the key that signs them.
#[derive(Debug, Clone)]
pub struct Target {
    /// The address; the request's key is appended as `/<tenant>/<id>`.
    pub url: String,
    /// The signing key.
    pub secret: Secret,
}

impl Planned {
    /// The request as it is sent; `other` gives it another payload under the same id.
    pub fn request(&self, other: bool, target: &Target) -> Request {
        let mut request = Request::new(self.ask.action, payload(&self.key, &self.ask, other));
        request.id = Some(self.key.id.clone());
        request.deadline_ms = Some(self.deadline_ms);
        request.priority = self.priority;
        request.callback = self.callback.then(|| Callback {
            url: format!("{}/{}/{}", target.url, self.key.tenant, self.key.id),
            secret: Some(target.secret.clone()),
            second_secret: None,
        });
        request
    }

    /// The request as a JSON value, with everything wrong with it except in its bytes.
    pub fn body(&self, other: bool, target: &Target) -> Value {
        let mut body = serde_json::to_value(self.request(other, target)).unwrap_or_default();
        if let Some(bad) = self.bad {
            bad.spoil(&mut body);
        }
        body
    }

    /// The bytes that go over the wire, with what is wrong with them.
    pub fn bytes(&self, other: bool, target: &Target) -> Vec<u8> {
        let body = self.body(other, target);
        let encoded = Format::from(self.format).encode(&body).unwrap_or_default();
        let mut bytes = encoded.to_vec();
        if let Some(bad) = self.bad {
            bad.spoil_bytes(&mut bytes);
        }
        bytes
    }

    /// Tells two requests of one id apart, as the engine does.
    pub fn fingerprint(&self, other: bool) -> String {
        schemas::fingerprint::of(&Request::new(self.ask.action, payload(&self.key, &self.ask, other)))
    }

    /// Whether it must never run.
    pub const fn is_bad(&self) -> bool {
        self.bad.is_some()
    }
}

impl From<Wire> for Format {
    fn from(wire: Wire) -> Self {
        match wire {
            Wire::Json => Self::Json,
            Wire::MessagePack => Self::MessagePack,
        }
    }
}

fn payload(key: &Key, ask: &Ask, other: bool) -> Value {
    let words = vec![if other { "other" } else { "word" }; ask.words as usize].join(" ");
    let text = format!("{} {words}", marker(key));
    if ask.embeds {
        return json!({"model": ask.model, "input": text});
    }
    json!({
        "model": ask.model,
        "messages": [{"role": "user", "content": text}],
        "max_completion_tokens": ask.tokens,
        "stream": ask.stream,
    })
}
