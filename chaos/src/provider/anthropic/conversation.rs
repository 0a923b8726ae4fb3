//! Checks the messages of a request as Anthropic's API does: which blocks may stand where, and that the next turn
//! answers every tool call and nothing else.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Version;
use super::message::{SIGNATURE, THINKING};
use crate::provider::errors::ApiError;
use crate::provider::fields::{estimate_tokens, list};

/// Tokens that each message costs besides its text.
const MESSAGE_OVERHEAD_TOKENS: u32 = 4;

/// The largest image, in bytes.
const IMAGE_BYTES_MAX: usize = 5 * 1024 * 1024;

/// What the answer depends on.
#[derive(Debug, Default)]
pub(super) struct Conversation<'a> {
    pub(super) tokens: u32,
    /// The texts of all turns.
    pub(super) texts: Vec<&'a str>,
    pub(super) ends_with_a_result: bool,
    /// If the assistant's last turn called a tool without thinking first: its index, and the kind of its first block.
    pub(super) called_without_a_thought: Option<(usize, &'a str)>,
}

pub(super) fn read(body: &Value, version: Version) -> Result<Conversation<'_>, ApiError> {
    let messages = list(body, "messages")?;
    if messages.is_empty() {
        return Err(ApiError::wrong_value("messages", "at least one message is required"));
    }
    let mut conversation = Conversation::default();
    let mut open = BTreeSet::new();
    for (index, message) in messages.iter().enumerate() {
        let turn = Turn::read(index, message, version)?;
        turn.check_results(&open)?;
        open = turn.ids("tool_use", "id");
        if !turn.is_user {
            let first = turn.blocks.first().and_then(|block| block["type"].as_str()).unwrap_or_default();
            let is_bare = !open.is_empty() && !first.ends_with("thinking");
            conversation.called_without_a_thought = is_bare.then_some((index, first));
        }
        conversation.tokens = conversation.tokens.saturating_add(MESSAGE_OVERHEAD_TOKENS + turn.tokens());
        conversation.texts.extend(turn.texts());
        conversation.ends_with_a_result = turn.blocks.iter().any(|block| block["type"] == "tool_result");
    }
    check_end(messages.len() - 1, messages.last(), &open)?;
    Ok(conversation)
}

/// What the assistant has begun must end neither in white space nor in an unanswered call.
fn check_end(index: usize, last: Option<&Value>, open: &BTreeSet<&str>) -> Result<(), ApiError> {
    if let Some(id) = open.first() {
        return Err(unanswered(index, id));
    }
    let Some(last) = last.filter(|last| last["role"] == "assistant") else { return Ok(()) };
    let text = last["content"].as_str().or_else(|| last["content"].as_array()?.last()?["text"].as_str());
    match text {
        Some(text) if text.ends_with(char::is_whitespace) => {
            let problem = "final assistant content cannot end with trailing whitespace";
            Err(ApiError::wrong_value("messages", problem))
        }
        _ => Ok(()),
    }
}

fn unanswered(index: usize, id: &str) -> ApiError {
    let problem = format!(
        "`tool_use` ids were found without `tool_result` blocks immediately after: {id}. Each `tool_use` block must \
         have a corresponding `tool_result` block in the next message."
    );
    ApiError::wrong_value(&format!("messages.{index}"), &problem)
}

/// One message.
struct Turn<'a> {
    index: usize,
    is_user: bool,
    /// The whole content, if it is only a text.
    text: Option<&'a str>,
    blocks: &'a [Value],
}

impl<'a> Turn<'a> {
    fn read(index: usize, message: &'a Value, version: Version) -> Result<Self, ApiError> {
        let path = |member: &str| format!("messages.{index}.{member}");
        let is_user = match message["role"].as_str() {
            Some("user") => true,
            Some("assistant") => false,
            Some("system") if version == Version::Current => true,
            Some(_) => {
                return Err(ApiError::wrong_value(&path("role"), "Input should be 'user' or 'assistant'"));
            }
            None => return Err(ApiError::missing(&path("role"))),
        };
        let turn = match &message["content"] {
            Value::String(text) => Self { index, is_user, text: Some(text), blocks: &[] },
            Value::Array(blocks) => Self { index, is_user, text: None, blocks },
            _ => return Err(ApiError::missing(&path("content"))),
        };
        if turn.blocks.is_empty() && turn.text.is_none_or(str::is_empty) {
            return Err(ApiError::wrong_value(
                &format!("messages.{index}"),
                "all messages must have non-empty content",
            ));
        }
        for (position, block) in turn.blocks.iter().enumerate() {
            turn.check(position, block, version)?;
        }
        Ok(turn)
    }

    fn check(&self, position: usize, block: &Value, version: Version) -> Result<(), ApiError> {
        let wrong = |member: &str, problem: &str| {
            Err(ApiError::wrong_value(
                &format!("messages.{}.content.{position}{member}", self.index),
                problem,
            ))
        };
        let has = |member: &str| block[member].as_str().is_some_and(|text| !text.is_empty());
        match (block["type"].as_str().unwrap_or_default(), self.is_user) {
            ("text", _) if has("text") => Ok(()),
            ("text", _) => wrong("", "text content blocks must be non-empty"),
            ("image", true) if bytes_of(block) > IMAGE_BYTES_MAX => wrong(
                ".image.source.base64",
                &format!("image exceeds 5 MB maximum: {} bytes > {IMAGE_BYTES_MAX} bytes", bytes_of(block)),
            ),
            ("image", true) => {
                source(&block["source"], &["image/jpeg", "image/png", "image/gif", "image/webp"])
                    .or_else(|problem| wrong(".source", problem))
            }
            ("document", is_user) if is_user || version == Version::Earlier => {
                source(&block["source"], &["application/pdf", "text/plain"])
                    .or_else(|problem| wrong(".source", problem))
            }
            ("tool_result", true) if has("tool_use_id") => Ok(()),
            ("tool_use", false) if has("id") && has("name") && block["input"].is_object() => Ok(()),
            ("tool_use", false) => wrong(".tool_use.input", "Input should be a valid dictionary"),
            ("thinking", false) if !has("signature") => wrong(".signature", "Field required"),
            ("thinking", false) if block["signature"] != SIGNATURE || !is_ours(&block["thinking"]) => {
                wrong("", "Invalid `signature` in `thinking` block")
            }
            ("thinking", false) => Ok(()),
            ("redacted_thinking", false) => Ok(()),
            (kind, _) => wrong(
                "",
                &format!("Input tag '{kind}' found using 'type' does not match any of the expected tags"),
            ),
        }
    }

    /// Every call of the turn before has its result here, and no result belongs to another call.
    fn check_results(&self, open: &BTreeSet<&str>) -> Result<(), ApiError> {
        let answered = self.ids("tool_result", "tool_use_id");
        if let Some(id) = open.difference(&answered).next() {
            return Err(unanswered(self.index - 1, id));
        }
        match answered.difference(open).next() {
            Some(id) => {
                let problem = format!(
                    "unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must have \
                     a corresponding `tool_use` block in the previous message."
                );
                Err(ApiError::wrong_value(&format!("messages.{}", self.index), &problem))
            }
            None => Ok(()),
        }
    }

    fn ids(&self, kind: &str, member: &str) -> BTreeSet<&'a str> {
        let of_kind = self.blocks.iter().filter(|block| block["type"] == kind);
        of_kind.filter_map(|block| block[member].as_str()).collect()
    }

    fn texts(&self) -> impl Iterator<Item = &'a str> {
        self.text.into_iter().chain(self.blocks.iter().filter_map(|block| block["text"].as_str()))
    }

    fn tokens(&self) -> u32 {
        self.texts().fold(0, |sum, text| sum.saturating_add(estimate_tokens(text)))
    }
}

/// How large an image inside the request is, as the API counts it: in base64.
fn bytes_of(image: &Value) -> usize {
    image["source"]["data"].as_str().map_or(0, str::len)
}

/// Whether this is what the simulator thought; a thought that was not shown is empty.
fn is_ours(thinking: &Value) -> bool {
    thinking.as_str().is_some_and(|thinking| thinking.is_empty() || thinking == THINKING.concat())
}

/// A source is data of a known kind, or an address.
fn source(source: &Value, media_types: &[&str]) -> Result<(), &'static str> {
    let media_type = source["media_type"].as_str();
    let has_data = source["data"].as_str().is_some_and(|data| !data.is_empty());
    match source["type"].as_str() {
        Some("base64") if !has_data => Err("data: Field required"),
        Some("base64") if media_type.is_some_and(|media| media_types.contains(&media)) => Ok(()),
        Some("base64") => Err("media_type: Input should be one that the API takes"),
        Some("text") if has_data && media_type == Some("text/plain") => Ok(()),
        Some("url") if source["url"].as_str().is_some_and(|url| url.starts_with("http")) => Ok(()),
        Some("file") if source["file_id"].is_string() => Ok(()),
        _ => Err("Input tag should be 'base64', 'text', 'url' or 'file'"),
    }
}
