//! Reads, checks and compiles a provider file: its calls, its models, its errors.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{
    errors::Rows,
    file::{self, File, FileError, Limits, Places},
    plan::Plan,
};

/// A provider file, ready for use.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) base_url: Option<String>,
    pub(super) key: Option<file::Key>,
    pub(super) webhook_secret: Option<file::WebhookSecret>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) variables: Value,
    pub(super) models: BTreeMap<String, Model>,
    pub(super) calls: BTreeMap<String, Arc<Plan>>,
    pub(super) errors: Rows,
    pub(super) limits: Limits,
}

/// A model: how it is called, and its name at the provider.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) plan: Arc<Plan>,
    pub(super) upstream: String,
}

impl Program {
    /// Reads, checks and compiles the file `name` that holds `text`.
    pub(super) fn read(name: &str, text: &str) -> Result<Self, FileError> {
        let (file, places) = File::read(name, text)?;
        let mut calls = BTreeMap::new();
        for (name, call) in &file.calls {
            let root = format!("calls.{name}");
            let plan = Plan::new(call).map_err(|(key, why)| {
                let key = if key.is_empty() { root.clone() } else { format!("{root}.{key}") };
                places.blame(&key, why)
            })?;
            calls.insert(name.clone(), Arc::new(plan));
        }
        let models = models(&file, &calls, &places)?;
        check_limits(&file.limits, &places)?;
        let errors = Rows::new(&file.refusal, &file.errors).map_err(|(key, why)| places.blame(&key, why))?;
        let File { base_url, key, webhook_secret, headers, variables, limits, .. } = file;
        Ok(Self { base_url, key, webhook_secret, headers, variables, models, calls, errors, limits })
    }
}

fn models(
    file: &File,
    calls: &BTreeMap<String, Arc<Plan>>,
    places: &Places,
) -> Result<BTreeMap<String, Model>, FileError> {
    if file.models.is_empty() {
        return Err(places.blame("models", "names no model; add one, as in `models.NAME = { call = \"…\" }`"));
    }
    let models = file.models.iter().map(|(id, model)| {
        let plan = calls.get(&model.call).ok_or_else(|| {
            let known: Vec<_> = calls.keys().map(|name| format!("`{name}`")).collect();
            let why = format!("there is no call `{}`; the calls here are {}", model.call, known.join(", "));
            places.blame(&format!("models.{id}.call"), why)
        })?;
        let upstream = model.upstream.clone().unwrap_or_else(|| id.clone());
        Ok((id.clone(), Model { plan: Arc::clone(plan), upstream }))
    });
    models.collect()
}

fn check_limits(limits: &Limits, places: &Places) -> Result<(), FileError> {
    let table = [
        ("file_bytes", limits.file_bytes, 1 << 32),
        ("files", limits.files.into(), 256),
        ("reply_bytes", limits.reply_bytes, 1 << 28),
    ];
    for (key, value, most) in table {
        if !(1..=most).contains(&value) {
            let why = format!("{value} is not between 1 and {most}");
            return Err(places.blame(&format!("limits.{key}"), why));
        }
    }
    Ok(())
}
