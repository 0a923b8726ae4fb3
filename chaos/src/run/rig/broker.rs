//! The nats-server under test: its configuration and its address.

use std::{fs, io, path::Path};

use super::{canary::Canaries, service::Launch};

/// How much the streams may reserve; more than they do, so that only the disk itself limits them.
const STORE_BYTES_MAX: u64 = 64 << 30;
/// The user of the engine and the clients.
pub(crate) const USER: &str = "chaos";

/// How to start it: on `port` of the loopback interface, with its store below `dir`.
pub(crate) fn launch(
    program: &Path,
    dir: &Path,
    port: u16,
    store: &Path,
    canaries: &Canaries,
) -> io::Result<Launch> {
    let file = dir.join("nats-server.conf");
    let store = store.display();
    // As Dynode's managed server, except for the password.
    let config = format!(
        "listen: 127.0.0.1:{port}\nserver_name: chaos\nmax_payload: 8388608\n\
         jetstream {{ store_dir: \"{store}\", sync_interval: \"100ms\", max_file_store: {STORE_BYTES_MAX} }}\n\
         authorization {{ user: {USER}, password: \"{}\" }}\n",
        canaries.broker_password,
    );
    fs::write(&file, config)?;
    Ok(Launch {
        role: "broker".into(),
        program: program.to_owned(),
        arguments: vec!["--config".into(), file.display().to_string()],
        variables: Vec::new(),
        dir: dir.to_owned(),
        log: dir.join("nats-server.log"),
    })
}
