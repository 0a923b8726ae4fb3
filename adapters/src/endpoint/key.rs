//! Reads a provider's keys, and makes the header that carries one.

use std::{fs, path::Path};

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use crate::{ConfigError, ProviderConfig};

/// Where a key goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum KeyPlace<'a> {
    /// `authorization: Bearer KEY`.
    Bearer,
    /// A header of the provider's own.
    Header(&'a str),
}

impl KeyPlace<'_> {
    /// The name of the header.
    pub(super) const fn name(&self) -> &str {
        match self {
            Self::Bearer => "authorization",
            Self::Header(name) => name,
        }
    }

    /// The header that carries `key`.
    pub(super) fn header(
        self,
        root: &str,
        setting: &str,
        key: &SecretString,
    ) -> Result<(HeaderName, HeaderValue), ConfigError> {
        let (name, text) = match self {
            Self::Bearer => (AUTHORIZATION, format!("Bearer {}", key.expose_secret())),
            Self::Header(name) => {
                let header = HeaderName::from_bytes(name.as_bytes());
                let header =
                    header.map_err(|_| ConfigError::new(root, "its key has no header that can be sent"))?;
                (header, key.expose_secret().to_owned())
            }
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| {
            let why = "the key holds line breaks or other characters that a header cannot carry";
            ConfigError::new(format!("{root}.{setting}"), why)
        })?;
        value.set_sensitive(true);
        Ok((name, value))
    }
}

/// The variable of the key, if that is the only configured place for one and is not set.
pub(crate) fn missing(config: &ProviderConfig, variable: impl Fn(&str) -> Option<String>) -> Option<&str> {
    let elsewhere = config.api_key.is_some()
        || config.api_key_file.is_some()
        || !config.api_key_envs.is_empty()
        || !config.api_key_files.is_empty();
    let name = config.api_key_env.as_deref().filter(|_| !elsewhere)?;
    variable(name).is_none_or(|key| key.trim().is_empty()).then_some(name)
}

/// The keys, each with the setting that it came from. No key at all is fine: local servers need none.
pub(super) fn read(
    root: &str,
    config: &ProviderConfig,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Vec<(&'static str, SecretString)>, ConfigError> {
    let given = [config.api_key.is_some(), config.api_key_env.is_some(), config.api_key_file.is_some()];
    if given.iter().filter(|given| **given).count() > 1 {
        let why = "only one of api_key, api_key_env and api_key_file can be given; remove the others";
        return Err(ConfigError::new(root, why));
    }
    let mut keys: Vec<_> = config.api_key.iter().map(|key| ("api_key", key.clone())).collect();
    let one = config.api_key_env.iter().map(|name| ("api_key_env", name));
    for (setting, name) in one.chain(config.api_key_envs.iter().map(|name| ("api_key_envs", name))) {
        keys.push((setting, key_of_variable(root, setting, name, &variable)?));
    }
    let one = config.api_key_file.iter().map(|path| ("api_key_file", path));
    for (setting, path) in one.chain(config.api_key_files.iter().map(|path| ("api_key_files", path))) {
        keys.push((setting, key_of_file(root, setting, path)?));
    }
    for (place, (setting, key)) in keys.iter().enumerate() {
        let wrong = |why: &str| Err(ConfigError::new(format!("{root}.{setting}"), why));
        if key.expose_secret().is_empty() {
            return wrong("the key is empty; give one, or remove the setting where the server needs none");
        }
        // Dynode would count the limits of this key twice.
        if keys[..place].iter().any(|(_, other)| other.expose_secret() == key.expose_secret()) {
            return wrong("the same key is given twice; remove one of the two");
        }
    }
    Ok(keys)
}

fn key_of_variable(
    root: &str,
    setting: &str,
    name: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<SecretString, ConfigError> {
    let key = variable(name).ok_or_else(|| {
        let why =
            format!("the environment variable `{name}` is not set; set it to the key, or remove the setting");
        ConfigError::new(format!("{root}.{setting}"), why)
    })?;
    Ok(key.trim().into())
}

fn key_of_file(root: &str, setting: &str, path: &Path) -> Result<SecretString, ConfigError> {
    let text = fs::read_to_string(path).map_err(|error| {
        let why =
            format!("`{}` cannot be read: {error}; put the key there, or remove the setting", path.display());
        ConfigError::new(format!("{root}.{setting}"), why)
    })?;
    Ok(text.trim().into())
}
