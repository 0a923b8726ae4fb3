//! `dynode provider check`: reads a provider file, shows what it would send, and sends it.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use adapters::{
    Model,
    dynamic::check::{Check, Refused},
};
use tokio::runtime::Runtime;

use crate::{
    cli::{CheckArgs, ProviderCommand},
    command::complain,
    exit,
};

/// Runs `command`.
pub(crate) fn run(command: ProviderCommand) -> anyhow::Result<ExitCode> {
    let ProviderCommand::Check(args) = command;
    let check = match Check::read(&args.file, args.against.as_deref(), Duration::from_secs(args.deadline)) {
        Ok(check) => check,
        Err(refused) => {
            complain(&told(&args.file, &refused));
            return Ok(exit::CONFIG.into());
        }
    };
    let wanted = |model: &&Model| args.model.as_ref().is_none_or(|name| *name == model.id);
    let models: Vec<_> = check.models().iter().filter(wanted).collect();
    if models.is_empty() {
        let known: Vec<_> = check.models().iter().map(|model| model.id.as_str()).collect();
        complain(&format!("{}: it has no such model; its models are {}", args.file, known.join(", ")));
        return Ok(exit::USAGE.into());
    }
    Ok(Runtime::new()?.block_on(look(&check, &models, &args))?)
}

async fn look(check: &Check, models: &[&Model], args: &CheckArgs) -> io::Result<ExitCode> {
    let mut out = io::stdout();
    let mut code = ExitCode::SUCCESS;
    for model in models {
        writeln!(out, "{} ({})", model.id, model.action)?;
        let request = check.request(model, args.payload.as_ref());
        match &request {
            Ok(request) => writeln!(out, "{}", indented(request))?,
            Err(why) => {
                writeln!(out, "  cannot be asked this: {why}")?;
                code = exit::FAILED.into();
            }
        }
        if args.against.is_some() && request.is_ok() {
            let came = check.run(model, args.payload.as_ref()).await;
            came.lines.iter().try_for_each(|line| writeln!(out, "  < {line}"))?;
            if !came.succeeded {
                code = exit::FAILED.into();
            }
        }
    }
    Ok(code)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  > {line}\n")).collect::<String>().trim_end().to_owned()
}

fn told(file: &str, refused: &Refused) -> String {
    match refused {
        // It already begins with the file and the line.
        Refused::File(error) => error.to_string(),
        other => format!("{file}: {other}"),
    }
}
