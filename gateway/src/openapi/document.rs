//! Builds the document from the rows of the table.

use axum::http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, schema_for};
use schemas::{
    ErrorCode,
    error::{self, TABLE},
};
use serde_json::{Map, Value, json};

use super::{
    content::{self, JSON},
    headers::{self, Header},
    operation::{Answer, Operation, PathParameter, Tag},
    table::Row,
};
use crate::refusal::ErrorBody;

/// The schemas of types: for input they say what may be left out, for output what is always there.
pub(super) struct Schemas {
    taken: SchemaGenerator,
    given: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12()
                .with(|settings| settings.definitions_path = "/components/schemas".into())
        };
        Self {
            taken: settings().for_deserialize().into_generator(),
            given: settings().for_serialize().into_generator(),
        }
    }

    /// All schemas by name. The lint ensures that one name is one schema.
    fn components(mut self) -> Map<String, Value> {
        let mut all = self.given.take_definitions(true);
        for (name, schema) in self.taken.take_definitions(true) {
            all.entry(name).or_insert(schema);
        }
        all
    }

    /// The names that stand for different schemas in input and output.
    #[cfg(test)]
    pub(super) fn ambiguous(&self) -> Vec<&String> {
        let given = self.given.definitions();
        let differs =
            |(name, schema): &(&String, &Value)| given.get(*name).is_some_and(|other| other != *schema);
        self.taken.definitions().iter().filter(differs).map(|(name, _)| name).collect()
    }
}

/// The whole document.
pub(super) fn of(rows: &[Row]) -> Value {
    let (paths, mut schemas) = paths(rows);
    let responses = responses(&mut schemas);
    json!({
        "openapi": "3.1.1",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": info(),
        "servers": [{ "url": "/", "description": "This server" }],
        "tags": Tag::ALL.map(|(_, name, description)| json!({ "name": name, "description": description })),
        "security": [{ "bearer": [] }, { "api_key": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas.components(),
            "responses": responses,
            "securitySchemes": security_schemes(),
        },
    })
}

/// Every path with its operations, and the schemas that they use.
pub(super) fn paths(rows: &[Row]) -> (Map<String, Value>, Schemas) {
    let (mut paths, mut schemas) = (Map::new(), Schemas::new());
    for (order, row) in rows.iter().enumerate() {
        // A parameter that matches the rest of the path is described like any other.
        let path = row.path.replace("{*", "{");
        let mut operation = operation(&(row.described)(), &mut schemas);
        // The keys of an object have no order; the page shows operations in the order of the table.
        operation["x-order"] = order.into();
        let item = paths.entry(path).or_insert_with(|| json!({}));
        item[row.method] = operation;
    }
    (paths, schemas)
}

fn info() -> Value {
    json!({
        "title": "Dynode",
        "version": env!("CARGO_PKG_VERSION"),
        "summary": "Run AI work on your own machines, and lose none of it.",
        "description": "A self-hosted execution engine for AI work. The HTTP API is a thin wrapper over the same path \
            as the WebSocket at `/ws`. Point an OpenAI SDK at this server by its base URL, or hand requests in \
            natively and read their outcomes. Every answer carries `x-request-id`; every error is \
            `{\"error\":{\"message\",\"type\",\"param\",\"code\"}}`. Ignore unknown fields in answers: later versions \
            may add some.",
        "license": { "name": "MIT", "identifier": "MIT" },
    })
}

fn security_schemes() -> Value {
    json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key, as the OpenAI SDKs send it: `Authorization: Bearer dyn_live_…`. A server without \
                keys asks for none.",
        },
        "api_key": {
            "type": "apiKey",
            "in": "header",
            "name": "x-api-key",
            "description": "The same key, as the Anthropic SDKs send it.",
        },
    })
}

fn operation(operation: &Operation, schemas: &mut Schemas) -> Value {
    let mut object = json!({
        "operationId": operation.id,
        "tags": [operation.tag.name()],
        "summary": operation.summary,
        "description": operation.description,
        "responses": answers(operation, schemas),
    });
    let parameters = parameters(operation, &mut schemas.taken);
    if !parameters.is_empty() {
        object["parameters"] = parameters.into();
    }
    if !operation.body.is_empty() {
        let content = content::objects(&operation.body, &mut schemas.taken);
        object["requestBody"] = json!({ "required": true, "content": content });
    }
    if operation.is_open {
        object["security"] = json!([]);
    }
    object
}

fn parameters(operation: &Operation, schemas: &mut SchemaGenerator) -> Vec<Value> {
    let in_path = |path: &PathParameter| {
        let PathParameter { name, description, schema, example } = path;
        json!({
            "name": name, "in": "path", "required": true, "description": description,
            "schema": schema(schemas), "example": example,
        })
    };
    let mut all: Vec<_> = operation.paths.iter().map(in_path).collect();
    for query in &operation.queries {
        all.extend(in_query(query(schemas)));
    }
    all.extend(operation.headers.iter().map(|header| {
        let Header { name, description, schema, example } = header;
        json!({
            "name": name, "in": "header", "description": description, "schema": schema(schemas), "example": example,
        })
    }));
    all
}

/// Makes each field of a schema a parameter.
fn in_query(schema: Schema) -> Vec<Value> {
    let mut schema = schema.to_value();
    let required = schema["required"].take();
    let Value::Object(fields) = schema["properties"].take() else { return Vec::new() };
    let parameter = |(name, mut field): (String, Value)| {
        let is_required = required.as_array().is_some_and(|names| names.contains(&json!(name)));
        let description = field.as_object_mut().and_then(|field| field.remove("description"));
        // An absent parameter is left out: a query cannot express null.
        if let Some(kinds) = field["type"].as_array() {
            field["type"] = kinds.iter().find(|kind| *kind != "null").cloned().unwrap_or_default();
        }
        json!({ "name": name, "in": "query", "required": is_required, "description": description, "schema": field })
    };
    fields.into_iter().map(parameter).collect()
}

fn answers(operation: &Operation, schemas: &mut Schemas) -> Map<String, Value> {
    let mut all: Map<String, Value> = operation
        .answers
        .iter()
        .map(|answer| (answer.status.to_string(), given(answer, &mut schemas.given)))
        .collect();
    if operation.tag == Tag::Anthropic {
        all.extend(in_anthropics_words(operation, schemas));
        return all;
    }
    for status in operation.all_refusals() {
        let reference = format!("#/components/responses/{}", response_name(status));
        all.insert(status.as_str().to_owned(), json!({ "$ref": reference }));
    }
    all
}

/// The refusals of Anthropic's API, which has its own format and statuses.
fn in_anthropics_words(operation: &Operation, schemas: &mut Schemas) -> Map<String, Value> {
    let refusals = operation.all_refusals();
    let may_come = |row: &&error::Row| refusals.iter().any(|status| status.as_u16() == row.http_status);
    let mut all = Map::new();
    for row in TABLE.iter().filter(may_come) {
        let refused = all.entry(row.anthropic_status.to_string()).or_insert_with(|| {
            let error = json!({
                "type": row.anthropic_type, "message": "What is wrong, and how to mend it.", "details": { "error_code": row.name },
            });
            let example = json!({ "type": "error", "error": error, "request_id": "req-123" });
            let schema = schemas.given.subschema_for::<AnthropicError>();
            json!({
                "description": "",
                "headers": told_headers([&headers::REQUEST_ID, &headers::SHOULD_RETRY].into_iter(), &mut schemas.given),
                "content": { JSON: { "schema": schema, "example": example } },
            })
        });
        let said = refused["description"].as_str().unwrap_or_default();
        refused["description"] = format!("{said} {}", meaning(row.code)).trim().into();
    }
    all
}

/// An error in Anthropic's API.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct AnthropicError {
    /// The object type.
    #[schemars(extend("const" = "error"))]
    r#type: String,
    /// The type, message and details of the error.
    error: Value,
    /// The id of the request.
    request_id: Option<String>,
}

fn given(answer: &Answer, schemas: &mut SchemaGenerator) -> Value {
    let mut object = json!({ "description": answer.description });
    let told = answer.headers.iter().chain([&headers::REQUEST_ID]);
    object["headers"] = told_headers(told, schemas);
    if !answer.content.is_empty() {
        object["content"] = content::objects(&answer.content, schemas);
    }
    object
}

fn told_headers<'a>(headers: impl Iterator<Item = &'a Header>, schemas: &mut SchemaGenerator) -> Value {
    let header = |header: &Header| {
        let object = json!({ "description": header.description, "schema": (header.schema)(schemas) });
        (header.name.to_owned(), object)
    };
    Value::Object(headers.map(header).collect())
}

/// Every refusal in the table of errors, by its status.
fn responses(schemas: &mut Schemas) -> Map<String, Value> {
    let mut statuses: Vec<_> =
        TABLE.iter().filter_map(|row| StatusCode::from_u16(row.http_status).ok()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    statuses.into_iter().map(|status| (response_name(status), response(status, &mut schemas.given))).collect()
}

fn response(status: StatusCode, schemas: &mut SchemaGenerator) -> Value {
    let codes: Vec<_> = TABLE.iter().filter(|row| row.http_status == status.as_u16()).collect();
    let description = codes.iter().map(|row| meaning(row.code)).collect::<Vec<_>>().join(" ");
    let (code, kind) = codes.first().map_or(("", ""), |row| (row.name, row.openai_type));
    let mut told = vec![&headers::REQUEST_ID, &headers::SHOULD_RETRY];
    if matches!(status.as_u16(), 429 | 500 | 503) {
        told.extend([&headers::RETRY_AFTER, &headers::RETRY_AFTER_MS, &headers::ESTIMATED_WAIT]);
    }
    let example = json!({ "error": { "message": "What is wrong, and how to mend it.", "type": kind, "param": null, "code": code } });
    json!({
        "description": description,
        "headers": told_headers(told.into_iter(), schemas),
        "content": { JSON: { "schema": schemas.subschema_for::<ErrorBody<'_>>(), "example": example } },
    })
}

/// `code: what it means`, from the documentation of the type.
fn meaning(code: ErrorCode) -> String {
    let variants = schema_for!(ErrorCode).to_value();
    let is_it = |variant: &&Value| variant["const"] == code.as_str();
    let described = variants["oneOf"].as_array().and_then(|variants| variants.iter().find(is_it));
    let why = described.and_then(|variant| variant["description"].as_str()).unwrap_or_default();
    format!("`{code}`: {why}")
}

/// The name of a refusal among the components, such as `TooManyRequests`.
fn response_name(status: StatusCode) -> String {
    match status.as_u16() {
        499 => "Cancelled".to_owned(),
        _ => status.canonical_reason().unwrap_or("Refused").replace([' ', '-', '\''], ""),
    }
}
