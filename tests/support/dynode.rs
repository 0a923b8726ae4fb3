//! The program under test, as a process in a directory of its own. Nothing of it outlives the test, and a test that
//! fails shows its log.

use std::{
    env,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use super::{Broker, Ended, interrupt, process::pid, run, within};

/// How the last line of the banner begins.
const LAST_LINE: &str = "  try ";

/// A start that is being prepared.
#[derive(Debug)]
pub(crate) struct Launch {
    flags: Vec<String>,
    variables: Vec<(String, String)>,
    listen: String,
    dir: TempDir,
}

impl Launch {
    /// A start on `broker`, with the defaults for the rest.
    pub(crate) fn on(broker: &Broker) -> Self {
        Self::bare().flags(broker.flags())
    }

    /// A start without any flag but the address.
    pub(crate) fn bare() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { flags: Vec::new(), variables: Vec::new(), listen: "127.0.0.1:0".into(), dir }
    }

    pub(crate) fn flags(mut self, flags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.flags.extend(flags.into_iter().map(Into::into));
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Where it listens, instead of a free port.
    pub(crate) fn listen(mut self, address: impl ToString) -> Self {
        self.listen = address.to_string();
        self
    }

    /// A `dynode.toml` in the working directory.
    pub(crate) fn file(self, text: &str) -> Self {
        fs::write(self.dir.path().join("dynode.toml"), text).unwrap();
        self
    }

    /// The working directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A start that must come to an end by itself.
    pub(crate) async fn refused(self) -> Ended {
        run(self.command(), "").await
    }

    /// Returns when the banner is complete.
    pub(crate) async fn start(self) -> Dynode {
        let mut running = Running::start(&self).await;
        let banner = running.banner(&self).await;
        let address = address_in(&banner);
        Dynode { launch: self.listen(address), running, banner, address }
    }

    /// Returns at once; only for a start that is told where to listen.
    pub(crate) async fn begin(self) -> Dynode {
        let running = Running::start(&self).await;
        let address = self.listen.parse().unwrap();
        Dynode { launch: self, running, banner: Vec::new(), address }
    }

    fn command(&self) -> Command {
        let mut command = program(self.dir.path());
        command.args(["up", "--listen", &self.listen]).args(&self.flags);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.path().join("dynode-data")
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("stderr.log")
    }

    fn show_log(&self) {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        eprintln!("--- standard error of dynode {}\n{log}---", self.flags.join(" "));
    }
}

/// The program, running.
#[derive(Debug)]
pub(crate) struct Dynode {
    launch: Launch,
    running: Running,
    banner: Vec<String>,
    address: SocketAddr,
}

impl Dynode {
    /// Starts it on `broker`.
    pub(crate) async fn start(broker: &Broker) -> Self {
        Launch::on(broker).start().await
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn ws_url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// What it said at its start, line by line.
    pub(crate) fn banner(&self) -> &[String] {
        &self.banner
    }

    /// Returns when the banner is complete, of a start that was only begun.
    pub(crate) async fn has_started(&mut self) {
        self.banner = self.running.banner(&self.launch).await;
    }

    /// Its working directory.
    pub(crate) fn dir(&self) -> &Path {
        self.launch.dir()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.launch.log()).unwrap()
    }

    /// One of its commands, for this server.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(self.launch.dir());
        command.args(arguments).env("DYNODE_URL", self.url());
        command
    }

    /// Runs one of its commands to the end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        run(self.command(arguments), "").await
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Pid {
        pid(&self.running.child)
    }

    /// Kills it, as a crash does: it has no time for anything.
    pub(crate) async fn kill(&mut self) {
        self.running.child.kill().await.unwrap();
    }

    /// Kills the `nats-server` that it manages.
    pub(crate) fn kill_server(&self) {
        assert!(end_server(&self.launch.data_dir()), "no server is managed here");
    }

    /// Starts it again where it was: the same directory, address and settings.
    pub(crate) async fn restart(&mut self) {
        self.running = Running::start(&self.launch).await;
        self.banner = self.running.banner(&self.launch).await;
    }

    /// Asks it to stop, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        interrupt(&self.running.child);
    }

    /// Its exit code, once it has stopped.
    pub(crate) async fn stopped(&mut self) -> Option<i32> {
        within("the end of dynode", self.running.child.wait()).await.unwrap().code()
    }
}

impl Drop for Dynode {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.launch.show_log();
        }
        // It fails only for one that has ended.
        let _ = self.running.child.start_kill();
        end_server(&self.launch.data_dir());
    }
}

#[derive(Debug)]
struct Running {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
}

impl Running {
    async fn start(launch: &Launch) -> Self {
        let log = File::options().create(true).append(true).open(launch.log()).unwrap();
        let mut command = launch.command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, out }
    }

    async fn banner(&mut self, launch: &Launch) -> Vec<String> {
        let mut lines = Vec::new();
        let read = async {
            while let Some(line) = self.out.next_line().await.unwrap() {
                lines.push(line);
                if lines.last().is_some_and(|line| line.starts_with(LAST_LINE)) {
                    return true;
                }
            }
            false
        };
        if !within("the banner", read).await {
            launch.show_log();
            panic!("dynode ended before its banner was complete: {lines:#?}");
        }
        lines
    }
}

/// The program in `dir`, with nothing in the environment that is meant for another.
pub(crate) fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynode"));
    command.current_dir(dir).env_remove("RUST_LOG");
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("DYNODE_")) {
            command.env_remove(name);
        }
    }
    command
}

fn address_in(banner: &[String]) -> SocketAddr {
    let words = banner.iter().flat_map(|line| line.split_whitespace());
    let url = words
        .filter_map(|word| word.strip_prefix("http://").or_else(|| word.strip_prefix("https://")))
        .next();
    url.unwrap_or_else(|| panic!("no address in {banner:#?}")).parse().unwrap()
}

/// Kills the `nats-server` whose store is in `data_dir`, and no other; says whether there was one.
fn end_server(data_dir: &Path) -> bool {
    let noted = fs::read_to_string(data_dir.join("nats-server.pid")).unwrap_or_default();
    let Some(pid) = noted.trim().parse().ok().and_then(Pid::from_raw) else { return false };
    // Ids are given again, paths of ours are not.
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let is_ours = String::from_utf8_lossy(&command_line).contains(&*data_dir.to_string_lossy());
    is_ours && kill_process(pid, Signal::KILL).is_ok()
}
