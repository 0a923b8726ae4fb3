//! Every command of the README, run as it stands there.
//!
//! Blocks marked `console` are one session in one shell: lines that begin with `$ ` are commands, the rest is what they
//! print. The server of the README is one of the test's own; its address takes the place of the default one.

use std::{env, fmt::Write, fs, path::Path};

use tokio::process::Command;

use crate::support::{Broker, Dynode, run};

/// The address in the README.
const ADDRESS: &str = "127.0.0.1:8321";
/// How commands begin that install something; the tests bring what they need.
const INSTALLING: [&str; 6] =
    ["git clone", "cd dynode", "pip install", "npm install", "cargo install", "apt"];
/// How commands begin that run until they are stopped: the server, which runs already, and what looks on.
const SERVING: [&str; 3] = ["cargo run --release", "dynode up", "target/release/dynode up"];
const LOOKING_ON: [&str; 2] = ["dynode watch", "target/release/dynode watch"];

/// The commands of every `console` block, in order. A line that ends in a backslash goes on in the next.
fn commands(readme: &str) -> Vec<String> {
    let (mut commands, mut in_block, mut goes_on) = (Vec::<String>::new(), false, false);
    for line in readme.lines() {
        if line.starts_with("```") {
            (in_block, goes_on) = (line == "```console", false);
        } else if goes_on && let Some(command) = commands.last_mut() {
            write!(command, "\n{line}").unwrap();
            goes_on = line.ends_with('\\');
        } else if in_block && let Some(command) = line.strip_prefix("$ ") {
            commands.push(command.to_owned());
            goes_on = line.ends_with('\\');
        }
    }
    commands
}

/// One shell that runs them all, and stops at the first that fails.
fn session(commands: &[String], address: &str) -> String {
    let begins_with = |command: &str, list: &[&str]| list.iter().any(|start| command.starts_with(start));
    let mut script = "set -e\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n".to_owned();
    for command in commands {
        let command = command.replace(ADDRESS, address).replace("target/release/dynode", "dynode");
        match &*command {
            known if begins_with(known, &INSTALLING) || begins_with(known, &SERVING) || known == "dynode" => {
            }
            watch if begins_with(watch, &LOOKING_ON) => writeln!(script, "{watch} &").unwrap(),
            other => writeln!(script, "cat <<'COMMAND'\n$ {other}\nCOMMAND\n{other}\necho").unwrap(),
        }
    }
    script
}

#[tokio::test]
async fn every_command_of_the_readme_works() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let commands = commands(&readme);
    assert!(commands.iter().any(|command| command.starts_with("cargo run --release")), "{commands:#?}");
    assert!(commands.len() > 3, "{commands:#?}");
    let dynode = Dynode::start(&Broker::Memory).await;
    let program = Path::new(env!("CARGO_BIN_EXE_dynode")).parent().map(Path::to_owned);
    let others = env::var_os("PATH").unwrap();
    let path = program.into_iter().chain(env::split_paths(&others));
    let mut shell = Command::new("bash");
    shell.args(["-c", &session(&commands, &dynode.address().to_string())]);
    shell.env("DYNODE_URL", dynode.url()).env("PATH", env::join_paths(path).unwrap());
    let ended = run(shell, "").await;
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.err);
    println!("{}", ended.out);
}

#[test]
fn commands_are_what_follows_the_prompt() {
    let readme =
        "a\n```console\n$ one \\\n    two\nout\n$ three\n```\n```sh\n$ no\n```\n```console\n$ four\n```\n";
    assert_eq!(commands(readme), ["one \\\n    two", "three", "four"]);
}

#[test]
fn the_session_leaves_out_what_installs_and_what_serves() {
    let commands = ["cargo run --release", "pip install x", "curl http://127.0.0.1:8321/", "dynode watch"];
    let script = session(&commands.map(str::to_owned), "127.0.0.1:9");
    assert!(script.contains("\ncurl http://127.0.0.1:9/\n") && script.contains("dynode watch &"), "{script}");
    assert!(!script.contains("cargo") && !script.contains("pip"), "{script}");
}
