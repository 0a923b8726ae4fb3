//! Decides before any call whether a model can do what a request needs, and estimates its cost. Pure.

use std::fmt;

use schemas::{Action, Usage};
use serde_json::Value;

use crate::{Model, ModelConfig, Price, chat::estimate};

/// What a model can do. What the configuration omits counts as possible: the provider knows better than we do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Abilities {
    /// It calls tools.
    pub tools: bool,
    /// It sees images.
    pub vision: bool,
    /// It answers in JSON by a schema.
    pub json: bool,
    /// It continues an answer that another model has begun; false unless configured.
    pub continues: bool,
    /// The most tokens of a question and its answer together.
    pub context_tokens: Option<u64>,
    /// The most tokens of an answer.
    pub output_tokens_max: Option<u64>,
    /// How good its answers are, from 0 to 1.
    pub quality: Option<f64>,
}

/// The expected maximum of output tokens if neither the request nor the model sets one.
const OUTPUT_TOKENS_UNSAID: u64 = 4_096;

impl Default for Abilities {
    fn default() -> Self {
        Self {
            tools: true,
            vision: true,
            json: true,
            continues: false,
            context_tokens: None,
            output_tokens_max: None,
            quality: None,
        }
    }
}

impl From<&ModelConfig> for Abilities {
    fn from(config: &ModelConfig) -> Self {
        let unsaid = Self::default();
        Self {
            tools: config.tools.unwrap_or(unsaid.tools),
            vision: config.vision.unwrap_or(unsaid.vision),
            json: config.json.unwrap_or(unsaid.json),
            continues: config.continues.unwrap_or(unsaid.continues),
            context_tokens: config.context_tokens,
            output_tokens_max: config.output_tokens_max,
            quality: config.quality,
        }
    }
}

/// What a request needs from a model.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Needs {
    /// Only a chat must fit into the model's context as a whole.
    is_chat: bool,
    tools: bool,
    vision: bool,
    json: bool,
    input_tokens: u64,
    /// The most tokens of an answer, if the request sets a limit.
    output_tokens: Option<u64>,
    /// How many answers the request asks for (`n`).
    answers: u64,
    images: u64,
    characters: u64,
    cost_usd_max: Option<f64>,
}

/// Why a model cannot serve a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lack {
    /// It calls no tools.
    Tools,
    /// It sees no images.
    Vision,
    /// It does not answer by a schema.
    Json,
    /// The question plus the requested answer is longer than the model's context.
    Context {
        /// About how many tokens the request needs.
        needed: u64,
        /// How many tokens the context holds.
        held: u64,
    },
    /// Its expected cost is over the request's limit.
    Dear {
        /// The expected cost, in US dollars.
        expected: f64,
    },
    /// The request has a cost limit, but the model has no price.
    Unpriced,
}

impl Needs {
    /// Reads what `payload` needs; `cost_usd_max` is the request's cost limit.
    pub fn of(action: Action, payload: &Value, cost_usd_max: Option<f64>) -> Self {
        if action != Action::ChatCompletion {
            let images = payload.get("n").and_then(Value::as_u64).unwrap_or(1);
            let spoken = payload.get("input").and_then(Value::as_str).unwrap_or_default();
            return Self {
                images: if action == Action::ImageGenerate { images } else { 0 },
                characters: if action == Action::AudioSynthesize { spoken.chars().count() as u64 } else { 0 },
                input_tokens: estimate::input(payload),
                cost_usd_max,
                ..Self::default()
            };
        }
        let given = |field: &str| payload.get(field).filter(|value| !value.is_null());
        let format = given("response_format").and_then(|format| format.get("type")).and_then(Value::as_str);
        Self {
            is_chat: true,
            tools: given("tools").and_then(Value::as_array).is_some_and(|tools| !tools.is_empty()),
            vision: has_images(payload),
            json: matches!(format, Some("json_object" | "json_schema")),
            input_tokens: estimate::messages(payload),
            output_tokens: estimate::output_max(payload),
            answers: given("n").and_then(Value::as_u64).unwrap_or(1),
            cost_usd_max,
            ..Self::default()
        }
    }

    /// What `model` lacks for this request, if anything.
    pub fn unmet(self, model: &Model) -> Option<Lack> {
        self.unable(&model.abilities).or_else(|| self.unaffordable(model.price.as_ref()))
    }

    /// The tokens of the question, by rule of thumb.
    pub const fn input_tokens(self) -> u64 {
        self.input_tokens
    }

    /// The most tokens that `model` may answer, over all `n` answers: each is bounded by the request's limit, else the
    /// model's, and by what the question leaves of the model's context.
    pub fn output_tokens_max(self, model: &Model) -> Option<u64> {
        self.longest(&model.abilities, None)
    }

    /// Like [`Self::output_tokens_max`], with `unsaid` as the limit if neither the request nor the model has one.
    fn longest(self, abilities: &Abilities, unsaid: Option<u64>) -> Option<u64> {
        let room = abilities.context_tokens.filter(|_| self.is_chat);
        let room = room.map(|held| held.saturating_sub(self.input_tokens));
        let said = self.output_tokens.or(abilities.output_tokens_max).or(unsaid);
        said.into_iter().chain(room).min().map(|each| each.saturating_mul(self.answers))
    }

    /// What a call of `model` costs without any output, in US dollars, if the model has a price.
    pub fn cost_min(self, model: &Model) -> Option<f64> {
        model.price.as_ref().map(|price| self.cost(price, 0))
    }

    /// What a call of `model` costs with the longest answer, if the model has a price and the answer a bound.
    pub fn cost_max(self, model: &Model) -> Option<f64> {
        let price = model.price.as_ref()?;
        if price.second > 0.0 {
            // The playing time, or the machine's running time, is unknown.
            return None;
        }
        let output_tokens = if price.counts_output() { self.output_tokens_max(model)? } else { 0 };
        Some(self.cost(&price.dearest(), output_tokens))
    }

    fn cost(self, price: &Price, output_tokens: u64) -> f64 {
        price.of(&Usage {
            input_tokens: self.input_tokens,
            output_tokens,
            // Reasoning counts as output; if it is dearer, all of the output may be reasoning.
            reasoning_tokens: if price.thinks_dearly() { output_tokens } else { 0 },
            images: self.images,
            characters: self.characters,
            ..Usage::default()
        })
    }

    fn unaffordable(self, price: Option<&Price>) -> Option<Lack> {
        let cost_usd_max = self.cost_usd_max?;
        let Some(price) = price else { return Some(Lack::Unpriced) };
        let expected = self.cost(price, self.output_tokens.unwrap_or(0).saturating_mul(self.answers));
        (expected > cost_usd_max).then_some(Lack::Dear { expected })
    }

    /// The most that a call of `model` is expected to cost, in US dollars, if the model has a price: each token at its
    /// dearest price, and answers as long as the request, the model or its context allow, or `OUTPUT_TOKENS_UNSAID`.
    ///
    /// Still an estimate: the question's tokens follow a rule of thumb; images in it, and seconds, count as nothing.
    pub fn cost_usd_max(self, model: &Model) -> Option<f64> {
        let price = model.price.as_ref()?;
        let output_tokens = self.longest(&model.abilities, Some(OUTPUT_TOKENS_UNSAID)).unwrap_or(0);
        Some(price.dearest().of(&Usage {
            input_tokens: self.input_tokens,
            output_tokens,
            images: self.images,
            characters: self.characters,
            ..Usage::default()
        }))
    }

    fn unable(self, abilities: &Abilities) -> Option<Lack> {
        let tokens = self.input_tokens.saturating_add(self.output_tokens.unwrap_or(0));
        match abilities.context_tokens {
            _ if self.tools && !abilities.tools => Some(Lack::Tools),
            _ if self.vision && !abilities.vision => Some(Lack::Vision),
            _ if self.json && !abilities.json => Some(Lack::Json),
            Some(held) if self.is_chat && tokens > held => Some(Lack::Context { needed: tokens, held }),
            _ => None,
        }
    }
}

fn has_images(payload: &Value) -> bool {
    let is_image = |part: &Value| part.get("type").and_then(Value::as_str) == Some("image_url");
    let messages = payload.get("messages").and_then(Value::as_array).into_iter().flatten();
    messages.filter_map(|message| message.get("content")?.as_array()).flatten().any(is_image)
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tools => f.write_str("calls no tools"),
            Self::Vision => f.write_str("sees no images"),
            Self::Json => f.write_str("does not answer by a schema"),
            Self::Context { needed, held } => {
                write!(f, "holds {held} tokens, and about {needed} are needed")
            }
            Self::Dear { expected } => write!(f, "is expected to cost {expected:.6} US dollars"),
            Self::Unpriced => f.write_str("has no price, so its cost cannot be estimated"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn needs(payload: Value) -> Needs {
        Needs::of(Action::ChatCompletion, &payload, None)
    }

    fn model(abilities: Abilities) -> Model {
        Model { abilities, ..Model::new("p", "m", Action::ChatCompletion) }
    }

    #[test]
    fn what_a_request_needs_is_read_from_its_payload() {
        let image = json!([{"type": "image_url", "image_url": {"url": "https://x.test/cat.png"}}]);
        let rows = [
            (json!({"tools": [{"type": "function"}]}), Some(Lack::Tools)),
            (json!({"tools": [], "messages": []}), None),
            (json!({"tools": null}), None),
            (json!({"messages": [{"role": "user", "content": image}]}), Some(Lack::Vision)),
            (json!({"response_format": {"type": "json_schema"}}), Some(Lack::Json)),
            (json!({"response_format": {"type": "text"}}), None),
            (json!({"max_tokens": 100}), Some(Lack::Context { needed: 100, held: 99 })),
            (json!({"messages": [{"content": "x".repeat(396)}]}), None),
            (
                json!({"messages": [{"content": "x".repeat(400)}], "max_completion_tokens": 1}),
                Some(Lack::Context { needed: 101, held: 99 }),
            ),
        ];
        let poor = Abilities {
            tools: false,
            vision: false,
            json: false,
            context_tokens: Some(99),
            ..Abilities::default()
        };
        for (payload, lack) in rows {
            assert_eq!(needs(payload.clone()).unmet(&model(poor)), lack, "{payload}");
            assert_eq!(needs(payload).unmet(&model(Abilities::default())), None);
        }
    }

    #[test]
    fn other_actions_need_nothing_of_it() {
        let poor = Abilities { context_tokens: Some(1), ..Abilities::default() };
        let payload = json!({"input": "a long text", "max_tokens": 7});
        assert_eq!(Needs::of(Action::EmbeddingQuery, &payload, None).unmet(&model(poor)), None);
    }

    #[test]
    fn the_longest_answer_is_what_is_allowed_or_what_there_is_room_for() {
        let priced = |price: Value, context_tokens| Model {
            price: serde_json::from_value(price).unwrap(),
            ..model(Abilities { context_tokens, ..Abilities::default() })
        };
        let tokens = json!({"input": 1_000_000, "output": 2_000_000});
        let rows = [
            (json!({"max_tokens": 10}), tokens.clone(), None, Some(10), Some(22.0)),
            (json!({"max_tokens": 10, "n": 3}), tokens.clone(), None, Some(30), Some(62.0)),
            (json!({"max_tokens": 10}), tokens.clone(), Some(7), Some(5), Some(12.0)),
            (json!({}), tokens.clone(), Some(7), Some(5), Some(12.0)),
            (json!({}), tokens, None, None, None),
            (json!({}), json!({"input": 1_000_000}), None, None, Some(2.0)),
            (json!({"max_tokens": 10}), json!({"input": 1_000_000, "second": 1}), None, Some(10), None),
            (
                json!({"max_tokens": 1}),
                json!({"output": 0, "reasoning": 3_000_000}),
                None,
                Some(1),
                Some(3.0),
            ),
            (json!({"max_tokens": 1}), json!(null), None, Some(1), None),
        ];
        for (mut payload, price, context_tokens, longest, cost_max) in rows {
            payload["messages"] = json!([{"content": "12345678"}]);
            let (needs, model) = (needs(payload.clone()), priced(price, context_tokens));
            assert_eq!(needs.input_tokens(), 2);
            assert_eq!(needs.output_tokens_max(&model), longest, "{payload}");
            assert_eq!(needs.cost_max(&model), cost_max, "{payload} {:?}", model.price);
        }
    }

    #[test]
    fn files_are_paid_by_what_is_asked_for() {
        let needs = Needs::of(Action::ImageGenerate, &json!({"prompt": "a cat", "n": 3}), None);
        let price = serde_json::from_value(json!({"image": 0.25})).unwrap();
        let priced = Model { price: Some(price), ..model(Abilities::default()) };
        assert_eq!((needs.cost_min(&priced), needs.cost_max(&priced)), (Some(0.75), Some(0.75)));
        assert_eq!(needs.cost_min(&model(Abilities::default())), None);
    }

    #[test]
    fn what_may_cost_so_much_is_asked_of_no_dearer_model() {
        let payload = json!({"messages": [{"content": "x".repeat(4_000)}], "max_tokens": 1_000});
        let needs = |most| Needs::of(Action::ChatCompletion, &payload, Some(most));
        let price = serde_json::from_value(json!({"input": 1, "output": 9})).unwrap();
        let priced = Model { price: Some(price), ..model(Abilities::default()) };
        assert_eq!(needs(0.01).unmet(&priced), None);
        assert!(matches!(needs(0.0099).unmet(&priced), Some(Lack::Dear { .. })));
        assert_eq!(needs(1.0).unmet(&model(Abilities::default())), Some(Lack::Unpriced));
    }

    #[test]
    fn the_most_that_a_call_may_cost_is_that_of_its_longest_answers_at_the_dearest_price() {
        let price = json!({"input": 1, "cache_write": 2, "output": 10, "reasoning": 20, "request": 1});
        let price: Price = serde_json::from_value(price).unwrap();
        let model = |abilities| Model { price: Some(price.clone()), ..model(abilities) };
        let (plain, short) =
            (Abilities::default(), Abilities { output_tokens_max: Some(500), ..Abilities::default() });
        let tight = Abilities { context_tokens: Some(1_100), ..Abilities::default() };
        let question = |fields: Value| {
            let mut payload = json!({"messages": [{"content": "x".repeat(4_000)}]});
            payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            needs(payload)
        };
        let rows = [
            (json!({"max_tokens": 1_000}), plain, 1_000),
            (json!({"max_tokens": 1_000, "n": 3}), plain, 3_000),
            (json!({}), plain, OUTPUT_TOKENS_UNSAID),
            (json!({}), short, 500),
            (json!({}), tight, 100),
        ];
        for (fields, abilities, output) in rows {
            let most = question(fields.clone()).cost_usd_max(&model(abilities)).unwrap();
            let expected = 1.0 + 0.002 + output as f64 * 20.0 / 1e6;
            assert!((most - expected).abs() < 1e-9, "{fields}: {most}, not {expected}");
        }
        let unpriced = Model::new("p", "m", Action::ChatCompletion);
        assert_eq!(question(json!({})).cost_usd_max(&unpriced), None);
    }
}
