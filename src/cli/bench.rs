//! The command line of `dynode bench`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

/// `dynode bench`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) command: Option<BenchCommand>,
    #[command(flatten)]
    pub(crate) measure: MeasureArgs,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Compare two runs by their JSON files and report what became worse
    Compare(CompareArgs),
    /// Started by `bench` only: a provider that answers prepared bytes
    #[command(hide = true)]
    Provider(BenchProviderArgs),
    /// Started by `bench` only: the bare hops of a durable request
    #[command(hide = true)]
    Bare(BareArgs),
}

/// What to measure, and how.
#[derive(Debug, Args)]
pub(crate) struct MeasureArgs {
    /// The scenarios, or all [default: the main figures, in about a minute]
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenarios: Vec<String>,
    /// List the scenarios and run none
    #[arg(long)]
    pub(crate) list: bool,
    /// Also measure the same hops over the same broker without an engine
    #[arg(long)]
    pub(crate) floor: bool,
    /// The broker: memory, managed, nats://HOST:PORT, or auto: managed if a nats-server is found
    #[arg(long, default_value = "auto", conflicts_with = "target")]
    pub(crate) broker: String,
    /// How often the managed broker syncs its files to disk; 0 syncs before each acknowledgement
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 100, conflicts_with = "target")]
    pub(crate) sync_ms: u32,
    /// A running server with OpenAI's API to measure instead, such as http://127.0.0.1:8321
    #[arg(long, value_name = "URL", value_parser = target)]
    pub(crate) target: Option<String>,
    /// The model to ask for at the target [default: the scenario's, as the simulated provider knows it]
    #[arg(long, value_name = "NAME", requires = "target")]
    pub(crate) model: Option<String>,
    /// The API key for the target
    #[arg(long, value_name = "KEY", env = "DYNODE_API_KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,
    /// Where the target expects its provider: the simulated one listens there and is also measured alone
    #[arg(long, value_name = "ADDR", requires = "target")]
    pub(crate) provider: Option<SocketAddr>,
    /// The target's process, if it runs on this machine, to measure its CPU and memory
    #[arg(long, value_name = "PID", requires = "target")]
    pub(crate) pid: Option<u32>,
    /// How many rounds to run; the figure is the median
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// How long to measure in each round [default: 5; 1 for the main figures]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) seconds: Option<Duration>,
    /// How long to warm up before that [default: a fifth of it]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) warm_up: Option<Duration>,
    /// This many concurrent requests, instead of the scenarios' loads
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: Option<u32>,
    /// This many requests per second instead, whatever becomes of earlier ones
    #[arg(long, value_name = "RATE", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "connections")]
    pub(crate) rate: Option<u32>,
    /// How many requests the scenario `backlog` queues
    #[arg(long, value_name = "COUNT", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) backlog: u32,
    /// How long the scenario `soak` runs
    #[arg(long, value_name = "MINUTES", default_value = "10", value_parser = minutes)]
    pub(crate) soak: Duration,
    /// Also write the figures as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Also write the figures as an HTML page to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// The nats-server to start [default: the one on PATH]
    #[arg(long, value_name = "PATH", env = "DYNODE_NATS_SERVER")]
    pub(crate) nats_server: Option<PathBuf>,
    /// Where to create the directory for figures, logs and stores
    #[arg(long, value_name = "DIR", default_value = "dynode-bench")]
    pub(crate) dir: PathBuf,
}

/// `dynode bench compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The earlier figures
    #[arg(value_name = "A.json")]
    pub(crate) before: PathBuf,
    /// The later figures
    #[arg(value_name = "B.json")]
    pub(crate) after: PathBuf,
    /// How much worse a figure may become
    #[arg(long, value_name = "SHARE", default_value = "10%", value_parser = share)]
    pub(crate) tolerance: f64,
}

/// `dynode bench provider`.
#[derive(Debug, Args)]
pub(crate) struct BenchProviderArgs {
    /// The address to listen on
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
}

/// `dynode bench bare`.
#[derive(Debug, Args)]
pub(crate) struct BareArgs {
    /// The broker
    #[arg(long, value_name = "URL")]
    pub(crate) broker: String,
}

/// The host and the port of a plain URL.
fn target(text: &str) -> Result<String, &'static str> {
    const SHAPE: &str = "use http://HOST:PORT: what TLS costs is not measured";
    let address = text.strip_prefix("http://").ok_or(SHAPE)?.trim_end_matches('/');
    let (host, port) = address.rsplit_once(':').ok_or(SHAPE)?;
    let is_valid = !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok();
    if is_valid { Ok(address.to_owned()) } else { Err(SHAPE) }
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().map_err(|_| "use a number of seconds")?;
    let span = Duration::try_from_secs_f64(seconds).map_err(|_| "use a number of seconds")?;
    if span.is_zero() { Err("use a number greater than 0") } else { Ok(span) }
}

fn minutes(text: &str) -> Result<Duration, &'static str> {
    seconds(text).map(|span| 60 * span).map_err(|_| "use a number of minutes")
}

/// `10%` or `0.1`.
fn share(text: &str) -> Result<f64, &'static str> {
    let (number, per) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.parse::<f64>().map(|number| number / per).unwrap_or(-1.0);
    if share.is_finite() && share >= 0.0 { Ok(share) } else { Err("use a share, such as 10% or 0.1") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_host_and_a_port_without_tls() {
        assert_eq!(target("http://127.0.0.1:8321/").unwrap(), "127.0.0.1:8321");
        for bad in ["https://a:1", "http://a", "127.0.0.1:1", "http://a:1/v1", "http://:1"] {
            assert!(target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tolerance_is_a_share_or_a_percentage() {
        assert_eq!((share("10%"), share("0.1"), share("0")), (Ok(0.1), Ok(0.1), Ok(0.0)));
        assert!(share("-1").is_err() && share("x%").is_err() && share("NaN").is_err());
    }

    #[test]
    fn a_span_may_be_a_part_of_a_second() {
        assert_eq!(seconds("0.2"), Ok(Duration::from_millis(200)));
        assert_eq!(minutes("2"), Ok(Duration::from_secs(120)));
        assert!(seconds("0").is_err() && seconds("-1").is_err() && seconds("1e99").is_err());
    }
}
