//! API keys: the text, which is shown once, and the record that is kept. Pure: nothing here can verify a secret.
//!
//! `dyn_live_<id>_<secret><checksum>`: the id finds the record and is not secret; the checksum exposes a mistyped key
//! without a look-up and lets scanners find leaked keys. With `_`, a double click selects the whole key.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Action, KeyId, Secret, Tenant};

/// The length of a lookup id: 60 bits, so that random ids do not collide.
const ID_CHARS: usize = 10;
/// The length of the secret part: 190 bits, which nobody guesses.
const SECRET_CHARS: usize = 32;
/// The length of a CRC-32 in base62.
const CHECKSUM_CHARS: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Which providers a key reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyMode {
    /// Every provider.
    #[default]
    Live,
    /// Simulated providers only: safe to give to tests, and free of charge.
    Test,
}

impl KeyMode {
    /// Its name on the wire and in the key.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

/// What a key permits besides submitting work; each role also permits what the roles before it permit.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "KeyRole")]
pub enum Role {
    /// Uses the work of its tenant.
    #[default]
    User,
    /// Manages the keys of its tenant, and sees its usage and its parked work.
    Admin,
    /// Does the same for all tenants, and sees the metrics.
    Superadmin,
}

impl Role {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
            Self::Superadmin => "superadmin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A calendar period, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// From the full hour.
    Hour,
    /// From midnight.
    Day,
    /// From the first of the month.
    Month,
}

impl Per {
    /// Every period, the shortest first.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// Its name in the configuration, in metrics and in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// The most that a key may spend.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyBudget {
    /// In US dollars.
    pub usd: f64,
    /// The period for which the amount holds.
    pub per: Per,
}

impl KeyBudget {
    /// Whether it is a valid amount.
    pub fn is_sound(&self) -> bool {
        self.usd.is_finite() && self.usd > 0.0
    }
}

/// How much a caller may ask for; an absent limit does not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CallerLimits {
    /// The most requests accepted in any minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub requests_per_minute: Option<u32>,
    /// The most tokens used in any minute, question and answer together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens_per_minute: Option<u32>,
    /// The most requests open at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub concurrency: Option<u32>,
}

impl CallerLimits {
    /// No limits.
    pub const NONE: Self = Self { requests_per_minute: None, tokens_per_minute: None, concurrency: None };
}

/// What is kept of a key: everything but the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRecord {
    /// Its lookup id, which is part of the key and may be shown.
    pub id: KeyId,
    /// Which providers it reaches.
    #[serde(default)]
    pub mode: KeyMode,
    /// The tenant whose work it is.
    pub tenant: Tenant,
    /// What its owner calls it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it may do.
    #[serde(default)]
    pub role: Role,
    /// The actions that it may ask for; all if none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
    /// The models that it may ask for, by name; `*` stands for any characters. All if none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// How much it may ask for.
    #[serde(flatten)]
    pub limits: CallerLimits,
    /// What it may spend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<KeyBudget>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When it stops being valid; never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to within a few minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

/// By which key a request came in. The door says so; it ignores what a client claims.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SentBy {
    /// The lookup id of the key.
    pub key: KeyId,
    /// Which providers the key reaches.
    #[serde(default)]
    pub mode: KeyMode,
    /// What it may spend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<KeyBudget>,
}

/// The text of a well-formed key. It need not be a key that exists.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    text: Secret,
    mode: KeyMode,
    id: KeyId,
}

/// Why a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It does not look like a key.
    #[error("it does not look like a key of Dynode (dyn_live_… or dyn_test_…)")]
    Form,
    /// It looks like a key, but is mistyped or cut off.
    #[error("its checksum is wrong: it is mistyped or cut off")]
    Checksum,
}

impl ApiKey {
    /// Makes a key that is as unique as `random` is.
    pub fn make(mode: KeyMode, mut random: impl FnMut() -> u64) -> Self {
        let mut characters = Characters { random: &mut random, bits: 0, left: 0 };
        let id = characters.take(ID_CHARS);
        let body = format!("dyn_{}_{id}_{}", mode.as_str(), characters.take(SECRET_CHARS));
        let text = Secret::new(format!("{body}{}", checksum(&body)));
        let id = KeyId::new(id).unwrap_or_else(|_| unreachable!("letters and digits are a token"));
        Self { text, mode, id }
    }

    /// Reads a key.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let (mode, rest) = match (text.strip_prefix("dyn_live_"), text.strip_prefix("dyn_test_")) {
            (Some(rest), _) => (KeyMode::Live, rest),
            (_, Some(rest)) => (KeyMode::Test, rest),
            _ => return Err(BadKey::Form),
        };
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(BadKey::Form);
        }
        let (id, secret) = rest.split_once('_').ok_or(BadKey::Checksum)?;
        if id.len() != ID_CHARS || secret.len() != SECRET_CHARS + CHECKSUM_CHARS {
            return Err(BadKey::Checksum);
        }
        let (body, sum) = text.split_at(text.len() - CHECKSUM_CHARS);
        if sum != checksum(body) {
            return Err(BadKey::Checksum);
        }
        let id = KeyId::new(id).map_err(|_| BadKey::Form)?;
        Ok(Self { text: Secret::new(text), mode, id })
    }

    /// Its lookup id, which is not secret.
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    /// Which providers it reaches.
    pub const fn mode(&self) -> KeyMode {
        self.mode
    }

    /// The key itself. Show it once, to the one who asked for it; never log it.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dyn_{}_{}_[redacted]", self.mode.as_str(), self.id)
    }
}

/// Random base62 characters, all equally likely.
struct Characters<'a, R> {
    random: &'a mut R,
    bits: u64,
    left: u32,
}

impl<R: FnMut() -> u64> Characters<'_, R> {
    fn take(&mut self, count: usize) -> String {
        let mut text = String::with_capacity(count);
        while text.len() < count {
            if self.left < 6 {
                (self.bits, self.left) = ((self.random)(), 64);
            }
            // Two values of six bits are no base62 character: then draw again.
            if let Some(character) = BASE62.get((self.bits & 63) as usize) {
                text.push(char::from(*character));
            }
            (self.bits, self.left) = (self.bits >> 6, self.left - 6);
        }
        text
    }
}

fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut characters = [b'0'; CHECKSUM_CHARS];
    for character in characters.iter_mut().rev() {
        *character = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    characters.iter().copied().map(char::from).collect()
}

impl KeyRecord {
    /// Whether it is valid at `now`, whatever it is used for.
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none_or(|at| at > now) && self.expires_at.is_none_or(|at| at > now)
    }

    /// Whether it may ask for `action`.
    pub fn allows_action(&self, action: Action) -> bool {
        self.actions.is_empty() || self.actions.contains(&action)
    }

    /// Whether it may ask for the model of this name.
    pub fn allows_model(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|pattern| matches(pattern, model))
    }
}

/// Whether `text` matches `pattern`, in which `*` stands for any characters, or none.
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let Some(tail) = parts.pop() else { return true };
    for part in parts {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests;
