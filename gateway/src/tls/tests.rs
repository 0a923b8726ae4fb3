use std::fs;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tempfile::TempDir;
use tokio::io::{AsyncWriteExt, duplex};
use tokio_rustls::TlsConnector;

use super::*;
use crate::impatient::Impatient;

/// A directory with a certificate and its key.
fn files() -> (TempDir, Config) {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        tls_cert: dir.path().join("cert.pem"),
        tls_key: dir.path().join("key.pem"),
        ..Config::sample()
    };
    write(&config);
    (dir, config)
}

/// A fresh certificate, and its key.
fn write(config: &Config) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&config.tls_cert, cert.pem()).unwrap();
    fs::write(&config.tls_key, signing_key.serialize_pem()).unwrap();
}

async fn error(config: &Config) -> String {
    Tls::open(config).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_wrong_file_is_named_with_its_setting_and_what_it_should_be() {
    let (dir, config) = files();
    assert!(Tls::open(&config).await.unwrap().is_some());
    let missing = Config { tls_cert: dir.path().join("none.pem"), ..config.clone() };
    let why = error(&missing).await;
    assert!(why.starts_with("gateway.tls_cert: `") && why.contains("none.pem"), "{why}");
    let swapped = Config { tls_cert: config.tls_key.clone(), ..config.clone() };
    assert!(error(&swapped).await.contains("no PEM file with a certificate"), "{}", error(&swapped).await);
    let no_key = Config { tls_key: config.tls_cert.clone(), ..config.clone() };
    assert!(error(&no_key).await.contains("no PEM file with a private key"), "{}", error(&no_key).await);
    let (_other, other) = files();
    let foreign = Config { tls_key: other.tls_key.clone(), ..config.clone() };
    let why = error(&foreign).await;
    assert!(why.starts_with("gateway.tls_key: `") && why.contains("does not fit the certificate"), "{why}");
}

#[tokio::test]
async fn a_changed_certificate_is_taken_and_a_wrong_one_is_not() {
    let (_dir, config) = files();
    let files = Files { cert: config.tls_cert.clone(), key: config.tls_key.clone() };
    let (stamp, first) = files.clone().look(None).await.unwrap();
    first.unwrap();
    assert!(files.clone().look(Some(stamp)).await.is_none(), "nothing has changed");
    fs::write(&config.tls_key, "no key").unwrap();
    let (stamp, read) = files.clone().look(Some(stamp)).await.unwrap();
    assert!(read.is_err(), "the one before stays, since this is none");
    write(&config);
    let (_, read) = files.look(Some(stamp)).await.unwrap();
    read.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_cut_beneath_tls_too() {
    const TIMEOUT: Duration = Duration::from_secs(30);
    let (_dir, config) = files();
    let tls = Tls::open(&config).await.unwrap().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&config.tls_cert).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (near, far) = duplex(16 << 10);
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let (server, client) =
        tokio::join!(tls.accept(Impatient::new(near, TIMEOUT)), connector.connect(name, far));
    let (mut server, _deaf) = (server.unwrap(), client.unwrap());
    let began = Instant::now();
    let error = loop {
        // Each piece fits what TLS takes without its client's reading.
        if let Err(error) = server.write_all(&[7; 1024]).await.and(server.flush().await) {
            break error;
        }
    };
    assert_eq!((error.kind(), began.elapsed()), (io::ErrorKind::TimedOut, TIMEOUT));
}
