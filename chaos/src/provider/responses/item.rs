//! The parts of a response: the items of its output, and everything around them.

use serde_json::{Value, json};

use super::request::Request;
use super::{End, Reply};
use crate::provider::exchange::Ask;
use crate::provider::said::{Said, THOUGHTS};
use crate::provider::tool::ToolCall;

/// The thoughts in their sealed form.
pub(super) const SEALED: &str = "gAAAAABsimulated";

/// The response without output and end: how it begins. It repeats what was asked for.
pub(super) fn shell(ask: &Ask, request: &Request<'_>) -> Value {
    let said = |name: &str, default: Value| match ask.body.get(name) {
        None | Some(Value::Null) => default,
        Some(value) => value.clone(),
    };
    let text = said("text", json!({}));
    let of = |whole: &Value, name: &str| whole.get(name).cloned().unwrap_or_default();
    let reasoning = said("reasoning", json!({}));
    let mut shell = json!({
        "id": format!("resp_{}", ask.id), "object": "response", "created_at": ask.created, "status": "in_progress",
        "background": false, "completed_at": null, "error": null, "incomplete_details": null,
        "max_tool_calls": null, "model": ask.model, "output": [], "previous_response_id": null,
        "service_tier": "auto", "top_logprobs": 0, "usage": null,
        "reasoning": {"effort": of(&reasoning, "effort"), "summary": of(&reasoning, "summary")},
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tools": request.tools.iter().map(tool).collect::<Vec<_>>(),
    });
    for (name, default) in [
        ("instructions", Value::Null),
        ("max_output_tokens", Value::Null),
        ("metadata", json!({})),
        ("parallel_tool_calls", json!(true)),
        ("prompt_cache_key", Value::Null),
        ("safety_identifier", Value::Null),
        ("store", json!(true)),
        ("temperature", json!(1.0)),
        ("tool_choice", json!("auto")),
        ("top_p", json!(1.0)),
        ("truncation", json!("disabled")),
        ("user", Value::Null),
    ] {
        shell[name] = said(name, default);
    }
    for name in ["format", "verbosity"] {
        if let Some(value) = text.get(name) {
            shell["text"][name] = value.clone();
        }
    }
    shell
}

/// A tool as the response repeats it: with the defaults of what it left to the API.
fn tool(tool: &Value) -> Value {
    let mut tool = tool.clone();
    for (name, default) in
        [("description", Value::Null), ("parameters", Value::Null), ("strict", json!(true))]
    {
        if tool.get(name).is_none() {
            tool[name] = default;
        }
    }
    tool
}

impl Reply<'_> {
    /// The items as they are at the end, in their order.
    pub(super) fn items(&self) -> Vec<Value> {
        let reasoning = self.request.reasons.then(|| self.reasoning());
        let said = match &self.said {
            Said::Text { pieces, .. } => self.message(vec![self.part(&pieces.concat())], self.status()),
            Said::Call(call) => call_item(self.ask, call, &call.pieces.concat(), "completed"),
        };
        reasoning.into_iter().chain([said]).collect()
    }

    /// The status of the message at the end.
    pub(super) const fn status(&self) -> &'static str {
        if matches!(self.end, End::Completed) { "completed" } else { "incomplete" }
    }

    pub(super) fn message(&self, content: Vec<Value>, status: &str) -> Value {
        json!({
            "id": format!("msg_{}", self.ask.id), "type": "message", "status": status, "content": content,
            "role": "assistant",
        })
    }

    /// The part of a message that says `text`.
    pub(super) fn part(&self, text: &str) -> Value {
        if self.refuses {
            json!({"type": "refusal", "refusal": text})
        } else {
            json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
        }
    }

    /// The thoughts before the answer: sealed, with a summary if one is asked for.
    pub(super) fn reasoning(&self) -> Value {
        let summary = if self.request.summarises {
            json!([{"type": "summary_text", "text": THOUGHTS.concat()}])
        } else {
            json!([])
        };
        json!({
            "id": format!("rs_{}", self.ask.id), "type": "reasoning", "summary": summary, "encrypted_content": SEALED,
        })
    }
}

/// A tool call with this much of its arguments.
pub(super) fn call_item(ask: &Ask, call: &ToolCall, arguments: &str, status: &str) -> Value {
    json!({
        "id": format!("fc_{}", ask.id), "type": "function_call", "status": status, "arguments": arguments,
        "call_id": call.id, "name": call.name,
    })
}
