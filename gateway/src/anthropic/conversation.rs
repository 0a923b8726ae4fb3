//! Turns become messages: what a person says and what tools brought are messages of their own, and so is what the
//! assistant said, with its calls.

use schemas::Error;
use serde_json::{Value, json};

use super::{
    block::Block,
    body::{Content, Role, Turn},
    version::Version,
};

/// What a result begins with that tells of an error: an OpenAI message has no other place for that.
const FAILED: &str = "Error:";

/// The conversation; paths in errors are those of the body.
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
        messages.push(json!({"role": "system", "content": instructions(system, "system")?}));
    }
    for (index, Turn { role, content }) in turns.into_iter().enumerate() {
        let at = format!("messages[{index}]");
        match role {
            Role::User => asked(content, &at, version, &mut messages)?,
            Role::Assistant => messages.push(said(content, &at)?),
            Role::System if version == Version::Current => {
                let content = instructions(content, &format!("{at}.content"))?;
                messages.push(json!({"role": "system", "content": content}));
            }
            Role::System => {
                let why = "expected `user` or `assistant`; give instructions as `system`, beside `messages`";
                return Err(Error::invalid(format!("{at}.role"), why));
            }
        }
    }
    Ok(messages)
}

/// Instructions are texts.
fn instructions(content: Content, at: &str) -> Result<Value, Error> {
    let Content::Blocks(blocks) = content else { return parts(content, at) };
    match blocks.iter().position(|block| !matches!(block, Block::Text { .. })) {
        Some(index) => Err(Error::invalid(format!("{at}[{index}]"), "expected a `text` block")),
        None => parts(Content::Blocks(blocks), at),
    }
}

/// What a person says, after the results of tools.
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
            Block::ToolResult { tool_use_id, content, is_error, toolset_name, .. } => {
                refuse_toolset(toolset_name, &at)?;
                let content = result(content, is_error == Some(true), &at)?;
                messages.push(json!({"role": "tool", "tool_call_id": tool_use_id, "content": content}));
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
        messages.push(json!({"role": "user", "content": joined(parts)}));
    }
    Ok(())
}

/// What a tool brought.
fn result(content: Option<Content>, failed: bool, at: &str) -> Result<Value, Error> {
    let content = match content {
        Some(content) => parts(content, &format!("{at}.content"))?,
        None => Value::String(String::new()),
    };
    if !failed {
        return Ok(content);
    }
    Ok(match content {
        Value::String(text) if text.is_empty() => FAILED.into(),
        Value::String(text) if text.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("error")) => {
            text.into()
        }
        Value::String(text) => format!("{FAILED} {text}").into(),
        Value::Array(mut parts) => {
            parts.insert(0, json!({"type": "text", "text": FAILED}));
            parts.into()
        }
        other => other,
    })
}

/// What the assistant said, thought and called.
fn said(content: Content, at: &str) -> Result<Value, Error> {
    let blocks = match content {
        Content::Text(text) => return Ok(json!({"role": "assistant", "content": text})),
        Content::Blocks(blocks) => blocks,
    };
    let (mut parts, mut calls, mut thought) = (Vec::new(), Vec::new(), String::new());
    for (index, block) in blocks.into_iter().enumerate() {
        let at = format!("{at}.content[{index}]");
        match block {
            Block::ToolUse { id, name, input, toolset_name, .. } => {
                refuse_toolset(toolset_name, &at)?;
                let function = json!({"name": name, "arguments": Value::Object(input).to_string()});
                calls.push(json!({"id": id, "type": "function", "function": function}));
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
    // What only calls has no content.
    let content = if parts.is_empty() && !calls.is_empty() { Value::Null } else { joined(parts) };
    let mut message = json!({"role": "assistant", "content": content});
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

/// The content of a message that holds nothing but texts, images and documents.
fn parts(content: Content, at: &str) -> Result<Value, Error> {
    match content {
        Content::Text(text) => Ok(text.into()),
        Content::Blocks(blocks) => {
            let part = |(index, block): (usize, Block)| block.into_part(&format!("{at}[{index}]"));
            blocks.into_iter().enumerate().map(part).collect::<Result<_, _>>().map(joined)
        }
    }
}

/// One text is that text, as every provider takes it.
fn joined(mut parts: Vec<Value>) -> Value {
    match parts.as_mut_slice() {
        [] => Value::String(String::new()),
        [part] if part["type"] == "text" => part["text"].take(),
        _ => parts.into(),
    }
}
