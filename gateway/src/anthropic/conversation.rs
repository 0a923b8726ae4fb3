//! Turns a conversation into OpenAI messages: one for each tool result, one for what the user says, and one for what
//! the assistant said and called.

use schemas::Error;
use serde_json::{Value, json};

use super::{
    block::{Block, text_part},
    body::{CacheControl, Content, Role, Turn},
    version::Version,
};

/// Begins the result of a tool that failed: an OpenAI message has no other place for that.
const FAILED: &str = "Error:";

/// The messages; paths in errors are those of the body.
pub(super) fn messages(
    system: Option<Content>,
    turns: Vec<Turn>,
    version: Version,
) -> Result<Vec<Value>, Error> {
    if turns.is_empty() {
        return Err(Error::invalid("messages", "must hold at least one message"));
    }
    let mut messages = Vec::with_capacity(turns.len() + 1);
    if let Some(system) = system {
        messages.push(message("system", instructions(system, "system")?));
    }
    for (index, Turn { role, content }) in turns.into_iter().enumerate() {
        let at = format!("messages[{index}]");
        match role {
            Role::User => asked(content, &at, version, &mut messages)?,
            Role::Assistant => messages.push(said(content, &at)?),
            Role::System if version == Version::Current => {
                messages.push(message("system", instructions(content, &format!("{at}.content"))?));
            }
            Role::System => {
                let why = "expected `user` or `assistant`; give instructions as `system`, beside `messages`";
                return Err(Error::invalid(format!("{at}.role"), why));
            }
        }
    }
    Ok(messages)
}

/// Instructions may hold only texts.
fn instructions(content: Content, at: &str) -> Result<Vec<Value>, Error> {
    let Content::Blocks(blocks) = content else { return parts(content, at) };
    match blocks.iter().position(|block| !matches!(block, Block::Text { .. })) {
        Some(index) => Err(Error::invalid(format!("{at}[{index}]"), "expected a `text` block")),
        None => parts(Content::Blocks(blocks), at),
    }
}

/// Appends a user's turn: the results of tools, then what the user says.
fn asked(content: Content, at: &str, version: Version, messages: &mut Vec<Value>) -> Result<(), Error> {
    let at = format!("{at}.content");
    let blocks = match content {
        Content::Text(text) => {
            messages.push(json!({"role": "user", "content": text}));
            return Ok(());
        }
        Content::Blocks(blocks) if blocks.is_empty() => return Err(Error::invalid(at, "must not be empty")),
        Content::Blocks(blocks) => blocks,
    };
    let mut parts = Vec::new();
    for (index, block) in blocks.into_iter().enumerate() {
        let at = format!("{at}[{index}]");
        match block {
            Block::ToolResult { .. } if !parts.is_empty() => {
                return Err(Error::invalid(
                    at,
                    "a `tool_result` stands before all other blocks of its message",
                ));
            }
            Block::ToolResult { tool_use_id, content, is_error, toolset_name, cache_control } => {
                refuse_toolset(toolset_name, &at)?;
                let mut result = message("tool", result(content, is_error == Some(true), &at)?);
                result["tool_call_id"] = tool_use_id.into();
                messages.push(CacheControl::mark(result, cache_control));
            }
            Block::Text { citations: Some(citations), .. }
                if version == Version::Current && !citations.is_empty() =>
            {
                return Err(Error::invalid(
                    format!("{at}.citations"),
                    "a user's text has none; leave it out",
                ));
            }
            block => parts.push(block.into_part(&at)?),
        }
    }
    if !parts.is_empty() {
        messages.push(message("user", parts));
    }
    Ok(())
}

/// The parts of a tool result.
fn result(content: Option<Content>, failed: bool, at: &str) -> Result<Vec<Value>, Error> {
    let mut brought = match content {
        Some(content) => parts(content, &format!("{at}.content"))?,
        None => Vec::new(),
    };
    match brought.as_mut_slice() {
        _ if !failed => {}
        [part] if part["type"] == "text" => {
            let text = part["text"].as_str().unwrap_or_default();
            let says_so = text.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("error"));
            part["text"] = match text {
                "" => FAILED.into(),
                text if says_so => text.into(),
                text => format!("{FAILED} {text}").into(),
            };
        }
        _ => brought.insert(0, text_part(FAILED)),
    }
    Ok(brought)
}

/// The message for an assistant's turn: text, thinking and calls.
fn said(content: Content, at: &str) -> Result<Value, Error> {
    let blocks = match content {
        Content::Text(text) => return Ok(json!({"role": "assistant", "content": text})),
        Content::Blocks(blocks) => blocks,
    };
    let (mut parts, mut calls, mut thought) = (Vec::new(), Vec::new(), String::new());
    for (index, block) in blocks.into_iter().enumerate() {
        let at = format!("{at}.content[{index}]");
        match block {
            Block::ToolUse { id, name, input, toolset_name, cache_control, .. } => {
                refuse_toolset(toolset_name, &at)?;
                let function = json!({"name": name, "arguments": Value::Object(input).to_string()});
                let call = json!({"id": id, "type": "function", "function": function});
                calls.push(CacheControl::mark(call, cache_control));
            }
            Block::Thinking { thinking, .. } => thought.push_str(&thinking),
            Block::RedactedThinking { .. } => {}
            block @ Block::Text { .. } => parts.push(block.into_part(&at)?),
            other => {
                return Err(Error::invalid(
                    at,
                    format!("`{}` cannot stand in what the assistant said", other.kind()),
                ));
            }
        }
    }
    let only_calls = parts.is_empty() && !calls.is_empty();
    let mut message = message("assistant", parts);
    if only_calls {
        message["content"] = Value::Null;
    }
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    if !thought.is_empty() {
        message["reasoning_content"] = thought.into();
    }
    Ok(message)
}

fn refuse_toolset(name: Option<String>, at: &str) -> Result<(), Error> {
    match name {
        Some(_) => Err(Error::invalid(format!("{at}.toolset_name"), "there are no toolsets here")),
        None => Ok(()),
    }
}

/// The parts of content that holds only texts, images and documents.
fn parts(content: Content, at: &str) -> Result<Vec<Value>, Error> {
    match content {
        Content::Text(text) => Ok(vec![text_part(&text)]),
        Content::Blocks(blocks) => {
            let part = |(index, block): (usize, Block)| block.into_part(&format!("{at}[{index}]"));
            blocks.into_iter().enumerate().map(part).collect()
        }
    }
}

/// A single text becomes a plain string, which every provider accepts; its cache mark moves to the message.
fn message(role: &str, mut parts: Vec<Value>) -> Value {
    let mut message = json!({"role": role});
    message["content"] = match parts.as_mut_slice() {
        [] => Value::String(String::new()),
        [part] if part["type"] == "text" => {
            if let Some(mark) = part.get_mut("cache_control") {
                message["cache_control"] = mark.take();
            }
            part["text"].take()
        }
        _ => parts.into(),
    };
    message
}
