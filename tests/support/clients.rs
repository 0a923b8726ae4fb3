//! Clients that others wrote, for other languages: a script of `tests/clients` talks to the program through them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::process::Command;

use super::{Ended, run, run_within};

/// How long a program that tries all there is may take, on a busy machine.
const MODULE_MAX: Duration = Duration::from_secs(300);

/// Runs a script with Python; every promise that is not kept is a failure of the test.
pub(crate) async fn python(script: &str, arguments: &[&str]) {
    let mut command = Command::new(installed("bin/python"));
    command.arg("-B").arg(source(script)).args(arguments);
    check(command, script, "").await;
}

/// Runs a program that is installed as a module of Python, in the folder of the scripts.
pub(crate) async fn module(name: &str, arguments: &[&str]) {
    let mut command = Command::new(installed("bin/python"));
    command.current_dir(source("")).args(["-B", "-m", name]).args(arguments);
    checked(run_within(MODULE_MAX, command, "").await, name);
}

/// Runs a module with Node, likewise.
pub(crate) async fn node(script: &str, arguments: &[&str]) {
    let mut command = Command::new("node");
    // What is read from standard input finds the packages of the working directory.
    command.current_dir(installed("node")).args(["--input-type=module", "-"]).args(arguments);
    check(command, script, &fs::read_to_string(source(script)).unwrap()).await;
}

/// Runs a script with bash, likewise.
pub(crate) async fn bash(script: &str, arguments: &[&str]) {
    let mut command = Command::new("bash");
    command.arg(source(script)).args(arguments);
    check(command, script, "").await;
}

async fn check(command: Command, script: &str, input: &str) {
    checked(run(command, input).await, script);
}

fn checked(ended: Ended, script: &str) {
    assert_eq!(ended.code, Some(0), "{script}:\n{}\n{}", ended.out, ended.err);
    println!("{}", ended.out);
}

fn source(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script)
}

fn installed(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients").join(name);
    assert!(
        path.exists(),
        "the clients of the tests are not installed ({}): run `tests/run`",
        path.display()
    );
    path
}
