//! Turns the choices of a chunk into deltas, whatever the server's habits: no empty delta, tool calls by index, the id
//! and the name of a call once.

use schemas::{
    ChatDelta,
    chat::{CHOICES_MAX, FinishReason, ToolCallDelta},
};
use serde_json::Value;

use super::wire::{ChatReply, Choice, Function, ToolCall, UsageReply};
use crate::chat::Answer;

/// The most tool calls in one answer; the same bound as in the strictest client library.
const TOOL_CALLS_MAX: u32 = 128;

/// Adds one chunk, or a whole reply, to `answer` and returns the deltas that it adds. The error says what is wrong.
pub(super) fn absorb(answer: &mut Answer, reply: ChatReply) -> Result<Vec<ChatDelta>, String> {
    if let Some(usage) = reply.usage.as_ref().and_then(UsageReply::of_chat) {
        answer.used(usage);
    }
    answer.by(reply.model.unwrap_or_default());
    let mut deltas = Vec::new();
    for choice in reply.choices.unwrap_or_default() {
        let delta = delta(answer, choice)?;
        deltas.extend(answer.take(delta));
    }
    Ok(deltas)
}

fn delta(answer: &Answer, choice: Choice) -> Result<ChatDelta, String> {
    let index = choice.index.unwrap_or(0);
    if index >= CHOICES_MAX {
        return Err(format!("choice {index} is over the limit of {CHOICES_MAX}"));
    }
    let piece = choice.delta.or(choice.message).unwrap_or_default();
    let known = answer.output().choices().nth(index as usize).map_or(&[][..], |choice| &choice.tool_calls);
    Ok(ChatDelta {
        choice: index,
        tool_calls: tool_calls(known, piece.tool_calls, piece.function_call)?,
        delta: piece.content.map(|content| content.text()).unwrap_or_default(),
        reasoning: piece.reasoning_content.or(piece.reasoning).unwrap_or_default(),
        refusal: piece.refusal.unwrap_or_default(),
        logprobs: choice.logprobs.and_then(|told| told.content).unwrap_or_default(),
        finish_reason: choice.finish_reason.as_deref().map(finish_reason).transpose()?.flatten(),
        ..ChatDelta::default()
    })
}

/// The pieces of tool calls in one chunk. `known` holds the calls that began in earlier chunks.
fn tool_calls(
    known: &[schemas::chat::ToolCall],
    pieces: Option<Vec<ToolCall>>,
    function_call: Option<Function>,
) -> Result<Vec<ToolCallDelta>, String> {
    let function_call = function_call.map(|function| ToolCall {
        index: Some(0),
        id: None,
        function: Some(function),
        custom: None,
    });
    let mut count = known.len() as u32;
    let mut deltas = Vec::new();
    for piece in pieces.into_iter().flatten().chain(function_call) {
        let id = piece.id.filter(|id| !id.is_empty());
        let index = match (piece.index, &id) {
            (Some(index), _) => index,
            (None, Some(id)) => {
                known.iter().position(|call| call.id == *id).map_or(count, |position| position as u32)
            }
            // A piece without index and id continues the last call, or begins the first.
            (None, None) => count.saturating_sub(1),
        };
        if index >= TOOL_CALLS_MAX {
            return Err(format!("tool call {index} is over the limit of {TOOL_CALLS_MAX}"));
        }
        count = count.max(index + 1);
        let begun = known.get(index as usize);
        let function = piece.function.or(piece.custom);
        let name = function.as_ref().and_then(|function| function.name.clone());
        let delta = ToolCallDelta {
            index,
            id: id.filter(|_| begun.is_none_or(|call| call.id.is_empty())),
            name: name.filter(|name| !name.is_empty() && begun.is_none_or(|call| call.name.is_empty())),
            arguments: function.and_then(|function| function.arguments).map(arguments).unwrap_or_default(),
        };
        if delta != (ToolCallDelta { index, ..ToolCallDelta::default() }) {
            deltas.push(delta);
        }
    }
    Ok(deltas)
}

fn arguments(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Maps the words of many servers to five reasons. An unknown word is a normal end; a word for a failure at the
/// provider is an error, so that half an answer never counts as a whole one.
fn finish_reason(word: &str) -> Result<Option<FinishReason>, String> {
    match word {
        // Some servers send this instead of null while the answer goes on.
        "" => Ok(None),
        "length" | "max_tokens" | "model_context_window_exceeded" => Ok(Some(FinishReason::Length)),
        "tool_calls" | "tool_use" => Ok(Some(FinishReason::ToolCalls)),
        "content_filter" | "sensitive" | "safety" => Ok(Some(FinishReason::ContentFilter)),
        "function_call" => Ok(Some(FinishReason::FunctionCall)),
        "error" | "abort" | "network_error" => Err(format!("it ended with `{word}`")),
        _ => Ok(Some(FinishReason::Stop)),
    }
}

#[cfg(test)]
mod tests;
