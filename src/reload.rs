//! Reloads the configuration when its files change or on SIGHUP.

use std::{path::PathBuf, time::Duration};

use tokio::{
    signal::unix::{self, SignalKind},
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use crate::config::{Error, Loaded, Resolved, Sources, Stamp};

/// How often the files are checked: only the metadata of a handful of files.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The tables that take effect while the program runs: all that the engine is made of, and who may come in.
const LIVE: [&str; 9] =
    ["providers", "waterfalls", "budgets", "classifier", "callbacks", "engine", "keys", "tenants", "limits"];
/// The exceptions within `[engine]`: the broker's consumers hold the lease, and supervisors rely on how long a process
/// drains.
const HELD: [(&str, &str); 2] = [("engine", "lease_ms"), ("engine", "drain_ms")];

/// The running configuration, and the state of the files that it was read from.
pub(crate) struct Reload {
    sources: Sources,
    running: Resolved,
    /// The configuration at the start.
    start: Resolved,
    /// Files that settings name, such as those of keys.
    named: Vec<PathBuf>,
    /// The state of the files at the last load.
    stamps: Stamps,
    /// The state of the files at the last check.
    seen: Stamps,
    hangup: unix::Signal,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamps {
    settings: Stamp,
    named: Stamp,
}

impl Reload {
    /// Watches the files that `loaded` was read from.
    pub(crate) fn watch(sources: Sources, loaded: &Loaded) -> std::io::Result<Self> {
        let (running, named) = (loaded.resolved.clone(), loaded.config.files_named());
        let stamps = Stamps { settings: sources.stamp(), named: Stamp::of(named.clone()) };
        let hangup = unix::signal(SignalKind::hangup())?;
        Ok(Self { sources, start: running.clone(), running, named, seen: stamps.clone(), stamps, hangup })
    }

    /// The next configuration to replace the running one. An invalid one is logged and not taken.
    pub(crate) async fn next(&mut self) -> Loaded {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let forced = tokio::select! {
                _ = self.hangup.recv() => true,
                _ = looks.tick() => false,
            };
            let stamps = self.look().await;
            // A file that is being written is left alone until it no longer changes.
            let is_quiet = std::mem::replace(&mut self.seen, stamps.clone()) == stamps;
            if !forced && (stamps == self.stamps || !is_quiet) {
                continue;
            }
            let named_changed = stamps.named != self.stamps.named;
            self.stamps = stamps;
            match self.sources.load().and_then(|loaded| self.held(loaded)) {
                Ok(loaded) if self.differs(&loaded) || named_changed || forced => {
                    self.named = loaded.config.files_named();
                    self.stamps.named = Stamp::of(self.named.clone());
                    self.running = loaded.resolved.clone();
                    info!("the configuration is read again and takes effect");
                    return loaded;
                }
                Ok(_) => {}
                Err(error) => {
                    warn!(%error, "cannot load the changed configuration; the previous one stays in effect")
                }
            }
        }
    }

    /// Checks the files on a blocking thread, since the disk may be slow.
    async fn look(&self) -> Stamps {
        let (sources, named) = (self.sources.clone(), self.named.clone());
        let look = move || Stamps { settings: sources.stamp(), named: Stamp::of(named) };
        tokio::task::spawn_blocking(look).await.unwrap_or_else(|_| self.stamps.clone())
    }

    /// `loaded`, with the settings that cannot change now reset to those at the start; logs them.
    fn held(&self, mut loaded: Loaded) -> Result<Loaded, Error> {
        let later = loaded.resolved.hold(&self.start, &LIVE, &HELD);
        if !later.is_empty() {
            warn!(settings = later.join(", "), "changed, but in effect only from the next start on");
            loaded.reread()?;
        }
        Ok(loaded)
    }

    fn differs(&self, loaded: &Loaded) -> bool {
        loaded.resolved != self.running
    }
}
