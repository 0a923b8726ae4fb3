//! `dynode key`: creates, lists, revokes and rotates API keys through the API of a running server, or creates one
//! offline for a server's configuration.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use broker::Seams;
use reqwest::Method;
use schemas::{ApiKey, KeyMode, KeyRecord, Role};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    cli::{KeyCommand, KeyCreateArgs, KeyListArgs, KeyRevokeArgs, KeyRotateArgs},
    command::{
        self,
        api::{self, Api, Fault},
        table::Table,
    },
    exit,
};

/// The path of the keys in the API.
const PATH: &str = "/v1/keys";

/// Runs `command`.
pub(crate) fn run(command: KeyCommand) -> anyhow::Result<ExitCode> {
    match command {
        KeyCommand::Create(args) if args.offline => offline(&args),
        KeyCommand::Create(args) => {
            let api = Api::new(&args.server)?;
            api::run(async {
                let made = api.ask(Method::POST, PATH, Some(&wish(&args))).await?;
                show_made(&made, args.json)
            })
        }
        KeyCommand::List(args) => list(&args),
        KeyCommand::Revoke(args) => revoke(&args),
        KeyCommand::Rotate(args) => rotate(&args),
    }
}

/// The body that asks for the key, with only the given flags.
fn wish(args: &KeyCreateArgs) -> Value {
    let mut wish = json!({
        "tenant": args.tenant, "role": args.role, "mode": args.test.then_some(KeyMode::Test), "name": args.name,
        "actions": args.actions, "models": args.models, "requests_per_minute": args.requests_per_minute,
        "tokens_per_minute": args.tokens_per_minute, "concurrency": args.concurrency, "budget": args.budget, "expires_in_ms": args.expires,
    });
    if let Some(fields) = wish.as_object_mut() {
        fields.retain(|_, value| !value.is_null() && *value != json!("") && *value != json!([]));
    }
    wish
}

/// Prints only the key on standard output, for scripts: `export DYNODE_API_KEY=$(dynode key create)`.
fn show_made(made: &Value, as_json: bool) -> Result<ExitCode, Fault> {
    let (Some(key), Ok(record)) = (made["key"].as_str(), serde_json::from_value::<KeyRecord>(made.clone()))
    else {
        return Err(Fault::Refused("cannot read the new key from the server's answer".to_owned()));
    };
    if as_json {
        writeln!(io::stdout(), "{made}")?;
    } else {
        writeln!(io::stdout(), "{key}")?;
    }
    let KeyRecord { id, tenant, role, .. } = record;
    command::complain(&format!("this key is shown once: `{id}`, {role} of `{tenant}`"));
    Ok(ExitCode::SUCCESS)
}

/// Prints a configuration section on standard output, to append to a file, and the key on standard error.
fn offline(args: &KeyCreateArgs) -> anyhow::Result<ExitCode> {
    if args.expires.is_some() {
        command::complain(
            "--expires does not go with --offline: add `expires_at = \"2027-01-01T00:00:00Z\"` to the section in \
             the configuration",
        );
        return Ok(exit::USAGE.into());
    }
    let mode = if args.test { KeyMode::Test } else { KeyMode::Live };
    let random = Seams::system().random;
    let key = ApiKey::make(mode, || random.next_u64());
    write!(io::stdout(), "{}", section(args, &key)?)?;
    let say = |what: &str| writeln!(io::stderr(), "{what}");
    say("dynode: this key is shown once; the configuration holds only its hash:")?;
    say(key.expose())?;
    Ok(ExitCode::SUCCESS)
}

fn section(args: &KeyCreateArgs, key: &ApiKey) -> anyhow::Result<String> {
    let mut fields = wish(args);
    if let Some(fields) = fields.as_object_mut() {
        fields.remove("mode");
        fields.entry("tenant").or_insert_with(|| json!("default"));
        fields.entry("role").or_insert_with(|| json!(Role::Superadmin));
        let mode = key.mode().as_str();
        fields.extend([
            ("id".to_owned(), json!(key.id())),
            ("hash".to_owned(), json!(gateway::config_hash(key))),
            ("mode".to_owned(), json!(mode)),
        ]);
    }
    #[derive(serde::Serialize)]
    struct Sections {
        keys: [Value; 1],
    }
    Ok(format!("\n{}", toml::to_string(&Sections { keys: [fields] })?))
}

fn list(args: &KeyListArgs) -> anyhow::Result<ExitCode> {
    #[derive(Deserialize)]
    struct List {
        data: Vec<Value>,
    }
    let api = Api::new(&args.server)?;
    api::run(async {
        let answer = api.ask(Method::GET, PATH, None).await?;
        let unreadable = |error| Fault::Refused(format!("no list of keys: {error}"));
        let List { data } = serde_json::from_value(answer).map_err(unreadable)?;
        if args.json {
            data.iter().try_for_each(|key| writeln!(io::stdout(), "{key}"))?;
        } else if data.is_empty() {
            command::complain("there are no keys");
        } else {
            let keys = data.into_iter().map(serde_json::from_value).collect::<Result<Vec<_>, _>>();
            writeln!(io::stdout(), "{}", table(&keys.map_err(unreadable)?))?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn table(keys: &[KeyRecord]) -> Table {
    let head = ["id", "tenant", "role", "mode", "name", "state", "last used"].map(str::to_owned);
    let columns = head.len();
    let mut table = Table::new(head.into(), columns);
    for key in keys {
        let state = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => format!("revoked {}", at.strftime("%F %T")),
            (None, Some(at)) => format!("until {}", at.strftime("%F %T")),
            (None, None) => "good".to_owned(),
        };
        let used = key.last_used_at.map_or_else(|| "-".to_owned(), |at| at.strftime("%F %T").to_string());
        table.row(vec![
            key.id.to_string(),
            key.tenant.to_string(),
            key.role.to_string(),
            key.mode.as_str().to_owned(),
            key.name.clone(),
            state,
            used,
        ]);
    }
    table
}

fn revoke(args: &KeyRevokeArgs) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.server)?;
    api::run(async {
        let mut code = ExitCode::SUCCESS;
        for id in &args.ids {
            match api.ask(Method::DELETE, &format!("{PATH}/{id}"), None).await {
                Ok(_) => writeln!(io::stdout(), "{id}: revoked")?,
                Err(Fault::Refused(why)) => {
                    command::complain(&format!("{id}: {why}"));
                    code = exit::FAILED.into();
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(code)
    })
}

fn rotate(args: &KeyRotateArgs) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.server)?;
    api::run(async {
        let body = json!({ "grace_ms": args.grace });
        let made = api.ask(Method::POST, &format!("{PATH}/{}/rotate", args.id), Some(&body)).await?;
        show_made(&made, args.json)
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn create(line: &str) -> KeyCreateArgs {
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Some(Command::Key(KeyCommand::Create(args))) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_is_said_is_asked_for() {
        assert_eq!(wish(&create("dynode key create")), json!({}));
        let line = "dynode key create --tenant acme --role admin --models sim-*,x --expires 2h --concurrency 3 --budget 5/day";
        let expected = json!({"tenant": "acme", "role": "admin", "models": ["sim-*", "x"], "expires_in_ms": 7_200_000,
            "concurrency": 3, "budget": {"usd": 5.0, "per": "day"}});
        assert_eq!(wish(&create(line)), expected);
    }

    #[test]
    fn a_section_holds_the_key_as_a_hash_and_is_read_as_it_was_meant() {
        let args = create("dynode key create --offline --tenant acme --models sim-* --name ci");
        let key = ApiKey::make(KeyMode::Live, {
            let random = Seams::system().random;
            move || random.next_u64()
        });
        let section = section(&args, &key).unwrap();
        assert!(!section.contains(&key.expose()[20..]), "{section}");
        #[derive(Deserialize)]
        struct Sections {
            keys: Vec<gateway::KeyConfig>,
        }
        let Sections { keys } = toml::from_str(&section).unwrap();
        gateway::KeyConfig::check(&keys).unwrap();
        assert_eq!((keys[0].tenant.as_str(), keys[0].role), ("acme", Role::Superadmin));
        assert_eq!(keys[0].id, *key.id());
    }
}
