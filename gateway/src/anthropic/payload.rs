//! Translates a Messages body into the payload of a chat, by these [rules](super).

use schemas::{Error, ErrorCode, codec};
use serde_json::{Map, Value, json};

use super::{
    body::{Body, CacheControl, Effort, Thinking},
    conversation, tools,
    version::Version,
};

/// The thinking budgets, in tokens, below which the effort is `low` and `medium`.
const BUDGET_LOW: u64 = 4_096;
const BUDGET_MEDIUM: u64 = 16_384;

/// The smallest thinking budget that the API accepts, in tokens.
const BUDGET_MIN: u64 = 1_024;

/// The schema name in `response_format`: OpenAI's API has one, and it means nothing.
const FORMAT: &str = "answer";

/// The payload of a chat, and what its answer needs to know of the request.
#[derive(Debug)]
pub(super) struct Chat {
    pub(super) payload: Value,
    /// Whether the answer includes the model's thinking.
    pub(super) shows_thinking: bool,
}

impl Chat {
    /// Reads a request for an answer.
    pub(super) fn read(body: Value, version: Version) -> Result<Self, Error> {
        let body = typed(body)?;
        match body.max_tokens {
            Some(0) => {
                let why = "must be at least 1: warming a cache with 0 is not supported";
                return Err(Error::invalid("max_tokens", why));
            }
            None => return Err(Error::invalid("max_tokens", "is required")),
            Some(_) => {}
        }
        Self::of(body, version)
    }

    /// Reads a request to count tokens, which needs no `max_tokens`.
    pub(super) fn read_to_count(body: Value, version: Version) -> Result<Self, Error> {
        Self::of(typed(body)?, version)
    }

    fn of(body: Body, version: Version) -> Result<Self, Error> {
        body.check()?;
        check_sampling(&body, version)?;
        let shows_thinking = body.thinking.as_ref().is_some_and(Thinking::is_shown);
        let output = body.output_config.unwrap_or_default();
        let effort = effort(body.thinking.as_ref(), output.effort, body.max_tokens)?;
        let tools = tools::offered(body.tools.unwrap_or_default())?;
        let choice = body.tool_choice.map(|choice| tools::choice(choice, !tools.is_empty())).transpose()?;
        let (choice, parallel) = choice.unzip();

        let mut payload = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                payload.insert(name.into(), value);
            }
        };
        set("model", Some(body.model.into()));
        set("messages", Some(conversation::messages(body.system, body.messages, version)?.into()));
        set("max_completion_tokens", body.max_tokens.map(Value::from));
        set("stream", body.stream.map(Value::from));
        set("stop", body.stop_sequences.filter(|stops| !stops.is_empty()).map(Value::from));
        set("temperature", body.temperature.map(Value::from));
        set("top_p", body.top_p.map(Value::from));
        set("top_k", body.top_k.map(Value::from));
        set("tools", (!tools.is_empty()).then(|| tools.into()));
        set("tool_choice", choice);
        set("parallel_tool_calls", parallel.flatten().map(Value::from));
        set("reasoning_effort", effort.map(Value::from));
        set("response_format", output.format.map(|super::body::OutputFormat::JsonSchema { schema }| {
            json!({"type": "json_schema", "json_schema": {"name": FORMAT, "schema": schema}})
        }));
        set("user", body.metadata.and_then(|metadata| metadata.user_id).map(Value::from));
        set("cache_control", body.cache_control.map(CacheControl::value));
        set("simulate", body.simulate);
        Ok(Self { payload: Value::Object(payload), shows_thinking })
    }
}

fn typed(body: Value) -> Result<Body, Error> {
    match body.is_object() {
        true => codec::from_value(body, ""),
        false => Err(Error::new(ErrorCode::InvalidRequest, "the body: expected an object")),
    }
}

fn check_sampling(body: &Body, version: Version) -> Result<(), Error> {
    let given = [
        ("temperature", body.temperature.is_some()),
        ("top_p", body.top_p.is_some()),
        ("top_k", body.top_k.is_some()),
    ];
    if let (Version::Current, Some((field, _))) = (version, given.into_iter().find(|(_, given)| *given)) {
        let why = "the version 2026-10-21 of this API does not take it; 2023-06-01 does";
        return Err(Error::invalid(field, why));
    }
    match body.temperature {
        Some(temperature) if !(0.0..=1.0).contains(&temperature) => {
            Err(Error::invalid("temperature", format!("{temperature} is not between 0 and 1")))
        }
        _ => Ok(()),
    }
}

/// The effort that `thinking` stands for. With neither effort nor budget the model decides, which means `high`.
fn effort(
    thinking: Option<&Thinking>,
    effort: Option<Effort>,
    max_tokens: Option<u32>,
) -> Result<Option<&'static str>, Error> {
    let said = effort.map(Effort::as_str);
    Ok(match thinking {
        None => said,
        Some(Thinking::Disabled {}) => Some("none"),
        Some(Thinking::Adaptive { .. } | Thinking::BetweenTools { .. }) => said.or(Some("high")),
        Some(Thinking::Enabled { budget_tokens, .. }) => {
            let above = max_tokens.is_some_and(|most| *budget_tokens >= u64::from(most));
            if *budget_tokens < BUDGET_MIN || above {
                let why = format!("must be at least {BUDGET_MIN} and less than `max_tokens`");
                return Err(Error::invalid("thinking.budget_tokens", why));
            }
            said.or(Some(match *budget_tokens {
                ..BUDGET_LOW => "low",
                BUDGET_LOW..BUDGET_MEDIUM => "medium",
                BUDGET_MEDIUM.. => "high",
            }))
        }
    })
}

#[cfg(test)]
mod tests;
