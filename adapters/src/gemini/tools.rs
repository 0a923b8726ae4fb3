//! Translates the offered tools, and which of them the model may or must call.

use serde_json::{Map, Value, json};

use crate::{Error, chat::question, endpoint::Endpoint};

/// Adds the payload's tools and tool choice to the body.
pub(super) fn add(endpoint: &Endpoint, payload: &Value, body: &mut Map<String, Value>) -> Result<(), Error> {
    let functions = question::functions(endpoint, payload)?;
    if functions.is_empty() {
        return Ok(());
    }
    if payload.get("parallel_tool_calls") == Some(&Value::Bool(false)) {
        return Err(endpoint.cannot("payload.parallel_tool_calls: cannot be limited to one call at a time"));
    }
    let declarations: Vec<_> = functions.into_iter().map(declaration).collect();
    body.insert("tools".into(), json!([{"functionDeclarations": declarations}]));
    if let Some(config) = calling(endpoint, payload)? {
        body.insert("toolConfig".into(), json!({"functionCallingConfig": config}));
    }
    Ok(())
}

/// Leaves out parameters without properties: Gemini refuses them, and no parameters mean the same.
fn declaration(function: &Value) -> Value {
    let mut declaration = Map::new();
    for field in ["name", "description"] {
        if let Some(value) = function.get(field).filter(|value| !value.is_null()) {
            declaration.insert(field.into(), value.clone());
        }
    }
    let parameters = function.get("parameters").filter(|schema| {
        let properties = schema.get("properties").and_then(Value::as_object);
        schema.is_object()
            && (properties.is_some_and(|it| !it.is_empty())
                || schema.get("type").is_none_or(|it| it != "object"))
    });
    if let Some(parameters) = parameters.filter(|schema| schema.as_object().is_some_and(|it| !it.is_empty()))
    {
        declaration.insert("parametersJsonSchema".into(), parameters.clone());
    }
    Value::Object(declaration)
}

fn calling(endpoint: &Endpoint, payload: &Value) -> Result<Option<Value>, Error> {
    let choice = payload.get("tool_choice").unwrap_or(&Value::Null);
    let named = |pointer: &str| choice.pointer(pointer).and_then(Value::as_str);
    let word = choice.as_str().or_else(|| named("/type"));
    match word {
        None | Some("auto") => Ok(None),
        Some("none") => Ok(Some(json!({"mode": "NONE"}))),
        Some("required") => Ok(Some(json!({"mode": "ANY"}))),
        Some("function") => match named("/function/name") {
            Some(name) => Ok(Some(json!({"mode": "ANY", "allowedFunctionNames": [name]}))),
            None => Err(endpoint.wrong("payload.tool_choice.function.name: is missing")),
        },
        Some("allowed_tools") => {
            // Gemini takes names with `ANY` and `VALIDATED`; the latter lets the model choose.
            let mode = if named("/allowed_tools/mode") == Some("required") { "ANY" } else { "VALIDATED" };
            let tools =
                choice.pointer("/allowed_tools/tools").and_then(Value::as_array).into_iter().flatten();
            let names: Vec<_> = tools.filter_map(|tool| tool.pointer("/function/name")).collect();
            Ok(Some(json!({"mode": mode, "allowedFunctionNames": names})))
        }
        Some(other) => Err(endpoint.cannot(&format!("payload.tool_choice: does not support `{other}`"))),
    }
}
