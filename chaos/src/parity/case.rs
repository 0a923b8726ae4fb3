//! What one case is: what it asks for, what its sender does, how it must end, and which handles have no form for it.
//! `cases.toml` holds all cases.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    ground::Name,
    handle::{Handle, Said},
};

/// The table.
const TABLE: &str = include_str!("cases.toml");

/// What a case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is its own name")]
pub enum Area {
    Chat,
    Stream,
    Embeddings,
    Tools,
    Errors,
    Upstream,
    Timeouts,
    Limits,
    Backpressure,
    Cancel,
    Resume,
    Metadata,
    Tenants,
    Access,
    Ordering,
    Large,
    Files,
    Health,
    Idempotency,
}

/// What a sender does with a request. Counts are pieces of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Deed {
    /// Asks, and reads to the end.
    #[default]
    Ask,
    /// Cancels after this many.
    Cancel(u32),
    /// Goes away after this many.
    Leave(u32),
    /// Cuts the connection after this many, and comes back.
    Cut(u32),
    /// Pauses for this many milliseconds after each event.
    Slowly(u64),
    /// Sends it again under its id after its end.
    Again,
    /// Sends another payload under its id after its end.
    Other,
    /// Every handle asks under one and the same id.
    OneId,
    /// Asks this many at once, each with its number for `{n}`.
    Crowd(usize),
    /// Asks with a key that has used up its limit for the minute.
    Hurried,
    /// Asks while no more requests of its tenant may wait for its pool.
    Jammed,
    /// Two tenants ask under one id, each with its own number for `{n}`.
    Tenants,
    /// Asks for the server's health.
    Health,
    /// Listens to the signals of a jammed pool.
    Signals,
}

/// One case.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) area: Area,
    pub(super) name: String,
    pub(super) said: Said,
    pub(super) deed: Deed,
    pub(super) who: Name,
    /// How it must end on the WebSocket: handles that agree may all be wrong.
    pub(super) end: String,
    /// Whether it needs an engine with our own settings and providers.
    pub(super) own: bool,
    /// The handles that have no form for it, and why.
    not_on: BTreeMap<Kin, String>,
}

/// The handles that a case may leave out together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kin {
    Openai,
    Responses,
    Messages,
    Requests,
    Bus,
}

/// One line of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Line {
    chat: Option<Value>,
    stream: Option<Value>,
    embed: Option<Value>,
    image: Option<Value>,
    speech: Option<Value>,
    ask: Option<Value>,
    text: Option<String>,
    payload: Map<String, Value>,
    without: Vec<String>,
    simulate: Option<Value>,
    tools: Option<Value>,
    options: Map<String, Value>,
    does: Deed,
    who: Name,
    end: String,
    own: bool,
    not_on: BTreeMap<Kin, String>,
}

/// All cases, area by area.
///
/// # Errors
/// When the table cannot be read; the error names the line.
pub(super) fn table() -> Result<Vec<Case>, toml::de::Error> {
    let areas: BTreeMap<Area, BTreeMap<String, Line>> = toml::from_str(TABLE)?;
    let of_area = |(area, lines): (Area, BTreeMap<String, Line>)| {
        lines.into_iter().map(move |(name, line)| line.case(area, name))
    };
    Ok(areas.into_iter().flat_map(of_area).collect())
}

impl Case {
    /// Why it is not asked through `handle`, if it is not.
    pub(super) fn left_out(&self, handle: Handle) -> Option<String> {
        let kin = match handle {
            Handle::Socket | Handle::SocketPacked => return handle.lacks(&self.said),
            Handle::OpenAi => Kin::Openai,
            Handle::Responses => Kin::Responses,
            Handle::Messages => Kin::Messages,
            Handle::Requests | Handle::RequestsPacked => Kin::Requests,
            Handle::Bus | Handle::BusPacked => Kin::Bus,
        };
        self.not_on.get(&kin).cloned().or_else(|| handle.lacks(&self.said))
    }
}

impl Area {
    /// Its name.
    #[must_use]
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

impl Default for Line {
    fn default() -> Self {
        Self {
            chat: None,
            stream: None,
            embed: None,
            image: None,
            speech: None,
            ask: None,
            text: None,
            payload: Map::new(),
            without: Vec::new(),
            simulate: None,
            tools: None,
            options: Map::new(),
            does: Deed::Ask,
            who: Name::Usual,
            end: "succeeded".to_owned(),
            own: false,
            not_on: BTreeMap::new(),
        }
    }
}

impl Line {
    fn case(self, area: Area, name: String) -> Case {
        let (deed, who, own) = (self.does, self.who, self.own);
        let (end, not_on) = (self.end.clone(), self.not_on.clone());
        let said = match self.text.clone() {
            Some(text) => Said::Text(text),
            None => Said::Request(self.request()),
        };
        Case { area, name, said, deed, who, end, own, not_on }
    }

    fn request(self) -> Value {
        if let Some(request) = self.ask {
            return request;
        }
        let messages = |said: Value| json!([{"role": "user", "content": said}]);
        let (action, payload) = match (self.chat, self.stream, self.embed, self.image, self.speech) {
            (Some(said), ..) => {
                ("chat.completion", json!({"model": "sim-fast", "messages": messages(said), "stream": false}))
            }
            (_, Some(said), ..) => {
                ("chat.completion", json!({"model": "sim-fast", "messages": messages(said), "stream": true}))
            }
            (_, _, Some(input), ..) => ("embedding.query", json!({"model": "sim-embed", "input": input})),
            (_, _, _, Some(prompt), _) => ("image.generate", json!({"model": "sim-image", "prompt": prompt})),
            (.., input) => {
                ("audio.synthesize", json!({"model": "sim-speech", "input": input, "voice": "alloy"}))
            }
        };
        let mut request = json!({"action": action, "payload": payload});
        if let Some(fields) = request["payload"].as_object_mut() {
            fields.extend(self.payload);
            fields.extend(self.simulate.map(|wishes| ("simulate".to_owned(), wishes)));
            fields.extend(self.tools.map(|names| ("tools".to_owned(), tools(written_out(names)))));
            fields.retain(|name, _| !self.without.contains(name));
        }
        if let Some(fields) = request.as_object_mut() {
            fields.extend(self.options);
        }
        written_out(request)
    }
}

/// Tools of these names.
fn tools(names: Value) -> Value {
    let parameters =
        json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}});
    let tool =
        |name: &Value| json!({"type": "function", "function": {"name": name, "parameters": parameters}});
    names.as_array().into_iter().flatten().map(tool).collect()
}

/// Writes out long texts, long lists and deep nesting in place of the words for them.
fn written_out(value: Value) -> Value {
    let times = |fields: &Map<String, Value>| {
        fields.get("times").and_then(Value::as_u64).and_then(|times| usize::try_from(times).ok())
    };
    match value {
        Value::Array(items) => items.into_iter().map(written_out).collect(),
        Value::Object(fields) => {
            match (fields.get("repeat"), fields.get("list"), fields.get("nested"), times(&fields)) {
                (Some(Value::String(text)), _, _, Some(times)) => text.repeat(times).into(),
                (_, Some(item), _, Some(times)) => {
                    (0..times).map(|number| numbered(written_out(item.clone()), number)).collect()
                }
                (_, _, Some(levels), _) => {
                    (0..levels.as_u64().unwrap_or_default()).fold(json!(0), |inner, _| json!([inner]))
                }
                _ => fields.into_iter().map(|(name, field)| (name, written_out(field))).collect(),
            }
        }
        other => other,
    }
}

/// Puts a number in place of `{n}`.
pub(super) fn numbered(value: Value, number: usize) -> Value {
    match value {
        Value::String(text) => text.replace("{n}", &number.to_string()).into(),
        Value::Array(items) => items.into_iter().map(|item| numbered(item, number)).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, field)| (name, numbered(field, number))).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_read_and_says_something_of_every_area() {
        let cases = table().unwrap();
        assert!(cases.len() > 90, "{}", cases.len());
        let request = |name: &str| match &cases.iter().find(|case| case.name == name).unwrap().said {
            Said::Request(request) => request.clone(),
            Said::Text(text) => panic!("{text}"),
        };
        assert_eq!(request("one of many")["payload"]["tools"][23]["function"]["name"], "tool_23");
        assert_eq!(request("embeddings of 1 MB")["payload"]["input"].as_array().unwrap().len(), 2_000);
        assert!(request("a question of 1 MB").to_string().len() > 1 << 20);
        assert!(request("no model")["payload"].get("model").is_none());
    }
}
