//! The command line of `dynode key`.

use clap::{Args, Subcommand};
use schemas::{Action, KeyBudget, KeyId, Per, Role, Tenant};

use super::ServerArgs;

/// `dynode key`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Create a key and print it, once; the first key is a superadmin's
    Create(KeyCreateArgs),
    /// List the keys, one line each: what a key may do, and when it was last used
    List(KeyListArgs),
    /// Revoke a key at every gateway, and end what is open with it
    Revoke(KeyRevokeArgs),
    /// Create a key that replaces another, which stays valid for a while
    Rotate(KeyRotateArgs),
}

/// `dynode key create`.
#[derive(Debug, Args)]
pub(crate) struct KeyCreateArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The tenant [default: that of the key that creates it, or of the server]
    #[arg(long)]
    pub(crate) tenant: Option<Tenant>,
    /// A name for the key
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) name: String,
    /// What it may do besides sending requests: user, admin (keys, usage and parked work of its tenant),
    /// superadmin (of all tenants) [default: user; for the first key superadmin]
    #[arg(long, value_parser = role)]
    pub(crate) role: Option<Role>,
    /// Allow only simulated providers
    #[arg(long)]
    pub(crate) test: bool,
    /// The actions that it may request, separated by commas [default: all]
    #[arg(long, value_name = "ACTION", value_delimiter = ',')]
    pub(crate) actions: Vec<Action>,
    /// The models that it may request, separated by commas; * matches any characters [default: all]
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub(crate) models: Vec<String>,
    /// At most this many requests in any minute
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) requests_per_minute: Option<u32>,
    /// At most this many tokens in any minute
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) tokens_per_minute: Option<u32>,
    /// At most this many requests at once
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) concurrency: Option<u32>,
    /// The most that it may spend, such as 5/day: US dollars per calendar hour, day or month
    #[arg(long, value_name = "USD/PERIOD", value_parser = budget)]
    pub(crate) budget: Option<KeyBudget>,
    /// How long it is valid, such as 90d or 12h [default: until it is revoked]
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    pub(crate) expires: Option<u64>,
    /// Without a server: print a section for the configuration; the key goes to standard error
    #[arg(long)]
    pub(crate) offline: bool,
    /// Print the server's answer as one JSON object, including the key
    #[arg(long, conflicts_with = "offline")]
    pub(crate) json: bool,
}

/// `dynode key list`.
#[derive(Debug, Args)]
pub(crate) struct KeyListArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `dynode key revoke`.
#[derive(Debug, Args)]
pub(crate) struct KeyRevokeArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Key ids, as `list` shows them: the part of a key between its second and its third _
    #[arg(value_name = "ID", required = true)]
    pub(crate) ids: Vec<KeyId>,
}

/// `dynode key rotate`.
#[derive(Debug, Args)]
pub(crate) struct KeyRotateArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The id of the key to replace
    #[arg(value_name = "ID")]
    pub(crate) id: KeyId,
    /// How long the old key stays valid, such as 1h; 0s ends it at once
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = milliseconds)]
    pub(crate) grace: u64,
    /// Print the server's answer as one JSON object, including the key
    #[arg(long)]
    pub(crate) json: bool,
}

fn role(text: &str) -> Result<Role, &'static str> {
    let all = [Role::User, Role::Admin, Role::Superadmin];
    all.into_iter().find(|role| role.as_str() == text).ok_or("use user, admin or superadmin")
}

fn milliseconds(text: &str) -> Result<u64, &'static str> {
    let wrong = "use a time such as 90d, 12h or 30m";
    let span = text.parse::<jiff::Span>().map_err(|_| wrong)?;
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong)?;
    u64::try_from(duration.as_millis()).map_err(|_| wrong)
}

fn budget(text: &str) -> Result<KeyBudget, &'static str> {
    let read = || {
        let (usd, per) = text.split_once('/')?;
        let per = Per::ALL.into_iter().find(|known| known.as_str() == per)?;
        Some(KeyBudget { usd: usd.parse().ok()?, per }).filter(KeyBudget::is_sound)
    };
    read().ok_or("use an amount and hour, day or month, such as 5/day")
}
