//! The command line of `dynode chaos`.

use std::{net::SocketAddr, path::PathBuf};

use chaos::{
    provider::Behaviour,
    proxy::Faults,
    receiver::{Replies, Secret},
};
use clap::{Args, Subcommand};

/// `dynode chaos`.
#[derive(Debug, Subcommand)]
pub(crate) enum ChaosCommand {
    /// Break a whole Dynode in many ways under load, and see whether its guarantees hold
    Run(RunArgs),
    /// Run the whole engine in this process from seeds, with faults by plan, and see whether its guarantees hold
    Simulate(SimulateArgs),
    /// Serve the APIs of OpenAI, Anthropic, Gemini and Ollama with models of any pace and any failure
    Provider(ProviderArgs),
    /// Take callbacks, keep them, and reply as told
    Receiver(ReceiverArgs),
    /// Carry TCP connections to another address, with faults on the way
    Proxy(ProxyArgs),
}

/// `dynode chaos run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Which scenario, or all
    #[arg(long, value_name = "NAME", default_value = "all")]
    pub(crate) scenario: String,
    /// Name the scenarios and run none
    #[arg(long)]
    pub(crate) list: bool,
    /// Run them again and again for so long, each time with the next seed [default: once]
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) minutes: Option<u64>,
    /// Where the load and the faults are drawn from: the same seed sends the same requests
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Where the report goes, besides the directory of the run: a file that ends in .md or .html
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// The gateway of a deployment that runs already, such as http://127.0.0.1:8321: only clients misbehave then
    #[arg(long, value_name = "URL", value_parser = gateway)]
    pub(crate) target: Option<String>,
    /// The API key, where the target needs one
    #[arg(long, value_name = "KEY", env = "DYNODE_API_KEY", hide_env_values = true, value_parser = super::server::secret)]
    pub(crate) key: Option<schemas::Secret>,
    /// The model that is asked for at the target
    #[arg(long, value_name = "NAME", default_value = "sim-chat", requires = "target")]
    pub(crate) model: String,
    /// Where the target looks for its provider: one is simulated there, and misbehaves as well
    #[arg(long, value_name = "ADDR", requires = "target")]
    pub(crate) provider: Option<SocketAddr>,
    /// The nats-server that it starts [default: the one on PATH]
    #[arg(long, value_name = "PATH", env = "DYNODE_NATS_SERVER")]
    pub(crate) nats_server: Option<PathBuf>,
    /// Where histories, logs and stores go: a new directory in this one
    #[arg(long, value_name = "DIR", default_value = "dynode-chaos")]
    pub(crate) dir: PathBuf,
}

/// `dynode chaos simulate`.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// How many seeds
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seeds: u64,
    /// The first of them
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) from: u64,
    /// Only this seed
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["seeds", "from"])]
    pub(crate) seed: Option<u64>,
    /// Only the scenario in this file, as a failure leaves it behind
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "from", "seed"])]
    pub(crate) plan: Option<PathBuf>,
    /// Show a failure as it is, and look for no smaller one
    #[arg(long)]
    pub(crate) no_shrink: bool,
    /// Write what one scenario showed, one JSON object a line; what the broker did goes to FILE.broker
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "from"])]
    pub(crate) history: Option<PathBuf>,
    /// Where failed seeds are kept; those in it run first
    #[arg(long, value_name = "FILE", default_value = "dynode-seeds.txt")]
    pub(crate) keep: PathBuf,
    /// How many run side by side [default: one a processor]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) threads: Option<u64>,
}

/// `dynode chaos provider`.
#[derive(Debug, Args)]
pub(crate) struct ProviderArgs {
    /// Where it listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8322")]
    pub(crate) listen: SocketAddr,
    /// How it answers where a model's name or `x-sim` does not say, such as first=60ms,gap=10ms,tokens=50,429
    #[arg(long, value_name = "SETTINGS", default_value = "")]
    pub(crate) behaviour: Behaviour,
}

/// `dynode chaos receiver`.
#[derive(Debug, Args)]
pub(crate) struct ReceiverArgs {
    /// Where it listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8323")]
    pub(crate) listen: SocketAddr,
    /// How it replies where a URL's query does not say, such as fail-first=2&status=503
    #[arg(long, value_name = "SETTINGS", default_value = "")]
    pub(crate) replies: Replies,
    /// The key that deliveries are signed with, to check them: whsec_ and base64
    #[arg(long, env = "DYNODE_CALLBACKS__DEFAULT_SECRET", hide_env_values = true)]
    pub(crate) secret: Option<Secret>,
}

/// `dynode chaos proxy`.
#[derive(Debug, Args)]
pub(crate) struct ProxyArgs {
    /// Where it listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8324")]
    pub(crate) listen: SocketAddr,
    /// Where it connects to for each connection that it accepts
    #[arg(long, value_name = "HOST:PORT", value_parser = upstream)]
    pub(crate) upstream: String,
    /// What it does to them at first, such as latency=200ms,down:stall
    #[arg(long, value_name = "FAULTS", default_value = "none")]
    pub(crate) faults: Faults,
    /// Where its faults are set and its counts are read over HTTP [default: nowhere]
    #[arg(long, value_name = "ADDR")]
    pub(crate) control: Option<SocketAddr>,
    /// Where jitter and corruption are drawn from: the same seed changes the same bytes
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) seed: u64,
}

/// The host and the port of a plain URL. TLS would need a name that the proxy on the way has not.
pub(super) fn gateway(text: &str) -> Result<String, &'static str> {
    let address = text.strip_prefix("http://").ok_or("use http://HOST:PORT")?;
    upstream(address.trim_end_matches('/'))
}

fn upstream(text: &str) -> Result<String, &'static str> {
    let valid =
        text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if valid { Ok(text.to_owned()) } else { Err("use a host and a port, such as 127.0.0.1:4222") }
}
