//! Finds the API version that `anthropic-version` names, and what it decides: where the key goes, what a body may hold.

use secrecy::ExposeSecret;

use crate::{
    ProviderConfig,
    endpoint::{KeyPlace, Manners},
};

const HEADER: &str = "anthropic-version";

/// The version if the configuration names none; the first that refuses a temperature.
const CURRENT: &str = "2026-10-21";

const KIND: &str = "an anthropic provider";
const BASE_URL: &str = "https://api.anthropic.com/v1";
const VARIABLE: Option<&str> = Some("ANTHROPIC_API_KEY");

static CURRENT_MANNERS: Manners = Manners {
    kind: KIND,
    base_url: Some(BASE_URL),
    key: KeyPlace::Bearer,
    variable: VARIABLE,
    headers: &[(HEADER, CURRENT)],
};

/// The configured headers include the one that names an earlier version.
static EARLIER_MANNERS: Manners = Manners {
    kind: KIND,
    base_url: Some(BASE_URL),
    key: KeyPlace::Header("x-api-key"),
    variable: VARIABLE,
    headers: &[],
};

/// The versions, as far as their differences concern us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// 2026-10-21 and later: the key is a bearer token, and the API refuses a temperature.
    Current,
    /// Before that (2023-06-01): the key has a header of its own, and the API takes a temperature.
    Earlier,
}

impl Version {
    /// The version that the configured headers name, else the current one. Versions are dates, so they compare as text.
    pub(super) fn of(config: &ProviderConfig) -> Self {
        let named = config.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(HEADER));
        match named {
            Some((_, version)) if version.expose_secret() < CURRENT => Self::Earlier,
            _ => Self::Current,
        }
    }

    pub(super) fn manners(self) -> &'static Manners<'static> {
        match self {
            Self::Current => &CURRENT_MANNERS,
            Self::Earlier => &EARLIER_MANNERS,
        }
    }

    /// Whether `temperature`, `top_p` and `top_k` may be sent.
    pub(super) fn takes_temperature(self) -> bool {
        self == Self::Earlier
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::AUTHORIZATION;
    use serde_json::json;

    use super::*;
    use crate::{endpoint::Endpoint, http};

    #[test]
    fn a_key_that_is_missing_is_named_unless_somebody_else_answers() {
        let read = |fields: serde_json::Value| {
            let mut table = json!({"kind": "anthropic", "models": {}});
            table.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let config = serde_json::from_value(table).unwrap();
            let client = http::client_builder().build().unwrap();
            Endpoint::new("p", &config, Version::of(&config).manners(), client, |_| None)
        };
        let error = read(json!({})).unwrap_err();
        assert_eq!(error.path, "providers.p.api_key_env");
        assert!(
            error.why.contains("https://api.anthropic.com/v1") && error.why.contains("`ANTHROPIC_API_KEY`"),
            "{error}"
        );
        assert!(read(json!({"headers": {"anthropic-version": "2023-06-01"}})).is_err());
        for fine in [
            json!({"base_url": "http://127.0.0.1:8080/v1"}),
            json!({"headers": {"Authorization": "Bearer k"}}),
            json!({"headers": {"anthropic-version": "2023-06-01", "x-api-key": "k"}}),
        ] {
            assert!(read(fine.clone()).is_ok(), "{fine}");
        }
    }

    #[test]
    fn the_version_says_where_the_key_goes() {
        let earlier = json!({"Anthropic-Version": "2023-06-01"});
        let rows = [
            (json!({}), Version::Current, "2026-10-21", "authorization"),
            (earlier, Version::Earlier, "2023-06-01", "x-api-key"),
            (json!({"anthropic-version": "2027-01-01"}), Version::Current, "2027-01-01", "authorization"),
        ];
        for (headers, version, sent, place) in rows {
            let table = json!({"kind": "anthropic", "models": {}, "api_key": "k-123", "headers": headers});
            let config = serde_json::from_value(table).unwrap();
            assert_eq!(Version::of(&config), version);
            let client = http::client_builder().build().unwrap();
            let endpoint = Endpoint::new("p", &config, version.manners(), client, |_| None).unwrap();
            assert_eq!(endpoint.headers(0)[HEADER], sent);
            assert_eq!(endpoint.url("messages").as_str(), "https://api.anthropic.com/v1/messages");
            let keys =
                ["x-api-key", AUTHORIZATION.as_str()].map(|name| endpoint.headers(0).contains_key(name));
            assert_eq!(keys, [place == "x-api-key", place != "x-api-key"]);
        }
    }
}
