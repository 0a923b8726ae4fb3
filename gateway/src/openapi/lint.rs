//! Lints the document: every operation has a name, texts, types and examples that hold. No route can be added without.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Map, Value, json};

use super::{document, openapi, operation::Tag};
use crate::router;

/// The verbs with which summaries begin. A new operation may add its own.
const VERBS: [&str; 25] = [
    "Answer", "Ask", "Browse", "Cancel", "Drop", "Estimate", "Follow", "Forget", "Hand", "List", "Look",
    "Make", "Open", "Probe", "Rate", "Read", "Replace", "Revoke", "Run", "See", "Send", "Speak", "Sum",
    "Tell", "Turn",
];
/// The longest name that models accept for a tool, less room for the prefixes of frameworks.
const ID_CHARS_MAX: usize = 56;
const SUMMARY_CHARS_MAX: usize = 60;
/// The longest description that every provider takes for a tool.
const DESCRIPTION_CHARS_MAX: usize = 1_024;

/// Every operation with its method and path.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let of_path = |(path, item): (&String, &'_ Value)| {
        let name = |method: &String| format!("{method} {path}");
        item.as_object().unwrap().iter().map(|(method, _)| name(method)).collect::<Vec<_>>()
    };
    let paths = document["paths"].as_object().unwrap();
    let find = |name: String| {
        let (method, path) = name.split_once(' ').unwrap();
        let operation = &paths[path][method];
        (name.clone(), operation)
    };
    paths.iter().flat_map(of_path).map(find).collect()
}

fn assert_none(what: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{what}:\n  {}", offenders.join("\n  "));
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

#[test]
fn every_operation_has_a_name_that_tools_can_bear() {
    let document = openapi();
    let mut names = BTreeSet::new();
    for (at, operation) in operations(&document) {
        let id = text(operation, "operationId");
        let is_snake = id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let is_good = is_snake && id.starts_with(|c: char| c.is_ascii_lowercase()) && !id.contains("__");
        assert!(is_good && id.len() <= ID_CHARS_MAX, "{at}: operationId `{id}`");
        assert!(names.insert(id), "{at}: `{id}` is taken");
    }
}

#[test]
fn every_operation_says_what_it_is_for() {
    let document = openapi();
    let tags: BTreeSet<_> = Tag::ALL.map(|(tag, ..)| tag.name()).into();
    let mut wrong = Vec::new();
    for (at, operation) in operations(&document) {
        let (summary, description) = (text(operation, "summary"), text(operation, "description"));
        let verb = summary.split(' ').next().unwrap_or_default();
        if !VERBS.contains(&verb) || summary.chars().count() > SUMMARY_CHARS_MAX || summary.ends_with('.') {
            wrong.push(format!("{at}: a summary is short, begins with a verb and has no stop: `{summary}`"));
        }
        let length = description.chars().count();
        if length <= summary.chars().count() || length > DESCRIPTION_CHARS_MAX || !description.ends_with('.')
        {
            wrong.push(format!("{at}: a description is whole sentences and says more: `{description}`"));
        }
        if !operation["tags"]
            .as_array()
            .is_some_and(|own| own.iter().all(|tag| tags.contains(tag.as_str().unwrap())))
        {
            wrong.push(format!("{at}: {}", operation["tags"]));
        }
        let answers = operation["responses"].as_object().unwrap();
        if !answers.keys().any(|status| status.starts_with(['1', '2'])) {
            wrong.push(format!("{at}: no answer is a success"));
        }
    }
    assert_none("mend what is said", &wrong);
}

#[test]
fn every_parameter_is_described_and_stands_in_its_path() {
    let document = openapi();
    for (at, operation) in operations(&document) {
        let path = at.split_once(' ').unwrap().1;
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let mut seen = BTreeSet::new();
        for parameter in &parameters {
            let name = text(parameter, "name");
            assert!(text(parameter, "description").ends_with('.'), "{at}: {parameter}");
            assert!(!parameter["schema"].is_null(), "{at}: {parameter}");
            assert!(seen.insert((name, text(parameter, "in"))), "{at}: `{name}` twice");
            let credentials = ["authorization", "x-api-key", "cookie", "content-type", "accept"];
            assert!(
                !credentials.contains(&name.to_ascii_lowercase().as_str()),
                "{at}: `{name}` is not for callers to say"
            );
        }
        let named: BTreeSet<_> = path.split(['{', '}']).skip(1).step_by(2).collect();
        let in_path = seen.iter().filter(|(_, place)| *place == "path").map(|(name, _)| *name);
        assert_eq!(in_path.collect::<BTreeSet<_>>(), named, "{at}");
    }
}

/// Calls `visit` for every value below `value`, with its JSON pointer.
fn walk<'a>(value: &'a Value, pointer: &str, visit: &mut impl FnMut(&str, &'a Value)) {
    visit(pointer, value);
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| walk(field, &format!("{pointer}/{name}"), visit));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| walk(item, &format!("{pointer}/{index}"), visit));
        }
        _ => {}
    }
}

#[test]
fn every_field_is_described() {
    let document = openapi();
    let mut silent = Vec::new();
    walk(&document["components"]["schemas"], "", &mut |pointer, value| {
        let Some(fields) = value.get("properties").and_then(Value::as_object) else { return };
        // The description of a tagged variant covers its content.
        let is_variant = !text(value, "description").is_empty()
            && fields.values().any(|field| field.get("const").is_some());
        let says_nothing = |(name, field): &(&String, &Value)| {
            let is_held = is_variant && *name == "content";
            text(field, "description").is_empty() && field.get("const").is_none() && !is_held
        };
        silent.extend(fields.iter().filter(says_nothing).map(|(name, _)| format!("{pointer}: `{name}`")));
    });
    assert_none("describe these fields", &silent);
}

#[test]
fn every_reference_leads_somewhere() {
    let document = openapi();
    let mut dangling = Vec::new();
    walk(&document, "", &mut |pointer, value| {
        if let Some(target) = value.get("$ref").and_then(Value::as_str)
            && target.strip_prefix('#').and_then(|target| document.pointer(target)).is_none()
        {
            dangling.push(format!("{pointer}: {target}"));
        }
    });
    assert_none("these lead nowhere", &dangling);
}

#[test]
fn one_name_is_one_schema() {
    let (_, schemas) = document::paths(&router::table(router::Side::Both).rows);
    let ambiguous: Vec<_> = schemas.ambiguous().into_iter().cloned().collect();
    assert_none("taken and given differ: give one of them another name", &ambiguous);
}

/// `schema` with everything that it refers to.
fn standalone(document: &Value, schema: &Value) -> Value {
    json!({ "allOf": [schema], "components": document["components"] })
}

fn check_example(document: &Value, at: &str, schema: &Value, example: &Value) {
    let validator = jsonschema::draft202012::new(&standalone(document, schema)).unwrap();
    let errors: Vec<_> = validator.iter_errors(example).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{at}: the example is none: {errors:?}\n{example:#}");
}

fn check_content(document: &Value, at: &str, content: &Map<String, Value>) {
    for (kind, media) in content {
        let Some(example) = media.get("example") else {
            let has_none =
                ["application/msgpack", "*/*", "audio/*", "text/plain", "text/html"].contains(&kind.as_str());
            assert!(has_none, "{at}: {kind} has no example");
            continue;
        };
        let Some(of_event) = media.get("x-event-schema") else {
            check_example(document, at, &media["schema"], example);
            continue;
        };
        let data = example.as_str().unwrap().lines().filter_map(|line| line.strip_prefix("data: "));
        for event in data.filter(|data| *data != "[DONE]") {
            check_example(document, at, of_event, &serde_json::from_str(event).unwrap());
        }
    }
}

#[test]
fn every_example_is_one() {
    let document = openapi();
    for (at, operation) in operations(&document) {
        if let Some(content) = operation["requestBody"]["content"].as_object() {
            check_content(&document, &at, content);
        }
        for (status, answer) in operation["responses"].as_object().unwrap() {
            let target = answer.get("$ref").and_then(Value::as_str);
            let answer = target.map_or(answer, |target| document.pointer(&target[1..]).unwrap());
            if let Some(content) = answer.get("content").and_then(Value::as_object) {
                check_content(&document, &format!("{at} {status}"), content);
            }
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let is_text =
                parameter["schema"]["type"] == "string" || parameter["schema"].get("$ref").is_some();
            if let Some(example) = parameter.get("example").filter(|_| is_text) {
                check_example(&document, &at, &parameter["schema"], example);
            }
        }
    }
}

/// A route that is added elsewhere would be missing from the document.
#[test]
fn routes_are_added_in_the_table_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs")
                && fs::read_to_string(&path).unwrap().contains(concat!(".rou", "te("))
            {
                found.push(path.strip_prefix(&root).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    assert_eq!(found, ["openapi/table.rs", "standby.rs"], "add routes to `router::table`");
}
