//! `dynode config`: prints the default configuration with its comments, or checks a configuration.

use std::{io::Write, process::ExitCode};

use crate::{
    cli::ConfigArgs,
    command,
    config::{self, Sources},
    exit,
};

/// Prints the default, or checks what a start would read.
pub(crate) fn run(args: ConfigArgs) -> anyhow::Result<ExitCode> {
    let Some(file) = args.check else {
        write!(std::io::stdout(), "{}", config::DEFAULT)?;
        return Ok(ExitCode::SUCCESS);
    };
    Ok(check(&Sources::of_process(file, Vec::new()))?)
}

fn check(sources: &Sources) -> std::io::Result<ExitCode> {
    match sources.load() {
        Ok(loaded) => {
            let files: Vec<_> = loaded.files.iter().map(|file| file.display().to_string()).collect();
            let files = if files.is_empty() { "no file".to_owned() } else { files.join(", ") };
            writeln!(std::io::stdout(), "ok ({files}, the environment, the defaults)")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            command::complain(&error.to_string());
            Ok(exit::CONFIG.into())
        }
    }
}
