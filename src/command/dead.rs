//! `dynode dead`: lists, shows, replays and drops letters through the API of a running server.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use crate::{
    cli::{DeadCommand, DeadListArgs, DeadReplayArgs, DeadSelection, DeadShowArgs},
    command::{
        self,
        api::{self, Fault},
    },
    exit,
};

mod letters;
mod print;

use letters::Letters;

/// How many letters to request at once; the most that the server returns.
const PAGE_LETTERS: usize = 1_000;

/// Runs `command`.
pub(crate) fn run(command: DeadCommand) -> anyhow::Result<ExitCode> {
    let (DeadCommand::List(DeadListArgs { server, .. })
    | DeadCommand::Show(DeadShowArgs { server, .. })
    | DeadCommand::Replay(DeadReplayArgs { selection: DeadSelection { server, .. }, .. })
    | DeadCommand::Drop(DeadSelection { server, .. })) = &command;
    let letters = Letters::new(server)?;
    api::run(async {
        match command {
            DeadCommand::List(args) => list(&letters, &args).await,
            DeadCommand::Show(args) => show(&letters, &args).await,
            DeadCommand::Replay(args) => {
                let new_id = args.new_id;
                let act = async |sequence| Ok(print::replayed(&letters.replay(sequence, new_id).await?));
                each(&letters, &args.selection, "replayed", act).await
            }
            DeadCommand::Drop(selection) => {
                let act =
                    async |sequence| letters.remove(sequence).await.map(|_| format!("{sequence}: dropped"));
                each(&letters, &selection, "dropped", act).await
            }
        }
    })
}

/// Prints one line per letter, page by page.
async fn list(letters: &Letters, args: &DeadListArgs) -> Result<ExitCode, Fault> {
    let (mut after, mut left) = (args.after, args.limit.unwrap_or(usize::MAX));
    let mut out = io::stdout();
    let mut shown = 0;
    while left > 0 {
        let page = letters.page(args.stage.as_deref(), after, left.min(PAGE_LETTERS)).await?;
        for letter in &page.letters {
            writeln!(out, "{}", if args.json { letter.to_string() } else { print::line(letter) })?;
        }
        shown += page.letters.len();
        left = left.saturating_sub(page.letters.len());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    match (shown, after) {
        (0, _) => command::complain("nothing is parked"),
        (_, Some(after)) => command::complain(&format!("there are more: --after {after}")),
        _ => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(letters: &Letters, args: &DeadShowArgs) -> Result<ExitCode, Fault> {
    let mut failed = false;
    for sequence in &args.sequences {
        match letters.letter(*sequence).await {
            Ok(letter) if args.json => writeln!(io::stdout(), "{letter}")?,
            Ok(letter) => writeln!(io::stdout(), "{}", print::whole(&letter))?,
            Err(fault) => failed |= tell(*sequence, fault)?,
        }
    }
    Ok(code(failed))
}

/// Calls `act` for every selected letter, whether or not others fail, and counts the results.
async fn each(
    letters: &Letters,
    selection: &DeadSelection,
    done: &str,
    act: impl AsyncFn(u64) -> Result<String, Fault>,
) -> Result<ExitCode, Fault> {
    let sequences = selected(letters, selection).await?;
    let mut count = 0;
    for sequence in &sequences {
        match act(*sequence).await {
            Ok(line) => {
                writeln!(io::stdout(), "{line}")?;
                count += 1;
            }
            Err(fault) => _ = tell(*sequence, fault)?,
        }
    }
    let failed = sequences.len() - count;
    if selection.all || sequences.len() > 1 {
        let rest = if failed > 0 { format!(", {failed} not") } else { String::new() };
        writeln!(io::stdout(), "{count} {done}{rest}")?;
    }
    Ok(code(failed > 0))
}

/// The letters to act on. All are listed before the first replay, so that a letter that a replay parks again is not
/// replayed for ever.
async fn selected(letters: &Letters, selection: &DeadSelection) -> Result<Vec<u64>, Fault> {
    if !selection.all {
        return Ok(selection.sequences.clone());
    }
    let (mut sequences, mut after) = (Vec::new(), None);
    loop {
        let page = letters.page(selection.stage.as_deref(), after, PAGE_LETTERS).await?;
        sequences.extend(page.letters.iter().filter_map(|letter| letter["sequence"].as_u64()));
        after = page.next;
        if after.is_none() {
            return Ok(sequences);
        }
    }
}

/// Reports why one letter was refused; returns a fault that concerns all letters.
fn tell(sequence: u64, fault: Fault) -> Result<bool, Fault> {
    match fault {
        Fault::Refused(why) => {
            command::complain(&format!("{sequence}: {why}"));
            Ok(true)
        }
        fault => Err(fault),
    }
}

fn code(failed: bool) -> ExitCode {
    if failed { exit::FAILED.into() } else { ExitCode::SUCCESS }
}
