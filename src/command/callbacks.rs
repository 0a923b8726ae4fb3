//! `dynode callbacks`: lists, enables and disables callback targets through the API of a running server.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use reqwest::Method;
use schemas::{Target, Tenant};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    cli::{CallbacksCommand, CallbacksDisableArgs, CallbacksEnableArgs, CallbacksListArgs},
    command::{
        self,
        api::{self, Api, Fault},
        table::Table,
    },
    exit,
};

/// The path of the targets in the API.
const PATH: &str = "/v1/callbacks";

/// A target, as the server lists it.
#[derive(Debug, Deserialize)]
struct Named {
    id: String,
    tenant: Tenant,
    #[serde(flatten)]
    target: Target,
}

/// Runs `command`.
pub(crate) fn run(command: &CallbacksCommand) -> anyhow::Result<ExitCode> {
    match command {
        CallbacksCommand::List(args) => list(args),
        CallbacksCommand::Enable(args) => enable(args),
        CallbacksCommand::Disable(args) => disable(args),
    }
}

fn list(args: &CallbacksListArgs) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.server)?;
    api::run(async {
        let targets = targets(&api).await?;
        if args.json {
            targets.iter().try_for_each(|target| writeln!(io::stdout(), "{target}"))?;
        } else if targets.is_empty() {
            command::complain("every target takes its callbacks");
        } else {
            let targets = targets.into_iter().map(named).collect::<Result<Vec<_>, _>>()?;
            writeln!(io::stdout(), "{}", table(&targets))?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn table(targets: &[Named]) -> Table {
    let head = ["id", "tenant", "state", "failures", "url", "why"].map(str::to_owned);
    let columns = head.len();
    let mut table = Table::new(head.into(), columns);
    for Named { id, tenant, target } in targets {
        let since = |at: jiff::Timestamp| format!("disabled {}", at.strftime("%F %T"));
        let state = target.disabled_at.map_or_else(|| "failing".to_owned(), since);
        let (failures, url, why) = (target.failures.to_string(), target.url.clone(), target.why.clone());
        table.row(vec![id.clone(), tenant.to_string(), state, failures, url, why]);
    }
    table
}

fn enable(args: &CallbacksEnableArgs) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.server)?;
    api::run(async {
        let ids = if args.all { disabled(&api).await? } else { args.ids.clone() };
        each(&ids, async |id| {
            api.ask(Method::POST, &format!("{PATH}/{id}/enable"), None).await?;
            Ok(format!("{id}: enabled"))
        })
        .await
    })
}

fn disable(args: &CallbacksDisableArgs) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.server)?;
    api::run(each(&args.urls, async |url| {
        let body = json!({ "url": url });
        let Named { id, tenant, target } =
            named(api.ask(Method::POST, &format!("{PATH}/disable"), Some(&body)).await?)?;
        Ok(format!("{id}: disabled, {} of `{tenant}`", target.url))
    }))
}

/// Calls `act` for each name, whether or not others fail.
async fn each(names: &[String], act: impl AsyncFn(&str) -> Result<String, Fault>) -> Result<ExitCode, Fault> {
    let mut code = ExitCode::SUCCESS;
    for name in names {
        match act(name).await {
            Ok(line) => writeln!(io::stdout(), "{line}")?,
            Err(Fault::Refused(why)) => {
                command::complain(&format!("{name}: {why}"));
                code = exit::FAILED.into();
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(code)
}

async fn targets(api: &Api) -> Result<Vec<Value>, Fault> {
    #[derive(Deserialize)]
    struct List {
        targets: Vec<Value>,
    }
    let List { targets } = read(api.ask(Method::GET, PATH, None).await?)?;
    Ok(targets)
}

/// The ids of the disabled targets.
async fn disabled(api: &Api) -> Result<Vec<String>, Fault> {
    let targets = targets(api).await?.into_iter().map(named).collect::<Result<Vec<_>, _>>()?;
    let disabled = targets.into_iter().filter(|named| named.target.disabled_at.is_some());
    Ok(disabled.map(|named| named.id).collect())
}

fn named(target: Value) -> Result<Named, Fault> {
    read(target)
}

fn read<T: for<'de> Deserialize<'de>>(answer: Value) -> Result<T, Fault> {
    let unreadable =
        |error| Fault::Refused(format!("cannot read the server's answer about targets: {error}"));
    serde_json::from_value(answer).map_err(unreadable)
}
