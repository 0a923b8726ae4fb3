//! The answer, whole or as the chunks of a stream. Every chunk carries the usage, the last one the finish reason.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::SIGNATURE;
use super::request::{self, Request};
use crate::provider::behaviour::Fault;
use crate::provider::errors::ApiError;
use crate::provider::exchange::{Answer, Ask};
use crate::provider::frames::Frames;
use crate::provider::said::{Said, THOUGHTS, Wish};
use crate::provider::tool::Tool;

/// How much of an id is the same for every call of a run; Gemini's own are short.
const RUN_CHARS: usize = 16;

/// Answers a call, whole or streamed.
pub(super) fn compose(ask: &Ask) -> Result<Answer, ApiError> {
    let asked = request::canonical(&ask.body);
    let request = request::read(&asked)?;
    let parameters = request.tool.and_then(|tool| tool.parameters).map(request::plain);
    let schema = request.schema.map(request::plain);
    let wish = Wish {
        texts: request.texts.clone(),
        tokens_max: request.tokens_max,
        tool: request.tool.map(|tool| Tool { name: tool.name, parameters: parameters.as_ref() }),
        schema: schema.as_ref(),
    };
    let reply = Reply {
        ask,
        request: &request,
        said: Said::new(ask, ask.id.chars().skip(RUN_CHARS).collect(), &wish),
    };
    let (tokens, billed) = (reply.said.tokens(), reply.total());
    let billed = if reply.reports() { billed } else { 0 };
    if ask.stream {
        return Ok(Answer::Stream { script: Box::new(reply.stream()?), billed });
    }
    Ok(Answer::Whole { body: reply.whole()?.to_string().into(), tokens, billed })
}

struct Reply<'a> {
    ask: &'a Ask,
    request: &'a Request<'a>,
    said: Said,
}

impl Reply<'_> {
    fn reports(&self) -> bool {
        self.ask.behaviour.fault != Some(Fault::NoUsage)
    }

    fn thoughts(&self) -> &'static [&'static str] {
        if self.request.thinks { THOUGHTS } else { &[] }
    }

    const fn reason(&self) -> &'static str {
        match self.said {
            Said::Text { is_whole: false, .. } => "MAX_TOKENS",
            // For a tool call too.
            _ => "STOP",
        }
    }

    fn total(&self) -> u32 {
        let thoughts = u32::try_from(self.thoughts().len()).unwrap_or(u32::MAX);
        let written = self.said.tokens().saturating_add(thoughts).saturating_mul(self.request.candidates);
        self.request.prompt_tokens.saturating_add(written)
    }

    /// The usage once `written` tokens of the answer are out.
    fn usage(&self, written: u32) -> Value {
        let mut usage = json!({"promptTokenCount": self.request.prompt_tokens});
        let mut total = self.request.prompt_tokens;
        if written > 0 {
            usage["candidatesTokenCount"] = written.into();
            total = total.saturating_add(written);
        }
        if self.request.thinks {
            let thoughts = u32::try_from(self.thoughts().len()).unwrap_or(u32::MAX);
            usage["thoughtsTokenCount"] = thoughts.into();
            total = total.saturating_add(thoughts);
        }
        usage["totalTokenCount"] = total.into();
        usage["promptTokensDetails"] =
            json!([{"modality": "TEXT", "tokenCount": self.request.prompt_tokens}]);
        usage
    }

    fn envelope(&self, candidates: Vec<Value>, written: u32) -> Value {
        let mut body =
            json!({"candidates": candidates, "modelVersion": self.ask.model, "responseId": self.ask.id});
        if self.reports() {
            body["usageMetadata"] = self.usage(written);
        }
        body
    }

    fn call(&self) -> Result<Value, ApiError> {
        let Said::Call(call) = &self.said else { return Ok(Value::Null) };
        let args: Value = serde_json::from_str(&call.pieces.concat())
            .map_err(|_| ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR))?;
        Ok(
            json!({"functionCall": {"id": call.id, "name": call.name, "args": args}, "thoughtSignature": SIGNATURE}),
        )
    }

    /// How likely these tokens were, if the request asks for that.
    fn logprobs(&self, pieces: &[String]) -> Option<Value> {
        let rivals = self.request.logprobs?;
        let of = |token: &str, rank: u32| json!({"token": token, "tokenId": rank, "logProbability": -0.25 - f64::from(rank)});
        let chosen: Vec<_> = pieces.iter().map(|piece| of(piece, 0)).collect();
        let tops = pieces.iter().map(|piece| {
            let rivals = (0..rivals).map(|rank| if rank == 0 { of(piece, 0) } else { of(" no", rank) });
            json!({"candidates": rivals.collect::<Vec<_>>()})
        });
        Some(json!({"chosenCandidates": chosen, "topCandidates": tops.collect::<Vec<_>>()}))
    }

    fn whole(&self) -> Result<Value, ApiError> {
        let mut parts = Vec::new();
        if self.request.thinks {
            parts.push(json!({"text": self.thoughts().concat(), "thought": true}));
        }
        parts.push(match &self.said {
            Said::Text { pieces, .. } => json!({"text": pieces.concat()}),
            Said::Call(_) => self.call()?,
        });
        let logprobs = match &self.said {
            Said::Text { pieces, .. } => self.logprobs(pieces),
            Said::Call(_) => None,
        };
        let candidate = |index| with(candidate(index, parts.clone(), Some(self.reason())), logprobs.clone());
        let candidates = (0..self.request.candidates).map(candidate).collect();
        Ok(self.envelope(candidates, self.said.tokens().saturating_mul(self.request.candidates)))
    }

    fn stream(&self) -> Result<Frames, ApiError> {
        let mut frames = Frames::new();
        let mut write = |candidate: Value, written: u32, paced: bool| {
            frames.push(format!("data: {}\r\n\r\n", self.envelope(vec![candidate], written)), paced);
        };
        for index in 0..self.request.candidates {
            for thought in self.thoughts() {
                write(candidate(index, vec![json!({"text": thought, "thought": true})], None), 0, false);
            }
            match &self.said {
                Said::Text { pieces, .. } => {
                    for (at, piece) in (1..).zip(pieces) {
                        let said = candidate(index, vec![json!({ "text": piece })], None);
                        write(with(said, self.logprobs(std::slice::from_ref(piece))), at, at > 1);
                    }
                }
                Said::Call(_) => write(candidate(index, vec![self.call()?], None), self.said.tokens(), false),
            }
            let last = candidate(index, vec![json!({"text": ""})], Some(self.reason()));
            write(last, self.said.tokens().saturating_mul(index + 1), false);
        }
        Ok(frames)
    }
}

fn with(mut candidate: Value, logprobs: Option<Value>) -> Value {
    if let Some(logprobs) = logprobs {
        candidate["avgLogprobs"] = json!(-0.25);
        candidate["logprobsResult"] = logprobs;
    }
    candidate
}

fn candidate(index: u32, parts: Vec<Value>, reason: Option<&str>) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": index});
    if let Some(reason) = reason {
        candidate["finishReason"] = reason.into();
    }
    candidate
}
