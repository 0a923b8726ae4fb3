//! Judges a whole answer: whether it answers, and in the form that was asked for. Pure.

use schemas::{ChatOutput, chat::FinishReason};
use serde_json::{Value, json};

use crate::form::{Flaw, Form};

/// How much of a rejected answer is kept, in bytes over all its texts.
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// What an answer is worth.
#[derive(Debug, PartialEq)]
pub(super) enum Worth {
    /// It is what was asked for.
    Good,
    /// It is, except for what surrounds it; this is the answer without that.
    Mended(Box<ChatOutput>),
    /// The model refused, or its provider withheld the answer.
    Refused,
    /// It contains nothing.
    Empty,
    /// It does not have the form that was asked for.
    Flawed {
        /// What is wrong.
        flaw: Flaw,
        /// The text with the flaw.
        text: String,
    },
}

/// The kind of one of several answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Refusal,
    Nothing,
    /// A text that the model itself ended.
    Text,
    /// It calls tools, or its token limit cut it off: no form is required of it.
    Formless,
}

/// What `answer` is worth if `form` was asked for. If it holds several, it is refused or empty only if all of them are.
pub(super) fn weigh(form: &Form, answer: &ChatOutput) -> Worth {
    let kinds = || answer.choices().map(kind);
    if kinds().all(|kind| kind == Kind::Refusal) {
        return Worth::Refused;
    }
    if kinds().all(|kind| matches!(kind, Kind::Refusal | Kind::Nothing)) {
        return Worth::Empty;
    }
    let mut mended = None;
    for (index, choice) in answer.choices().enumerate() {
        if !matches!(kind(choice), Kind::Text | Kind::Nothing) {
            continue;
        }
        match form.read(&choice.text) {
            Ok(None) => {}
            Ok(Some(part)) => {
                let mended = mended.get_or_insert_with(|| Box::new(answer.clone()));
                *text_mut(mended, index) = part.to_owned();
            }
            Err(flaw) => return Worth::Flawed { flaw, text: choice.text.clone() },
        }
    }
    mended.map_or(Worth::Good, Worth::Mended)
}

/// Whether `answer` has nothing that a reader could show.
pub(super) fn is_blank(answer: &ChatOutput) -> bool {
    answer.choices().all(|choice| {
        choice.text.is_empty()
            && choice.reasoning.is_empty()
            && choice.refusal.is_empty()
            && choice.tool_calls.is_empty()
    })
}

/// The payload that asks the same again and says what is wrong with the answer `text`.
pub(super) fn asked_again(mut payload: Value, text: &str, flaw: &Flaw) -> Value {
    if let Some(Value::Array(messages)) = payload.get_mut("messages") {
        // Providers refuse an empty message.
        if !text.trim().is_empty() {
            messages.push(json!({"role": "assistant", "content": text}));
        }
        let words = format!(
            "That is not in the form that was asked for. {flaw}. Answer again, with the JSON alone: no other words, no code fence."
        );
        messages.push(json!({"role": "user", "content": words}));
    }
    payload
}

/// What is kept of a rejected answer.
pub(super) fn kept(answer: &ChatOutput) -> ChatOutput {
    let mut left = KEPT_BYTES_MAX;
    let mut cut = |text: &str| {
        let part = &text[..text.floor_char_boundary(left.min(text.len()))];
        left -= part.len();
        part.to_owned()
    };
    let mut choices: Vec<_> = answer
        .choices()
        .map(|choice| ChatOutput {
            text: cut(&choice.text),
            refusal: cut(&choice.refusal),
            finish_reason: choice.finish_reason,
            ..ChatOutput::default()
        })
        .collect();
    let first = choices.remove(0);
    ChatOutput { alternatives: choices, ..first }
}

fn kind(choice: &ChatOutput) -> Kind {
    let reason = choice.finish_reason;
    let is_call = matches!(reason, Some(FinishReason::ToolCalls | FinishReason::FunctionCall));
    if !choice.refusal.is_empty() || reason == Some(FinishReason::ContentFilter) {
        Kind::Refusal
    } else if !choice.tool_calls.is_empty() || is_call || reason == Some(FinishReason::Length) {
        Kind::Formless
    } else if choice.text.trim().is_empty() {
        Kind::Nothing
    } else {
        Kind::Text
    }
}

fn text_mut(answer: &mut ChatOutput, index: usize) -> &mut String {
    match index.checked_sub(1) {
        None => &mut answer.text,
        Some(index) => &mut answer.alternatives[index].text,
    }
}

#[cfg(test)]
mod tests {
    use schemas::{Action, chat::ToolCall};

    use super::*;

    fn answer(text: &str, finish_reason: FinishReason) -> ChatOutput {
        ChatOutput { text: text.into(), finish_reason: Some(finish_reason), ..ChatOutput::default() }
    }

    fn stopped(text: &str) -> ChatOutput {
        answer(text, FinishReason::Stop)
    }

    fn form(kind: &str) -> Form {
        Form::of(Action::ChatCompletion, &json!({"response_format": {"type": kind}})).unwrap()
    }

    #[test]
    fn refusals_and_empty_answers_are_told_apart_from_answers() {
        let refusal = ChatOutput { refusal: "no".into(), ..stopped("") };
        let call = ChatOutput { tool_calls: vec![ToolCall::default()], ..stopped("") };
        let thought = ChatOutput { reasoning: "hm".into(), ..stopped("") };
        let rows = [
            (stopped("Hi"), Worth::Good),
            (stopped(" \n"), Worth::Empty),
            (thought, Worth::Empty),
            (refusal.clone(), Worth::Refused),
            (answer("Well", FinishReason::ContentFilter), Worth::Refused),
            (call, Worth::Good),
            (answer("", FinishReason::ToolCalls), Worth::Good),
            (answer("", FinishReason::Length), Worth::Good),
            (ChatOutput { alternatives: vec![refusal.clone()], ..stopped("Hi") }, Worth::Good),
            (ChatOutput { alternatives: vec![refusal], ..stopped("") }, Worth::Empty),
        ];
        for (answer, worth) in rows {
            assert_eq!(weigh(&form("text"), &answer), worth, "{answer:?}");
        }
    }

    #[test]
    fn a_form_is_asked_only_of_texts_that_came_to_their_end() {
        let json = form("json_object");
        let call = ChatOutput { tool_calls: vec![ToolCall::default()], ..stopped("I call") };
        for formless in [call, answer("{\"a\":", FinishReason::Length)] {
            assert_eq!(weigh(&json, &formless), Worth::Good, "{formless:?}");
        }
        let second = ChatOutput { alternatives: vec![stopped("no")], ..stopped("{}") };
        let Worth::Flawed { text, .. } = weigh(&json, &second) else { panic!("taken for JSON") };
        assert_eq!(text, "no");
        let second = ChatOutput { alternatives: vec![stopped("```\n{}\n```")], ..stopped("{}") };
        let Worth::Mended(mended) = weigh(&json, &second) else { panic!("not mended") };
        assert_eq!((mended.text.as_str(), mended.alternatives[0].text.as_str()), ("{}", "{}"));
    }

    #[test]
    fn the_model_is_told_what_it_said_and_what_is_wrong_with_it() {
        let flaw = Flaw { path: "/a".into(), why: "it is not of type \"number\"".into() };
        let payload = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
        let again = asked_again(payload.clone(), "{\"a\":\"1\"}", &flaw);
        assert_eq!(again["messages"][1], json!({"role": "assistant", "content": "{\"a\":\"1\"}"}));
        let words = again["messages"][2]["content"].as_str().unwrap();
        assert!(words.contains("`/a`: it is not of type \"number\""), "{words}");
        assert_eq!(asked_again(payload, " ", &flaw)["messages"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn little_is_kept_of_what_is_no_good() {
        let long = "é".repeat(KEPT_BYTES_MAX);
        let bad = ChatOutput { alternatives: vec![stopped("more")], ..stopped(&long) };
        let kept = kept(&bad);
        assert_eq!(kept.text.len() + kept.alternatives[0].text.len(), KEPT_BYTES_MAX);
        assert!(long.starts_with(&kept.text));
    }
}
