//! What a provider of this kind needs to know: where its API is, its key, its headers. Checked once, at the start.
//!
//! Secrets leave this file only in the headers of a call; [`Settings::quote`] keeps them out of what is shown.

use std::{fs, path::Path};

use reqwest::{
    Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT},
};
use secrecy::{ExposeSecret, SecretString};

use crate::{ConfigError, ProviderConfig, registry::refuse};

/// Header values shorter than this are settings, not secrets; striking them out would only garble messages.
const SECRET_BYTES_MIN: usize = 8;

/// The most that is shown of what a provider says: enough for a reason, too short for a page of HTML.
const QUOTE_CHARS_MAX: usize = 300;

/// Headers that make up the connection or the call itself; configured ones would break it.
const OWN_HEADERS: [&str; 8] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "content-type",
    "accept",
    "idempotency-key",
    "traceparent",
];

/// The checked settings of one provider.
#[derive(Debug)]
pub(super) struct Settings {
    /// The configured name of the provider.
    pub(super) name: String,
    /// Of every call: the key and the configured ones. Marked as sensitive, so that they are not printed.
    pub(super) headers: HeaderMap,
    base: Url,
    secrets: Vec<SecretString>,
}

impl Settings {
    /// Checks `config`. `variable` reads the environment.
    pub(super) fn new(
        name: &str,
        config: &ProviderConfig,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let root = format!("providers.{name}");
        refuse_simulated(&root, config)?;
        let base = base_url(&root, config.base_url.as_deref())?;
        let mut headers = HeaderMap::new();
        let mut secrets = Vec::new();
        for (header, value) in &config.headers {
            let (header, value_checked) = configured_header(&root, header, value)?;
            headers.insert(header, value_checked);
            secrets.push(value.clone());
        }
        secrets.retain(|secret| secret.expose_secret().len() >= SECRET_BYTES_MIN);
        if let Some((setting, key)) = key(&root, config, variable)? {
            if headers.contains_key(AUTHORIZATION) {
                let why =
                    format!("is given beside the header `authorization`; keep one, {setting} or the header");
                return Err(ConfigError::new(format!("{root}.{setting}"), why));
            }
            headers.insert(AUTHORIZATION, bearer(&root, setting, &key)?);
            secrets.push(key);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Self { name: name.to_owned(), headers, base, secrets })
    }

    /// The URL of `path`, which begins without a slash.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        url
    }

    /// A provider's words, fit to be shown: without the secrets, which it may repeat, on one line, and short.
    pub(super) fn quote(&self, words: &str) -> String {
        let redacted = self
            .secrets
            .iter()
            .fold(words.to_owned(), |text, secret| text.replace(secret.expose_secret(), "[redacted]"));
        let line =
            redacted.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
        line.collect::<Vec<_>>().join(" ").chars().take(QUOTE_CHARS_MAX).collect()
    }
}

fn refuse_simulated(root: &str, config: &ProviderConfig) -> Result<(), ConfigError> {
    const KIND: &str = "an openai_compatible provider";
    refuse(root, KIND, &[("seed", config.seed != 0)])?;
    config.models.iter().try_for_each(|(id, model)| {
        let settings = [
            ("first_token_ms", model.first_token_ms.is_some()),
            ("tokens_per_second", model.tokens_per_second.is_some()),
            ("output_tokens", model.output_tokens.is_some()),
            ("dimensions", model.dimensions.is_some()),
            ("failure_rate", model.failure_rate.is_some()),
            ("spin_after_tokens", model.spin_after_tokens.is_some()),
        ];
        refuse(&format!("{root}.models.{id}"), KIND, &settings)
    })
}

/// The error shows nothing of the URL: what is wrong with it may be a key inside it.
fn base_url(root: &str, text: Option<&str>) -> Result<Url, ConfigError> {
    let wrong = |why: &str| ConfigError::new(format!("{root}.base_url"), why);
    let text = text
        .ok_or_else(|| wrong("is missing; say where the API begins, as in \"https://api.openai.com/v1\""))?;
    let url = Url::parse(text).map_err(|error| {
        wrong(&format!("is not an absolute URL ({error}); write it as in \"http://127.0.0.1:11434/v1\""))
    })?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("must begin with http:// or https:// and name a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must hold no user or password; use api_key_env, api_key_file or headers"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("must hold no `?` and no `#`; send keys by api_key_env, api_key_file or headers"));
    }
    Ok(url)
}

fn configured_header(
    root: &str,
    name: &str,
    value: &SecretString,
) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let wrong = |why: &str| ConfigError::new(format!("{root}.headers.{name}"), why);
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("is not the name of a header"))?;
    if OWN_HEADERS.contains(&header.as_str()) || header == USER_AGENT {
        return Err(wrong("is set by dynode itself; remove it"));
    }
    let mut value = HeaderValue::from_str(value.expose_secret())
        .map_err(|_| wrong("its value holds characters that a header cannot carry"))?;
    value.set_sensitive(true);
    Ok((header, value))
}

/// The key and the setting that it came from. No key at all is fine: local servers need none.
fn key(
    root: &str,
    config: &ProviderConfig,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<(&'static str, SecretString)>, ConfigError> {
    let given = [config.api_key.is_some(), config.api_key_env.is_some(), config.api_key_file.is_some()];
    if given.iter().filter(|given| **given).count() > 1 {
        let why = "only one of api_key, api_key_env and api_key_file can be given; remove the others";
        return Err(ConfigError::new(root, why));
    }
    let (setting, key) = if let Some(key) = &config.api_key {
        ("api_key", key.clone())
    } else if let Some(name) = &config.api_key_env {
        ("api_key_env", key_of_variable(root, name, variable)?)
    } else if let Some(path) = &config.api_key_file {
        ("api_key_file", key_of_file(root, path)?)
    } else {
        return Ok(None);
    };
    if key.expose_secret().is_empty() {
        let why = "the key is empty; give one, or remove the setting where the server needs none";
        return Err(ConfigError::new(format!("{root}.{setting}"), why));
    }
    Ok(Some((setting, key)))
}

fn key_of_variable(
    root: &str,
    name: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<SecretString, ConfigError> {
    let key = variable(name).ok_or_else(|| {
        let why =
            format!("the environment variable `{name}` is not set; set it to the key, or remove the setting");
        ConfigError::new(format!("{root}.api_key_env"), why)
    })?;
    Ok(key.trim().into())
}

fn key_of_file(root: &str, path: &Path) -> Result<SecretString, ConfigError> {
    let text = fs::read_to_string(path).map_err(|error| {
        let why =
            format!("`{}` cannot be read: {error}; put the key there, or remove the setting", path.display());
        ConfigError::new(format!("{root}.api_key_file"), why)
    })?;
    Ok(text.trim().into())
}

fn bearer(root: &str, setting: &str, key: &SecretString) -> Result<HeaderValue, ConfigError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret())).map_err(|_| {
        let why = "the key holds line breaks or other characters that a header cannot carry";
        ConfigError::new(format!("{root}.{setting}"), why)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
pub(in crate::openai_compatible) mod tests;
