//! Lays one source of settings (a file, the environment, the flags) over those below it.

use std::path::Path;

use toml::{
    Table, Value,
    de::{DeTable, DeValue},
};

use super::{Error, Origins, Place};

/// The prefix of environment variables that are settings, except [`NOT_SETTINGS`].
const PREFIX: &str = "DYNODE_";
/// Variables read elsewhere: the path of the file itself, and the commands' server, key and tenant.
const NOT_SETTINGS: [&str; 4] = ["DYNODE_CONFIG", "DYNODE_URL", "DYNODE_API_KEY", "DYNODE_AS"];

/// The settings so far, and where each came from.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub(super) table: Table,
    pub(super) origins: Origins,
}

impl Layers {
    /// Lays the TOML `text` of the file `path` over the settings.
    pub(super) fn file(&mut self, path: &Path, text: &str) -> Result<(), Error> {
        let syntax = |error: toml::de::Error| {
            let offset = error.span().map_or(0, |span| span.start);
            let why = error.message().to_owned();
            Error { place: Some(Place::in_file(path.into(), text, offset)), key: String::new(), why }
        };
        let spans = DeTable::parse(text).map_err(syntax)?;
        let place = |offset| Place::in_file(path.into(), text, offset);
        note_table(&mut self.origins, "", spans.get_ref(), &place);
        merge(&mut self.table, toml::from_str(text).map_err(syntax)?);
        Ok(())
    }

    /// Lays the variables over the settings. Two underscores go one table down: `DYNODE_GATEWAY__BODY_BYTES_MAX`.
    ///
    /// Each value goes in as a string; [`Layers::reread`] turns it into what the key wants.
    pub(super) fn environment<'a>(&mut self, variables: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let mut filter = None;
        for (name, value) in variables.into_iter().filter(|(_, value)| !value.is_empty()) {
            if name == "RUST_LOG" {
                filter = Some(value);
            } else if let Some(keys) = name.strip_prefix(PREFIX)
                && !NOT_SETTINGS.contains(&name)
                && !is_service_link(keys)
            {
                self.variable(name, &keys.split("__").collect::<Vec<_>>(), value);
            }
        }
        if let Some(filter) = filter
            && !matches!(self.origins.place("log"), Some(Place::Variable(_)))
        {
            self.variable("RUST_LOG", &["log"], filter);
        }
    }

    /// Lays one flag over the settings.
    pub(super) fn flag(&mut self, flag: &'static str, key: &str, value: &str) {
        self.table.insert(key.to_owned(), Value::String(value.to_owned()));
        self.origins.set(key.to_owned(), Place::Flag(flag));
    }

    /// If `path` came from the environment or a flag and is still a string, reads it as TOML (a number, a boolean, an
    /// array); returns whether that changed anything.
    pub(super) fn reread(&mut self, path: &serde_path_to_error::Path) -> bool {
        if !matches!(self.origins.place(&path.to_string()), Some(Place::Variable(_) | Place::Flag(_))) {
            return false;
        }
        let mut keys = path.iter().map_while(|segment| match segment {
            serde_path_to_error::Segment::Map { key } => Some(key),
            _ => None,
        });
        let Some(first) = keys.next() else { return false };
        let value = keys.try_fold(self.table.get_mut(first), |value, key| match value {
            Some(Value::Table(table)) => Some(table.get_mut(key)),
            _ => None,
        });
        let Some(Some(value)) = value else { return false };
        let Some(typed) =
            value.as_str().and_then(|text| text.parse().ok()).filter(|typed: &Value| !typed.is_str())
        else {
            return false;
        };
        *value = typed;
        true
    }

    fn variable(&mut self, name: &str, keys: &[&str], value: &str) {
        let Some((last, tables)) = keys.split_last() else { return };
        let place = || Place::Variable(name.to_owned());
        let (mut table, mut path) = (&mut self.table, String::new());
        for key in tables {
            let key = existing_key(table, key);
            path = child(&path, &key);
            self.origins.set_first(path.clone(), place());
            let slot = table.entry(key).or_insert_with(|| Value::Table(Table::new()));
            if !slot.is_table() {
                // The old value is gone, and so is its origin.
                *slot = Value::Table(Table::new());
                self.origins.set(path.clone(), place());
            }
            let Value::Table(inner) = slot else { return };
            table = inner;
        }
        let key = existing_key(table, last);
        self.origins.set(child(&path, &key), place());
        table.insert(key, Value::String(value.to_owned()));
    }
}

/// Kubernetes sets such variables in every pod for a service named `dynode`; they are not settings.
fn is_service_link(keys: &str) -> bool {
    keys == "PORT"
        || keys.starts_with("PORT_")
        || keys.starts_with("SERVICE_HOST")
        || keys.starts_with("SERVICE_PORT")
}

/// The key of `table` that a variable names: in any case, with `_` for any character that a variable cannot hold.
fn existing_key(table: &Table, spelled: &str) -> String {
    let plain = |key: &str| key.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let wanted = spelled.to_lowercase();
    table.keys().find(|key| plain(key) == wanted).cloned().unwrap_or(wanted)
}

fn child(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Tables are merged; anything else above replaces what is below.
fn merge(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

fn note_table(origins: &mut Origins, path: &str, table: &DeTable<'_>, place: &dyn Fn(usize) -> Place) {
    for (key, value) in table {
        let path = child(path, key.get_ref());
        origins.set(path.clone(), place(key.span().start));
        note_value(origins, &path, value.get_ref(), place);
    }
}

fn note_value(origins: &mut Origins, path: &str, value: &DeValue<'_>, place: &dyn Fn(usize) -> Place) {
    match value {
        DeValue::Table(table) => note_table(origins, path, table, place),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                origins.set(path.clone(), place(item.span().start));
                note_value(origins, &path, item.get_ref(), place);
            }
        }
        _ => {}
    }
}
