//! `dynode config`: prints the default configuration with its comments, or checks one.

use std::{io::Write, process::ExitCode};

use crate::{
    cli::ConfigArgs,
    command,
    config::{self, Sources},
    exit,
};

/// Prints, or checks what a start would read.
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
            let file = loaded.file.map_or_else(|| "no file".into(), |file| file.display().to_string());
            writeln!(std::io::stdout(), "ok ({file}, the environment, the defaults)")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            command::complain(&error.to_string());
            Ok(exit::CONFIG.into())
        }
    }
}
