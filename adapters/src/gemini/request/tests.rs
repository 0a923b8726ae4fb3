use schemas::Action;

use super::*;
use crate::{Remedy, endpoint::tests::endpoint};

fn of(model: &str, payload: Value) -> Result<Value, Error> {
    let call = Call {
        action: Action::ChatCompletion,
        model: model.into(),
        payload,
        deadline: tokio::time::Instant::now(),
        idempotency_key: "k".into(),
        key: 0,
        traceparent: None,
        webhook: None,
    };
    body(&endpoint(), &call)
}

fn with(fields: Value) -> Result<Value, Error> {
    let mut payload = json!({"model": "alias", "messages": [{"role": "user", "content": "hi"}]});
    payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    of("gemini-3.8-flash", payload)
}

fn contents(messages: Value) -> Value {
    of("gemini-3.8-flash", json!({ "messages": messages })).unwrap()
}

#[test]
fn a_conversation_becomes_contents() {
    let called = |id: &str, name: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": "{\"city\":\"Bern\"}"}});
    let body = contents(json!([
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}]},
        {"role": "assistant", "content": "wait", "tool_calls": [called("a~c2ln", "weather"), called("b", "time")]},
        {"role": "tool", "tool_call_id": "a~c2ln", "content": "{\"sun\":true}"},
        {"role": "tool", "tool_call_id": "b", "content": "noon"},
        {"role": "developer", "content": "in German"},
        {"role": "user", "content": "and?"},
    ]));
    let city = json!({"city": "Bern"});
    let expected = json!({
        "systemInstruction": {"parts": [{"text": "be brief"}, {"text": "in German"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "look"}, {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}]},
            {"role": "model", "parts": [
                {"text": "wait"},
                {"functionCall": {"id": "a", "name": "weather", "args": city}, "thoughtSignature": "c2ln"},
                {"functionCall": {"id": "b", "name": "time", "args": city}},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "a", "name": "weather", "response": {"sun": true}}},
                {"functionResponse": {"id": "b", "name": "time", "response": {"result": "noon"}}},
                {"text": "and?"},
            ]},
        ],
    });
    assert_eq!(body, expected);
}

#[test]
fn calls_of_another_provider_say_that_they_have_no_signature() {
    let messages = json!([{"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "x", "content": "ok"}]);
    let signature = |model| {
        let body = of(model, json!({ "messages": messages })).unwrap();
        body["contents"][1]["parts"][0]["thoughtSignature"].clone()
    };
    assert_eq!(signature("gemini-3.8-flash"), "skip_thought_signature_validator");
    assert_eq!(signature("gemini-2.5-pro"), Value::Null, "which knows no such word");
}

#[test]
fn settings_get_their_other_names() {
    let body = with(json!({"temperature": 0.5, "top_p": 0.9, "top_k": 3, "n": 2, "seed": 7, "stop": "END",
        "max_tokens": 5, "presence_penalty": 1, "frequency_penalty": -1, "stream": true, "user": "u",
        "stream_options": {"include_usage": true}, "simulate": {}, "parallel_tool_calls": true,
        "safetySettings": [{"category": "c"}], "cachedContent": "cachedContents/1",
        "generationConfig": {"topK": 4, "mediaResolution": "LOW"}}));
    let expected = json!({
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"temperature": 0.5, "topP": 0.9, "topK": 4, "candidateCount": 2, "seed": 7,
            "stopSequences": ["END"], "maxOutputTokens": 5, "presencePenalty": 1, "frequencyPenalty": -1,
            "mediaResolution": "LOW"},
        "safetySettings": [{"category": "c"}], "cachedContent": "cachedContents/1",
    });
    assert_eq!(body.unwrap(), expected);
    assert_eq!(with(json!({})).unwrap(), json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}));
}

#[test]
fn formats_and_efforts_are_settings_of_generation() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
    let rows = [
        (
            json!({"response_format": {"type": "json_object"}}),
            json!({"responseMimeType": "application/json"}),
        ),
        (
            json!({ "response_format": format }),
            json!({"responseMimeType": "application/json", "responseJsonSchema": schema}),
        ),
        (
            json!({"reasoning_effort": "low"}),
            json!({"thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": true}}),
        ),
        (json!({"reasoning_effort": "none"}), json!({"thinkingConfig": {"thinkingBudget": 0}})),
    ];
    for (fields, config) in rows {
        assert_eq!(with(fields.clone()).unwrap()["generationConfig"], config, "{fields}");
    }
    let older = json!({"messages": [{"role": "user", "content": "hi"}], "reasoning_effort": "high"});
    let config = &of("models/gemini-2.5-flash", older).unwrap()["generationConfig"]["thinkingConfig"];
    assert_eq!(*config, json!({"thinkingBudget": 24_576, "includeThoughts": true}));
}

#[test]
fn tools_are_declared_and_chosen() {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let tool = |name: &str, parameters: Value| json!({"type": "function", "function": {"name": name, "description": "d", "parameters": parameters, "strict": true}});
    let tools = json!([
        tool("weather", parameters.clone()),
        tool("now", json!({"type": "object", "properties": {}}))
    ]);
    let chosen = |choice: Value| with(json!({"tools": tools, "tool_choice": choice})).unwrap();
    let body = chosen(json!("auto"));
    let declarations = json!([
        {"name": "weather", "description": "d", "parametersJsonSchema": parameters},
        {"name": "now", "description": "d"},
    ]);
    assert_eq!(body["tools"], json!([{"functionDeclarations": declarations}]));
    assert_eq!(body.get("toolConfig"), None);
    let function = json!({"type": "function", "function": {"name": "now"}});
    let allowed =
        |mode: &str| json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [function]}});
    let rows = [
        (json!("none"), json!({"mode": "NONE"})),
        (json!("required"), json!({"mode": "ANY"})),
        (function.clone(), json!({"mode": "ANY", "allowedFunctionNames": ["now"]})),
        (allowed("auto"), json!({"mode": "VALIDATED", "allowedFunctionNames": ["now"]})),
        (allowed("required"), json!({"mode": "ANY", "allowedFunctionNames": ["now"]})),
    ];
    for (choice, config) in rows {
        assert_eq!(chosen(choice.clone())["toolConfig"]["functionCallingConfig"], config, "{choice}");
    }
}

#[test]
fn what_gemini_cannot_do_is_refused_and_not_left_out() {
    let tool = json!({"type": "function", "function": {"name": "f"}});
    let rows = [
        (json!({"logit_bias": {"50256": -100}}), Remedy::FallBack),
        (json!({"modalities": ["text", "audio"]}), Remedy::FallBack),
        (json!({"functions": [{"name": "f"}]}), Remedy::FallBack),
        (json!({"web_search_options": {"a": 1}}), Remedy::FallBack),
        (json!({"tools": [tool], "parallel_tool_calls": false}), Remedy::FallBack),
        (json!({"tools": [tool], "tool_choice": {"type": "custom"}}), Remedy::FallBack),
        (json!({"tools": [{"type": "custom", "custom": {"name": "f"}}]}), Remedy::FallBack),
        (json!({"messages": [{"role": "system", "content": "alone"}]}), Remedy::FallBack),
        (json!({"reasoning_effort": "much"}), Remedy::FallBack),
    ];
    for (fields, remedy) in rows {
        let error = with(fields.clone()).unwrap_err();
        assert_eq!(error.remedy, remedy, "{fields}: {error}");
    }
}
