//! TLS from certificate files, which the gateway reads at the start and again after each change. A bad file stops the
//! start; one that turns bad later is logged, and the previous certificate stays in use.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::spawn_blocking,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::{debug, info, warn};

use crate::{Config, Error};

/// The protocols inside of TLS, the preferred one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// How often new connections check whether the files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The certificate of this server.
#[derive(Debug)]
pub(crate) struct Tls {
    files: Files,
    /// How long a handshake may take.
    time: Duration,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    stamp: Stamp,
    looked_at: Instant,
}

/// The paths of the certificate and its key.
#[derive(Debug, Clone)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

/// The state of the files: when each was written, and its length.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current").field("stamp", &self.stamp).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files that `config` names; `None` if it names none.
    pub(crate) async fn open(config: &Config) -> Result<Option<Arc<Self>>, Error> {
        if config.tls_cert.as_os_str().is_empty() {
            return Ok(None);
        }
        let files = Files { cert: config.tls_cert.clone(), key: config.tls_key.clone() };
        // Never run without TLS if it is configured, whatever keeps the files from being read.
        let unread = || fault("gateway.tls_cert", &files.cert, io::Error::other("could not be read"));
        let (stamp, acceptor) = files.clone().look(None).await.ok_or_else(unread)?;
        let acceptor = acceptor?;
        let current = Mutex::new(Current { acceptor, stamp, looked_at: Instant::now() });
        let time = Duration::from_millis(config.header_read_timeout_ms);
        Ok(Some(Arc::new(Self { files, time, current })))
    }

    /// Performs the handshake, in bounded time; `None` if it fails.
    pub(crate) async fn accept<S>(&self, stream: S) -> Option<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match timeout(self.time, self.acceptor().await.accept(stream)).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                debug!(%error, "no handshake of TLS: connection dropped");
                None
            }
            Err(_) => {
                debug!("no handshake of TLS in time: connection dropped");
                None
            }
        }
    }

    /// The acceptor for the next connection.
    async fn acceptor(&self) -> TlsAcceptor {
        let (acceptor, stamp) = {
            let mut current = self.current.lock();
            if current.looked_at.elapsed() < LOOK_EVERY {
                return current.acceptor.clone();
            }
            current.looked_at = Instant::now();
            (current.acceptor.clone(), current.stamp)
        };
        let Some((stamp, read)) = self.files.clone().look(Some(stamp)).await else { return acceptor };
        let mut current = self.current.lock();
        // A bad file is logged only once.
        current.stamp = stamp;
        match read {
            Ok(fresh) => {
                info!(cert = %self.files.cert.display(), "the certificate is read again and takes effect");
                current.acceptor = fresh;
            }
            Err(error) => {
                warn!(%error, "cannot load the changed certificate; the previous one stays in effect")
            }
        }
        current.acceptor.clone()
    }
}

impl Files {
    /// The current state of the files, and what they hold; `None` if the state is still `known`.
    async fn look(self, known: Option<Stamp>) -> Option<(Stamp, Result<TlsAcceptor, Error>)> {
        let look = move || {
            let stamp = [stamp(&self.cert), stamp(&self.key)];
            (known != Some(stamp)).then(|| (stamp, self.read()))
        };
        // This fails only when the runtime ends.
        spawn_blocking(look).await.ok().flatten()
    }

    fn read(&self) -> Result<TlsAcceptor, Error> {
        let certificates = CertificateDer::pem_file_iter(&self.cert)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| fault("gateway.tls_cert", &self.cert, told(error, "certificate")))?;
        if certificates.is_empty() {
            return Err(fault("gateway.tls_cert", &self.cert, told(pem::Error::NoItemsFound, "certificate")));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| fault("gateway.tls_key", &self.key, told(error, "private key")))?;
        let unfit = |error: rustls::Error| {
            let why = format!("does not fit the certificate of gateway.tls_cert: {error}");
            fault("gateway.tls_key", &self.key, io::Error::other(why))
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(unfit)?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let about = fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len()))
}

/// What is wrong with a PEM file, without its content.
fn told(error: pem::Error, wanted: &str) -> io::Error {
    match error {
        pem::Error::Io(error) => error,
        _ => io::Error::other(format!("is no PEM file with a {wanted} (`-----BEGIN …-----`)")),
    }
}

fn fault(setting: &'static str, file: &Path, source: io::Error) -> Error {
    Error::Tls { setting, file: file.to_owned(), source }
}

#[cfg(test)]
mod tests;
