use proptest::prelude::*;
use serde_json::json;

use super::*;

fn form(format: Value) -> Result<Form, Error> {
    Form::of(Action::ChatCompletion, &json!({"response_format": format}))
}

fn by_schema(schema: Value) -> Result<Form, Error> {
    form(json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}))
}

/// Any JSON, its strings of everything that could be taken for a fence.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[`\\n\u{feff}a\" {}]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let name = "[`a\\n]{0,3}";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    /// What surrounds an answer is taken off without a change of what it says.
    #[test]
    fn a_repair_never_changes_the_value(
        value in any_json(),
        pretty in any::<bool>(),
        marked in any::<bool>(),
        ticks in 3..6_usize,
        word in "(json|JSON|js5)?",
        space in "[ \\n]{0,3}",
    ) {
        let plain = if pretty { format!("{value:#}") } else { value.to_string() };
        let (mark, fence) = (if marked { "\u{feff}" } else { "" }, "`".repeat(ticks));
        let any = by_schema(json!(true)).unwrap();
        prop_assert_eq!(any.read(&plain), Ok(None), "what needs no repair gets none");
        let spaced = format!("{space}{plain}{space}");
        prop_assert_eq!(any.read(&spaced), Ok(None));
        let wrapped = format!("{mark}{space}{fence}{word}\n{space}{plain}\n{fence}{space}");
        let part = any.read(&wrapped).unwrap().unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(part).unwrap(), value);
        prop_assert!(wrapped.contains(part));
    }

    /// Whatever is said: what is taken out of it is JSON, and nothing that was left says anything.
    #[test]
    fn only_what_means_nothing_is_left_out(text in "[`json\\n{}\\[\\]\":1,a \u{feff}]{0,40}") {
        let any = by_schema(json!(true)).unwrap();
        if let Ok(Some(part)) = any.read(&text) {
            prop_assert!(serde_json::from_str::<Value>(part).is_ok());
            let (before, after) = text.split_once(part).unwrap();
            prop_assert!(before.chars().all(|c| c.is_alphanumeric() || "`\n \u{feff}".contains(c)), "{before:?}");
            prop_assert!(after.chars().all(|c| "`\n ".contains(c)), "{after:?}");
        }
    }
}

#[test]
fn text_around_a_value_is_no_fence_and_is_left_alone() {
    let object = form(json!({"type": "json_object"})).unwrap();
    for text in [
        "Here you are: {\"a\":1}",
        "{\"a\":1} I hope this helps.",
        "Sure!\n```json\n{\"a\":1}\n```",
        "```json\n{\"a\":1}\n```\nAnything else?",
        "```json\n{\"a\":1}\n```\n```json\n{\"a\":2}\n```",
        "`{\"a\":1}`",
        "```json {\"a\":1}```",
        "````\n{\"a\":1}\n```",
        "{\"a\":1",
        "{'a':1}",
        "",
    ] {
        assert!(object.read(text).is_err_and(|flaw| flaw.why.starts_with("is not JSON")), "{text}");
    }
    assert_eq!(object.read("[1]").unwrap_err().why, "is JSON, but no object");
    assert_eq!(object.read("```\n{\"a\":1}```"), Ok(Some("{\"a\":1}")));
}

#[test]
fn an_answer_is_held_against_the_schema_and_the_place_of_its_fault_is_told() {
    let schema = json!({
        "type": "object",
        "properties": {"items": {"type": "array", "items": {"$ref": "#/$defs/item"}}},
        "required": ["items"],
        "$defs": {"item": {"type": "object", "properties": {"price": {"type": "number"}}, "additionalProperties": false}},
    });
    let form = by_schema(schema).unwrap();
    assert_eq!(form.read(r#"{"items":[{"price":1.5},{}]}"#), Ok(None));
    let rows = [
        (r#"{"items":[{},{"price":"1.5"}]}"#, "/items/1/price", "it is not of type \"number\""),
        (r#"{"items":[{"prize":1}]}"#, "/items/0", "'prize' was unexpected"),
        ("{}", "", "\"items\" is a required property"),
        ("```json\n{}\n```", "", "\"items\" is a required property"),
    ];
    for (text, path, why) in rows {
        let flaw = form.read(text).unwrap_err();
        assert_eq!(flaw.path, path, "{flaw}");
        assert!(flaw.why.contains(why), "{flaw}");
    }
}

#[test]
fn a_schema_that_is_none_is_refused_by_its_path() {
    let at = |schema: Value| by_schema(schema).unwrap_err().param.unwrap();
    assert_eq!(at(json!({"type": "objekt"})), format!("{SCHEMA}.type"));
    let nested = json!({"anyOf": [{"type": "string"}, {"properties": {"a": {"minimum": "1"}}}]});
    assert_eq!(at(nested), format!("{SCHEMA}.anyOf[1].properties.a.minimum"));
    assert!(at(json!({"pattern": "("})).starts_with(SCHEMA));
    assert_eq!(at(json!("text")), SCHEMA);
}

#[test]
fn nothing_outside_of_a_schema_is_fetched() {
    for reference in [
        "http://127.0.0.1:1/s.json",
        "https://example.com/s.json",
        "file:///etc/hostname",
        "other.json",
        "#/$defs/nothing",
    ] {
        let error = by_schema(json!({"properties": {"a": {"$ref": reference}}})).unwrap_err();
        assert!(error.param.unwrap().starts_with(SCHEMA), "{reference}");
    }
}

#[test]
fn a_schema_that_leads_back_to_itself_on_the_spot_is_refused() {
    let round = json!({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}}});
    let inside = json!({"properties": {"a": {"anyOf": [{"type": "null"}, {"$ref": "#/properties/a"}]}}});
    let mut doubled = json!({"$defs": {"d0": {"type": "object"}}, "$ref": "#/$defs/d40"});
    for level in 0..40 {
        let below = json!({"$ref": format!("#/$defs/d{level}")});
        doubled["$defs"][format!("d{}", level + 1)] = json!({"allOf": [below, below]});
    }
    for schema in
        [json!({"$ref": "#"}), json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}), round, inside, doubled]
    {
        let error = by_schema(schema.clone()).unwrap_err();
        assert!(error.message.contains("leads back to itself"), "{error} {schema}");
    }
    for name in ["$dynamicRef", "$recursiveRef", "$id"] {
        let error = by_schema(json!({"properties": {"a": {name: "#b"}}})).unwrap_err();
        assert_eq!(error.param, Some(format!("{SCHEMA}.properties.a.{name}")));
    }
}

#[test]
fn a_tree_is_held_against_a_schema_of_trees() {
    let tree = json!({
        "$id": "https://example.com/tree",
        "type": "object",
        "properties": {"left": {"$ref": "#/$defs/branch"}, "right": {"$ref": "#/$defs/branch"}},
        "additionalProperties": false,
        "$defs": {"branch": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
    });
    let form = by_schema(tree).unwrap();
    let tree = (0..10).fold(json!({}), |tree, _| json!({"left": tree, "right": tree}));
    assert_eq!(form.read(&tree.to_string()), Ok(None), "of 2047 nodes");
    let deep = (0..40).fold(json!({"middle": 1}), |tree, _| json!({"left": tree, "right": null}));
    assert!(form.read(&deep.to_string()).is_err());
}

#[test]
fn what_would_take_for_ever_is_not_begun() {
    // Each level is asked twice for each of the level below.
    let twice =
        json!({"allOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]});
    let form = by_schema(twice).unwrap();
    let deep = |levels: usize| (0..levels).fold("1".to_owned(), |inner, _| format!("{{\"a\":{inner}}}"));
    assert_eq!(form.read(&deep(10)), Ok(None));
    assert!(form.read(&deep(60)).unwrap_err().why.contains("too involved"));
}

#[test]
fn other_answers_have_any_form() {
    assert!(!form(json!({"type": "text"})).unwrap().is_json());
    assert!(!form(Value::Null).unwrap().is_json());
    let format = json!({"response_format": {"type": "json_object"}});
    assert!(!Form::of(Action::ImageGenerate, &format).unwrap().is_json());
}

#[test]
fn a_schema_cannot_hide_its_work_behind_a_name_or_a_value() {
    let hidden = json!({"$id": "urn:x", "$ref": "#/$defs/d"});
    for (schema, at) in [
        (json!({"properties": {"default": hidden}, "$defs": {"d": true}}), "properties.default.$id"),
        (json!({"$ref": "#/default", "default": {"$ref": "#/nowhere"}}), "default.$ref"),
    ] {
        let param = by_schema(schema).unwrap_err().param.unwrap();
        assert!(param.ends_with(at), "{param}");
    }
}

#[test]
fn patterns_are_few_and_small_and_lists_cost_their_length() {
    let of_patterns = |count: usize| {
        let property = |number: usize| (format!("p{number}"), json!({"pattern": format!("^a{number}")}));
        json!({"properties": (0..count).map(property).collect::<serde_json::Map<_, _>>()})
    };
    assert!(by_schema(of_patterns(64)).is_ok());
    assert!(by_schema(of_patterns(65)).is_err());
    assert!(by_schema(json!({"pattern": "a{100000}"})).is_err());
    let listed = by_schema(json!({"items": {"enum": (0..1_000).collect::<Vec<_>>()}})).unwrap();
    let answer = |items: usize| json!(vec![7; items]).to_string();
    assert_eq!(listed.read(&answer(100)), Ok(None));
    assert!(listed.read(&answer(1_000)).is_err(), "a million comparisons");
}
