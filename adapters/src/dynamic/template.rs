//! The language of provider files: Jinja templates, by `minijinja`, for what Dynode sends and for what it reads.
//!
//! A string that is one `{{ expression }}` and nothing else keeps the expression's type; any other is rendered as text.
//! An undefined name is an error, never an empty text. Fuel bounds work and memory, a limit bounds depth.

use std::{collections::BTreeMap, fmt, sync::LazyLock};

use minijinja::{AutoEscape, Environment, Expression, UndefinedBehavior, value::Serde};
use serde_json::{Map, Value};

mod filters;

/// The steps of one rendering; every 64 bytes that it makes cost one too, so this bounds both time and memory (64 MiB).
const FUEL: u64 = 1_000_000;

/// How deep templates may nest. No sensible one comes near.
const DEPTH_MAX: usize = 100;

/// How deep a JSON template may nest.
const NODES_DEEP_MAX: usize = 32;

/// The name of templates whose values are encoded for a URL's path.
const PATH: &str = "path";
/// The name of templates whose values are encoded as JSON.
const DOCUMENT: &str = "document.json";
/// The name of all others.
const PLAIN: &str = "text";

static STRICT: LazyLock<Environment<'static>> = LazyLock::new(|| environment(UndefinedBehavior::Strict));
/// For conditions on errors, whose bodies have many forms: a missing value is false, however deep.
static LENIENT: LazyLock<Environment<'static>> = LazyLock::new(|| environment(UndefinedBehavior::Chainable));

fn environment(undefined: UndefinedBehavior) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(undefined);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEPTH_MAX);
    environment.set_auto_escape_callback(|name| match name {
        PATH => AutoEscape::Custom("path".into()),
        DOCUMENT => AutoEscape::Json,
        _ => AutoEscape::None,
    });
    filters::add(&mut environment);
    environment
}

/// The values that a template sees, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope(BTreeMap<&'static str, minijinja::Value>);

impl Scope {
    /// The same with `name` added, or replaced.
    pub(crate) fn with(&self, name: &'static str, value: &Value) -> Self {
        let mut scope = self.clone();
        scope.0.insert(name, minijinja::Value::from(Serde(value)));
        scope
    }

    /// The same with the value of `name` also under `other`.
    pub(crate) fn copied(&self, name: &str, other: &'static str) -> Self {
        let mut scope = self.clone();
        if let Some(value) = self.0.get(name).cloned() {
            scope.0.insert(other, value);
        }
        scope
    }

    fn value(&self) -> minijinja::Value {
        minijinja::Value::from_pairs(self.0.iter().map(|(name, value)| (*name, value.clone())))
    }
}

/// How a template treats undefined values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// An undefined value is an error.
    Strict,
    /// An undefined value is false, and an empty text.
    Lenient,
}

impl Manner {
    fn environment(self) -> &'static Environment<'static> {
        match self {
            Self::Strict => &STRICT,
            Self::Lenient => &LENIENT,
        }
    }
}

/// A template of text.
#[derive(Debug)]
pub(crate) struct Text {
    source: String,
    name: &'static str,
    manner: Manner,
}

impl Text {
    /// A path: values are percent-encoded, slashes included, unless they are marked as `safe`.
    pub(crate) fn path(source: &str, known: &[&str]) -> Result<Self, String> {
        Self::new(source, PATH, Manner::Strict, known)
    }

    fn new(source: &str, name: &'static str, manner: Manner, known: &[&str]) -> Result<Self, String> {
        let environment = manner.environment();
        let names = {
            let template = environment.template_from_named_str(name, source).map_err(|error| why(&error))?;
            template.undeclared_variables(false)
        };
        check_names(environment, names, known)?;
        Ok(Self { source: source.to_owned(), name, manner })
    }

    /// The text for `scope`.
    pub(crate) fn render(&self, scope: &Scope) -> Result<String, String> {
        let rendered = self.manner.environment().render_named_str(self.name, &self.source, scope.value());
        rendered.map_err(|error| why(&error))
    }
}

/// A template of any JSON value.
pub(crate) struct Json(Node);

enum Node {
    Literal(Value),
    Expression(Box<Expression<'static, 'static>>, Manner),
    Text(Text),
    /// A text that is JSON once rendered: for loops and conditions over the structure itself.
    Document(Text),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Json {
    /// Compiles `source`, whose strings are templates; if the whole is a string but no expression, it is rendered and
    /// read as JSON. Refuses names that are not in `known`.
    pub(crate) fn new(source: &Value, known: &[&str]) -> Result<Self, String> {
        let node = match source {
            Value::String(text) if inner(text).is_none() => {
                Node::Document(Text::new(text, DOCUMENT, Manner::Strict, known)?)
            }
            other => node(other, Manner::Strict, known, 0)?,
        };
        Ok(Self(node))
    }

    /// One value: an expression keeps its type, any other string is text.
    pub(crate) fn value(source: &str, manner: Manner, known: &[&str]) -> Result<Self, String> {
        Ok(Self(leaf(source, manner, known)?))
    }

    /// The value for `scope`. Members and items that are none are left out.
    pub(crate) fn render(&self, scope: &Scope) -> Result<Value, String> {
        render(&self.0, &scope.value())
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Json").finish_non_exhaustive()
    }
}

fn node(source: &Value, manner: Manner, known: &[&str], depth: usize) -> Result<Node, String> {
    if depth > NODES_DEEP_MAX {
        return Err(format!("is nested more than {NODES_DEEP_MAX} deep"));
    }
    let inside = |(key, value): (String, &Value)| match node(value, manner, known, depth + 1) {
        Ok(node) => Ok((key, node)),
        Err(why) => Err(format!("{key}: {why}")),
    };
    Ok(match source {
        Value::String(text) => leaf(text, manner, known)?,
        Value::Array(items) => {
            let items = items.iter().enumerate().map(|(index, item)| inside((index.to_string(), item)));
            Node::List(items.map(|item| item.map(|(_, node)| node)).collect::<Result<_, _>>()?)
        }
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| inside((key.clone(), value)));
            Node::Map(members.collect::<Result<_, _>>()?)
        }
        other => Node::Literal(other.clone()),
    })
}

fn leaf(text: &str, manner: Manner, known: &[&str]) -> Result<Node, String> {
    if !text.contains(['{', '}']) {
        return Ok(Node::Literal(Value::String(text.to_owned())));
    }
    let environment = manner.environment();
    if let Some(source) = inner(text)
        && let Ok(expression) = environment.compile_expression_owned(source.to_owned())
    {
        check_names(environment, expression.undeclared_variables(false), known)?;
        return Ok(Node::Expression(Box::new(expression), manner));
    }
    Text::new(text, PLAIN, manner, known).map(Node::Text)
}

/// The inside of `{{ }}`, if the text is nothing else.
fn inner(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inner.contains("{{") && !inner.contains("}}")).then(|| inner.trim_matches('-').trim())
}

fn render(node: &Node, scope: &minijinja::Value) -> Result<Value, String> {
    let text = |text: &Text| {
        let environment = text.manner.environment();
        environment.render_named_str(text.name, &text.source, scope.clone()).map_err(|error| why(&error))
    };
    match node {
        Node::Literal(value) => Ok(value.clone()),
        Node::Text(template) => text(template).map(Value::String),
        Node::Document(template) => serde_json::from_str(&text(template)?)
            .map_err(|error| format!("what was rendered is not JSON: {error}")),
        Node::Expression(expression, manner) => evaluate(expression, *manner, scope),
        Node::List(items) => {
            let items = items.iter().map(|item| render(item, scope));
            let items: Vec<_> = items.collect::<Result<_, _>>()?;
            Ok(items.into_iter().filter(|item| !item.is_null()).collect())
        }
        Node::Map(members) => {
            let mut map = Map::new();
            for (key, member) in members {
                match render(member, scope).map_err(|why| format!("{key}: {why}"))? {
                    Value::Null => {}
                    value => drop(map.insert(key.clone(), value)),
                }
            }
            Ok(Value::Object(map))
        }
    }
}

fn evaluate(
    expression: &Expression<'static, 'static>,
    manner: Manner,
    scope: &minijinja::Value,
) -> Result<Value, String> {
    let value = expression.eval(scope.clone()).map_err(|error| why(&error))?;
    if value.is_undefined() && manner == Manner::Strict {
        return Err("is undefined; write `| optional` behind what may be missing".to_owned());
    }
    serde_json::to_value(&value).map_err(|error| format!("is no JSON: {error}"))
}

/// Refuses a name that is neither in `known` nor a function of the language: it would never have a value.
fn check_names(
    environment: &Environment<'_>,
    names: impl IntoIterator<Item = String>,
    known: &[&str],
) -> Result<(), String> {
    let is_known =
        |name: &String| known.contains(&name.as_str()) || environment.globals().any(|(have, _)| have == name);
    let mut unknown: Vec<_> = names.into_iter().filter(|name| !is_known(name)).collect();
    unknown.sort();
    match unknown.first() {
        None => Ok(()),
        Some(name) => Err(format!("there is no `{name}` here; use one of {}", known.join(", "))),
    }
}

/// What is wrong; if the file itself refuses, only its words.
pub(crate) fn told(why: &str) -> &str {
    why.split_once(filters::REFUSED).map_or(why, |(_, refusal)| refusal)
}

/// What is wrong, in one line, with the line of the template unless that is the first.
fn why(error: &minijinja::Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line().filter(|line| *line > 1) {
        Some(line) => format!("{what} (in its line {line})"),
        None => what,
    }
}

#[cfg(test)]
mod tests;
