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
    /// Break a whole Dynode in many ways under load, and check whether its guarantees hold
    Run(RunArgs),
    /// Run the whole engine in this process from seeds, with planned faults, and check its guarantees
    Simulate(SimulateArgs),
    /// Serve the APIs of OpenAI, Anthropic, Gemini and Ollama with models of any speed and any failure
    Provider(ProviderArgs),
    /// Receive callbacks, keep them, and reply as configured
    Receiver(ReceiverArgs),
    /// Proxy TCP connections to another address, with faults on the way
    Proxy(ProxyArgs),
}

/// `dynode chaos run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The scenario, or all
    #[arg(long, value_name = "NAME", default_value = "all")]
    pub(crate) scenario: String,
    /// List the scenarios and run none
    #[arg(long)]
    pub(crate) list: bool,
    /// Repeat them for this long, each time with the next seed [default: once]
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) minutes: Option<u64>,
    /// The seed of the load and the faults: the same seed sends the same requests
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Also write the report to this file, which ends in .md or .html
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Test this running gateway, such as http://127.0.0.1:8321: only clients misbehave then
    #[arg(long, value_name = "URL", value_parser = gateway)]
    pub(crate) target: Option<String>,
    /// The API key, if the target needs one
    #[arg(long, value_name = "KEY", env = "DYNODE_API_KEY", hide_env_values = true, value_parser = super::server::secret)]
    pub(crate) key: Option<schemas::Secret>,
    /// The model to ask for at the target
    #[arg(long, value_name = "NAME", default_value = "sim-chat", requires = "target")]
    pub(crate) model: String,
    /// Where the target expects its provider: a simulated one listens there and misbehaves as well
    #[arg(long, value_name = "ADDR", requires = "target")]
    pub(crate) provider: Option<SocketAddr>,
    /// The nats-server to start [default: the one on PATH]
    #[arg(long, value_name = "PATH", env = "DYNODE_NATS_SERVER")]
    pub(crate) nats_server: Option<PathBuf>,
    /// Where to create the directory for histories, logs and stores
    #[arg(long, value_name = "DIR", default_value = "dynode-chaos")]
    pub(crate) dir: PathBuf,
}

/// `dynode chaos simulate`.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// How many seeds to run
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seeds: u64,
    /// The first seed
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) from: u64,
    /// Run only this seed
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["seeds", "from"])]
    pub(crate) seed: Option<u64>,
    /// Run only the scenario in this file, as a failure leaves it behind
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "from", "seed"])]
    pub(crate) plan: Option<PathBuf>,
    /// Show a failure as it is, without looking for a smaller one
    #[arg(long)]
    pub(crate) no_shrink: bool,
    /// Write what one scenario showed, one JSON object per line; the broker's log goes to FILE.broker
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "from"])]
    pub(crate) history: Option<PathBuf>,
    /// The file that keeps failed seeds; its seeds run first
    #[arg(long, value_name = "FILE", default_value = "dynode-seeds.txt")]
    pub(crate) keep: PathBuf,
    /// How many to run in parallel [default: one per processor]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) threads: Option<u64>,
}

/// `dynode chaos provider`.
#[derive(Debug, Args)]
pub(crate) struct ProviderArgs {
    /// The address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8322")]
    pub(crate) listen: SocketAddr,
    /// How it answers unless a model's name or `x-sim` says otherwise,
    /// such as first=60ms,gap=10ms,tokens=50,429
    #[arg(long, value_name = "SETTINGS", default_value = "")]
    pub(crate) behaviour: Behaviour,
}

/// `dynode chaos receiver`.
#[derive(Debug, Args)]
pub(crate) struct ReceiverArgs {
    /// The address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8323")]
    pub(crate) listen: SocketAddr,
    /// How it replies unless a URL's query says otherwise, such as fail-first=2&status=503
    #[arg(long, value_name = "SETTINGS", default_value = "")]
    pub(crate) replies: Replies,
    /// The key to verify signatures of deliveries with: whsec_ and base64
    #[arg(long, env = "DYNODE_CALLBACKS__DEFAULT_SECRET", hide_env_values = true)]
    pub(crate) secret: Option<Secret>,
}

/// `dynode chaos proxy`.
#[derive(Debug, Args)]
pub(crate) struct ProxyArgs {
    /// The address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8324")]
    pub(crate) listen: SocketAddr,
    /// Where to connect for each accepted connection
    #[arg(long, value_name = "HOST:PORT", value_parser = upstream)]
    pub(crate) upstream: String,
    /// The faults at the start, such as latency=200ms,down:stall
    #[arg(long, value_name = "FAULTS", default_value = "none")]
    pub(crate) faults: Faults,
    /// The HTTP address to set faults and read counts [default: none]
    #[arg(long, value_name = "ADDR")]
    pub(crate) control: Option<SocketAddr>,
    /// The seed of jitter and corruption: the same seed changes the same bytes
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) seed: u64,
}

/// The host and the port of a plain URL. TLS would need a name that the proxy in between does not have.
pub(super) fn gateway(text: &str) -> Result<String, &'static str> {
    let address = text.strip_prefix("http://").ok_or("use http://HOST:PORT")?;
    upstream(address.trim_end_matches('/'))
}

fn upstream(text: &str) -> Result<String, &'static str> {
    let valid =
        text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if valid { Ok(text.to_owned()) } else { Err("use a host and a port, such as 127.0.0.1:4222") }
}
