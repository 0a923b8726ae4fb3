//! The answer before an API gives it its form: words, JSON if a form is asked for, or a tool call.

use serde_json::Value;

use super::behaviour::Fault;
use super::exchange::Ask;
use super::text;
use super::tool::{Tool, ToolCall};
use crate::history::{key_of, marker, markers};

/// The thoughts before an answer if thinking is asked for, in pieces of one token each.
pub(super) const THOUGHTS: &[&str] = &["The question", " is plain", " and so is", " its answer."];

/// The answer.
pub(super) enum Said {
    /// Pieces of a text, one token each, and whether they are all of it.
    Text { pieces: Vec<String>, is_whole: bool },
    /// A tool call.
    Call(ToolCall),
}

/// What the answer depends on, in whichever API.
pub(super) struct Wish<'a> {
    /// Every text in the question; one of them holds the request's marker.
    pub(super) texts: Vec<&'a str>,
    /// The most tokens of the answer.
    pub(super) tokens_max: Option<u32>,
    /// The tool to call instead of answering in words.
    pub(super) tool: Option<Tool<'a>>,
    /// The schema of the answer; null if any JSON will do.
    pub(super) schema: Option<&'a Value>,
}

impl Said {
    pub(super) fn new(ask: &Ask, call_id: String, wish: &Wish<'_>) -> Self {
        if let Some(tool) = wish.tool {
            return Self::Call(ToolCall::new(call_id, tool));
        }
        let fault = ask.behaviour.fault;
        let mut pieces: Vec<String> = match wish.schema.filter(|_| fault != Some(Fault::Prose)) {
            _ if fault == Some(Fault::Empty) => Vec::new(),
            Some(schema) => {
                let schema = Some(schema).filter(|schema| schema.is_object());
                ToolCall::new(String::new(), Tool { name: "", parameters: schema }).pieces
            }
            None => {
                let mut pieces: Vec<_> =
                    (0..ask.behaviour.tokens).map(|at| text::token(at).to_owned()).collect();
                if let (Some(opening), Some(first)) = (opening(&wish.texts), pieces.first_mut()) {
                    first.insert_str(0, &opening);
                }
                pieces
            }
        };
        if fault == Some(Fault::Fenced) {
            pieces.insert(0, "```json\n".to_owned());
            pieces.push("\n```".to_owned());
        }
        let most = wish.tokens_max.map_or(usize::MAX, |most| most as usize);
        let is_whole = pieces.len() <= most;
        Self::Text { pieces: pieces.into_iter().take(most).collect(), is_whole }
    }

    /// How many tokens it has.
    pub(super) fn tokens(&self) -> u32 {
        let pieces = match self {
            Self::Text { pieces, .. } => pieces.len(),
            Self::Call(call) => call.pieces.len(),
        };
        u32::try_from(pieces).unwrap_or(u32::MAX)
    }
}

/// The request's marker and a space, by which its bytes are recognised wherever they turn up.
fn opening(texts: &[&str]) -> Option<String> {
    let key = texts.iter().flat_map(|text| markers(text)).find_map(key_of)?;
    Some(format!("{} ", marker(&key)))
}
