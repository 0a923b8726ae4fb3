//! Finds where each key of a provider file is, so that an error can point at it.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::FileError;

/// The places of the keys of one file, by their paths (`calls.generate.request.path`).
#[derive(Debug)]
pub(in crate::dynamic) struct Places {
    file: String,
    text: String,
    offsets: BTreeMap<String, usize>,
}

impl Places {
    pub(super) fn read(file: &str, text: &str) -> Result<Self, FileError> {
        let mut places = Self { file: file.to_owned(), text: text.to_owned(), offsets: BTreeMap::new() };
        match DeTable::parse(text) {
            Ok(table) => note(&mut places.offsets, "", table.get_ref()),
            Err(error) => return Err(places.at(error.span().map_or(0, |span| span.start), error.message())),
        }
        Ok(places)
    }

    /// The error `why` at that byte.
    pub(super) fn at(&self, offset: usize, why: &str) -> FileError {
        let (line, column) = self.line_and_column(offset);
        let why = why.to_owned();
        FileError { file: self.file.clone(), line, column, key: self.key_at(offset), why }
    }

    /// The error `why` at the key `path`, or at the nearest table around it.
    pub(in crate::dynamic) fn blame(&self, path: &str, why: impl Into<String>) -> FileError {
        let mut around = path;
        let offset = loop {
            match (self.offsets.get(around), around.rfind(['.', '['])) {
                (Some(offset), _) => break *offset,
                (None, Some(end)) => around = &around[..end],
                (None, None) => break 0,
            }
        };
        let (line, column) = self.line_and_column(offset);
        FileError { file: self.file.clone(), line, column, key: path.to_owned(), why: why.into() }
    }

    /// The key that begins at that byte, if any.
    fn key_at(&self, offset: usize) -> String {
        let key = self.offsets.iter().find(|(_, at)| **at == offset).map(|(key, _)| key.clone());
        key.unwrap_or_default()
    }

    fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

fn note(offsets: &mut BTreeMap<String, usize>, path: &str, table: &DeTable<'_>) {
    for (key, value) in table {
        let name = key.get_ref();
        let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        offsets.insert(path.clone(), key.span().start);
        note_value(offsets, &path, value.get_ref());
    }
}

fn note_value(offsets: &mut BTreeMap<String, usize>, path: &str, value: &DeValue<'_>) {
    match value {
        DeValue::Table(table) => note(offsets, path, table),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                offsets.insert(path.clone(), item.span().start);
                note_value(offsets, &path, item.get_ref());
            }
        }
        _ => {}
    }
}
