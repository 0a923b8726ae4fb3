//! Turns pieces of a chat answer into OpenAI chunks, in the order that the SDKs rely on: role, content, finish, usage.
//! Pure: no clock, no socket.

use bytes::Bytes;
use schemas::{ChatDelta, ChatOutput, Error, Format, Usage, chat::ToolCallDelta};
use serde_json::Value;

use super::wire::{self, Chunk, ChunkChoice, Delta, FunctionPiece, Logprobs, TokenUsage, ToolCallPiece};
use crate::{answer::rest_of, chat_stream::Form, refusal, sse};

/// The chunks of one answer. Tracks what was shown, so that the end adds exactly what is missing.
#[derive(Debug)]
pub(crate) struct Chunks {
    id: String,
    created: i64,
    model: String,
    include_usage: bool,
    shown: ChatOutput,
    /// The choices whose role was sent.
    begun: Vec<u32>,
}

impl Chunks {
    pub(crate) fn new(id: String, created: i64, model: String, include_usage: bool) -> Self {
        Self { id, created, model, include_usage, shown: ChatOutput::default(), begun: Vec::new() }
    }

    fn begin(&mut self, choice: u32, events: &mut Vec<Bytes>) -> Result<(), Error> {
        if !self.begun.contains(&choice) {
            self.begun.push(choice);
            let role = Delta { role: Some("assistant"), content: Some(""), ..Delta::default() };
            events.push(self.chunk(choice, role, None, &[])?);
        }
        Ok(())
    }

    fn chunk(
        &self,
        index: u32,
        delta: Delta<'_>,
        finish_reason: Option<&'static str>,
        logprobs: &[Value],
    ) -> Result<Bytes, Error> {
        self.encode(
            &[ChunkChoice { index, delta, finish_reason, logprobs: Logprobs::of(logprobs) }],
            self.include_usage.then_some(None),
        )
    }

    fn encode(&self, choices: &[ChunkChoice<'_>], usage: Option<Option<TokenUsage>>) -> Result<Bytes, Error> {
        let (id, model, created) = (self.id.as_str(), self.model.as_str(), self.created);
        let chunk = Chunk { id, object: "chat.completion.chunk", created, model, choices, usage };
        Ok(sse::data(&Format::Json.encode(&chunk)?))
    }
}

impl Form for Chunks {
    const PLACE: &'static str = "its outcome is at /v1/requests/{id}";

    fn has_begun(&self) -> bool {
        !self.begun.is_empty()
    }

    fn delta(&mut self, delta: &ChatDelta) -> Result<Vec<Bytes>, Error> {
        let mut events = Vec::new();
        let bare = ChatDelta { finish_reason: None, ..delta.clone() };
        if bare.is_empty() {
            return Ok(events);
        }
        self.begin(bare.choice, &mut events)?;
        let shown = |text: &'_ str| !text.is_empty();
        let piece = Delta {
            role: None,
            content: Some(bare.delta.as_str()).filter(|text| shown(text)),
            refusal: Some(bare.refusal.as_str()).filter(|text| shown(text)),
            reasoning_content: Some(bare.reasoning.as_str()).filter(|text| shown(text)),
            tool_calls: bare.tool_calls.iter().map(tool_piece).collect(),
        };
        events.push(self.chunk(bare.choice, piece, None, &bare.logprobs)?);
        self.shown.absorb(&bare);
        Ok(events)
    }

    /// The end: what was not shown yet, the finish of every choice, the usage if requested, `[DONE]`.
    fn finish(&mut self, output: &ChatOutput, usage: &Usage) -> Result<Vec<Bytes>, Error> {
        let mut events = Vec::new();
        for (index, whole) in (0_u32..).zip(output.choices()) {
            self.begin(index, &mut events)?;
            let shown = self.shown.choices().nth(index as usize).cloned().unwrap_or_default();
            let rest = rest_of(index, &shown, whole, Self::PLACE)?;
            events.extend(self.delta(&rest)?);
            events.push(self.chunk(index, Delta::default(), Some(wire::finish_reason(whole)), &[])?);
        }
        if self.include_usage {
            events.push(self.encode(&[], Some(Some(TokenUsage::from(usage))))?);
        }
        events.push(sse::DONE);
        Ok(events)
    }

    fn alive(&mut self) -> Bytes {
        sse::PING
    }

    fn failure(&mut self, error: Error) -> Bytes {
        sse::data(&refusal::text(&refusal::relative_to_body(error)))
    }
}

fn tool_piece(piece: &ToolCallDelta) -> ToolCallPiece<'_> {
    ToolCallPiece {
        index: piece.index,
        id: piece.id.as_deref(),
        r#type: piece.id.as_ref().map(|_| "function"),
        function: FunctionPiece { name: piece.name.as_deref(), arguments: &piece.arguments },
    }
}

#[cfg(test)]
mod tests {
    use schemas::{ErrorCode, chat::FinishReason};
    use serde_json::{Value, json};

    use super::*;

    fn chunks(include_usage: bool) -> Chunks {
        Chunks::new("chatcmpl-r".into(), 7, "m".into(), include_usage)
    }

    fn read(events: &[Bytes]) -> Vec<Value> {
        let text = |event: &Bytes| String::from_utf8(event.to_vec()).unwrap();
        let json =
            |text: String| serde_json::from_str(text.strip_prefix("data: ").unwrap().trim_end()).unwrap();
        events.iter().map(text).filter(|text| text != "data: [DONE]\n\n").map(json).collect()
    }

    fn whole(text: &str) -> ChatOutput {
        ChatOutput { text: text.into(), finish_reason: Some(FinishReason::Length), ..ChatOutput::default() }
    }

    #[test]
    fn the_order_is_role_content_finish_usage_done() {
        let mut chunks = chunks(true);
        let mut events = chunks.delta(&ChatDelta::text("Hel")).unwrap();
        let last = ChatDelta { finish_reason: Some(FinishReason::Length), ..ChatDelta::text("lo") };
        events.extend(chunks.delta(&last).unwrap());
        events
            .extend(chunks.finish(&whole("Hello"), &Usage { input_tokens: 1, ..Usage::default() }).unwrap());
        assert_eq!(events.last().unwrap(), &sse::DONE);
        let seen = read(&events);
        let deltas: Vec<_> = seen.iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect();
        let role = json!({"role": "assistant", "content": ""});
        assert_eq!(
            deltas,
            [role, json!({"content": "Hel"}), json!({"content": "lo"}), json!({}), Value::Null]
        );
        assert_eq!(seen[3]["choices"][0]["finish_reason"], "length");
        assert!(seen[..4].iter().all(|chunk| chunk.get("usage") == Some(&Value::Null)));
        assert_eq!((&seen[4]["choices"], &seen[4]["usage"]["prompt_tokens"]), (&json!([]), &json!(1)));
    }

    #[test]
    fn the_end_adds_exactly_what_was_not_shown() {
        let mut chunks = chunks(false);
        chunks.delta(&ChatDelta::text("Hel")).unwrap();
        let seen = read(&chunks.finish(&whole("Hello"), &Usage::default()).unwrap());
        assert_eq!(seen[0]["choices"][0]["delta"], json!({"content": "lo"}));
        assert!(seen.iter().all(|chunk| chunk.get("usage").is_none()));
    }

    #[test]
    fn an_answer_that_differs_from_what_was_shown_is_an_error() {
        let mut chunks = chunks(false);
        chunks.delta(&ChatDelta::text("Hel")).unwrap();
        let error = chunks.finish(&whole("Goodbye"), &Usage::default()).unwrap_err();
        assert_eq!(error.code, ErrorCode::ProviderError);
    }

    #[test]
    fn the_id_and_name_of_a_tool_call_come_once() {
        let piece = |id: Option<&str>, arguments: &str| ChatDelta {
            tool_calls: vec![ToolCallDelta {
                index: 0,
                id: id.map(Into::into),
                name: id.map(|_| "weather".into()),
                arguments: arguments.into(),
            }],
            ..ChatDelta::default()
        };
        let mut chunks = chunks(false);
        let first = read(&chunks.delta(&piece(Some("c1"), "")).unwrap());
        let expected = json!([{"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}]);
        assert_eq!(first[1]["choices"][0]["delta"]["tool_calls"], expected);
        let next = read(&chunks.delta(&piece(None, "{}")).unwrap());
        let expected = json!([{"index": 0, "function": {"arguments": "{}"}}]);
        assert_eq!(next[0]["choices"][0]["delta"]["tool_calls"], expected);
    }
}
