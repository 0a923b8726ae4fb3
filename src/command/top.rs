//! `dynode top`: shows what is queued and running in each pool of a running server, refreshed at an interval.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use tokio::time;

use crate::{
    cli::TopArgs,
    command::{
        self,
        api::{self, Api, Fault},
        table::Table,
    },
};

/// The path of the status.
const PATH: &str = "/v1/status";
/// Moves to the upper left corner of a terminal.
const HOME: &str = "\x1b[H";
/// Clears the rest of a line.
const CLEAR_LINE: &str = "\x1b[K";
/// Clears everything below.
const CLEAR_BELOW: &str = "\x1b[J";

/// The pools, as the server reports them.
#[derive(Debug, Deserialize)]
struct Status {
    pools: Vec<Pool>,
    broker: Link,
}

/// One provider, over all nodes.
#[derive(Debug, Deserialize)]
struct Pool {
    pool: String,
    state: String,
    queue: u64,
    inflight: u64,
    slots: u64,
    estimated_wait_ms: Option<u64>,
    nodes: usize,
}

/// The link to the broker.
#[derive(Debug, Deserialize)]
struct Link {
    state: String,
    down_ms: Option<u64>,
}

/// Shows the pools as often as `args` say.
pub(crate) fn run(args: &TopArgs) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.server)?;
    api::run(look(&api, args))
}

async fn look(api: &Api, args: &TopArgs) -> Result<ExitCode, Fault> {
    let is_terminal = io::stdout().is_terminal();
    let count = args.count.unwrap_or(if is_terminal { u64::MAX } else { 1 });
    for looked in 0..count {
        if looked > 0 {
            time::sleep(Duration::from_secs(args.interval)).await;
        }
        match api.ask(Method::GET, PATH, None).await {
            Ok(status) if args.json => writeln!(io::stdout(), "{status}")?,
            Ok(status) => show(&page(status)?, is_terminal)?,
            // The server may be restarting.
            Err(Fault::Unreachable(why)) if looked > 0 && is_terminal && !args.json => show(&why, true)?,
            Err(Fault::Unreachable(why)) if looked > 0 => command::complain(&why),
            Err(fault) => return Err(fault),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows `page`; on a terminal, it replaces the last one.
fn show(page: &str, is_terminal: bool) -> io::Result<()> {
    let mut out = io::stdout();
    if !is_terminal {
        return writeln!(out, "{page}");
    }
    write!(out, "{HOME}")?;
    page.lines().try_for_each(|line| writeln!(out, "{line}{CLEAR_LINE}"))?;
    write!(out, "{CLEAR_BELOW}")?;
    out.flush()
}

/// One summary line, and one line per pool.
fn page(status: Value) -> Result<String, Fault> {
    let unreadable = |error: serde_json::Error| Fault::Refused(format!("{PATH} is not understood: {error}"));
    let Status { pools, broker } = serde_json::from_value(status).map_err(unreadable)?;
    let sum = |of: fn(&Pool) -> u64| pools.iter().map(of).fold(0, u64::saturating_add);
    let (waiting, running) = (sum(|pool| pool.queue), sum(|pool| pool.inflight));
    let down = broker.down_ms.map(|ms| format!(" for {}", span(ms))).unwrap_or_default();
    let head = format!("broker {}{down}, {waiting} waiting, {running} running", broker.state.escape_debug());
    let columns = ["pool", "state", "waiting", "running", "slots", "wait", "nodes"].map(str::to_owned);
    let mut table = Table::new(columns.into(), 2);
    for pool in pools {
        let wait = pool.estimated_wait_ms.map_or_else(|| "-".to_owned(), span);
        let numbers = [pool.queue, pool.inflight, pool.slots].map(|number| number.to_string());
        let words = [pool.pool, pool.state];
        table.row(words.into_iter().chain(numbers).chain([wait, pool.nodes.to_string()]).collect());
    }
    Ok(format!("{head}\n\n{table}"))
}

fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min", ms / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pools_stand_under_each_other_with_their_sum() {
        let pool = |pool: &str, queue: u64, wait: Option<u64>| {
            json!({"pool": pool, "state": "busy", "queue": queue, "inflight": 64, "slots": 64,
                "estimated_wait_ms": wait, "nodes": 2})
        };
        let status = json!({"pools": [pool("claude", 1_200, Some(1_250)), pool("sim", 0, None)],
            "broker": {"state": "down", "down_ms": 61_000}});
        let expected = "broker down for 1 min, 1200 waiting, 128 running\n\n\
             pool    state  waiting  running  slots   wait  nodes\n\
             claude  busy      1200       64     64  1.2 s      2\n\
             sim     busy         0       64     64      -      2";
        assert_eq!(page(status).unwrap(), expected);
        assert!(page(json!({"pools": 1})).is_err());
    }
}
