//! Hears when the files of the configuration have changed, or when somebody says so by SIGHUP.

use std::{path::PathBuf, time::Duration};

use tokio::{
    signal::unix::{self, SignalKind},
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use crate::config::{Error, Loaded, Resolved, Sources, Stamp};

/// How often the files are looked at: a glance at a handful of names.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What a change takes effect of while the program runs: all that the engine is made of, and who may come in.
const LIVE: [&str; 9] =
    ["providers", "waterfalls", "budgets", "classifier", "callbacks", "engine", "keys", "tenants", "limits"];
/// What of `[engine]` nevertheless stays as it is: the broker's consumers hold the lease, and whoever ends a process knows
/// how long it drains.
const HELD: [(&str, &str); 2] = [("engine", "lease_ms"), ("engine", "drain_ms")];

/// The configuration that runs, and how the files stood that it was read from.
pub(crate) struct Reload {
    sources: Sources,
    running: Resolved,
    /// As it was at the start.
    start: Resolved,
    /// Files that settings name, such as those of keys.
    named: Vec<PathBuf>,
    /// How the files stood that run now.
    stamps: Stamps,
    /// How they stood when they were last looked at.
    seen: Stamps,
    hangup: unix::Signal,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamps {
    settings: Stamp,
    named: Stamp,
}

impl Reload {
    /// Watches what `loaded` was read from.
    pub(crate) fn watch(sources: Sources, loaded: &Loaded) -> std::io::Result<Self> {
        let (running, named) = (loaded.resolved.clone(), loaded.config.files_named());
        let stamps = Stamps { settings: sources.stamp(), named: Stamp::of(named.clone()) };
        let hangup = unix::signal(SignalKind::hangup())?;
        Ok(Self { sources, start: running.clone(), running, named, seen: stamps.clone(), stamps, hangup })
    }

    /// The next configuration that takes the place of the one that runs. One that is wrong is told and not taken.
    pub(crate) async fn next(&mut self) -> Loaded {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let forced = tokio::select! {
                _ = self.hangup.recv() => true,
                _ = looks.tick() => false,
            };
            let stamps = self.look().await;
            // A file that is being written is left alone until it stays as it is.
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
                Err(error) => warn!(%error, "the changed configuration is not taken; the one before stays"),
            }
        }
    }

    /// Looks at the files on a thread that may wait for a disk.
    async fn look(&self) -> Stamps {
        let (sources, named) = (self.sources.clone(), self.named.clone());
        let look = move || Stamps { settings: sources.stamp(), named: Stamp::of(named) };
        tokio::task::spawn_blocking(look).await.unwrap_or_else(|_| self.stamps.clone())
    }

    /// `loaded`, but for what stays as it was at the start: what takes effect only then is told.
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
