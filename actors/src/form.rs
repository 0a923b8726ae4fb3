//! Judges whether an answer has the form that its request asks for (`response_format`): any, JSON, or JSON by a schema;
//! and makes the one repair that cannot change what an answer means. Pure.
//!
//! A schema sees nothing but itself: nothing outside it is fetched, its patterns match in linear time, and how much
//! work it is to validate an answer is known before.

mod effort;

use jsonschema::{PatternOptions, Validator};
use schemas::{Action, Error};
use serde_json::Value;

/// Where a request names the schema for its answer.
const SCHEMA: &str = "payload.response_format.json_schema.schema";
/// The longest description of a flaw: it goes into an error and back to the model.
const WHY_BYTES_MAX: usize = 400;
/// The most memory of one pattern of a schema, once as it is compiled and once as it is used.
const PATTERN_BYTES_MAX: usize = 128 * 1024;

/// The form that a request asks of its answer.
#[derive(Debug)]
pub(crate) enum Form {
    /// Whatever the model says.
    Any,
    /// A JSON object.
    Object,
    /// JSON that this schema accepts.
    Schema(Box<Schema>),
}

/// A schema, and its compiled validator.
#[derive(Debug)]
pub(crate) struct Schema {
    text: Value,
    validator: Validator,
}

/// A flaw of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// Where, as a JSON pointer; empty: the whole answer.
    pub(crate) path: String,
    /// What.
    pub(crate) why: String,
}

impl Form {
    /// What `payload` asks for; the error names the path of what is wrong with its schema.
    pub(crate) fn of(action: Action, payload: &Value) -> Result<Self, Error> {
        let format = payload.get("response_format").filter(|_| action == Action::ChatCompletion);
        match format.and_then(|format| format.get("type")).and_then(Value::as_str) {
            Some("json_object") => Ok(Self::Object),
            Some("json_schema") => {
                // Without a schema, any JSON will do.
                let schema = payload.pointer("/response_format/json_schema/schema");
                compile(schema.unwrap_or(&Value::Bool(true))).map(|schema| Self::Schema(Box::new(schema)))
            }
            _ => Ok(Self::Any),
        }
    }

    /// Whether the request asks for JSON.
    pub(crate) const fn is_json(&self) -> bool {
        !matches!(self, Self::Any)
    }

    /// Judges a whole answer. `Ok(Some(part))`: only this part of it was asked for, and what surrounds it means
    /// nothing.
    pub(crate) fn read<'t>(&self, text: &'t str) -> Result<Option<&'t str>, Flaw> {
        if !self.is_json() {
            return Ok(None);
        }
        let (value, part) = match (serde_json::from_str::<Value>(text), unwrapped(text)) {
            (Ok(value), _) => (value, None),
            (Err(error), inside) => {
                let inside = inside.and_then(|part| Some((serde_json::from_str(part).ok()?, Some(part))));
                inside.ok_or_else(|| Flaw::whole(&format!("is not JSON: {error}")))?
            }
        };
        self.accepts(&value).map(|()| part)
    }

    fn accepts(&self, value: &Value) -> Result<(), Flaw> {
        match self {
            Self::Object if !value.is_object() => Err(Flaw::whole("is JSON, but no object")),
            Self::Any | Self::Object => Ok(()),
            Self::Schema(schema) if !effort::is_bearable(&schema.text, value) => {
                Err(Flaw::whole("is JSON, and too involved to be held against the schema"))
            }
            Self::Schema(schema) => schema.validator.validate(value).map_err(|error| Flaw {
                path: error.instance_path().to_string(),
                why: shortened(&error.masked_with("it").to_string()).to_owned(),
            }),
        }
    }
}

impl Flaw {
    fn whole(why: &str) -> Self {
        Self { path: String::new(), why: shortened(why).to_owned() }
    }
}

/// Where it is and what it is, in one line.
impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "the answer: {}", self.why),
            path => write!(f, "`{path}`: {}", self.why),
        }
    }
}

/// What is inside a byte order mark, and inside one Markdown fence around the whole, if there is any.
pub(crate) fn unwrapped(text: &str) -> Option<&str> {
    let unmarked = text.strip_prefix('\u{feff}').unwrap_or(text);
    let inside = unfenced(unmarked.trim()).unwrap_or(unmarked);
    (inside.len() < text.len()).then_some(inside)
}

/// What is inside three or more backticks, at most a word, a line end, and as many backticks at the end.
fn unfenced(text: &str) -> Option<&str> {
    let (fence, rest) = text.split_at(text.len() - text.trim_start_matches('`').len());
    let (word, rest) = rest.split_once('\n')?;
    let is_fence = fence.len() >= 3 && word.trim().chars().all(char::is_alphanumeric);
    let inside = rest.strip_suffix(fence).filter(|_| is_fence)?;
    Some(inside.trim())
}

fn compile(schema: &Value) -> Result<Schema, Error> {
    let invalid =
        |pointer: &str, why: &str| Error::invalid(format!("{SCHEMA}{}", dotted(pointer)), shortened(why));
    if let Some((pointer, why)) = effort::objection(schema) {
        return Err(invalid(&pointer, &why));
    }
    let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
    let options = jsonschema::options().with_pattern_options(patterns).offline();
    let validator = options.build(schema);
    let validator = validator
        .map_err(|error| invalid(error.instance_path().as_str(), &error.masked_with("it").to_string()))?;
    Ok(Schema { text: schema.clone(), validator })
}

/// A JSON pointer as a path: `/a/0/b` is `.a[0].b`.
fn dotted(pointer: &str) -> String {
    let of = |name: &str| match name.bytes().all(|byte| byte.is_ascii_digit()) {
        true => format!("[{name}]"),
        false => format!(".{name}"),
    };
    pointer.split('/').skip(1).map(of).collect()
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(WHY_BYTES_MAX.min(text.len()))]
}

#[cfg(test)]
mod tests;
