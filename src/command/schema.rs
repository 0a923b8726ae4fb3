//! `dynode schema`: prints the JSON Schemas of the contract.

use std::{io::Write, process::ExitCode};

use serde_json::{Map, Value};

use crate::{cli::SchemaArgs, command, exit};

/// Prints one schema, or all as one object by name.
pub(crate) fn run(args: &SchemaArgs) -> anyhow::Result<ExitCode> {
    match text(args.name.as_deref()) {
        Ok(text) => {
            writeln!(std::io::stdout(), "{text}")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(unknown) => {
            command::complain(&unknown);
            Ok(exit::USAGE.into())
        }
    }
}

/// The schema called `name`, or all of them; the error lists the names.
fn text(name: Option<&str>) -> Result<String, String> {
    let mut all: Map<String, Value> = schemas::export::schemas()
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema.to_value()))
        .collect();
    let chosen = match name {
        None => Value::Object(all),
        Some(name) => all.remove(name).ok_or_else(|| {
            let known = all.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            format!("there is no schema `{name}`; the schemas are {known}")
        })?,
    };
    Ok(format!("{chosen:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_one_object_by_name_and_one_is_itself() {
        let all: Value = serde_json::from_str(&text(None).unwrap()).unwrap();
        let event: Value = serde_json::from_str(&text(Some("event")).unwrap()).unwrap();
        assert_eq!(all["event"], event);
        assert_eq!(event["title"], "Event");
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let unknown = text(Some("evnt")).unwrap_err();
        assert!(unknown.contains("event") && unknown.contains("outcome"), "{unknown}");
    }
}
