//! Reads the configuration at the start from four layers, each over the one before: the defaults, the files, the
//! environment, the flags. A wrong key or value stops the start; the error shows where it stands.
//!
//! The defaults are in `default.toml` only; the types here have none.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use adapters::{ProviderConfig, Registry};
use gateway::{LimitConfig, TenantConfig};
use schemas::{Parents, Tenant};
use serde::Deserialize;
use toml::Value;

mod check;
mod error;
mod files;
mod handed;
mod layer;
mod place;
mod sections;
#[cfg(test)]
mod tests;

pub(crate) use error::Error;
pub(crate) use files::Stamp;
pub(crate) use handed::Resolved;
pub(crate) use place::{Origins, Place};
pub(crate) use sections::{Assets, BrokerChoice, Classifier, Ledger, LogFormat, Streams, TelemetryConfig};

use crate::watchdog::WatchdogConfig;
use layer::Layers;

/// The default configuration; its comments are the reference for every key.
pub(crate) const DEFAULT: &str = include_str!("../config/default.toml");
/// Every provider and the default waterfall of each action, for those who name `everything` as the file.
pub(crate) const EVERYTHING: &str = include_str!("../config/everything.toml");
/// The file that is read if none is named and it exists.
const FILE: &str = "dynode.toml";
/// The variable that names the file.
const FILE_VARIABLE: &str = "DYNODE_CONFIG";

/// Every setting.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where HTTP and WebSocket clients connect; the gateway has a copy.
    pub(crate) listen: String,
    /// Which broker.
    pub(crate) broker: BrokerChoice,
    /// The file with our credentials for external servers; empty uses those in the URL.
    pub(crate) nats_credentials: PathBuf,
    /// The same for worker processes; empty uses this process's own.
    pub(crate) nats_worker_credentials: PathBuf,
    /// The `nats-server` to start; empty means the one on PATH.
    pub(crate) nats_server: PathBuf,
    /// The port of a managed broker; 0 takes a free one.
    pub(crate) nats_port: u16,
    /// How often a managed broker syncs its files to disk; 0 syncs before each acknowledgement.
    pub(crate) nats_sync_ms: u64,
    /// Where a managed broker keeps its files.
    pub(crate) data_dir: PathBuf,
    /// How many worker processes do the work; with 0 this process does it.
    pub(crate) workers: u32,
    /// The first token of every subject.
    pub(crate) prefix: String,
    /// The filter for log lines.
    pub(crate) log: String,
    /// The format of log lines.
    pub(crate) log_format: LogFormat,
    /// `[gateway]`.
    pub(crate) gateway: gateway::Config,
    /// `[streams]`.
    pub(crate) streams: Streams,
    /// `[ledger]`.
    pub(crate) ledger: Ledger,
    /// `[assets]`.
    pub(crate) assets: Assets,
    /// `[engine]`.
    pub(crate) engine: actors::EngineConfig,
    /// `[classifier]`.
    pub(crate) classifier: Classifier,
    /// `[callbacks]`.
    pub(crate) callbacks: actors::CallbackConfig,
    /// `[providers.NAME]`.
    pub(crate) providers: BTreeMap<String, ProviderConfig>,
    /// `[waterfalls."ACTION".NAME]`.
    #[serde(default)]
    pub(crate) waterfalls: actors::Waterfalls,
    /// `[[budgets]]`.
    #[serde(default)]
    pub(crate) budgets: Vec<actors::BudgetConfig>,
    /// Whether everybody may come in if there are no keys, also from other machines.
    pub(crate) without_keys: bool,
    /// `[tenants.NAME]`.
    #[serde(default)]
    pub(crate) tenants: BTreeMap<Tenant, TenantConfig>,
    /// `[[limits]]`.
    #[serde(default)]
    pub(crate) limits: Vec<LimitConfig>,
    /// `[[keys]]`.
    #[serde(default)]
    pub(crate) keys: Vec<gateway::KeyConfig>,
    /// `[watchdog]`.
    pub(crate) watchdog: WatchdogConfig,
    /// `[telemetry]`.
    pub(crate) telemetry: TelemetryConfig,
}

/// The configuration, and where each setting came from, for errors found later.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// The settings.
    pub(crate) config: Config,
    /// Their providers, ready to be called.
    pub(crate) registry: Arc<Registry>,
    /// The settings again, for worker processes.
    pub(crate) resolved: Resolved,
    /// Where each setting came from.
    pub(crate) origins: Origins,
    /// The files that were read, the lowest layer first.
    pub(crate) files: Vec<PathBuf>,
}

/// The sources of settings above the defaults.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    /// The file that `--config` names.
    pub(crate) file: Option<PathBuf>,
    /// The environment.
    pub(crate) variables: BTreeMap<String, String>,
    /// The flags that were given, each with its key and value.
    pub(crate) flags: Vec<(&'static str, &'static str, String)>,
}

impl Sources {
    /// The environment of this process, with the file and the flags of the command line.
    pub(crate) fn of_process(
        file: Option<PathBuf>,
        flags: Vec<(&'static str, &'static str, String)>,
    ) -> Self {
        let readable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        };
        Self { file, variables: std::env::vars_os().filter_map(readable).collect(), flags }
    }

    /// Reads, merges and checks every layer.
    pub(crate) fn load(&self) -> Result<Loaded, Error> {
        let mut layers = Layers::default();
        layers.file(Path::new("default.toml"), DEFAULT)?;
        let files = self.read_files()?;
        for file in &files {
            layers.file(&file.path, &file.text)?;
        }
        layers.environment(self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        for (flag, key, value) in &self.flags {
            layers.flag(flag, key, value);
        }
        drop_providers(&mut layers.table);
        lend_listen(&mut layers)?;
        let mut config = read(&mut layers)?;
        let registry =
            check::check(&mut config).map_err(|fault| layers.origins.blame(&fault.path, fault.why))?;
        let (resolved, origins) = (Resolved(layers.table), layers.origins);
        let registry = Arc::new(registry);
        let files = files.into_iter().map(|file| file.path).collect();
        Ok(Loaded { config, registry, resolved, origins, files })
    }
}

impl Loaded {
    /// Rebuilds the settings from `resolved` after a change to it.
    pub(crate) fn reread(&mut self) -> Result<(), Error> {
        let settings = Value::Table(self.resolved.0.clone());
        let read = serde_path_to_error::deserialize(settings);
        self.config = read.map_err(|error| Error::from_serde(&self.origins, error))?;
        let registry =
            check::check(&mut self.config).map_err(|fault| self.origins.blame(&fault.path, fault.why))?;
        self.registry = Arc::new(registry);
        Ok(())
    }
}

impl Config {
    /// Drops the providers whose keys are missing but optional, and the steps that they would serve.
    pub(crate) fn settle(&mut self, registry: &Registry) {
        self.providers.retain(|name, _| !registry.left_out().contains_key(name));
        self.waterfalls = self.waterfalls.settled(registry);
    }

    /// The parents of each tenant.
    pub(crate) fn parents(&self) -> BTreeMap<Tenant, Parents> {
        self.tenants.iter().map(|(name, tenant)| (name.clone(), tenant.parents())).collect()
    }

    /// How much the streams hold, and for how long.
    pub(crate) const fn stream_limits(&self) -> broker::Limits {
        self.streams.limits(&self.ledger)
    }

    /// The files that settings name and that are read with them: keys and provider files.
    pub(crate) fn files_named(&self) -> Vec<PathBuf> {
        let named = |provider: &ProviderConfig| {
            let keys = provider.api_key_file.iter().chain(&provider.api_key_files).cloned();
            keys.chain(provider.file.as_ref().map(PathBuf::from)).collect::<Vec<_>>()
        };
        self.providers.values().flat_map(named).collect()
    }
}

/// Removes the providers that a layer has set to `false`, which is how to drop one from a lower layer.
fn drop_providers(table: &mut toml::Table) {
    if let Some(Value::Table(providers)) = table.get_mut("providers") {
        providers
            .retain(|_, provider| provider.as_bool() != Some(false) && provider.as_str() != Some("false"));
    }
}

/// Gives the gateway its copy of `listen`, which is at the top because everybody looks for it there.
fn lend_listen(layers: &mut Layers) -> Result<(), Error> {
    let Some(listen) = layers.table.get("listen").cloned() else { return Ok(()) };
    if !listen.is_str() {
        // Checked here: the gateway's copy is in no file that the error could name.
        return Err(layers.origins.blame("listen", "expected a string, such as \"127.0.0.1:8321\""));
    }
    if let Some(Value::Table(gateway)) = layers.table.get_mut("gateway")
        && gateway.insert("listen".to_owned(), listen).is_some()
    {
        return Err(layers.origins.blame("gateway.listen", "set `listen`, at the top, instead"));
    }
    Ok(())
}

/// Reads the merged table. Values of variables start as strings; a refused one is read again as TOML, so that the key
/// decides what `8` means, and a key that wants a string never gets a number.
fn read(layers: &mut Layers) -> Result<Config, Error> {
    loop {
        let merged = Value::Table(layers.table.clone());
        match serde_path_to_error::deserialize(merged) {
            Ok(config) => return Ok(config),
            Err(error) if layers.reread(error.path()) => {}
            Err(error) => return Err(Error::from_serde(&layers.origins, error)),
        }
    }
}
