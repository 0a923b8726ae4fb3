//! `POST messages`: makes the body; its errors say what this API cannot do.

use serde_json::{Map, Value, json};

use super::{
    conversation::Conversation,
    payload::{Payload, Stop},
    tools::{self, Choice},
    version::Version,
};
use crate::chat::{Ask, Origin};

/// The most tokens of an answer if the payload sets no limit. The API demands one, and thinking tokens count; beyond
/// some 21,000 Anthropic's own clients do not wait for an answer that is not streamed.
const MAX_TOKENS: u64 = 16_384;

/// The API's highest temperature; OpenAI's is 2.
const TEMPERATURE_MAX: f64 = 1.0;

/// Translates `payload` into the body.
pub(super) fn body(ask: &Ask, payload: Payload, version: Version, origin: &Origin) -> Result<Value, String> {
    refuse(&payload)?;
    let tools = tools::offered(payload.tools.unwrap_or_default())?;
    let choice = tools::choice(payload.tool_choice.as_ref(), payload.parallel_tool_calls, !tools.is_empty())?;
    let (effort, thinking) = reasoning(payload.reasoning_effort.as_deref(), choice.as_ref())?;
    let thinking = payload.thinking.or(thinking);
    let format = format(payload.response_format.as_ref())?;
    let is_off = thinking.as_ref().is_some_and(|thinking| thinking["type"] == "disabled");
    let conversation = Conversation::of(payload.messages, origin, !is_off)?;

    let mut body = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.into(), value);
        }
    };
    set("model", Some(ask.model.as_str().into()));
    set(
        "max_tokens",
        Some(payload.max_completion_tokens.or(payload.max_tokens).unwrap_or(MAX_TOKENS).into()),
    );
    set("system", some(conversation.system));
    set("messages", Some(conversation.turns.into()));
    set("tools", some(tools));
    set("tool_choice", choice.map(Choice::into_value));
    set("stop_sequences", some(stops(payload.stop)));
    if version.takes_temperature() && !is_on(thinking.as_ref()) {
        set("temperature", payload.temperature.map(|temperature| temperature.min(TEMPERATURE_MAX).into()));
        set("top_p", payload.top_p.map(Value::from));
        set("top_k", payload.top_k.map(Value::from));
    }
    set("thinking", thinking);
    let output: Map<_, _> = [("effort", effort), ("format", format)]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    set("output_config", (!output.is_empty()).then(|| output.into()));
    set("cache_control", payload.cache_control);
    set("metadata", payload.user.map(|user| json!({"user_id": user})));
    set("stream", ask.streamed.then_some(Value::Bool(true)));
    Ok(Value::Object(body))
}

/// Refuses what the API cannot do.
fn refuse(payload: &Payload) -> Result<(), String> {
    let speaks = payload.modalities.iter().flatten().any(|modality| modality != "text");
    let wishes = [
        (payload.n.is_some_and(|n| n > 1), "give several answers to one question (`n`)"),
        (payload.logprobs == Some(true) || payload.top_logprobs.is_some_and(|n| n > 0), "tell `logprobs`"),
        (speaks || payload.audio.is_some(), "answer in speech (`modalities`, `audio`)"),
        (
            payload.functions.is_some() || payload.function_call.is_some(),
            "take `functions`, the older form of `tools`",
        ),
        (payload.web_search_options.is_some(), "search the web (`web_search_options`)"),
    ];
    match wishes.iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(format!("an anthropic provider does not {what}")),
        None => Ok(()),
    }
}

/// The effort, and the thinking that goes with it; the API takes none if a tool must be called. The thinking is to be
/// visible: a model that thinks out of sight looks like one that has stalled.
fn reasoning(
    effort: Option<&str>,
    choice: Option<&Choice>,
) -> Result<(Option<Value>, Option<Value>), String> {
    let effort = match effort {
        None => return Ok((None, None)),
        Some("none") => return Ok((None, Some(json!({"type": "disabled"})))),
        Some("minimal") => "low",
        Some(same @ ("low" | "medium" | "high" | "xhigh" | "max")) => same,
        Some(other) => {
            return Err(format!("an anthropic provider knows no `reasoning_effort` of `{other}`"));
        }
    };
    let thinks = !choice.is_some_and(Choice::demands_a_tool);
    Ok((Some(effort.into()), thinks.then(|| json!({"type": "adaptive", "display": "summarized"}))))
}

fn is_on(thinking: Option<&Value>) -> bool {
    thinking.is_some_and(|thinking| thinking["type"] != "disabled")
}

fn format(wanted: Option<&Value>) -> Result<Option<Value>, String> {
    let Some(wanted) = wanted else { return Ok(None) };
    match (wanted["type"].as_str(), wanted["json_schema"].get("schema")) {
        (Some("text"), _) => Ok(None),
        (Some("json_schema"), Some(schema)) => Ok(Some(json!({"type": "json_schema", "schema": schema}))),
        _ => Err("an anthropic provider answers in JSON only by a schema: a `response_format` of the type \
                  `json_schema`"
            .to_owned()),
    }
}

fn stops(stop: Option<Stop>) -> Vec<Value> {
    let stops = match stop {
        None => Vec::new(),
        Some(Stop::One(stop)) => vec![stop],
        Some(Stop::Several(stops)) => stops,
    };
    stops.into_iter().filter(|stop| !stop.is_empty()).map(Value::from).collect()
}

fn some(list: Vec<Value>) -> Option<Value> {
    (!list.is_empty()).then(|| list.into())
}

#[cfg(test)]
mod tests;
