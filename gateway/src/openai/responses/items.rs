//! The items of an answer: reasoning, messages and tool calls. Pure.

use schemas::{ChatOutput, chat::FinishReason};
use serde_json::{Value, json};

/// The status of an item.
pub(super) const IN_PROGRESS: &str = "in_progress";
pub(super) const COMPLETED: &str = "completed";
pub(super) const INCOMPLETE: &str = "incomplete";

/// One item of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) body: Body,
}

/// The content of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// The reasoning that the provider returns.
    Reasoning(String),
    /// A message; only its last part still grows.
    Message(Vec<Part>),
    /// A tool for the client to call.
    Call { call_id: String, name: String, arguments: String },
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Refusal(String),
}

impl Item {
    /// The item at `index` of the answer to the request `request`.
    pub(super) fn new(request: &str, index: usize, body: Body) -> Self {
        let kind = match body {
            Body::Reasoning(_) => "rs",
            Body::Message(_) => "msg",
            Body::Call { .. } => "fc",
        };
        Self { id: format!("{kind}_{request}_{index}"), body }
    }

    /// All items of a whole answer, in the order in which models produce them.
    pub(super) fn all_of(request: &str, output: &ChatOutput) -> Vec<Self> {
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let mut bodies: Vec<_> = text(&output.reasoning).map(Body::Reasoning).into_iter().collect();
        let (said, refusal) = (text(&output.text).map(Part::Text), text(&output.refusal).map(Part::Refusal));
        let parts: Vec<_> = said.into_iter().chain(refusal).collect();
        match parts.is_empty() {
            true if output.tool_calls.is_empty() => {
                bodies.push(Body::Message(vec![Part::Text(String::new())]))
            }
            true => {}
            false => bodies.push(Body::Message(parts)),
        }
        bodies.extend(output.tool_calls.iter().map(|call| Body::Call {
            call_id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        }));
        bodies.into_iter().enumerate().map(|(index, body)| Self::new(request, index, body)).collect()
    }

    /// The item as a response shows it.
    pub(super) fn json(&self, status: &str) -> Value {
        let id = &self.id;
        match &self.body {
            Body::Reasoning(text) => {
                let summary = [json!({ "type": "summary_text", "text": text })];
                json!({ "id": id, "type": "reasoning", "summary": summary, "status": status })
            }
            Body::Message(parts) => {
                let content: Vec<_> = parts.iter().map(Part::json).collect();
                json!({ "id": id, "type": "message", "role": "assistant", "status": status, "content": content })
            }
            Body::Call { call_id, name, arguments } => json!({
                "id": id, "type": "function_call", "call_id": call_id, "name": name, "arguments": arguments,
                "status": status,
            }),
        }
    }

    /// The item before any of its content has come.
    pub(super) fn json_empty(&self) -> Value {
        let mut item = self.json(IN_PROGRESS);
        match self.body {
            Body::Reasoning(_) => item["summary"] = json!([]),
            Body::Message(_) => item["content"] = json!([]),
            Body::Call { .. } => item["arguments"] = "".into(),
        }
        item
    }
}

impl Part {
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Text(text) => {
                json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
            }
            Self::Refusal(refusal) => json!({ "type": "refusal", "refusal": refusal }),
        }
    }
}

/// The status of an answer that has ended, and why it is incomplete.
pub(super) fn standing(output: &ChatOutput) -> (&'static str, Option<&'static str>) {
    match output.finish_reason {
        Some(FinishReason::Length) => (INCOMPLETE, Some("max_output_tokens")),
        Some(FinishReason::ContentFilter) => (INCOMPLETE, Some("content_filter")),
        _ => (COMPLETED, None),
    }
}
