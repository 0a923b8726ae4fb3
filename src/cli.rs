//! The command line: what can be typed, and nothing about what it does.

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

/// What a command without `--url` talks to: the default of `listen`.
const URL: &str = "http://127.0.0.1:8321";

/// A self-hosted execution engine for AI work, carried by NATS JetStream.
#[derive(Debug, Parser)]
#[command(name = "dynode", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    /// What to do; `up` where nothing is said.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) up: UpArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the engine (the default)
    Up(UpArgs),
    /// Send a request and show its answer as it comes
    Send(SendArgs),
    /// Talk with a model, turn by turn
    Chat(ChatArgs),
    /// Show the events of a running server as they happen
    Watch(WatchArgs),
    /// Show what waits and runs in each pool of a running server
    Top(TopArgs),
    /// Tell what a request would cost, without sending it
    Estimate(EstimateArgs),
    /// Sum what requests have used and cost
    Cost(CostArgs),
    /// See what was parked, run it again, or drop it
    #[command(subcommand)]
    Dead(DeadCommand),
    /// See which targets take no callbacks, and send to them again or no more
    #[command(subcommand)]
    Callbacks(CallbacksCommand),
    /// Say who may come in: make, list, revoke and rotate API keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Print the JSON Schemas of the contract
    Schema(SchemaArgs),
    /// Print the OpenAPI document of the HTTP API
    Openapi,
    /// Print the default configuration with its comments, or check one
    Config(ConfigArgs),
    /// Print accounts and users for a NATS server, so that no tenant reaches another
    NatsAuth(NatsAuthArgs),
    /// Try a provider file
    #[command(subcommand)]
    Provider(ProviderCommand),
    /// Ask the same through every handle (WebSocket, HTTP, the bus), and tell what differs
    Parity(ParityArgs),
    /// Measure what requests cost and how long they take, here or at any OpenAI-compatible server
    Bench(BenchArgs),
    /// Prove the guarantees: providers and failures on demand
    #[command(subcommand)]
    Chaos(ChaosCommand),
    /// Started by `up --workers`, and by nobody else
    #[command(hide = true)]
    Worker(WorkerArgs),
}

/// `dynode up`. Values are checked with the configuration, so that a wrong one is told alike wherever it stands.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Where clients connect, such as 127.0.0.1:8321
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// What carries the messages: auto, memory, managed, or nats://HOST:PORT
    #[arg(long)]
    pub(crate) broker: Option<String>,
    /// Where a managed broker keeps its files
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<String>,
    /// The configuration file, or `everything`: each provider whose key is set [default: dynode.toml, where it exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The nats-server that a managed broker starts [default: the one on PATH]
    #[arg(long, value_name = "PATH")]
    pub(crate) nats_server: Option<String>,
    /// How many processes beside this one do the work; with 0 this one does [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<String>,
    /// Let everybody in where there are no API keys, also from other machines
    #[arg(long)]
    pub(crate) without_keys: bool,
    /// How log lines look: text or json
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
}

impl UpArgs {
    /// The flags that were given: the flag, its key, its value.
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
    /// The id of the request; one that was sent before shows that request again [default: a new one]
    #[arg(long)]
    pub(crate) id: Option<RequestId>,
    /// When the answer is no longer wanted
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) deadline: u64,
    /// Print every event as it came, one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Print only the finished answer: for scripts, since a started answer may begin anew after a crash
    #[arg(long)]
    pub(crate) no_stream: bool,
    /// Tell model, usage and time even where standard error is no terminal
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// What is asked, of `dynode send` and `dynode estimate`.
#[derive(Debug, Args)]
pub(crate) struct QuestionArgs {
    /// The model [default: sim-chat, sim-embed, sim-image or sim-speech, by the action]
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// What is asked for
    #[arg(long, default_value_t = Action::ChatCompletion)]
    pub(crate) action: Action,
    /// The payload as JSON from a file, or - for standard input, in place of TEXT
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    pub(crate) payload: Option<PathBuf>,
    /// What to say; - or nothing reads standard input
    #[arg(value_name = "TEXT")]
    pub(crate) text: Vec<String>,
}

/// `dynode watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print every event as it came, one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `dynode dead`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// One line for each parked message, oldest first
    List(DeadListArgs),
    /// All of it: where it came from, why it was parked, its body
    Show(DeadShowArgs),
    /// Publish it again, and remove it once that is stored
    Replay(DeadReplayArgs),
    /// Remove it
    Drop(DeadSelection),
}

/// `dynode dead list`.
#[derive(Debug, Args)]
pub(crate) struct DeadListArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Only what this stage parked: classifier, delivery, or the name of a provider
    #[arg(long, value_parser = stage)]
    pub(crate) stage: Option<String>,
    /// Only those after this one
    #[arg(long, value_name = "SEQUENCE")]
    pub(crate) after: Option<u64>,
    /// At most so many [default: all]
    #[arg(long, value_name = "COUNT")]
    pub(crate) limit: Option<usize>,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `dynode dead show`.
#[derive(Debug, Args)]
pub(crate) struct DeadShowArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Which, as `list` tells
    #[arg(value_name = "SEQUENCE", required = true)]
    pub(crate) sequences: Vec<u64>,
}

/// `dynode dead replay`.
#[derive(Debug, Args)]
pub(crate) struct DeadReplayArgs {
    /// Run requests under a new id even where their own is free; where it has an outcome, a new one is made anyway
    #[arg(long)]
    pub(crate) new_id: bool,
    #[command(flatten)]
    pub(crate) selection: DeadSelection,
}

/// What `dynode dead replay` and `drop` act on.
#[derive(Debug, Args)]
pub(crate) struct DeadSelection {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Everything that is parked, or all of one stage
    #[arg(long, conflicts_with = "sequences")]
    pub(crate) all: bool,
    /// Only what this stage parked
    #[arg(long, requires = "all", value_parser = stage)]
    pub(crate) stage: Option<String>,
    /// Which, as `list` tells
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
    /// Check a file, or without one what a start here would read
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "clap: not given, given alone, given with a file")]
    pub(crate) check: Option<Option<PathBuf>>,
}

/// `dynode worker`: what a process list should show; the settings come on standard input.
#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    /// Its place among the workers, from 1
    #[arg(long)]
    pub(crate) slot: u32,
    /// The name by which its heartbeats are known
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
