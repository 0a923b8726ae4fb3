//! `dynode openapi`: prints the OpenAPI document of the HTTP API, to generate clients without a server.

use std::{io::Write, process::ExitCode};

/// Prints the document, as `GET /openapi.json` answers it.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    writeln!(std::io::stdout(), "{:#}", gateway::openapi())?;
    Ok(ExitCode::SUCCESS)
}
