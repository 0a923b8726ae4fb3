//! Computes beforehand how much work it is to hold a value against a schema. A schema of a few lines can ask for more
//! than a machine does in a year, or lead back to itself for ever; its sender must not stop others' work. Pure.

use std::{collections::HashMap, ptr};

use serde_json::{Map, Value};

/// The most times that a part of a schema is held against a part of a value: some tenths of a second.
const EVALUATIONS_MAX: u64 = 500_000;
/// The deepest nesting of these: each level takes room on the stack.
const DEPTH_MAX: usize = 256;

/// Keywords that hold the same value against other schemas: a list of them, a single one, or one per name.
const LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const SINGLES: [&str; 4] = ["not", "if", "then", "else"];
const BY_NAME: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Keywords that hold each member of an object, or each item of an array, against a schema.
const OF_MEMBERS: [&str; 2] = ["additionalProperties", "unevaluatedProperties"];
const OF_ITEMS: [&str; 4] = ["items", "additionalItems", "unevaluatedItems", "contains"];
/// Keywords whose schemas are held against the items one by one.
const OF_PLACES: [&str; 2] = ["items", "prefixItems"];
/// Keywords that look at everything twice.
const UNEVALUATED: [&str; 2] = ["unevaluatedProperties", "unevaluatedItems"];
/// Keywords whose target only a run can tell, and those that change what references are relative to.
const UNTRACEABLE: [&str; 3] = ["$dynamicRef", "$recursiveRef", "$id"];
/// Keywords whose values are checked one by one.
const LOOKED_THROUGH: [&str; 2] = ["enum", "required"];
/// The most patterns of a schema: each takes time and memory to compile.
const PATTERNS_MAX: usize = 64;

/// What it costs to hold a part of a schema against a part of a value.
#[derive(Debug, Clone, Copy)]
struct Cost {
    evaluations: u64,
    height: usize,
}

struct Effort<'a> {
    root: &'a Value,
    known: HashMap<(*const Value, *const Value), Cost>,
    patterns: usize,
}

/// Whether `value` can be held against `schema` in a reasonable time.
pub(super) fn is_bearable(schema: &Value, value: &Value) -> bool {
    Effort::new(schema).of(schema, value, 0).is_some()
}

/// What makes the effort of `schema` unknown, or too great for any value: where, as a JSON pointer, and why.
pub(super) fn objection(schema: &Value) -> Option<(String, String)> {
    Effort::new(schema).objection(schema, String::new())
}

impl<'a> Effort<'a> {
    fn new(root: &'a Value) -> Self {
        Self { root, known: HashMap::new(), patterns: 0 }
    }

    /// Checks every part as if it were a schema, values and names too: a reference may lead anywhere.
    fn objection(&mut self, part: &'a Value, path: String) -> Option<(String, String)> {
        let at = |name: &str| format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
        match part {
            Value::Array(items) => items
                .iter()
                .enumerate()
                .find_map(|(index, item)| self.objection(item, at(&index.to_string()))),
            Value::Object(keywords) => {
                let reference = keywords.get("$ref").and_then(Value::as_str);
                if let Some(reference) = reference.filter(|reference| self.target(reference).is_none()) {
                    let why = format!(
                        "`{reference}` points to nothing in this schema; write `#`, or `#/` and the path, without percent signs"
                    );
                    return Some((at("$ref"), why));
                }
                let is_root = path.is_empty();
                let untraceable = UNTRACEABLE.iter().find(|name| {
                    keywords.get(**name).is_some_and(Value::is_string) && !(is_root && **name == "$id")
                });
                if let Some(name) = untraceable {
                    return Some((
                        at(name),
                        "is not supported; refer to places in the schema with `$ref`".to_owned(),
                    ));
                }
                let by_name =
                    keywords.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
                self.patterns += by_name + usize::from(keywords.get("pattern").is_some_and(Value::is_string));
                if self.patterns > PATTERNS_MAX {
                    return Some((path, format!("is one of more than {PATTERNS_MAX} patterns")));
                }
                if self.of(part, &Value::Null, 0).is_none() {
                    return Some((path, "leads back to itself, or nests too deep".to_owned()));
                }
                keywords.iter().find_map(|(name, part)| self.objection(part, at(name)))
            }
            _ => None,
        }
    }

    /// What it costs to hold `value` against `schema`; `None` if that is too much.
    fn of(&mut self, schema: &'a Value, value: &Value, depth: usize) -> Option<Cost> {
        let Value::Object(keywords) = schema else { return Some(Cost { evaluations: 1, height: 1 }) };
        let key = (ptr::from_ref(schema), ptr::from_ref(value));
        if let Some(known) = self.known.get(&key) {
            return (depth + known.height <= DEPTH_MAX).then_some(*known);
        }
        if depth >= DEPTH_MAX {
            return None;
        }
        let lists = LOOKED_THROUGH.iter().filter_map(|name| keywords.get(*name)?.as_array());
        let listed: usize = lists.map(Vec::len).sum();
        let mut cost = Cost { evaluations: 1 + listed as u64, height: 0 };
        let same = self.of_the_same(keywords).into_iter().map(|schema| (schema, value));
        for (schema, value) in same.chain(of_parts(keywords, value)) {
            let inner = self.of(schema, value, depth + 1)?;
            cost.evaluations += inner.evaluations;
            cost.height = cost.height.max(inner.height);
            if cost.evaluations > EVALUATIONS_MAX {
                return None;
            }
        }
        cost.height += 1;
        if UNEVALUATED.iter().any(|name| keywords.contains_key(*name)) {
            cost.evaluations *= 2;
        }
        self.known.insert(key, cost);
        (cost.evaluations <= EVALUATIONS_MAX && self.known.len() as u64 <= EVALUATIONS_MAX).then_some(cost)
    }

    /// The schemas that the same value is held against.
    fn of_the_same(&self, keywords: &'a Map<String, Value>) -> Vec<&'a Value> {
        let lists = LISTS.iter().filter_map(|name| keywords.get(*name)?.as_array()).flatten();
        let singles = SINGLES.iter().filter_map(|name| keywords.get(*name));
        let by_name = BY_NAME.iter().filter_map(|name| keywords.get(*name)?.as_object());
        let referred = keywords.get("$ref").and_then(Value::as_str).and_then(|to| self.target(to));
        lists.chain(singles).chain(by_name.flat_map(Map::values)).chain(referred).collect()
    }

    fn target(&self, reference: &str) -> Option<&'a Value> {
        let pointer = reference.strip_prefix('#').filter(|pointer| !pointer.contains('%'))?;
        self.root.pointer(pointer)
    }
}

/// The parts of `value`, each with a schema that it is held against. Every pattern is assumed to match every name.
fn of_parts<'a, 'v>(keywords: &'a Map<String, Value>, value: &'v Value) -> Vec<(&'a Value, &'v Value)> {
    let mut parts = Vec::new();
    match value {
        Value::Object(members) => {
            let named = keywords.get("properties").and_then(Value::as_object);
            let patterns = keywords.get("patternProperties").and_then(Value::as_object);
            let of_each = || OF_MEMBERS.iter().filter_map(|name| keywords.get(*name));
            for (name, member) in members {
                let own = named.and_then(|named| named.get(name));
                let matched = patterns.into_iter().flat_map(Map::values);
                parts.extend(own.into_iter().chain(matched).chain(of_each()).map(|schema| (schema, member)));
                parts.extend(keywords.get("propertyNames").map(|schema| (schema, value)));
            }
        }
        Value::Array(items) => {
            let of_each = || OF_ITEMS.iter().filter_map(|name| keywords.get(*name));
            let of_places = || OF_PLACES.iter().filter_map(|name| keywords.get(*name)?.as_array());
            for (index, item) in items.iter().enumerate() {
                let placed = of_places().filter_map(|places| places.get(index));
                parts.extend(of_each().chain(placed).map(|schema| (schema, item)));
            }
        }
        _ => {}
    }
    parts
}
