//! `dynode chaos simulate`: runs the whole engine from seeds, and shrinks each failure to the smallest that shows it.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use anyhow::Context;
use chaos::simulation::{
    self, Scenario,
    campaign::{self, Case, Failure, Summary},
    verdict::Judgement,
};

use crate::{cli::SimulateArgs, command::complain};

/// A wrong step broke a guarantee.
const UNSAFE: u8 = 1;
/// Something did not end in time.
const STUCK: u8 = 2;
/// The run proves nothing: it could not start, or it tested too little.
const PROVES_NOTHING: u8 = 3;
/// How many failures are shrunk and shown; most share one cause.
const SHOWN_MAX: usize = 3;
/// The most lines of the broker's log that are kept.
const LOG_LINES_MAX: usize = 1_000_000;
/// The width of the progress bar.
const BAR_LETTERS: usize = 30;

/// Runs the chosen seeds or plan; exit code 0: passed, 1: unsafe, 2: stuck, 3: proves nothing.
pub(crate) fn run(args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    if let Some(plan) = &args.plan {
        let text = fs::read_to_string(plan).with_context(|| format!("cannot read {}", plan.display()))?;
        let scenario: Scenario =
            serde_json::from_str(&text).with_context(|| format!("{} is no scenario", plan.display()))?;
        return one(scenario, args);
    }
    if let Some(seed) = args.seed {
        return one(Scenario::draw(seed), args);
    }
    let seeds: Vec<u64> = kept(&args.keep)?.into_iter().chain(args.from..args.from + args.seeds).collect();
    let summary =
        campaign::run_seeds(&seeds, threads(args), |over, failed| progress(over, seeds.len(), failed));
    tell(&summary)?;
    keep(&args.keep, &summary.failures)?;
    for failure in summary.failures.iter().take(SHOWN_MAX) {
        if let Some(case) = campaign::examine(Scenario::draw(failure.seed), !args.no_shrink)? {
            show(&case)?;
        }
    }
    let shortcomings = summary.shortcomings();
    shortcomings.iter().for_each(|reason| complain(&format!("this proves nothing: {reason}")));
    Ok(match summary.judgement() {
        Judgement::Safety => UNSAFE.into(),
        Judgement::Liveness => STUCK.into(),
        Judgement::Passed if summary.broken.is_empty() && shortcomings.is_empty() => ExitCode::SUCCESS,
        Judgement::Passed => PROVES_NOTHING.into(),
    })
}

/// Runs one scenario; if it fails, shows a smaller one that still does.
fn one(scenario: Scenario, args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    let seed = scenario.seed;
    if let Some(file) = &args.history {
        write_down(&scenario, file)?;
    }
    let case = match campaign::examine(scenario, !args.no_shrink) {
        Ok(case) => case,
        Err(error) => {
            complain(&format!("seed {seed} could not be run: {error}"));
            return Ok(PROVES_NOTHING.into());
        }
    };
    let Some(case) = case else {
        writeln!(io::stdout(), "seed {seed} passes")?;
        return Ok(ExitCode::SUCCESS);
    };
    show(&case)?;
    let code = if case.symptom.0.is_liveness() { STUCK } else { UNSAFE };
    Ok(code.into())
}

/// Writes the history of the given scenario, and the broker's log.
fn write_down(scenario: &Scenario, file: &Path) -> anyhow::Result<()> {
    let run = simulation::run(scenario.clone(), LOG_LINES_MAX)?;
    let mut seen = String::new();
    for entry in &run.history {
        seen.push_str(&serde_json::to_string(entry)?);
        seen.push('\n');
    }
    let beside = file.with_added_extension("broker");
    for (file, text) in [(file, seen), (&*beside, run.broker.join("\n"))] {
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn threads(args: &SimulateArgs) -> usize {
    let all = || thread::available_parallelism().map_or(1, usize::from);
    args.threads.and_then(|threads| usize::try_from(threads).ok()).unwrap_or_else(all)
}

/// Redraws the bar if standard error is a terminal.
fn progress(over: usize, all: usize, failed: usize) {
    let mut out = io::stderr();
    if !out.is_terminal() {
        return;
    }
    let full = over * BAR_LETTERS / all.max(1);
    let bar: String = (0..BAR_LETTERS).map(|place| if place < full { '#' } else { '.' }).collect();
    let end = if over == all { "\n" } else { "" };
    // A bar that cannot be drawn is no reason to stop.
    let _ = write!(out, "\r[{bar}] {over}/{all} seeds, {failed} failed{end}");
}

fn tell(summary: &Summary) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let of = |fact: &str| summary.facts.get(fact).copied().unwrap_or_default();
    writeln!(
        out,
        "{} seeds, {} virtual hours: {} requests sent, {} accepted, {} refused, {} unclear; {} calls, {} frames, \
         {} callbacks, {} outcomes, {} parked",
        summary.seeds,
        summary.virtual_ms / 3_600_000,
        of("sent"),
        of("accepted"),
        of("refused"),
        of("unclear"),
        of("called"),
        of("frame"),
        of("called_back"),
        of("recorded"),
        of("parked"),
    )?;
    writeln!(out, "{:<28} {:>8} {:>8}", "fault", "planned", "fired")?;
    for (class, (planned, fired)) in &summary.faults {
        writeln!(out, "{class:<28} {planned:>8} {fired:>8}")?;
    }
    for (seed, reason) in &summary.broken {
        writeln!(out, "seed {seed} could not be run: {reason}")?;
    }
    for Failure { seed, findings, .. } in &summary.failures {
        if let Some(first) = findings.first() {
            let more = findings.len() - 1;
            writeln!(
                out,
                "seed {seed}: {} {}: {} (and {more} more)",
                first.guarantee, first.kind, first.sentence
            )?;
        }
    }
    writeln!(out, "{} of {} seeds failed", summary.failures.len(), summary.seeds)
}

/// Shows everything needed to investigate a failure.
fn show(case: &Case) -> anyhow::Result<()> {
    let Case { symptom: (guarantee, kind), shrunk, findings, last } = case;
    let scenario = &shrunk.scenario;
    let file = PathBuf::from(format!("dynode-seed-{}.json", scenario.seed));
    fs::write(&file, serde_json::to_string_pretty(scenario)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    let mut out = io::stdout().lock();
    writeln!(out, "\nseed {}: {guarantee} {kind} ({})", scenario.seed, guarantee.title())?;
    for finding in findings {
        let whose = finding.request.as_ref().map(|key| format!("{}/{}: ", key.tenant, key.id));
        writeln!(
            out,
            "  {} {}: {}{}",
            finding.guarantee,
            finding.kind,
            whose.unwrap_or_default(),
            finding.sentence
        )?;
    }
    let (requests, runs) = (scenario.workload.requests.len(), shrunk.runs);
    writeln!(out, "  shrunk in {runs} runs to {requests} requests and these faults:")?;
    for strike in &scenario.plan.strikes {
        writeln!(out, "    {}", serde_json::to_string(strike)?)?;
    }
    writeln!(out, "  last events:")?;
    for entry in last {
        writeln!(out, "    {}", serde_json::to_string(entry)?)?;
    }
    writeln!(out, "  replay: dynode chaos simulate --plan {}", file.display())?;
    writeln!(out, "  as drawn: dynode chaos simulate --seed {}", scenario.seed)?;
    Ok(())
}

/// The seeds that failed before; none if the file does not exist yet.
fn kept(path: &Path) -> anyhow::Result<BTreeSet<u64>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    Ok(text.lines().filter_map(|line| line.split('#').next()?.trim().parse().ok()).collect())
}

/// Adds the seeds that failed now.
fn keep(path: &Path, failures: &[Failure]) -> anyhow::Result<()> {
    let known = kept(path)?;
    let new: Vec<_> = failures.iter().filter(|failure| !known.contains(&failure.seed)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    for Failure { seed, findings, .. } in new {
        let why = findings.first().map(|first| format!("{} {}", first.guarantee, first.kind));
        writeln!(file, "{seed} # {}", why.unwrap_or_default())?;
    }
    Ok(())
}
