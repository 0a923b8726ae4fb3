use serde_json::json;

use super::*;

fn scope() -> Scope {
    let payload =
        json!({"prompt": "a \"cat\"", "n": 2, "size": "1792x1024", "tags": ["x", "y"], "way": "../a b"});
    Scope::default().with("payload", &payload)
}

fn rendered(source: Value) -> Result<Value, String> {
    Json::new(&source, &["payload"])?.render(&scope())
}

#[test]
fn an_expression_keeps_its_type_and_other_strings_are_text() {
    let source = json!({"n": "{{ payload.n }}", "text": "{{ payload.n }} of {{ payload.prompt }}", "five": 5,
        "list": ["{{ payload.tags }}", "{{ payload.none | optional }}", "plain"], "gone": "{{ payload.seed | optional }}",
        "blank": "a{{ payload.seed | optional }}b", "given": "{{ payload.seed | default(7) }}", "if": "{% if payload.n > 1 %}many{% else %}one{% endif %}"});
    let expected = json!({"n": 2, "text": "2 of a \"cat\"", "five": 5, "list": [["x", "y"], "plain"],
        "blank": "ab", "given": 7, "if": "many"});
    assert_eq!(rendered(source).unwrap(), expected);
}

#[test]
fn a_document_has_loops_and_its_values_cannot_break_out_of_it() {
    let source = r#"{"prompt": {{ payload.prompt }}, "tags": [
        {% for tag in payload.tags %}{"tag": {{ tag }}}{% if not loop.last %},{% endif %}{% endfor %}]}"#;
    let expected = json!({"prompt": "a \"cat\"", "tags": [{"tag": "x"}, {"tag": "y"}]});
    assert_eq!(rendered(json!(source)).unwrap(), expected);
    let error = rendered(json!("{% if payload.n %}[1,{% endif %}")).unwrap_err();
    assert!(error.contains("not JSON"), "{error}");
}

#[test]
fn a_value_stays_within_its_segment_of_a_path() {
    let path = |source| Text::path(source, &["payload"]).unwrap().render(&scope()).unwrap();
    assert_eq!(path("v1/{{ payload.way }}/x"), "v1/..%2Fa%20b/x");
    assert_eq!(path("v1/{{ 'owner/name' | safe }}"), "v1/owner/name");
    let without = Text::path("v1/{{ payload.seed | optional }}", &["payload"]).unwrap();
    assert!(without.render(&scope()).unwrap_err().contains("cannot do without"));
}

#[test]
fn the_nearest_shape_of_a_size_is_found() {
    let of = |size: Value| {
        let expression = r#"{{ payload.size | nearest_ratio(["1:1", "16:9", "9:16", "3:2"]) }}"#;
        let scope = Scope::default().with("payload", &json!({ "size": size }));
        Json::value(expression, Manner::Strict, &["payload"]).unwrap().render(&scope)
    };
    assert_eq!(of(json!("1792x1024")).unwrap(), "16:9");
    assert_eq!(of(json!("1024x1024")).unwrap(), "1:1");
    assert_eq!(of(json!("600x1000")).unwrap(), "9:16");
    assert_eq!(of(json!("auto")).unwrap(), Value::Null);
    assert!(of(json!("big")).unwrap_err().contains("no size"));
}

#[test]
fn what_is_wrong_is_told_when_the_file_is_read() {
    let rows = [
        ("{{ payloads.n }}", "there is no `payloads` here; use one of payload"),
        ("{{ payload.n ", "unexpected end"),
        ("{{ payload.n | nosuch }}", "nosuch"),
        ("{% for x in payload.tags %}", "unexpected end"),
    ];
    for (source, expected) in rows {
        let error = Json::value(source, Manner::Strict, &["payload"])
            .and_then(|template| template.render(&scope()))
            .unwrap_err();
        assert!(error.contains(expected), "{source}: {error}");
    }
}

#[test]
fn what_is_undefined_is_an_error_or_false() {
    let of = |source, manner| Json::value(source, manner, &["payload"]).unwrap().render(&scope());
    assert!(of("{{ payload.seed }}", Manner::Strict).unwrap_err().contains("optional"));
    assert!(of("a{{ payload.seed }}", Manner::Strict).is_err());
    assert_eq!(of("{{ payload.a.b.c == 'x' }}", Manner::Lenient).unwrap(), false);
    assert!(of("{{ fail('no voice') }}", Manner::Strict).unwrap_err().ends_with("no voice"));
}

#[test]
fn neither_time_nor_memory_is_without_bounds() {
    let bombs = [
        "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
        "{{ 'x' * 999999999 }}",
        "{% set ns = namespace(s='x') %}{% for i in range(40) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    ];
    for bomb in bombs {
        let template = Json::value(bomb, Manner::Strict, &[]).unwrap();
        assert!(template.render(&scope()).is_err(), "{bomb}");
    }
    let deep = (0..100).fold(json!("x"), |inner, _| json!([inner]));
    assert!(Json::new(&deep, &[]).unwrap_err().contains("deep"));
}
