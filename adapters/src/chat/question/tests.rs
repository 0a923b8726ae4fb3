use serde_json::json;

use super::*;
use crate::{Remedy, endpoint::tests::endpoint};

fn read(messages: &Value) -> Result<String, Error> {
    let payload = json!({ "messages": messages });
    super::messages(&endpoint(), &payload).map(|messages| format!("{messages:?}"))
}

#[test]
fn every_role_and_part_is_read() {
    let payload = json!({"messages": [
        {"role": "developer", "content": [{"type": "text", "text": "be"}, {"type": "text", "text": "brief"}]},
        {"role": "user", "content": [
            {"type": "text", "text": "what is it?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;charset=x;base64,iVBO"}},
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "mp3"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}},
        ]},
        {"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
        ]},
        {"role": "tool", "tool_call_id": "b", "content": "done"},
        {"role": "function", "name": "old", "content": "done"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    ]});
    let inline = |kind, media_type: &str, data| Part::Inline { kind, media_type: media_type.into(), data };
    let read = messages(&endpoint(), &payload).unwrap();
    let expected = [
        Message::System("be\nbrief".into()),
        Message::User(vec![
            Part::Text("what is it?"),
            inline("image_url", "image/png", "iVBO"),
            inline("input_audio", "audio/mp3", "UklG"),
            inline("file", "application/pdf", "JVBE"),
        ]),
        Message::Assistant {
            text: String::new(),
            reasoning: "hm",
            calls: vec![
                Called { id: "a", name: "f", arguments: json!({"x": 1}) },
                Called { id: "b", name: "g", arguments: json!({}) },
            ],
        },
        Message::Tool { id: "b", name: "g", text: "done".into() },
        Message::Tool { id: "", name: "old", text: "done".into() },
        Message::Assistant { text: "no".into(), reasoning: "", calls: vec![] },
    ];
    assert_eq!(read, expected);
}

#[test]
fn what_is_wrong_is_told_from_what_is_only_beyond_this_provider() {
    let user = |part: Value| json!([{"role": "user", "content": [part]}]);
    let called =
        |function: Value| json!([{"role": "assistant", "tool_calls": [{"id": "a", "function": function}]}]);
    let rows = [
        (
            user(json!({"type": "image_url", "image_url": {"url": "https://x.test/a.png"}})),
            Remedy::FallBack,
            "`data:`",
        ),
        (
            user(json!({"type": "image_url", "image_url": {"url": "data:image/png,raw"}})),
            Remedy::FallBack,
            "base64",
        ),
        (user(json!({"type": "file", "file": {"file_id": "file-1"}})), Remedy::FallBack, "file_data"),
        (user(json!({"type": "hologram"})), Remedy::FallBack, "`hologram`"),
        (user(json!({"text": "no type"})), Remedy::FallBack, "messages[0]"),
        (json!([{"role": "user", "content": 7}]), Remedy::Fatal, "messages[0].content"),
        (json!([{"role": "bard", "content": "x"}]), Remedy::Fatal, "`bard`"),
        (json!([{"role": "tool", "tool_call_id": "z", "content": "x"}]), Remedy::FallBack, "`z`"),
        (called(json!({"name": "f", "arguments": "{"})), Remedy::FallBack, "`f`"),
        (called(json!({"name": "f", "arguments": "[1]"})), Remedy::FallBack, "`f`"),
        (called(Value::Null), Remedy::FallBack, "functions"),
    ];
    for (messages, remedy, words) in rows {
        let error = read(&messages).unwrap_err();
        assert_eq!(error.remedy, remedy, "{messages}: {error}");
        assert!(error.message.contains(words), "{messages}: {error}");
    }
}

#[test]
fn fields_that_ask_for_something_unknown_are_refused_by_name() {
    let check = |payload: Value| check_fields(&endpoint(), &payload, &["temperature"]);
    let fine = json!({"model": "m", "messages": [], "temperature": 1, "user": "u", "logprobs": false,
        "logit_bias": {}, "functions": [], "audio": null, "simulate": {"fail": "x"}});
    check(fine).unwrap();
    for field in ["logprobs", "top_secret"] {
        let error = check(json!({ field: true })).unwrap_err();
        assert_eq!(error.remedy, Remedy::FallBack);
        assert!(error.message.contains(field), "{error}");
    }
}

#[test]
fn formats_tools_and_limits_are_found() {
    let endpoint = endpoint();
    let format = |format: Value| schema(&endpoint, &json!({ "response_format": format }));
    assert_eq!(format(Value::Null).unwrap(), None);
    assert_eq!(format(json!({"type": "text"})).unwrap(), None);
    assert_eq!(format(json!({"type": "json_object"})).unwrap(), Some(Value::Null));
    let named = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}});
    assert_eq!(format(named).unwrap(), Some(json!({"type": "object"})));
    assert_eq!(format(json!({"type": "json_schema"})).unwrap_err().remedy, Remedy::Fatal);
    assert_eq!(format(json!({"type": "grammar"})).unwrap_err().remedy, Remedy::FallBack);
    assert_eq!(stop(&json!({"stop": "a"})), Some(json!(["a"])));
    assert_eq!(stop(&json!({"stop": ["a", "b"]})), Some(json!(["a", "b"])));
    assert_eq!(tokens_max(&json!({"max_tokens": 1, "max_completion_tokens": 2})), Some(&json!(2)));
    let tools = |tool: Value| functions(&endpoint, &json!({"tools": [tool]})).map(|found| found.len());
    assert_eq!(tools(json!({"type": "function", "function": {"name": "f"}})).unwrap(), 1);
    assert_eq!(tools(json!({"type": "custom", "custom": {}})).unwrap_err().remedy, Remedy::FallBack);
    assert_eq!(tools(json!({"type": "function"})).unwrap_err().remedy, Remedy::Fatal);
}
