//! Builds the OpenAPI 3.1 document of the HTTP doors from the table of routes and the types of their messages.
//!
//! A route cannot exist without a description: [`Table`] builds both the router and the document. The schemas come from
//! `schemars`, as do those of `dynode schema`. Descriptions are for people and for models that choose a tool by them:
//! imperative and short. The lint beside this file holds every operation to that.

mod content;
mod document;
mod headers;
mod operation;
mod table;

pub(crate) mod describe;

#[cfg(test)]
mod lint;

use serde_json::{Map, Value, json};

use crate::router::{self, Side};

pub(crate) use operation::Operation;
pub(crate) use table::Table;

/// The paths of one side, by the lower-case name of their group.
pub(crate) fn index(side: Side) -> Map<String, Value> {
    let mut groups = Map::new();
    for row in router::table(side).rows {
        let group = groups.entry((row.described)().tag.name().to_lowercase()).or_insert_with(|| json!([]));
        let path = Value::from(row.path.replace("{*", "{"));
        if let Some(paths) = group.as_array_mut().filter(|paths| !paths.contains(&path)) {
            paths.push(path);
        }
    }
    groups
}

/// The document, as `GET /openapi.json` answers it.
pub fn openapi() -> Value {
    document::of(&router::table(Side::Both).rows)
}
