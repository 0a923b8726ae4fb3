//! The OpenAPI 3.1 document of the HTTP doors, made from the table of routes and from the types that travel.
//!
//! A route is added with its description or not at all: [`Table`] makes both the router and the document, and the schemas are
//! those of `schemars`, by which `dynode schema` speaks too. Descriptions are written for people and for models that pick
//! a tool by them: imperative and short. The lint beside this file holds every operation to that.

mod content;
mod document;
mod headers;
mod operation;
mod table;

pub(crate) mod describe;

#[cfg(test)]
mod lint;

use serde_json::{Map, Value, json};

pub(crate) use operation::Operation;
pub(crate) use table::Table;

/// The paths of every group, by its name in small letters.
pub(crate) fn index() -> Map<String, Value> {
    let mut groups = Map::new();
    for row in crate::router::table().rows {
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
    document::of(&crate::router::table().rows)
}
