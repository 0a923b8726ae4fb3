//! Keeps the keys up to date: reads what other gateways have changed, so that a revoked key ends everywhere; ends what
//! runs under expired keys; records, seldom, which keys are used.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{self, Instant, MissedTickBehavior};
use tracing::{debug, warn};

use super::{Keys, PassRef};
use crate::app::App;

/// How old a written `last_used_at` may become while the key is used.
const USED_EVERY: SignedDuration = SignedDuration::from_mins(10);
/// The most keys whose use is recorded at once: no burst for the broker.
const USED_AT_ONCE_MAX: usize = 64;

/// Keeps the keys of `app` up to date, for ever.
pub(crate) async fn run(app: App) {
    let every = Duration::from_millis(app.config.key_refresh_ms);
    let mut ticks = time::interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_told = false;
    loop {
        ticks.tick().await;
        match app.keys.read().await {
            Ok(()) => is_told = false,
            // Others report the link, and a key that cannot be read lets no request in.
            Err(error) if is_told || error.is_transient() => debug!(%error, "the API keys cannot be read"),
            Err(error) => {
                warn!(%error, "cannot read the API keys; this server goes on with the keys that it knows");
                is_told = true;
            }
        }
        let now = app.broker().now();
        app.keys.end_those_that_expired(now);
        app.keys.write_used(now).await;
    }
}

impl Keys {
    /// Records the use of keys that is not recorded yet.
    async fn write_used(&self, now: Timestamp) {
        let mut used = Vec::new();
        self.ring.each(|pass| {
            if used.len() < USED_AT_ONCE_MAX
                && let Some(at) = news(pass, now)
            {
                used.push((pass.record.id.clone(), at));
            }
        });
        for (id, at) in used {
            let note =
                |record: &mut schemas::KeyRecord| record.last_used_at = record.last_used_at.max(Some(at));
            if let Err(error) = self.store.change(&id, note).await {
                debug!(%error, %id, "the use of an API key is not written down");
                return;
            }
        }
    }
}

/// When a key was last used, if that is worth recording.
fn news(pass: &PassRef, now: Timestamp) -> Option<Timestamp> {
    let used = pass.used_at().filter(|_| pass.revision.is_some() && pass.record.revoked_at.is_none())?;
    let known = pass.record.last_used_at;
    let is_old = known.is_none_or(|known| now.duration_since(known) >= USED_EVERY);
    (is_old && known.is_none_or(|known| used > known)).then_some(used)
}
