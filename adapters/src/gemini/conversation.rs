//! Translates messages into Gemini's contents: two roles, instructions apart, neighbours of one role in one content.

use serde_json::{Value, json};

use super::{is_before_gemini_3, signature};
use crate::{
    Call, Error,
    chat::question::{self, Called, Message, Part},
    endpoint::Endpoint,
};

/// Replaces the signature if another provider made the call: Gemini's documentation names it for conversations that
/// began elsewhere.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// A conversation in Gemini's form.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Conversation {
    /// Parts of the instructions.
    pub(super) system: Vec<Value>,
    /// Contents; no two neighbours have the same role.
    pub(super) contents: Vec<Value>,
    /// Role and parts of the content being filled.
    open: Option<(&'static str, Vec<Value>)>,
}

/// Translates the messages of a call.
pub(super) fn translate(endpoint: &Endpoint, call: &Call) -> Result<Conversation, Error> {
    let mut conversation = Conversation::default();
    let signs = !is_before_gemini_3(&call.model);
    for message in question::messages(endpoint, &call.payload)? {
        match message {
            Message::System(text) => conversation.system.push(json!({ "text": text })),
            Message::User(parts) => conversation.add("user", parts.iter().map(part)),
            Message::Assistant { text, calls, .. } => {
                let text = (!text.is_empty()).then(|| json!({ "text": text }));
                conversation.add("model", text.into_iter().chain(made(&calls, signs)));
            }
            Message::Tool { id, name, text } => conversation.add("user", [result(id, name, text)]),
        }
    }
    conversation.close();
    if conversation.contents.is_empty() {
        return Err(endpoint.cannot("payload.messages: needs a message that is no instruction"));
    }
    Ok(conversation)
}

impl Conversation {
    fn add(&mut self, role: &'static str, parts: impl IntoIterator<Item = Value>) {
        if self.open.as_ref().is_none_or(|(open, _)| *open != role) {
            self.close();
            self.open = Some((role, Vec::new()));
        }
        if let Some((_, open)) = &mut self.open {
            open.extend(parts);
        }
    }

    fn close(&mut self) {
        if let Some((role, parts)) = self.open.take().filter(|(_, parts)| !parts.is_empty()) {
            self.contents.push(json!({"role": role, "parts": parts}));
        }
    }
}

fn part(part: &Part<'_>) -> Value {
    match part {
        Part::Text(text) => json!({ "text": text }),
        Part::Inline { media_type, data, .. } => {
            json!({"inlineData": {"mimeType": media_type, "data": data}})
        }
    }
}

/// The calls of one answer. Of parallel calls only the first has a signature. `signs`: whether the model requires it.
fn made(calls: &[Called<'_>], signs: bool) -> impl Iterator<Item = Value> {
    let signed = !signs || calls.iter().any(|call| signature::split(call.id).1.is_some());
    calls.iter().enumerate().map(move |(index, call)| {
        let (id, signature) = signature::split(call.id);
        let mut part =
            json!({"functionCall": with_id(id, json!({"name": call.name, "args": call.arguments}))});
        let signature = signature.or((!signed && index == 0).then_some(NO_SIGNATURE));
        if let Some(signature) = signature {
            part["thoughtSignature"] = signature.into();
        }
        part
    })
}

/// A tool's result. Gemini requires an object: any other text is wrapped in one.
fn result(id: &str, name: &str, text: String) -> Value {
    let response = match serde_json::from_str(&text) {
        Ok(object @ Value::Object(_)) => object,
        _ => json!({ "result": text }),
    };
    let id = signature::split(id).0;
    json!({"functionResponse": with_id(id, json!({"name": name, "response": response}))})
}

fn with_id(id: &str, mut value: Value) -> Value {
    if !id.is_empty() {
        value["id"] = id.into();
    }
    value
}
