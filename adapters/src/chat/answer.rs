//! A chat answer on its way: the whole is the sum of the deltas, whatever the provider's habits.

use schemas::{ChatDelta, ChatOutput, Output, Usage, chat::ToolCallDelta};

use super::{Ask, estimate};
use crate::Finished;

/// A piece of the tool call `index`: its id and its name as it begins, then its arguments.
pub(crate) fn of_call(index: u32, named: Option<(String, String)>, arguments: String) -> ChatDelta {
    let (id, name) = named.unzip();
    ChatDelta { tool_calls: vec![ToolCallDelta { index, id, name, arguments }], ..ChatDelta::default() }
}

/// A chat answer on its way.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    output: ChatOutput,
    usage: Option<Usage>,
    model: Option<String>,
}

impl Answer {
    /// What has come so far.
    pub(crate) const fn output(&self) -> &ChatOutput {
        &self.output
    }

    /// Takes a piece; returns it where it brings something to show.
    pub(crate) fn take(&mut self, delta: ChatDelta) -> Option<ChatDelta> {
        if delta.is_empty() {
            return None;
        }
        self.output.absorb(&delta);
        Some(delta)
    }

    /// What the provider says was used; a later word takes the place of an earlier one.
    pub(crate) const fn used(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    /// The model that answers, in the provider's words.
    pub(crate) fn by(&mut self, model: String) {
        if !model.is_empty() {
            self.model = Some(model);
        }
    }

    /// Whether every choice has come to its end.
    pub(crate) fn is_whole(&self) -> bool {
        self.output.choices().all(|choice| choice.finish_reason.is_some())
    }

    /// The whole, with the usage estimated where none was reported.
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
