//! Translates messages into turns of the assistant and of the user (tool results included), and parts into blocks.

use schemas::chat::{Content, Role};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    media,
    payload::{FunctionCall, Message, Part},
};
use crate::chat::Origin;

const USER: &str = "user";
const ASSISTANT: &str = "assistant";

/// A conversation in the API's form: no turn is empty, and none has the role of the one before it.
#[derive(Debug)]
pub(super) struct Conversation<'o> {
    /// Blocks of text.
    pub(super) system: Vec<Value>,
    pub(super) turns: Vec<Value>,
    /// Whose thoughts it takes back; `thinks`: whether it does.
    origin: &'o Origin,
    thinks: bool,
}

impl<'o> Conversation<'o> {
    pub(super) fn of(messages: Vec<Message>, origin: &'o Origin, thinks: bool) -> Result<Self, String> {
        let mut conversation = Self { system: Vec::new(), turns: Vec::new(), origin, thinks };
        for message in messages {
            conversation.take(message)?;
        }
        conversation.trim_the_end();
        Ok(conversation)
    }

    fn take(&mut self, mut message: Message) -> Result<(), String> {
        let (role, cache_control) = (message.role, message.cache_control.take());
        let mut blocks = match role {
            Role::System | Role::Developer | Role::User => blocks(message.content)?,
            Role::Assistant => self.said(message)?,
            Role::Tool => vec![result(message, self.origin)?],
            Role::Function => return Err(older_form()),
        };
        mark(blocks.last_mut(), cache_control);
        match role {
            Role::System | Role::Developer => self.system.extend(blocks),
            Role::Assistant => self.turn(ASSISTANT, blocks),
            _ => self.turn(USER, blocks),
        }
        Ok(())
    }

    fn turn(&mut self, role: &str, mut blocks: Vec<Value>) {
        if blocks.is_empty() {
            return;
        }
        match self.turns.last_mut() {
            Some(last) if last["role"] == role => {
                if let Value::Array(content) = &mut last["content"] {
                    content.append(&mut blocks);
                }
            }
            _ => self.turns.push(json!({"role": role, "content": blocks})),
        }
    }

    /// What an assistant thought, if a call carries it, what it said, and then what it called.
    fn said(&self, message: Message) -> Result<Vec<Value>, String> {
        if message.function_call.is_some() {
            return Err(older_form());
        }
        if message.audio.is_some() {
            return Err("an anthropic provider does not take what was answered in speech".to_owned());
        }
        let mut said = blocks(message.content)?;
        said.extend(message.refusal.and_then(text_block));
        for (index, call) in message.tool_calls.unwrap_or_default().into_iter().enumerate() {
            let (call_id, thoughts) = self.origin.split(&call.id);
            // Thoughts in the first call come before anything that the model said.
            let at = if index == 0 { 0 } else { said.len() };
            said.splice(at..at, thoughts.into_iter().filter(|block| self.thinks && is_thought(block)));
            said.push(tool_use(id(call_id), call.function, call.cache_control)?);
        }
        Ok(said)
    }

    /// Trims an answer that the assistant has begun: the API refuses to continue after white space.
    fn trim_the_end(&mut self) {
        let Some(last) = self.turns.last_mut().filter(|turn| turn["role"] == ASSISTANT) else { return };
        let Value::Array(content) = &mut last["content"] else { return };
        let Some(Value::String(text)) = content.last_mut().and_then(|block| block.get_mut("text")) else {
            return;
        };
        text.truncate(text.trim_end().len());
        if text.is_empty() {
            content.pop();
        }
        if content.is_empty() {
            self.turns.pop();
        }
    }
}

fn older_form() -> String {
    "an anthropic provider does not take calls of `functions`, the older form of `tools`".to_owned()
}

/// Sets the cache mark where the payload has one; a message's mark goes on its last block.
fn mark(block: Option<&mut Value>, cache_control: Option<Value>) {
    if let (Some(block), Some(cache_control)) = (block, cache_control) {
        block["cache_control"] = cache_control;
    }
}

/// The blocks of a message; empty texts make none.
fn blocks(content: Option<Content>) -> Result<Vec<Value>, String> {
    match content {
        None => Ok(Vec::new()),
        Some(Content::Text(text)) => Ok(text_block(text).into_iter().collect()),
        Some(Content::Parts(parts)) => {
            parts.into_iter().filter_map(|part| block(&part).transpose()).collect()
        }
    }
}

fn block(part: &Value) -> Result<Option<Value>, String> {
    let read =
        Part::deserialize(part).map_err(|error| format!("a part of a message is not understood: {error}"))?;
    let (mut block, cache_control) = match read {
        Part::Text { text, cache_control } => (text_block(text), cache_control),
        Part::Refusal { refusal } => (text_block(refusal), None),
        Part::ImageUrl { image_url, cache_control } => (Some(media::image(&image_url.url)?), cache_control),
        Part::File { file, cache_control } => (Some(media::document(&file)?), cache_control),
        Part::Other => {
            return Err(format!("an anthropic provider takes no part of the type {}", part["type"]));
        }
    };
    mark(block.as_mut(), cache_control);
    Ok(block)
}

fn text_block(text: String) -> Option<Value> {
    (!text.is_empty()).then(|| json!({"type": "text", "text": text}))
}

/// Whether a block is of a kind that the API vouches for: a client may send anything as an id.
fn is_thought(block: &Value) -> bool {
    matches!(block["type"].as_str(), Some("thinking" | "redacted_thinking"))
}

fn tool_use(
    id: String,
    function: Option<FunctionCall>,
    cache_control: Option<Value>,
) -> Result<Value, String> {
    let Some(function) = function else {
        return Err("an anthropic provider takes calls of functions only".to_owned());
    };
    let input = match function.arguments.trim() {
        "" => json!({}),
        text => serde_json::from_str(text).ok().filter(Value::is_object).ok_or_else(|| {
            format!(
                "an anthropic provider takes JSON objects as arguments, and those of `{}` are none",
                function.name
            )
        })?,
    };
    let mut block = json!({"type": "tool_use", "id": id, "name": function.name, "input": input});
    mark(Some(&mut block), cache_control);
    Ok(block)
}

fn result(message: Message, origin: &Origin) -> Result<Value, String> {
    let call = message.tool_call_id.unwrap_or_default();
    let mut result = json!({"type": "tool_result", "tool_use_id": id(origin.split(&call).0)});
    let content = blocks(message.content)?;
    if !content.is_empty() {
        result["content"] = content.into();
    }
    Ok(result)
}

/// Replaces what the API does not take in an id: another provider may have made the call.
fn id(id: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    id.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}
