//! The command line: which commands and flags exist, not what they do.

mod bench;
mod callbacks;
mod chaos;
mod chat;
mod cost;
mod key;
mod nats_auth;
mod parity;
mod provider;
mod server;
mod top;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use schemas::{Action, RequestId};

pub(crate) use self::{
    bench::{BenchArgs, BenchCommand, BenchProviderArgs, CompareArgs, MeasureArgs},
    callbacks::{CallbacksCommand, CallbacksDisableArgs, CallbacksEnableArgs, CallbacksListArgs},
    chaos::{ChaosCommand, ProviderArgs, ProxyArgs, ReceiverArgs, RunArgs, SimulateArgs},
    chat::ChatArgs,
    cost::{CostArgs, EstimateArgs},
    key::{KeyCommand, KeyCreateArgs, KeyListArgs, KeyRevokeArgs, KeyRotateArgs},
    nats_auth::NatsAuthArgs,
    parity::ParityArgs,
    provider::{CheckArgs, ProviderCommand},
    server::ServerArgs,
    top::TopArgs,
};

/// The server that commands use without `--url`: the default of `listen`.
const URL: &str = "http://127.0.0.1:8321";

/// A self-hosted execution engine for AI work on NATS JetStream
#[derive(Debug, Parser)]
#[command(name = "dynode", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    /// The command; `up` if omitted
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) up: UpArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the engine (the default)
    Up(UpArgs),
    /// Send a request and show the answer as it arrives
    Send(SendArgs),
    /// Chat with a model, turn by turn
    Chat(ChatArgs),
    /// Show the events of a running server as they happen
    Watch(WatchArgs),
    /// Show what is queued and running in each pool of a running server
    Top(TopArgs),
    /// Estimate what a request would cost, without sending it
    Estimate(EstimateArgs),
    /// Sum the usage and the cost of requests
    Cost(CostArgs),
    /// List, show, replay or drop parked messages
    #[command(subcommand)]
    Dead(DeadCommand),
    /// List callback targets that fail, and enable or disable targets
    #[command(subcommand)]
    Callbacks(CallbacksCommand),
    /// Create, list, revoke and rotate API keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Print the JSON Schemas of the contract
    Schema(SchemaArgs),
    /// Print the OpenAPI document of the HTTP API
    Openapi,
    /// Print the default configuration with its comments, or check a configuration
    Config(ConfigArgs),
    /// Print NATS accounts and users that keep the tenants apart
    NatsAuth(NatsAuthArgs),
    /// Try a provider file
    #[command(subcommand)]
    Provider(ProviderCommand),
    /// Send the same requests through every handle (WebSocket, HTTP, the bus) and report differences
    Parity(ParityArgs),
    /// Measure what requests cost and how long they take, here or at any OpenAI-compatible server
    Bench(BenchArgs),
    /// Test the guarantees, with providers and failures on demand
    #[command(subcommand)]
    Chaos(ChaosCommand),
    /// Started by `up --workers` only
    #[command(hide = true)]
    Worker(WorkerArgs),
}

/// `dynode up`. The configuration checks the values: errors read alike from any source.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Where clients connect, such as 127.0.0.1:8321
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// The broker: auto, memory, managed, or nats://HOST:PORT
    #[arg(long)]
    pub(crate) broker: Option<String>,
    /// Where a managed broker keeps its files
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<String>,
    /// The configuration file, or `everything`: each provider whose key is set
    /// [default: dynode.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The nats-server that a managed broker starts [default: the one on PATH]
    #[arg(long, value_name = "PATH")]
    pub(crate) nats_server: Option<String>,
    /// How many worker processes do the work; with 0 this process does it [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<String>,
    /// Let everybody in if there are no API keys, also from other machines
    #[arg(long)]
    pub(crate) without_keys: bool,
    /// The format of log lines: text or json
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
}

impl UpArgs {
    /// The flags that were given, each with its key and value.
    pub(crate) fn flags(&self) -> Vec<(&'static str, &'static str, String)> {
        let all = [
            ("--listen", "listen", &self.listen),
            ("--broker", "broker", &self.broker),
            ("--data-dir", "data_dir", &self.data_dir),
            ("--nats-server", "nats_server", &self.nats_server),
            ("--workers", "workers", &self.workers),
            ("--log-format", "log_format", &self.log_format),
        ];
        let said = all.into_iter().filter_map(|(flag, key, value)| Some((flag, key, value.clone()?)));
        let open = self.without_keys.then(|| ("--without-keys", "without_keys", "true".to_owned()));
        said.chain(open).collect()
    }
}

/// `dynode send`.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(flatten)]
    pub(crate) question: QuestionArgs,
    /// The id of the request; an id that was sent before shows that request again [default: a new one]
    #[arg(long)]
    pub(crate) id: Option<RequestId>,
    /// After how long the answer is no longer wanted
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) deadline: u64,
    /// Print every event as it arrives, one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
    /// Print only the finished answer: for scripts, since an answer may restart after a crash
    #[arg(long)]
    pub(crate) no_stream: bool,
    /// Report model, usage and time even if standard error is not a terminal
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// What `dynode send` and `dynode estimate` ask.
#[derive(Debug, Args)]
pub(crate) struct QuestionArgs {
    /// The model [default: sim-chat, sim-embed, sim-image or sim-speech, depending on the action]
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// The action
    #[arg(long, default_value_t = Action::ChatCompletion)]
    pub(crate) action: Action,
    /// Read the payload as JSON from a file, or from standard input with -, in place of TEXT
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    pub(crate) payload: Option<PathBuf>,
    /// The text to send; - or no text reads standard input
    #[arg(value_name = "TEXT")]
    pub(crate) text: Vec<String>,
}

/// `dynode watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print every event as it arrives, one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `dynode dead`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// List the parked messages, one line each, oldest first
    List(DeadListArgs),
    /// Show all of a parked message: its origin, why it was parked, its body
    Show(DeadShowArgs),
    /// Publish a parked message again, and remove it once that is stored
    Replay(DeadReplayArgs),
    /// Remove a parked message
    Drop(DeadSelection),
}

/// `dynode dead list`.
#[derive(Debug, Args)]
pub(crate) struct DeadListArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Only messages parked by this stage: classifier, delivery, or the name of a provider
    #[arg(long, value_parser = stage)]
    pub(crate) stage: Option<String>,
    /// Only messages after this one
    #[arg(long, value_name = "SEQUENCE")]
    pub(crate) after: Option<u64>,
    /// At most this many [default: all]
    #[arg(long, value_name = "COUNT")]
    pub(crate) limit: Option<usize>,
    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `dynode dead show`.
#[derive(Debug, Args)]
pub(crate) struct DeadShowArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
    /// Sequence numbers, as `list` shows them
    #[arg(value_name = "SEQUENCE", required = true)]
    pub(crate) sequences: Vec<u64>,
}

/// `dynode dead replay`.
#[derive(Debug, Args)]
pub(crate) struct DeadReplayArgs {
    /// Run requests under a new id even if their own is free;
    /// a request that has an outcome always gets a new id
    #[arg(long)]
    pub(crate) new_id: bool,
    #[command(flatten)]
    pub(crate) selection: DeadSelection,
}

/// The messages that `dynode dead replay` and `drop` act on.
#[derive(Debug, Args)]
pub(crate) struct DeadSelection {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// All parked messages, or all of one stage
    #[arg(long, conflicts_with = "sequences")]
    pub(crate) all: bool,
    /// Only messages parked by this stage
    #[arg(long, requires = "all", value_parser = stage)]
    pub(crate) stage: Option<String>,
    /// Sequence numbers, as `list` shows them
    #[arg(value_name = "SEQUENCE", required_unless_present = "all")]
    pub(crate) sequences: Vec<u64>,
}

fn stage(text: &str) -> Result<String, &'static str> {
    schemas::Tenant::new(text).map(|_| text.to_owned()).map_err(|_| "use letters, digits, _ and -")
}

/// `dynode schema`.
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// One message, such as request or event [default: all, by name]
    pub(crate) name: Option<String>,
}

/// `dynode config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Check this file, or without FILE what a start here would read
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "clap: not given, given alone, given with a file")]
    pub(crate) check: Option<Option<PathBuf>>,
}

/// `dynode worker`: only what a process list should show; the settings come on standard input.
#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    /// The number of its slot, from 1
    #[arg(long)]
    pub(crate) slot: u32,
    /// The node name in its heartbeats
    #[arg(long)]
    pub(crate) node: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_up_are_valid_without_it() {
        let bare = parse("dynode --listen 127.0.0.1:0 --broker memory").unwrap();
        let Some(Command::Up(up)) = parse("dynode up --listen 127.0.0.1:0 --broker memory").unwrap().command
        else {
            panic!("not up");
        };
        assert!(bare.command.is_none());
        assert_eq!(bare.up.flags(), up.flags());
        assert_eq!(up.flags()[1], ("--broker", "broker", "memory".to_owned()));
    }

    #[test]
    fn a_wrong_line_ends_with_the_code_of_usage() {
        let lines = [
            "dynode --colour",
            "dynode send --action sing hi",
            "dynode send --deadline 0 hi",
            "dynode chaos",
            "dynode chaos simulate --seeds 9 --history a",
            "dynode chaos proxy",
            "dynode chaos proxy --upstream 127.0.0.1",
            "dynode chaos proxy --upstream 127.0.0.1:4222 --faults stal",
            "dynode bench --rounds 0",
            "dynode bench --target https://a:1",
            "dynode bench --target http://a:1 --broker memory",
            "dynode bench --model m",
            "dynode bench --rate 5 --connections 5",
            "dynode bench compare a.json",
            "dynode bench compare a.json b.json --tolerance much",
            "dynode dead drop",
            "dynode dead drop --stage delivery",
            "dynode dead replay --all 7",
            "dynode cost --by colour",
            "dynode estimate --payload a hi",
            "dynode callbacks enable",
            "dynode callbacks enable --all x",
            "dynode callbacks disable",
            "dynode key revoke",
            "dynode key create --role king",
            "dynode key create --expires soon",
            "dynode nats-auth --seeds keys",
            "dynode nats-auth --tenant a.b --seeds keys",
            "dynode provider check",
            "dynode parity --nats nats://127.0.0.1:4222",
            "dynode parity --area dance",
            "dynode provider check ideogram --payload 7",
        ];
        for line in lines {
            assert_eq!(parse(line).unwrap_err().exit_code(), i32::from(crate::exit::USAGE), "{line}");
        }
    }

    #[test]
    fn check_takes_a_file_or_none() {
        let check = |line| match parse(line).unwrap().command {
            Some(Command::Config(args)) => args.check,
            other => panic!("{other:?}"),
        };
        assert_eq!(check("dynode config"), None);
        assert_eq!(check("dynode config --check"), Some(None));
        assert_eq!(check("dynode config --check a.toml"), Some(Some("a.toml".into())));
    }
}
