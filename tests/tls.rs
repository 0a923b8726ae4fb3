//! TLS by certificate files: HTTPS and WSS on the real program, a certificate that changes under it, files that are wrong.

use std::{fs, path::Path, sync::Arc};

use futures_util::{SinkExt, StreamExt};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::{Certificate, Client, Version};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpStream, time::sleep};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{client_async, tungstenite::Message};

use crate::support::{Broker, Dynode, Launch, within};

/// A fresh certificate for `localhost` in `dir`, and its key; returns the certificate.
fn certify(dir: &Path) -> String {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    // The key first: a certificate without its key would be told as wrong.
    fs::write(dir.join("key.pem"), signing_key.serialize_pem()).unwrap();
    fs::write(dir.join("cert.pem"), cert.pem()).unwrap();
    cert.pem()
}

fn launch() -> (Launch, String) {
    let launch = Launch::on(&Broker::Memory);
    let pem = certify(launch.dir());
    let launch = launch
        .variable("DYNODE_GATEWAY__TLS_CERT", "cert.pem")
        .variable("DYNODE_GATEWAY__TLS_KEY", "key.pem")
        .variable("DYNODE_GATEWAY__HEADER_READ_TIMEOUT_MS", "1000");
    (launch, pem)
}

/// A client that knows this certificate, and finds `localhost` where the program listens.
fn client(dynode: &Dynode, pem: &str) -> reqwest::ClientBuilder {
    adapters::http::install_crypto();
    let certificate = Certificate::from_pem(pem.as_bytes()).unwrap();
    Client::builder().no_proxy().tls_certs_only([certificate]).resolve("localhost", dynode.address())
}

fn url(dynode: &Dynode, path: &str) -> String {
    format!("https://localhost:{}{path}", dynode.address().port())
}

#[tokio::test]
async fn https_and_wss_are_spoken_by_a_certificate() {
    let (launch, pem) = launch();
    let dynode = launch.start().await;
    assert!(dynode.banner().iter().any(|line| line.contains("https://") && line.contains("wss://")));
    for (builder, version) in
        [(client(&dynode, &pem), Version::HTTP_2), (client(&dynode, &pem).http1_only(), Version::HTTP_11)]
    {
        let request = json!({"model": "sim-fast", "messages": [{"role": "user", "content": "Hello"}]});
        let sent = builder.build().unwrap().post(url(&dynode, "/v1/chat/completions")).json(&request).send();
        let answer = within("an answer", sent).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
    }
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(dynode.address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let (mut socket, _) = client_async(url(&dynode, "/ws").replace("https", "wss"), stream).await.unwrap();
    socket.send(Message::text(r#"{"action":"system.health","id":"h"}"#)).await.unwrap();
    let heard = within("a frame", socket.next()).await.unwrap().unwrap();
    let health: Value = serde_json::from_str(heard.to_text().unwrap()).unwrap();
    assert_eq!(health["output"]["status"], "ready");
    let plain = Client::builder().no_proxy().build().unwrap().get(dynode.url() + "/v1/models").send().await;
    assert!(plain.is_err(), "nothing is answered without TLS: {plain:?}");
}

#[tokio::test]
async fn a_changed_certificate_takes_effect_without_a_restart() {
    let (launch, first) = launch();
    let dynode = launch.start().await;
    let ask = async |pem: &str| {
        client(&dynode, pem).build().unwrap().get(url(&dynode, "/health/live")).send().await.is_ok()
    };
    assert!(ask(&first).await);
    let second = certify(dynode.dir());
    let changed = async {
        while !ask(&second).await {
            sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    within("the new certificate", changed).await;
    assert!(!ask(&first).await, "the old one is not served any more");
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_cut() {
    let (launch, pem) = launch();
    let dynode = launch.start().await;
    let mut silent = TcpStream::connect(dynode.address()).await.unwrap();
    // However it ends; that it does is what counts.
    let _ = within("the end of the connection", silent.read_to_end(&mut Vec::new())).await;
    let neighbour = client(&dynode, &pem).build().unwrap().get(url(&dynode, "/health/live")).send().await;
    assert!(neighbour.is_ok());
}

#[tokio::test]
async fn a_wrong_file_stops_the_start_and_is_named() {
    let (launch, _) = launch();
    fs::write(launch.dir().join("key.pem"), "none").unwrap();
    let ended = launch.refused().await;
    assert_eq!(ended.code, Some(64), "{}", ended.err);
    assert!(
        ended.err.contains("gateway.tls_key: `key.pem`: is no PEM file with a private key"),
        "{}",
        ended.err
    );
}
