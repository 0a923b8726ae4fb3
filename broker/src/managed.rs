//! A `nats-server` as a child process: starts with Dynode, is restarted when it dies, ends with Dynode. It listens on
//! the loopback interface only, and never shares its data directory with another Dynode.

pub(crate) mod process;
mod stale;
mod watch;

use std::{
    env,
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use self::{
    process::{Process, Setup, quoted},
    watch::Current,
};
use crate::{Error, ErrorKind};

/// The largest message: large enough for an outcome with an inlined picture.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// The server rotates its log at this size and keeps this many old ones.
const LOG_BYTES_MAX: u64 = 16 << 20;
const LOGS_KEPT: u32 = 3;
/// The name of the program.
const PROGRAM: &str = "nats-server";

/// What the managed server is started with.
#[derive(Debug, Clone)]
pub struct ManagedConfig {
    /// The program; see [`find`].
    pub binary: PathBuf,
    /// Where it keeps its store, its configuration and its log.
    pub data_dir: PathBuf,
    /// The port on the loopback interface; a free one if there is none.
    pub port: Option<u16>,
    /// How often it syncs its files to the disk; zero means before each acknowledgement.
    pub sync_interval: Duration,
}

/// A running server of our own. Dropping it kills the server, which loses nothing that was acknowledged;
/// [`Managed::stop`] ends it gracefully.
#[derive(Debug)]
pub struct Managed {
    current: Arc<Current>,
    // Taken by `stop`.
    watch: Option<(oneshot::Sender<()>, AbortOnDropHandle<()>)>,
    // Held as long as the server may run: proof that no other Dynode uses the directory.
    _lock: File,
}

impl Managed {
    /// Starts the server, after ending one that an earlier Dynode left behind; returns when it listens.
    pub async fn start(config: ManagedConfig) -> Result<Self, Error> {
        let lock = lock(&config.data_dir)?;
        // Absolute, so that it marks our server whatever directory Dynode is started in.
        let dir = fs::canonicalize(&config.data_dir).map_err(|error| unusable(&config.data_dir, error))?;
        let mut setup = Setup {
            binary: config.binary,
            dir,
            port: config.port,
            message_bytes_max: MESSAGE_BYTES_MAX,
            settings: String::new(),
            own_group: true,
        };
        setup.settings = settings(&setup, config.sync_interval);
        stale::end(&setup).await?;
        let process = Process::start(&setup).await?;
        stale::remember(&setup, process.pid());
        // Clients reconnect to the port they know.
        setup.port = Some(process.port);
        let current = Arc::new(Current::new(&process));
        let (stop, stopped) = oneshot::channel();
        // If this task died, the server would be unwatched; it ends only by `stop`, or with this handle.
        let watch = tokio::spawn(watch::run(setup, process, Arc::clone(&current), stopped));
        Ok(Self { current, watch: Some((stop, AbortOnDropHandle::new(watch))), _lock: lock })
    }

    /// Where it listens; a restart does not change it.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.current.port())
    }

    /// The process id of the running server; none between a death and the restart.
    pub fn pid(&self) -> Option<u32> {
        self.current.pid()
    }

    /// Ends the server: gracefully or, after a bounded time, by force.
    pub async fn stop(mut self) {
        if let Some((stop, watch)) = self.watch.take() {
            // Both fail only if the watch has ended, and the server with it.
            let _ = stop.send(());
            let _ = watch.await;
        }
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        // First, so that the watch does not take the end for a death.
        self.watch = None;
        self.current.kill();
    }
}

/// The server at `name`, or the one on PATH.
pub fn find(name: Option<&Path>) -> Option<PathBuf> {
    let name = name.unwrap_or(Path::new(PROGRAM));
    if name.components().count() > 1 {
        return is_program(name).then(|| name.to_owned());
    }
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn lock(dir: &Path) -> Result<File, Error> {
    let open = || {
        fs::create_dir_all(dir)?;
        File::options().create(true).write(true).truncate(false).open(dir.join("dynode.lock"))
    };
    let file = open().map_err(|error| unusable(dir, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::new(
            ErrorKind::Invalid,
            format!("another dynode runs on {}: stop it, or give another data directory", dir.display()),
        )),
        Err(fs::TryLockError::Error(error)) => Err(unusable(dir, error)),
    }
}

fn unusable(dir: &Path, error: std::io::Error) -> Error {
    let what = format!("cannot use {}: give a data directory that can be written", dir.display());
    Error::new(ErrorKind::Invalid, what).with_source(error)
}

fn settings(setup: &Setup, sync_interval: Duration) -> String {
    let sync_interval = match sync_interval.as_millis() {
        0 => "always".to_owned(),
        millis => format!("\"{millis}ms\""),
    };
    format!(
        "jetstream {{ store_dir: {}, sync_interval: {sync_interval} }}\nlog_file: {}\n\
         logfile_size_limit: {LOG_BYTES_MAX}\nlogfile_max_num: {LOGS_KEPT}\n",
        setup.store(),
        quoted(&setup.log_file())
    )
}
