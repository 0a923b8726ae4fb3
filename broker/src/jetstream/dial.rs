//! Makes the first connection, with patience, and sets how the client keeps it.

use std::{sync::Arc, time::Duration};

use async_nats::{Client, ConnectErrorKind, ConnectOptions};
use tokio::time::{Instant, sleep};

use super::{Config, address::Address, credentials, link::Follower};
use crate::{Error, ErrorKind};

/// A frozen server is noticed after three pings; at the client's own interval, a minute, that would take three minutes.
const PING_EVERY: Duration = Duration::from_secs(5);
/// The timeout of one connection attempt.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);
/// The pause between two attempts: at first almost none, and never long, because a restart takes a fifth of a second.
const RETRY_MS_MIN: u64 = 5;
const RETRY_MS_MAX: u64 = 1_000;
/// Messages that a subscription holds for its reader: twice the most that a consumer asks for must fit, more is lost.
pub(super) const SUBSCRIPTION_MESSAGES: usize = 16_384;

/// Connects, trying for as long as the configuration says; a refusal is not retried.
pub(super) async fn connect(
    config: &Config,
    address: &Address,
    follower: &Arc<Follower>,
) -> Result<Client, Error> {
    let deadline = Instant::now() + config.connect_timeout;
    let mut attempt = 0;
    loop {
        let options = options(config, address, follower).await?;
        let error = match options.connect(address.servers()).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        let (kind, mend) = match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                (ErrorKind::Denied, "it refuses these credentials: check the url or nats_credentials")
            }
            ConnectErrorKind::ServerParse | ConnectErrorKind::Tls => {
                (ErrorKind::Invalid, "look at the url, and whether the server speaks TLS")
            }
            _ => (ErrorKind::Disconnected, "is it running?"),
        };
        attempt += 1;
        let pause = retry_after(attempt);
        if kind != ErrorKind::Disconnected || Instant::now() + pause > deadline {
            let what = format!("cannot connect to {address} ({}): {mend}", error.kind());
            return Err(Error::new(kind, what).with_source(error));
        }
        sleep(pause).await;
    }
}

async fn options(
    config: &Config,
    address: &Address,
    follower: &Arc<Follower>,
) -> Result<ConnectOptions, Error> {
    let follower = Arc::clone(follower);
    let options = address
        .sign(ConnectOptions::new())
        .name(&config.name)
        // This process hears its own messages without the server.
        .no_echo()
        .ping_interval(PING_EVERY)
        .connection_timeout(ATTEMPT_MAX)
        .subscription_capacity(SUBSCRIPTION_MESSAGES)
        .reconnect_delay_callback(retry_after)
        .event_callback(move |event| {
            follower.on(&event);
            std::future::ready(())
        });
    match &config.credentials_file {
        Some(file) => credentials::sign(options, file).await,
        None => Ok(options),
    }
}

/// Exponential, with jitter, so that all clients that lost one server do not come back in one moment.
fn retry_after(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    let ceiling = (RETRY_MS_MIN << doublings).min(RETRY_MS_MAX);
    Duration::from_millis(ceiling / 2 + rand::random_range(0..=ceiling / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_before_a_new_attempt_is_bounded() {
        assert!((0..100).all(|attempt| retry_after(attempt) <= Duration::from_millis(RETRY_MS_MAX)));
    }
}
