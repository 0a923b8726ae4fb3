use proptest::prelude::*;
use schemas::{ChatRequest, codec};

use super::*;

fn read(version: Version, body: &Value) -> Result<Chat, Error> {
    Chat::read(body.clone(), version)
}

/// What the payload holds beside model, messages and limit, for a body with these fields.
fn beside(version: Version, fields: &Value) -> Value {
    let mut body =
        json!({"model": "m", "max_tokens": 5_000, "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let mut payload = read(version, &body).unwrap_or_else(|why| panic!("{fields}: {why}")).payload;
    for field in ["model", "messages", "max_completion_tokens"] {
        payload.as_object_mut().unwrap().remove(field);
    }
    payload
}

/// The messages of this conversation.
fn conversation(messages: &Value) -> Value {
    let body = json!({"model": "m", "max_tokens": 9, "messages": messages});
    read(Version::Current, &body).unwrap_or_else(|why| panic!("{messages}: {why}")).payload["messages"].take()
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn image(source: Value) -> Value {
    json!({"type": "image", "source": source})
}

const PNG: &str = "iVBORw0KGgo=";

#[test]
fn the_least_that_can_be_asked() {
    let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    let expected =
        json!({"model": "m", "max_completion_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    let chat = read(Version::Current, &body).unwrap();
    assert_eq!((chat.payload, chat.shows_thinking), (expected, false));
}

#[test]
fn settings_cross_by_the_rules() {
    let schema = json!({"type": "object", "properties": {}});
    let ephemeral = json!({"type": "ephemeral", "ttl": "1h"});
    let rows = [
        (json!({"stream": true}), json!({"stream": true})),
        (json!({"stop_sequences": ["a", "b"]}), json!({"stop": ["a", "b"]})),
        (json!({"stop_sequences": []}), json!({})),
        (json!({"metadata": {"user_id": "u-1"}}), json!({"user": "u-1"})),
        (json!({"metadata": {"user_id": null}}), json!({})),
        (json!({"simulate": {"tokens": 3}}), json!({"simulate": {"tokens": 3}})),
        (json!({"thinking": {"type": "disabled"}}), json!({"reasoning_effort": "none"})),
        (json!({"thinking": {"type": "adaptive"}}), json!({"reasoning_effort": "high"})),
        (json!({"thinking": {"type": "between_tools"}}), json!({"reasoning_effort": "high"})),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 1_024}}),
            json!({"reasoning_effort": "low"}),
        ),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 4_096}}),
            json!({"reasoning_effort": "medium"}),
        ),
        (
            json!({"max_tokens": 64_000, "thinking": {"type": "enabled", "budget_tokens": 16_384}}),
            json!({"reasoning_effort": "high"}),
        ),
        (json!({"output_config": {"effort": "xhigh"}}), json!({"reasoning_effort": "xhigh"})),
        (
            json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
            json!({"reasoning_effort": "low"}),
        ),
        (
            json!({"output_config": {"format": {"type": "json_schema", "schema": schema}}}),
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}),
        ),
        (
            json!({"cache_control": ephemeral, "service_tier": "auto", "speed": "fast", "container": null,
                "diagnostics": {"previous_message_id": null}, "system": null, "tools": null}),
            json!({"cache_control": ephemeral}),
        ),
    ];
    for (fields, expected) in rows {
        assert_eq!(beside(Version::Current, &fields), expected, "{fields}");
    }
}

#[test]
fn the_earlier_version_takes_a_temperature_and_the_current_one_does_not() {
    let sampling = json!({"temperature": 0.5, "top_p": 0.9, "top_k": 4});
    assert_eq!(beside(Version::Earlier, &sampling), sampling);
    for field in ["temperature", "top_p", "top_k"] {
        let mut body =
            json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
        body[field] = json!(1);
        let error = read(Version::Current, &body).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(field));
        assert!(error.message.contains("2023-06-01"), "{error}");
    }
}

#[test]
fn tools_and_the_choice_among_them_cross() {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let weather = json!({"name": "weather", "description": "d", "input_schema": schema, "strict": true,
        "cache_control": {"type": "ephemeral"}, "eager_input_streaming": true});
    let clock = json!({"type": "custom", "name": "clock", "input_schema": {"type": "object"},
        "defer_loading": false, "allowed_callers": ["direct"], "input_examples": []});
    let functions = json!([
        {"type": "function", "cache_control": {"type": "ephemeral"},
            "function": {"name": "weather", "description": "d", "parameters": schema, "strict": true}},
        {"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}},
    ]);
    let named = json!({"type": "function", "function": {"name": "clock"}});
    let rows = [
        (json!({}), json!({})),
        (json!({"type": "auto"}), json!({"tool_choice": "auto"})),
        (json!({"type": "any"}), json!({"tool_choice": "required"})),
        (json!({"type": "none"}), json!({"tool_choice": "none"})),
        (json!({"type": "tool", "name": "clock"}), json!({"tool_choice": named})),
        (json!({"type": "auto", "disable_parallel_tool_use": false}), json!({"tool_choice": "auto"})),
        (
            json!({"type": "auto", "disable_parallel_tool_use": true}),
            json!({"tool_choice": "auto", "parallel_tool_calls": false}),
        ),
        (
            json!({"type": "tool", "name": "clock", "disable_parallel_tool_use": true}),
            json!({"tool_choice": named, "parallel_tool_calls": false}),
        ),
    ];
    for (choice, mut expected) in rows {
        let mut fields = json!({"tools": [weather, clock]});
        if choice != json!({}) {
            fields["tool_choice"] = choice;
        }
        expected["tools"] = functions.clone();
        assert_eq!(beside(Version::Current, &fields), expected, "{fields}");
    }
}

#[test]
fn turns_become_messages() {
    let call = |id: &str, input: Value| json!({"type": "tool_use", "id": id, "name": "f", "input": input});
    let result = |id: &str, rest: Value| {
        let mut result = json!({"type": "tool_result", "tool_use_id": id});
        result.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        result
    };
    let cached = json!({"type": "text", "text": "two", "cache_control": {"type": "ephemeral"}});
    let messages = conversation(&json!([
        {"role": "user", "content": [text("one"), cached]},
        {"role": "system", "content": [text("be kind")]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "calling", "citations": null},
            call("a", json!({"x": [1, {"y": null}]})), call("b", json!({})),
        ]},
        {"role": "user", "content": [
            result("a", json!({"content": "A"})),
            result("b", json!({"content": [text("B"), image(json!({"type": "base64", "media_type": "image/png", "data": PNG}))]})),
            text("go on"),
        ]},
        {"role": "assistant", "content": [call("c", json!({"z": 1}))]},
        {"role": "user", "content": [result("c", json!({}))]},
        {"role": "assistant", "content": "The sun is"},
    ]));
    let made = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}});
    let png = json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{PNG}")}});
    let expected = json!([
        {"role": "user", "content": [text("one"), cached]},
        {"role": "system", "content": "be kind"},
        {"role": "assistant", "content": "calling", "reasoning_content": "hm",
            "tool_calls": [made("a", "{\"x\":[1,{\"y\":null}]}"), made("b", "{}")]},
        {"role": "tool", "tool_call_id": "a", "content": "A"},
        {"role": "tool", "tool_call_id": "b", "content": [text("B"), png]},
        {"role": "user", "content": "go on"},
        {"role": "assistant", "content": null, "tool_calls": [made("c", "{\"z\":1}")]},
        {"role": "tool", "tool_call_id": "c", "content": ""},
        {"role": "assistant", "content": "The sun is"},
    ]);
    assert_eq!(messages, expected);
}

#[test]
fn a_result_that_is_an_error_says_so() {
    let result = |content: Value| {
        let block = json!({"type": "tool_result", "tool_use_id": "a", "is_error": true, "content": content});
        conversation(&json!([{"role": "user", "content": [block]}]))[0]["content"].clone()
    };
    assert_eq!(result(json!("no such city")), "Error: no such city");
    assert_eq!(result(json!("Error: no such city")), "Error: no such city");
    assert_eq!(result(json!("")), "Error:");
    assert_eq!(result(Value::Null), "Error:");
    assert_eq!(result(json!([text("a"), text("b")])), json!([text("Error:"), text("a"), text("b")]));
}

#[test]
fn images_and_documents_cross() {
    let parts = conversation(&json!([{"role": "user", "content": [
        image(json!({"type": "base64", "media_type": "image/webp", "data": PNG})),
        image(json!({"type": "url", "url": "https://images.test/a.png"})),
        {"type": "document", "title": "t", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"},
            "citations": {"enabled": false}},
    ]}]));
    let expected = json!([
        {"type": "image_url", "image_url": {"url": format!("data:image/webp;base64,{PNG}")}},
        {"type": "image_url", "image_url": {"url": "https://images.test/a.png"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "t"}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,d29yZHM="}},
    ]);
    assert_eq!(parts[0]["content"], expected);
}

#[test]
fn instructions_stand_where_they_stood() {
    let body = |system: Value| {
        let body = json!({"model": "m", "max_tokens": 9, "system": system,
            "messages": [{"role": "user", "content": "hi"}]});
        read(Version::Earlier, &body).unwrap().payload["messages"][0].take()
    };
    assert_eq!(body(json!("be brief")), json!({"role": "system", "content": "be brief"}));
    let blocks = json!([text("be brief"), {"type": "text", "text": "and kind", "cache_control": {"type": "ephemeral"}}]);
    assert_eq!(body(blocks.clone()), json!({"role": "system", "content": blocks}));
}

#[test]
fn marks_for_the_cache_cross_and_a_lone_text_stays_a_text() {
    let mark = json!({"type": "ephemeral", "ttl": "5m"});
    let marked = |mut block: Value| {
        block["cache_control"] = mark.clone();
        block
    };
    let messages = conversation(&json!([
        {"role": "user", "content": [marked(text("one"))]},
        {"role": "assistant", "content": [
            text("x"), marked(json!({"type": "tool_use", "id": "a", "name": "f", "input": {}}))]},
        {"role": "user", "content": [
            marked(json!({"type": "tool_result", "tool_use_id": "a", "content": [text("r")]})),
            marked(image(json!({"type": "url", "url": "https://x.test/i"}))), text("two")]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "a", "is_error": true, "content": [marked(text("bad"))]}]},
    ]));
    let call = marked(json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}));
    let picture = json!({"type": "image_url", "image_url": {"url": "https://x.test/i"}});
    let expected = json!([
        marked(json!({"role": "user", "content": "one"})),
        {"role": "assistant", "content": "x", "tool_calls": [call]},
        marked(json!({"role": "tool", "tool_call_id": "a", "content": "r"})),
        {"role": "user", "content": [marked(picture), text("two")]},
        marked(json!({"role": "tool", "tool_call_id": "a", "content": "Error: bad"})),
    ]);
    assert_eq!(messages, expected);
}

#[test]
fn a_mark_that_is_none_is_refused() {
    let mut body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    body["cache_control"] = json!({"type": "eternal"});
    assert!(read(Version::Current, &body).unwrap_err().param.unwrap().starts_with("cache_control"));
    body["cache_control"] = Value::Null;
    let mark = json!({"type": "ephemeral", "ttl": "2h"});
    body["messages"][0]["content"] = json!([{"type": "text", "text": "x", "cache_control": mark}]);
    assert!(read(Version::Current, &body).unwrap_err().param.unwrap().starts_with("messages[0].content[0]"));
}

/// Fields of a body that is refused, and the path that the error names.
fn refused() -> Vec<(Value, &'static str)> {
    let user = |blocks: Value| json!({"messages": [{"role": "user", "content": blocks}]});
    let assistant = |blocks: Value| json!({"messages": [{"role": "assistant", "content": blocks}]});
    let result = json!({"type": "tool_result", "tool_use_id": "a"});
    let file = json!({"type": "file", "file_id": "f"});
    let tool = |rest: Value| {
        let mut tool = json!({"name": "f", "input_schema": {}});
        tool.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        json!({"tools": [tool]})
    };
    let document = |rest: Value| {
        let source = json!({"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="});
        let mut block = json!({"type": "document", "source": source});
        block.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        user(json!([block]))
    };
    vec![
        (json!({"model": null}), "model"),
        (json!({"max_tokens": null}), "max_tokens"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": -1}), "max_tokens"),
        (json!({"messages": []}), "messages"),
        (json!({"unheard_of": 1}), "unheard_of"),
        (json!({"mcp_servers": []}), "mcp_servers"),
        (json!({"container": "c"}), "container"),
        (json!({"thread": {"type": "create"}}), "thread"),
        (json!({"inference_geo": "eu"}), "inference_geo"),
        (json!({"user_profile_id": "u"}), "user_profile_id"),
        (json!({"thinking": {"type": "enabled", "budget_tokens": 1_023}}), "thinking.budget_tokens"),
        (json!({"thinking": {"type": "enabled", "budget_tokens": 5_000}}), "thinking.budget_tokens"),
        (json!({"thinking": {"type": "deep"}}), "thinking"),
        (json!({"output_config": {"effort": "some"}}), "output_config.effort"),
        (json!({"tool_choice": {"type": "auto"}}), "tool_choice"),
        (tool(json!({"type": "web_search_20260318"})), "tools[0].type"),
        (tool(json!({"name": "a b"})), "tools[0].name"),
        (tool(json!({"defer_loading": true})), "tools[0].defer_loading"),
        (tool(json!({"input_examples": [{}]})), "tools[0].input_examples"),
        (tool(json!({"allowed_callers": ["code_execution_20260120"]})), "tools[0].allowed_callers"),
        (tool(json!({"unheard_of": 1})), "tools[0].unheard_of"),
        (json!({"tools": [{"name": "f"}]}), "tools[0].input_schema"),
        (json!({"system": [image(file.clone())]}), "system[0]"),
        (json!({"messages": [{"role": "bard", "content": "x"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user", "content": 7}]}), "messages[0].content"),
        (user(json!([])), "messages[0].content"),
        (user(json!([{"type": "server_tool_use"}])), "messages[0].content[0]"),
        (user(json!([{"type": "text", "text": "x", "citations": [{}]}])), "messages[0].content[0].citations"),
        (user(json!([text("x"), result])), "messages[0].content[1]"),
        (user(json!([{"type": "tool_use", "id": "a", "name": "f", "input": {}}])), "messages[0].content[0]"),
        (user(json!([image(file)])), "messages[0].content[0].source"),
        (user(json!([image(json!({"type": "url", "url": "ftp://x"}))])), "messages[0].content[0].source.url"),
        (
            user(json!([image(json!({"type": "base64", "media_type": "image/tiff", "data": PNG}))])),
            "messages[0].content[0].source.media_type",
        ),
        (document(json!({"context": "c"})), "messages[0].content[0].context"),
        (document(json!({"citations": {"enabled": true}})), "messages[0].content[0].citations"),
        (document(json!({"source": {"type": "url", "url": "https://x"}})), "messages[0].content[0].source"),
        (assistant(json!([result])), "messages[0].content[0]"),
        (
            assistant(json!([{"type": "tool_use", "id": "a", "name": "f", "input": "x"}])),
            "messages[0].content[0]",
        ),
        (
            assistant(
                json!([{"type": "tool_use", "id": "a", "name": "f", "input": {}, "toolset_name": "t"}]),
            ),
            "messages[0].content[0].toolset_name",
        ),
    ]
}

#[test]
fn what_does_not_cross_is_refused_by_its_path() {
    for (fields, path) in refused() {
        let mut body =
            json!({"model": "m", "max_tokens": 5_000, "messages": [{"role": "user", "content": "hi"}]});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let error = read(Version::Current, &body).expect_err(path);
        let param = error.param.clone().unwrap_or_default();
        assert!(param.starts_with(path) && error.message.starts_with(&param), "{fields}: {param}: {error}");
    }
    let system = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "system", "content": "x"}]});
    let error = read(Version::Earlier, &system).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("messages[0].role"));
}

/// Conversations of texts, images, calls and their results.
fn turns() -> impl Strategy<Value = Vec<Value>> {
    let words = "[a-zA-Z\u{e9}\u{4e2d}\"\\\\ ]{1,12}";
    let exchange = (words, words, words, any::<bool>()).prop_map(|(asked, said, brought, with_image)| {
        let mut blocks = vec![text(&asked)];
        if with_image {
            blocks.push(image(json!({"type": "url", "url": "https://x.test/i"})));
        }
        let id = format!("id-{}", asked.len());
        vec![
            json!({"role": "user", "content": blocks}),
            json!({"role": "assistant", "content": [text(&said),
                {"type": "tool_use", "id": id, "name": "f", "input": {"q": said}}]}),
            json!({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": id, "content": [text(&brought)]}]}),
        ]
    });
    prop::collection::vec(exchange, 1..4).prop_map(|exchanges| exchanges.concat())
}

/// Every text, address, id and argument of a conversation, in order.
fn substance(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for key in ["id", "tool_call_id", "tool_use_id", "url", "text"] {
                found.extend(fields.get(key).and_then(Value::as_str).map(str::to_owned));
            }
            if let Some(arguments) = fields.get("arguments").and_then(Value::as_str) {
                found.push(arguments.to_owned());
            }
            if let Some(input) = fields.get("input") {
                found.push(input.to_string());
            }
            for key in ["source", "image_url", "content", "tool_calls", "function"] {
                match fields.get(key) {
                    Some(Value::String(said)) => found.push(said.clone()),
                    Some(inner) => substance(inner, found),
                    None => {}
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| substance(item, found)),
        _ => {}
    }
}

/// Values with the words of the API at odd places.
fn any_json() -> impl Strategy<Value = Value> {
    let words =
        ["text", "image", "document", "tool_use", "tool_result", "user", "assistant", "base64", "auto", "x"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i32>().prop_map(Value::from),
        prop::sample::select(words.to_vec()).prop_map(Value::from),
    ];
    let names =
        vec!["type", "role", "content", "text", "source", "id", "name", "input", "tool_use_id", "data"];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        let name = prop::sample::select(names.clone());
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec((name, inner), 0..7).prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #[test]
    fn a_conversation_crosses_whole(turns in turns()) {
        let messages = conversation(&json!(turns));
        let (mut before, mut after) = (Vec::new(), Vec::new());
        substance(&json!(turns), &mut before);
        substance(&messages, &mut after);
        prop_assert_eq!(before, after);
        let payload = json!({"model": "m", "messages": messages});
        codec::view::<ChatRequest>(&payload, "payload").unwrap().check().unwrap();
    }

    #[test]
    fn whatever_a_field_holds_is_read_or_refused(
        field in prop::sample::select(vec![
            "model", "messages", "max_tokens", "system", "tools", "tool_choice", "thinking", "output_config",
            "cache_control", "metadata",
        ]),
        value in any_json(),
    ) {
        let mut body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
        body[field] = value;
        let _ = Chat::read(body.clone(), Version::Current);
        let _ = Chat::read_to_count(body, Version::Earlier);
    }
}
