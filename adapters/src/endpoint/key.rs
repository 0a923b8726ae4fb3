//! The key of a provider: where it is read, and in which header it goes out.

use std::{fs, path::Path};

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use crate::{ConfigError, ProviderConfig};

/// Where a key goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum KeyPlace<'a> {
    /// `authorization: Bearer KEY`.
    Bearer,
    /// In a header of the provider's own.
    Header(&'a str),
}

impl KeyPlace<'_> {
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

/// The key and the setting that it came from. No key at all is fine: local servers need none.
pub(super) fn read(
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
