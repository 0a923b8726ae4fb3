//! Describes bodies for the document: a media type, a schema, an example.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

pub(crate) const JSON: &str = "application/json";
pub(crate) const MESSAGE_PACK: &str = "application/msgpack";
pub(crate) const EVENT_STREAM: &str = "text/event-stream";
pub(crate) const TEXT: &str = "text/plain";
pub(crate) const HTML: &str = "text/html";

/// Makes the schema of a type.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A body in one of its formats.
#[derive(Debug)]
pub(crate) struct Content {
    media_type: &'static str,
    form: Form,
    example: Option<Value>,
}

#[derive(Debug)]
enum Form {
    /// A value of this schema.
    Value(SchemaOf),
    /// Server-sent events, each with data of this schema.
    Events(SchemaOf),
    /// Bytes, or text without a schema.
    Raw,
}

impl Content {
    pub(super) fn of<T: JsonSchema>(media_type: &'static str, example: Option<Value>) -> Self {
        Self { media_type, form: Form::Value(SchemaGenerator::subschema_for::<T>), example }
    }

    pub(super) fn events<T: JsonSchema>(example: &str) -> Self {
        let form = Form::Events(SchemaGenerator::subschema_for::<T>);
        Self { media_type: EVENT_STREAM, form, example: Some(example.into()) }
    }

    pub(super) const fn raw(media_type: &'static str) -> Self {
        Self { media_type, form: Form::Raw, example: None }
    }

    /// The media type object. OpenAPI 3.1 cannot describe the items of a stream: an extension holds the schema of their
    /// data, and the stream itself has no schema.
    fn object(&self, schemas: &mut SchemaGenerator) -> Value {
        let mut object = match self.form {
            Form::Value(schema) => json!({ "schema": schema(schemas) }),
            Form::Events(schema) => json!({ "x-event-schema": schema(schemas) }),
            // In OpenAPI 3.1 bytes have no schema.
            Form::Raw => json!({}),
        };
        if let Some(example) = &self.example {
            object["example"] = example.clone();
        }
        object
    }
}

/// The `content` of a body or of an answer.
pub(super) fn objects(contents: &[Content], schemas: &mut SchemaGenerator) -> Value {
    let object = |content: &Content| (content.media_type.to_owned(), content.object(schemas));
    Value::Object(contents.iter().map(object).collect::<Map<_, _>>())
}
