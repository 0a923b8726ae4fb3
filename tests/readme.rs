//! The README and the page on chaos, taken at their word: their commands are run, their Python is run, and what they say
//! is printed is printed.
//!
//! A block marked `console` is one session in one shell: lines that begin with `$ ` are commands, the rest is what they
//! print. A session that starts a server by `dynode &` has an address of its own; any other finds the one that
//! `cargo run --release` stands for. Servers of the tests are at free ports, which take the place of those written down.

use std::{env, fs, net::TcpListener, path::Path};

use broker::testing;
use tempfile::tempdir;
use tokio::process::Command;

use crate::support::{Broker, Dynode, python, run};

/// The address in the README.
const ADDRESS: &str = "127.0.0.1:8321";
/// The addresses at which the tools of `dynode chaos` are started.
const TOOLS: [&str; 4] = ["127.0.0.1:8322", "127.0.0.1:8323", "127.0.0.1:8324", "127.0.0.1:8325"];
/// The program in the README.
const PROGRAM: &str = "target/release/dynode";
/// How commands begin that are not run: those that install what the tests bring, the server that runs already, and the
/// test itself.
const NOT_RUN: [&str; 6] =
    ["git clone", "cd ", "pip install", "npm install", "cargo run --release", "tests/run"];
/// Ends what it has not started, whoever it belongs to: no command for a README, nor for a test.
const BY_NAME: [&str; 2] = ["pkill", "killall"];
/// Waits for the server that was just started. (A file that curl writes to is cut before each retry, and /dev/null cannot be.)
/// Ends all that the session left running.
const PRELUDE: &str = "set -e
listens() { for try in {1..300}; do (: <>/dev/tcp/${1%:*}/${1#*:}) 2>/dev/null && return; sleep 0.1; done; false; }
ready() { curl -s --retry 100 --retry-delay 1 --retry-connrefused \"$DYNODE_URL/health/ready\" >/dev/null; }
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
";

/// One block of the README.
#[derive(Debug, PartialEq)]
struct Session {
    commands: Vec<String>,
    printed: Vec<String>,
}

/// The contents of the blocks that are marked with `language`.
pub(crate) fn blocks(readme: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    readme.split(&fence).skip(1).filter_map(|rest| Some(rest.split_once("\n```")?.0.to_owned())).collect()
}

impl Session {
    /// Reads a block. A command that ends in a backslash goes on in the next line.
    fn read(block: &str) -> Self {
        let (mut commands, mut printed) = (Vec::<String>::new(), Vec::new());
        for line in block.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                commands.push(command.to_owned());
            } else if let Some(open) = commands.last_mut().filter(|command| command.ends_with('\\'))
                && printed.is_empty()
            {
                open.push('\n');
                open.push_str(line);
            } else {
                printed.push(line.to_owned());
            }
        }
        Self { commands, printed }
    }

    fn is_server(command: &str) -> bool {
        let command = command.replace(PROGRAM, "dynode");
        command.ends_with('&') && (command.starts_with("dynode &") || command.starts_with("dynode --"))
    }

    /// The address at which a tool that is started is known to be ready: its last one.
    fn tool(command: &str) -> Option<&str> {
        let starts = command.starts_with("dynode chaos") && command.ends_with('&');
        let address = |flag| command.split_once(flag)?.1.split(' ').next();
        starts.then(|| address("--control ").or_else(|| address("--listen "))).flatten()
    }

    /// A script that stops at the first command that fails.
    fn script(&self) -> String {
        let mut script = PRELUDE.to_owned();
        for command in &self.commands {
            assert!(
                !BY_NAME.iter().any(|name| command.contains(name)),
                "this ends the work of others: {command}"
            );
            if NOT_RUN.iter().any(|start| command.starts_with(start)) {
                continue;
            }
            let command = command.replace(PROGRAM, "dynode");
            script += &command;
            script += match &*command {
                server if Self::is_server(server) => "\nready\n",
                // It would look on for ever.
                watch if watch.starts_with("dynode watch") => " &\n",
                _ => "\n",
            };
            if let Some(address) = Self::tool(&command) {
                script += &format!("listens {address}\n");
            }
        }
        script
    }

    /// Runs it in `dir` and checks what it prints; a line with an ellipsis is an excerpt and may differ.
    async fn play(&self, dir: &Path, address: &str) {
        let own = self.commands.iter().any(|command| Self::is_server(command));
        let address = if own { free_address() } else { address.to_owned() };
        let program = Path::new(env!("CARGO_BIN_EXE_dynode"));
        let programs = [program.to_owned(), testing::binary()].map(|path| path.parent().unwrap().to_owned());
        let others = env::var_os("PATH").unwrap();
        let mut script = self.script().replace(ADDRESS, &address);
        for tool in TOOLS {
            script = script.replace(tool, &free_address());
        }
        let mut shell = Command::new("bash");
        shell.current_dir(dir).args(["-c", &script]);
        shell.env("PATH", env::join_paths(programs.into_iter().chain(env::split_paths(&others))).unwrap());
        shell.env("DYNODE_LISTEN", &address).env("DYNODE_URL", format!("http://{address}"));
        shell.env_remove(testing::SERVER_VARIABLE);
        // A crash in the README is got over sooner here.
        shell.env("DYNODE_ENGINE__LEASE_MS", "3000");
        let ended = run(shell, "").await;
        assert_eq!(ended.code, Some(0), "{self:#?}\n{}\n{}", ended.out, ended.err);
        let ran = self.commands.iter().any(|command| !NOT_RUN.iter().any(|start| command.starts_with(start)));
        for line in self.printed.iter().filter(|line| ran && !line.contains('…')) {
            assert!(ended.out.contains(line), "the README promises `{line}`:\n{}", ended.out);
        }
    }
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

pub(crate) fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// Plays the sessions of a page, with `dynode` as the server that runs already; returns how many there are.
pub(crate) async fn play_all(name: &str, dynode: &Dynode) -> usize {
    let sessions = blocks(&page(name), "console");
    for block in &sessions {
        let dir = tempdir().unwrap();
        Session::read(block).play(dir.path(), &dynode.address().to_string()).await;
    }
    sessions.len()
}

#[tokio::test]
async fn every_command_of_the_readme_works() {
    let dynode = Dynode::start(&Broker::Memory).await;
    assert!(play_all("README.md", &dynode).await > 1);
}

#[tokio::test]
async fn every_command_of_the_page_on_chaos_works() {
    let sessions = blocks(&page("docs/chaos.md"), "console");
    assert!(sessions.len() > 2, "{sessions:#?}");
    for block in sessions {
        let dir = tempdir().unwrap();
        // None of them needs an engine; one that starts its own has its own address.
        Session::read(&block).play(dir.path(), &free_address()).await;
    }
}

#[tokio::test]
async fn the_python_of_the_readme_works() {
    let dynode = Dynode::start(&Broker::Memory).await;
    let dir = tempdir().unwrap();
    for (index, block) in blocks(&page("README.md"), "python").iter().enumerate() {
        let script = dir.path().join(format!("{index}.py"));
        fs::write(&script, block.replace(ADDRESS, &dynode.address().to_string())).unwrap();
        python(script.to_str().unwrap(), &[]).await;
    }
}

#[test]
fn a_session_is_commands_and_what_they_print() {
    let readme = "a\n```console\n$ one \\\n    two\nout\n$ dynode &\n```\n```sh\n$ no\n```\n";
    let [block] = &blocks(readme, "console")[..] else { panic!("not one block") };
    let session = Session::read(block);
    assert_eq!(session.commands, ["one \\\n    two", "dynode &"]);
    assert_eq!(session.printed, ["out"]);
    assert!(session.script().ends_with("one \\\n    two\ndynode &\nready\n"), "{}", session.script());
}

#[test]
fn a_session_leaves_out_what_installs_and_waits_for_what_serves() {
    let block = "$ cargo run --release\n$ pip install x\n$ target/release/dynode send hi\n$ dynode watch";
    let script = Session::read(block).script();
    assert!(script.ends_with("\ndynode send hi\ndynode watch &\n"), "{script}");
    assert!(!script.contains("cargo") && !script.contains("pip"), "{script}");
    let block = "$ dynode chaos proxy --listen 127.0.0.1:8324 --control 127.0.0.1:8325 &";
    assert!(Session::read(block).script().ends_with(" &\nlistens 127.0.0.1:8325\n"));
}
