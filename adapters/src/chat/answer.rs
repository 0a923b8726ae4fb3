//! Builds a chat answer from its deltas: the whole is their sum, whatever the provider's habits.

use schemas::{ChatDelta, ChatOutput, Output, Usage, chat::ToolCallDelta};

use super::{Ask, estimate};
use crate::Finished;

/// A piece of the tool call `index`: its id and name at its start, then its arguments.
pub(crate) fn of_call(index: u32, named: Option<(String, String)>, arguments: String) -> ChatDelta {
    let (id, name) = named.unzip();
    ChatDelta { tool_calls: vec![ToolCallDelta { index, id, name, arguments }], ..ChatDelta::default() }
}

/// A chat answer in progress.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    output: ChatOutput,
    usage: Option<Usage>,
    model: Option<String>,
}

impl Answer {
    /// The answer so far.
    pub(crate) const fn output(&self) -> &ChatOutput {
        &self.output
    }

    /// Adds a delta, and returns it unless it is empty.
    pub(crate) fn take(&mut self, delta: ChatDelta) -> Option<ChatDelta> {
        if delta.is_empty() {
            return None;
        }
        self.output.absorb(&delta);
        Some(delta)
    }

    /// Records the usage that the provider reports; a later report replaces an earlier one.
    pub(crate) const fn used(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    /// Records the provider's name for the model that answers.
    pub(crate) fn by(&mut self, model: String) {
        if !model.is_empty() {
            self.model = Some(model);
        }
    }

    /// Whether every choice has ended.
    pub(crate) fn is_whole(&self) -> bool {
        self.output.choices().all(|choice| choice.finish_reason.is_some())
    }

    /// The whole answer; its usage is estimated if the provider reported none.
    pub(crate) fn finish(self, ask: &Ask) -> Finished {
        let usage = self.usage.unwrap_or_else(|| Usage {
            input_tokens: ask.input_estimate,
            output_tokens: estimate::output(&self.output),
            estimated: true,
            ..Usage::default()
        });
        let model = self.model.unwrap_or_else(|| ask.model.clone());
        Finished { output: Output::Chat(self.output), usage, model }
    }
}
