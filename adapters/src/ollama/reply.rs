//! Reads Ollama's answers, whole or line by line: both have the same shape. The last line is the one that is `done`.

use std::sync::Arc;

use schemas::{
    ChatDelta, Usage,
    chat::{CHOICES_MAX, FinishReason, ToolCallDelta},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Error, Finished,
    chat::{Answer, Ask, Decoder},
    counts,
    endpoint::Endpoint,
    failure,
};

/// A line, or a whole reply.
#[derive(Debug, Deserialize)]
struct Reply {
    model: Option<String>,
    message: Option<Said>,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    /// Absent if the whole question was still in Ollama's memory.
    #[serde(default, deserialize_with = "counts::count")]
    prompt_eval_count: Option<u64>,
    #[serde(default, deserialize_with = "counts::count")]
    eval_count: Option<u64>,
    error: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
struct Said {
    content: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<Called>>,
}

#[derive(Debug, Deserialize)]
struct Called {
    id: Option<String>,
    function: Function,
}

#[derive(Debug, Deserialize)]
struct Function {
    name: String,
    arguments: Option<Value>,
}

/// Reads lines and whole replies.
#[derive(Debug)]
pub(super) struct Lines {
    endpoint: Arc<Endpoint>,
    answer: Answer,
    /// Goes into the ids of calls to which Ollama gives none.
    key: String,
    /// Tokens read and written, from the last line.
    used: (Option<u64>, Option<u64>),
}

impl Lines {
    pub(super) fn new(endpoint: &Arc<Endpoint>, key: &str) -> Self {
        Self {
            endpoint: Arc::clone(endpoint),
            answer: Answer::default(),
            key: key.to_owned(),
            used: (None, None),
        }
    }

    fn absorb(&mut self, line: &[u8]) -> Result<Vec<ChatDelta>, Error> {
        let reply: Reply = serde_json::from_slice(line)
            .map_err(|error| self.endpoint.nonsense(&format!("sent what is not a chat answer: {error}")))?;
        if reply.error.is_some() {
            return Err(failure::in_reply(&self.endpoint, line));
        }
        self.answer.by(reply.model.unwrap_or_default());
        let mut delta = self.delta(reply.message.unwrap_or_default())?;
        if reply.done {
            self.used = (reply.prompt_eval_count, reply.eval_count);
            delta.finish_reason = Some(self.reason(reply.done_reason.as_deref(), &delta)?);
        }
        Ok(self.answer.take(delta).into_iter().collect())
    }

    fn delta(&self, said: Said) -> Result<ChatDelta, Error> {
        let known = self.answer.output().tool_calls.len();
        let calls = said.tool_calls.unwrap_or_default();
        if known + calls.len() > CHOICES_MAX as usize {
            return Err(self.endpoint.nonsense(&format!("made more than {CHOICES_MAX} calls of tools")));
        }
        let call = |(index, call): (usize, Called)| {
            let id = call.id.filter(|id| !id.is_empty());
            ToolCallDelta {
                index: (known + index) as u32,
                id: Some(id.unwrap_or_else(|| format!("call_{}_{}", self.key, known + index))),
                name: Some(call.function.name),
                arguments: call.function.arguments.unwrap_or_else(|| json!({})).to_string(),
            }
        };
        Ok(ChatDelta {
            delta: said.content.unwrap_or_default(),
            reasoning: said.thinking.unwrap_or_default(),
            tool_calls: calls.into_iter().enumerate().map(call).collect(),
            ..ChatDelta::default()
        })
    }

    /// Ollama ends tool calls with `stop`, like everything else.
    fn reason(&self, word: Option<&str>, last: &ChatDelta) -> Result<FinishReason, Error> {
        match word {
            Some("length") => Ok(FinishReason::Length),
            Some(word @ ("load" | "unload")) => {
                Err(self.endpoint.nonsense(&format!("answered nothing: it ended with `{word}`")))
            }
            _ if last.tool_calls.is_empty() && self.answer.output().tool_calls.is_empty() => {
                Ok(FinishReason::Stop)
            }
            _ => Ok(FinishReason::ToolCalls),
        }
    }
}

impl Decoder for Lines {
    fn frame(&mut self, line: &str) -> Result<Vec<ChatDelta>, Error> {
        self.absorb(line.as_bytes())
    }

    fn whole(&mut self, body: &[u8]) -> Result<Vec<ChatDelta>, Error> {
        self.absorb(body)
    }

    fn is_whole(&self) -> bool {
        self.answer.is_whole()
    }

    fn is_over(&self) -> bool {
        self.answer.is_whole()
    }

    fn finish(&mut self, ask: &Ask) -> Finished {
        if let (input, Some(output_tokens)) = self.used {
            self.answer.used(Usage {
                input_tokens: input.unwrap_or(ask.input_estimate),
                output_tokens,
                estimated: input.is_none(),
                ..Usage::default()
            });
        }
        std::mem::take(&mut self.answer).finish(ask)
    }
}

#[cfg(test)]
mod tests;
