//! Makes a simulated model's answer, delta by delta: a pure function of the payload and the seed. Deltas are made on
//! demand, so that a long answer takes no more room than its text.

use schemas::{
    ChatDelta, ChatRequest, Error,
    chat::{FinishReason, Role, ToolCall, ToolCallDelta},
    codec,
};
use serde_json::{Value, json};

use super::{seed::Seed, settings::OUTPUT_TOKENS_MAX, tool_call, words};

/// The size of a piece of a tool call's arguments, in bytes.
const ARGUMENTS_BYTES: usize = 8;

/// All choices of one answer, taken in turns, as servers send them.
#[derive(Debug)]
pub(super) struct Answer {
    /// How many tokens the question has.
    pub(super) input_tokens: u64,
    choices: Vec<Choice>,
    turn: usize,
}

/// One delta, and how many tokens of its choice came before it.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) position: u32,
    pub(super) delta: ChatDelta,
}

#[derive(Debug)]
struct Choice {
    index: u32,
    body: Body,
    /// How many bytes of the text, or of the current call's arguments, are taken.
    taken: usize,
    /// The current call; `named`: whether its name has gone out.
    call: usize,
    named: bool,
    tokens: u32,
    tokens_max: u32,
    ended: bool,
}

#[derive(Debug)]
enum Body {
    Text(String),
    ToolCalls(Vec<ToolCall>),
}

impl Answer {
    /// The answer to `payload`: of `tokens` words, or an echo.
    pub(super) fn new(payload: &Value, tokens: Option<u32>, seed: Seed) -> Result<Self, Error> {
        let request: ChatRequest = codec::view(payload, "payload")?;
        request.check()?;
        let text_of =
            |content: &Option<schemas::chat::Content>| content.as_ref().map(|content| content.text());
        let texts: Vec<_> =
            request.messages.iter().map(|message| text_of(&message.content).unwrap_or_default()).collect();
        let choices = request.n.unwrap_or(1);
        let ceiling = OUTPUT_TOKENS_MAX / choices;
        let tokens_max = request.max_completion_tokens.or(request.max_tokens).unwrap_or(ceiling).min(ceiling);
        let choice = |index: u32| Choice {
            index,
            body: body(payload, &request, &texts, tokens, seed.with(u64::from(index))),
            taken: 0,
            call: 0,
            named: false,
            tokens: 0,
            tokens_max,
            ended: false,
        };
        let input_tokens = texts.iter().map(|text| words::count(text)).sum();
        Ok(Self { input_tokens, choices: (0..choices).map(choice).collect(), turn: 0 })
    }
}

fn body(
    payload: &Value,
    request: &ChatRequest,
    texts: &[String],
    tokens: Option<u32>,
    mut seed: Seed,
) -> Body {
    let mut spoken =
        request.messages.iter().zip(texts).map(|(message, text)| (message.role, text.as_str())).rev();
    let (mut role, mut said) = spoken.next().unwrap_or((Role::User, ""));
    // If the conversation ends with the beginning of the answer, the client wants the rest of it.
    let mut begun = "";
    if role == Role::Assistant {
        begun = said;
        (role, said) = spoken.next().unwrap_or((Role::User, ""));
    }
    // Only a user's message starts a call; a tool's result ends one and starts no other.
    let functions = if role == Role::User { tool_call::chosen(payload, said) } else { Vec::new() };
    if !functions.is_empty() {
        let call = |function: &Value| ToolCall {
            id: format!("call_{:016x}", seed.next()),
            name: function.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            arguments: tool_call::arguments(function),
        };
        return Body::ToolCalls(functions.into_iter().map(call).collect());
    }
    if let Some(text) = form(payload, said) {
        return Body::Text(text);
    }
    let text = match (tokens, role) {
        (Some(tokens), _) => words::made_up(tokens.min(OUTPUT_TOKENS_MAX), seed),
        (None, Role::Tool | Role::Function) => format!("The tool said: {said}"),
        (None, _) => format!("You said: {said}"),
    };
    let text = text.strip_prefix(begun).unwrap_or(&text);
    let stops = match payload.get("stop") {
        Some(Value::Array(stops)) => stops.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(stop)) => vec![stop.as_str()],
        _ => Vec::new(),
    };
    let found = stops.into_iter().filter(|stop| !stop.is_empty()).filter_map(|stop| text.find(stop));
    let end = found.min().unwrap_or(text.len());
    Body::Text(text[..end].to_owned())
}

/// The answer if the request asks for JSON: made up from the schema, or an object with the last message.
fn form(payload: &Value, said: &str) -> Option<String> {
    let format = payload.get("response_format")?;
    match format.get("type")?.as_str()? {
        "json_object" => Some(json!({"said": said}).to_string()),
        "json_schema" => {
            Some(tool_call::arguments(&json!({"parameters": format.pointer("/json_schema/schema")?})))
        }
        _ => None,
    }
}

impl Iterator for Answer {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        for _ in 0..self.choices.len() {
            let next = (self.turn + 1) % self.choices.len();
            let choice = &mut self.choices[std::mem::replace(&mut self.turn, next)];
            if !choice.ended {
                return Some(choice.step());
            }
        }
        None
    }
}

impl Choice {
    fn step(&mut self) -> Step {
        let position = self.tokens;
        let piece = if position < self.tokens_max { self.piece() } else { None };
        let mut delta = piece.unwrap_or_else(|| self.end());
        delta.choice = self.index;
        self.tokens += u32::from(!self.ended);
        Step { position, delta }
    }

    /// The next token; `None` after the last.
    fn piece(&mut self) -> Option<ChatDelta> {
        match &self.body {
            Body::Text(text) => {
                let token = words::first_token(&text[self.taken..]);
                self.taken += token.len();
                (!token.is_empty()).then(|| ChatDelta::text(token))
            }
            Body::ToolCalls(calls) => {
                let call = calls.get(self.call)?;
                let mut piece =
                    ToolCallDelta { index: u32::try_from(self.call).ok()?, ..ToolCallDelta::default() };
                if std::mem::replace(&mut self.named, true) {
                    let rest = &call.arguments[self.taken..];
                    rest[..rest.ceil_char_boundary(ARGUMENTS_BYTES.min(rest.len()))]
                        .clone_into(&mut piece.arguments);
                    self.taken += piece.arguments.len();
                } else {
                    (piece.id, piece.name) = (Some(call.id.clone()), Some(call.name.clone()));
                }
                if self.taken == call.arguments.len() {
                    (self.call, self.named, self.taken) = (self.call + 1, false, 0);
                }
                Some(ChatDelta { tool_calls: vec![piece], ..ChatDelta::default() })
            }
        }
    }

    fn end(&mut self) -> ChatDelta {
        self.ended = true;
        let (whole, reason) = match &self.body {
            Body::Text(text) => (self.taken == text.len(), FinishReason::Stop),
            Body::ToolCalls(calls) => (self.call == calls.len(), FinishReason::ToolCalls),
        };
        let finish_reason = Some(if whole { reason } else { FinishReason::Length });
        ChatDelta { finish_reason, ..ChatDelta::default() }
    }
}

#[cfg(test)]
mod tests;
