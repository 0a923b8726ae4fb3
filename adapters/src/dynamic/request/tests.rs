use serde_json::json;

use super::{part::Part, *};
use crate::endpoint::tests::endpoint;

fn template(request: Value) -> Result<Template, Wrong> {
    Template::new(&serde_json::from_value(request).unwrap(), "application/json", &["payload"])
}

fn made(request: Value, payload: Value) -> Result<Request, String> {
    template(request).unwrap().render(&endpoint(), &Scope::default().with("payload", &payload))
}

#[test]
fn path_query_and_headers_are_rendered() {
    let request = json!({"method": "GET", "path": "v1/voices/{{ payload.voice }}",
        "query": {"format": "{{ payload.format | optional }}", "tag": "{{ payload.tags }}", "n": 3},
        "headers": {"Accept": "image/*", "X-Voice": "{{ payload.voice }}", "X-None": "{{ payload.none | optional }}"}});
    let request = made(request, json!({"voice": "a b", "tags": ["x&y", "z"]})).unwrap();
    assert_eq!(request.url.as_str(), "https://api.test/v1/v1/voices/a%20b?n=3&tag=x%26y&tag=z");
    assert!(!request.headers.contains_key("x-none"));
    assert_eq!(
        (&request.headers["accept"], &request.headers["x-voice"]),
        (&"image/*".parse().unwrap(), &"a b".parse().unwrap())
    );
}

#[test]
fn no_value_leads_to_another_place() {
    for voice in ["..", "%2e%2e", ".", "%2E."] {
        let safe = made(json!({"path": "v1/{{ payload.voice | safe }}/x"}), json!({"voice": voice}));
        assert!(safe.unwrap_err().contains("elsewhere"), "{voice}");
    }
    for voice in ["a?b", "a#b", "a\\b", "a\nb", "../x"] {
        let safe = made(json!({"path": "{{ payload.voice | safe }}"}), json!({"voice": voice}));
        assert!(safe.is_err(), "{voice}");
        let encoded = made(json!({"path": "v1/{{ payload.voice }}/x"}), json!({"voice": voice})).unwrap();
        assert_eq!(encoded.url.path_segments().unwrap().count(), 4, "{}", encoded.url);
        assert_eq!((encoded.url.query(), encoded.url.host_str()), (None, Some("api.test")));
    }
    let header = made(json!({"path": "x", "headers": {"a": "{{ payload.a }}"}}), json!({"a": "x\r\nkey: y"}));
    assert!(header.unwrap_err().contains("headers.a"));
}

#[test]
fn bodies_have_texts_numbers_lists_and_files() {
    let payload = json!({"prompt": "a cat", "n": 2, "codes": ["x", "y"], "image": "data:image/png;base64,iVBORw0KGgo="});
    let fields = json!({"prompt": "{{ payload.prompt }}", "n": "{{ payload.n }}", "codes": "{{ payload.codes }}",
        "seed": "{{ payload.seed | optional }}"});
    let request = made(json!({"path": "x", "form": fields}), payload.clone()).unwrap();
    let Body::Form(pairs) = request.body else { panic!() };
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(pairs, ["codes=x", "codes=y", "n=2", "prompt=a cat"]);

    let parts =
        json!({"prompt": "{{ payload.prompt }}", "image": {"file": "{{ payload.image }}", "name": "in.png"}});
    let request = made(json!({"path": "x", "multipart": parts}), payload).unwrap();
    let Body::Multipart(parts) = request.body else { panic!() };
    let file = Part::File {
        bytes: b"\x89PNG\r\n\x1a\n".to_vec(),
        media_type: "image/png".into(),
        name: "in.png".into(),
    };
    assert_eq!(parts, [("image".to_owned(), file), ("prompt".to_owned(), Part::Text("a cat".into()))]);
}

#[test]
fn what_cannot_be_sent_is_told_by_its_key() {
    let rows = [
        (json!({"path": "/x"}), "path"),
        (json!({"path": "x", "method": "BREW"}), "method"),
        (json!({"path": "x", "method": "GET", "json": {}}), "method"),
        (json!({"path": "x", "json": {}, "form": {}}), ""),
        (json!({"path": "x", "headers": {"a b": ""}}), "headers.a b"),
        (json!({"path": "x", "headers": {"Host": "y"}}), "headers.Host"),
        (json!({"path": "x", "json": {"a": "{{ nothing }}"}}), "json"),
        (json!({"path": "{{ x", "json": {}}), "path"),
    ];
    for (request, key) in rows {
        assert_eq!(template(request.clone()).unwrap_err().0, key, "{request}");
    }
    let missing = made(json!({"path": "x", "json": {"a": {"b": "{{ payload.gone }}"}}}), json!({}));
    assert!(missing.unwrap_err().starts_with("json.a: b: is undefined"));
    let nested = made(json!({"path": "x", "form": {"a": {"b": "c"}}}), json!({}));
    assert!(nested.unwrap_err().starts_with("form.a: "));
}
