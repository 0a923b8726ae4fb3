//! Payload, deltas and output of `chat.completion`.
//!
//! The payload is the OpenAI chat-completions body and reaches the provider as it came. [`ChatRequest`] is the part of
//! it that the engine checks; [`ChatDelta`] is one piece of the answer; [`ChatOutput`] is the whole answer, and only
//! [`ChatOutput::absorb`] makes it from pieces.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use crate::Error;

/// The most choices in one request, as in the OpenAI API.
pub const CHOICES_MAX: u32 = 128;

/// The part of the OpenAI chat-completions body that the engine reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChatRequest {
    /// The model.
    #[schemars(length(min = 1))]
    pub model: String,
    /// The conversation.
    #[schemars(length(min = 1))]
    pub messages: Vec<ChatMessage>,
    /// Whether the sender wants deltas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// How the sender wants deltas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    /// How many answers the sender wants.
    #[schemars(range(min = 1, max = CHOICES_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
    /// The longest answer, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<u32>,
    /// The older name of `max_completion_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// How freely the model may choose its words: from 0 to 2.
    #[schemars(range(min = 0.0, max = 2.0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The tools that the model may call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Value>>,
}

/// How the sender wants deltas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct StreamOptions {
    /// Whether the sender wants a last chunk with the usage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_usage: Option<bool>,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said; may be absent if there are tool calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// The calls that an assistant made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<Value>>,
    /// The call that a tool message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions of the application; the newer name of `system`.
    Developer,
    /// Instructions of the application.
    System,
    /// A person.
    User,
    /// The model.
    Assistant,
    /// The result of a call.
    Tool,
    /// The older form of `tool`.
    Function,
}

/// What is said: a text, or parts (text, images, audio, files).
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Content {
    /// A text.
    Text(String),
    /// Parts, each an object with a `type`.
    Parts(Vec<Value>),
}

impl Content {
    /// The text of it, with parts joined.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => {
                parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Content;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of content parts")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Content, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(Content::Parts)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl ChatRequest {
    /// Checks what the types do not express.
    pub fn check(&self) -> Result<(), Error> {
        if self.model.is_empty() {
            return Err(Error::invalid("payload.model", "must not be empty"));
        }
        if self.messages.is_empty() {
            return Err(Error::invalid("payload.messages", "must hold at least one message"));
        }
        if let Some(n) = self.n.filter(|n| !(1..=CHOICES_MAX).contains(n)) {
            return Err(Error::invalid("payload.n", format!("{n} is not between 1 and {CHOICES_MAX}")));
        }
        if let Some(t) = self.temperature.filter(|t| !(0.0..=2.0).contains(t)) {
            return Err(Error::invalid("payload.temperature", format!("{t} is not between 0 and 2")));
        }
        self.messages.iter().enumerate().try_for_each(|(index, message)| {
            let path = |field: &str| format!("payload.messages[{index}].{field}");
            match message.role {
                Role::Tool if message.tool_call_id.is_none() => {
                    Err(Error::invalid(path("tool_call_id"), "a tool message must name the call it answers"))
                }
                Role::Assistant if message.tool_calls.is_some() => Ok(()),
                Role::Assistant | Role::Tool | Role::Function => Ok(()),
                _ if message.content.is_none() => Err(Error::invalid(path("content"), "is required")),
                _ => Ok(()),
            }
        })
    }
}

/// One piece of a chat answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ChatDelta {
    /// Which answer it belongs to, if several were asked for.
    #[serde(default, skip_serializing_if = "is_first")]
    pub choice: u32,
    /// Text to append.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub delta: String,
    /// Reasoning text to append.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reasoning: String,
    /// Text of a refusal to append.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub refusal: String,
    /// Pieces of tool calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCallDelta>,
    /// The log probabilities of this piece's tokens, each in the form of OpenAI's API; if asked for and reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<Value>,
    /// Why this answer ended, on its last piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<FinishReason>,
    /// The stop sequence that ended it, beside `finish_reason`, if the provider reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_sequence: Option<String>,
    /// The `seq` of the first piece, if several were joined for a reader that is behind. The event's own `seq` is that
    /// of the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seq: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_first(choice: &u32) -> bool {
    *choice == 0
}

impl ChatDelta {
    /// A piece of text of the first answer.
    pub fn text(text: impl Into<String>) -> Self {
        Self { delta: text.into(), ..Self::default() }
    }

    /// Appends the piece that follows this one; both belong to the same choice. Joins pieces of one tool call: clients
    /// do not expect two of the same index in one message.
    pub fn append(&mut self, next: Self) {
        self.delta.push_str(&next.delta);
        self.reasoning.push_str(&next.reasoning);
        self.refusal.push_str(&next.refusal);
        for call in next.tool_calls {
            match self.tool_calls.last_mut() {
                Some(last) if call.goes_on(last) => last.arguments.push_str(&call.arguments),
                _ => self.tool_calls.push(call),
            }
        }
        self.logprobs.extend(next.logprobs);
        self.finish_reason = next.finish_reason.or(self.finish_reason);
        self.stop_sequence = next.stop_sequence.or(self.stop_sequence.take());
    }

    /// Whether `next` may be appended: it is of the same choice, and shows nothing that belongs before what this one shows. Of
    /// one piece, a client shows the reasoning first, then the text, then the tool calls.
    pub fn takes(&self, next: &Self) -> bool {
        let last = self.shows().iter().rposition(|shows| *shows);
        let first = next.shows().iter().position(|shows| *shows);
        self.choice == next.choice && last.zip(first).is_none_or(|(last, first)| last <= first)
    }

    /// Whether it has reasoning, text and a tool call.
    const fn shows(&self) -> [bool; 3] {
        let has_text = !self.delta.is_empty() || !self.refusal.is_empty();
        [!self.reasoning.is_empty(), has_text, !self.tool_calls.is_empty()]
    }

    /// Whether it has nothing to show.
    pub fn is_empty(&self) -> bool {
        self.delta.is_empty()
            && self.reasoning.is_empty()
            && self.refusal.is_empty()
            && self.tool_calls.is_empty()
            && self.logprobs.is_empty()
            && self.finish_reason.is_none()
    }
}

/// A piece of one tool call. Its id and name come once, its arguments in pieces.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ToolCallDelta {
    /// Which call it belongs to, from 0.
    pub index: u32,
    /// The id of the call, on its first piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The name of the function, on its first piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Arguments to append, as JSON text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub arguments: String,
}

impl ToolCallDelta {
    /// Whether it only continues the call of which `before` is a piece.
    fn goes_on(&self, before: &Self) -> bool {
        self.index == before.index && self.id.is_none() && self.name.is_none()
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// It was complete.
    Stop,
    /// It reached its token limit.
    Length,
    /// The model calls tools.
    ToolCalls,
    /// The provider withheld it.
    ContentFilter,
    /// The model calls a function, in the older form.
    FunctionCall,
}

impl FinishReason {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::FunctionCall => "function_call",
        }
    }
}

/// A whole chat answer. If several were asked for, this is the first and `alternatives` holds the others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ChatOutput {
    /// The text.
    pub text: String,
    /// The reasoning, if the provider shows it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reasoning: String,
    /// The refusal, if the model refused.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub refusal: String,
    /// The tools that the model calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The log probabilities of its tokens, each in the form of OpenAI's API; if asked for and reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<Value>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<FinishReason>,
    /// The stop sequence that ended it, if the provider reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_sequence: Option<String>,
    /// The other answers, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<ChatOutput>,
}

/// One call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ToolCall {
    /// Its id, which its answer must name.
    pub id: String,
    /// The name of the function.
    pub name: String,
    /// The arguments, as JSON text.
    pub arguments: String,
}

impl ChatOutput {
    /// Appends one piece.
    pub fn absorb(&mut self, delta: &ChatDelta) {
        let answer = self.choice_mut(delta.choice);
        answer.text.push_str(&delta.delta);
        answer.reasoning.push_str(&delta.reasoning);
        answer.refusal.push_str(&delta.refusal);
        for piece in &delta.tool_calls {
            answer.absorb_tool_call(piece);
        }
        answer.logprobs.extend_from_slice(&delta.logprobs);
        if delta.finish_reason.is_some() {
            answer.finish_reason = delta.finish_reason;
        }
        if delta.stop_sequence.is_some() {
            answer.stop_sequence.clone_from(&delta.stop_sequence);
        }
    }

    /// All answers, the first included.
    pub fn choices(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.alternatives)
    }

    fn choice_mut(&mut self, choice: u32) -> &mut Self {
        let Some(alternative) = choice.min(CHOICES_MAX).checked_sub(1).map(|index| index as usize) else {
            return self;
        };
        if self.alternatives.len() <= alternative {
            self.alternatives.resize_with(alternative + 1, Self::default);
        }
        &mut self.alternatives[alternative]
    }

    fn absorb_tool_call(&mut self, piece: &ToolCallDelta) {
        let index = piece.index.min(CHOICES_MAX) as usize;
        if self.tool_calls.len() <= index {
            self.tool_calls.resize_with(index + 1, ToolCall::default);
        }
        let call = &mut self.tool_calls[index];
        if let Some(id) = &piece.id {
            call.id.clone_from(id);
        }
        if let Some(name) = &piece.name {
            call.name.clone_from(name);
        }
        call.arguments.push_str(&piece.arguments);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(id: Option<&str>, arguments: &str) -> ToolCallDelta {
        let (id, name) = (id.map(Into::into), id.map(|_| "weather".into()));
        ToolCallDelta { index: 0, id, name, arguments: arguments.into() }
    }

    #[test]
    fn joined_pieces_of_one_tool_call_are_one_piece_of_it() {
        let piece = |call| ChatDelta { tool_calls: vec![call], ..ChatDelta::default() };
        let mut joined = piece(call(Some("c1"), ""));
        joined.append(piece(call(None, "{\"a\"")));
        joined.append(piece(call(None, ":1}")));
        let other = ToolCallDelta { index: 1, ..call(Some("c2"), "") };
        joined.append(piece(other.clone()));
        joined.append(piece(call(None, " ")));
        assert_eq!(joined.tool_calls, [call(Some("c1"), "{\"a\":1}"), other, call(None, " ")]);
    }

    #[test]
    fn a_piece_is_appended_where_the_order_stays() {
        let text = ChatDelta::text("a");
        let reasoning = ChatDelta { reasoning: "b".into(), ..ChatDelta::default() };
        let tool = ChatDelta { tool_calls: vec![call(None, "{")], ..ChatDelta::default() };
        for (piece, takes) in
            [(&reasoning, [true, true, true]), (&text, [false, true, true]), (&tool, [false, false, true])]
        {
            assert_eq!([&reasoning, &text, &tool].map(|next| piece.takes(next)), takes, "{piece:?}");
            assert!(
                piece.takes(&ChatDelta::default()) && ChatDelta::default().takes(piece),
                "nothing is anywhere"
            );
        }
        assert!(!text.takes(&ChatDelta { choice: 1, ..text.clone() }));
    }

    #[test]
    fn pieces_become_the_whole() {
        let mut output = ChatOutput::default();
        output.absorb(&ChatDelta::text("Hel"));
        output.absorb(&ChatDelta { choice: 1, ..ChatDelta::text("other") });
        output.absorb(&ChatDelta { tool_calls: vec![call(Some("c1"), "{\"a\"")], ..ChatDelta::text("lo") });
        output.absorb(&ChatDelta { tool_calls: vec![call(None, ":1}")], ..ChatDelta::default() });
        output.absorb(&ChatDelta { finish_reason: Some(FinishReason::ToolCalls), ..ChatDelta::default() });
        assert_eq!(output.text, "Hello");
        assert_eq!(output.alternatives[0].text, "other");
        let whole = ToolCall { id: "c1".into(), name: "weather".into(), arguments: "{\"a\":1}".into() };
        assert_eq!(output.tool_calls, [whole]);
        assert_eq!(output.finish_reason, Some(FinishReason::ToolCalls));
    }

    #[test]
    fn what_types_do_not_say_is_checked() {
        let at = |body: Value| {
            let request: ChatRequest = serde_json::from_value(body).unwrap();
            request.check().unwrap_err().param.unwrap()
        };
        let user = json!({"role": "user", "content": "hi"});
        assert_eq!(at(json!({"model": "", "messages": [user]})), "payload.model");
        assert_eq!(at(json!({"model": "m", "messages": []})), "payload.messages");
        assert_eq!(at(json!({"model": "m", "messages": [user], "n": 0})), "payload.n");
        assert_eq!(
            at(json!({"model": "m", "messages": [user, {"role": "user"}]})),
            "payload.messages[1].content"
        );
    }
}
