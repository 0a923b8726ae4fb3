//! What a request would cost, and which models would be asked; to answer this, nothing is sent or stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Action;

/// What a request is expected to cost, by rule of thumb and by the configured prices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// Its action; `auto` is already decided.
    pub action: Action,
    /// The tokens of the question.
    pub input_tokens: u64,
    /// The models to try, in order: each only if the one before fails.
    pub steps: Vec<EstimatedStep>,
    /// The models that were named but would not be asked.
    pub left_out: Vec<LeftOut>,
}

/// What a model would cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EstimatedStep {
    /// The configured name of the provider.
    pub provider: String,
    /// The model, by the name that clients use.
    pub model: String,
    /// The most tokens of the answer: what the request allows, or what the model has room for; `null` if neither is
    /// known.
    pub output_tokens_max: Option<u64>,
    /// What it costs without any answer, in US dollars; `null` if the model has no price.
    pub cost_usd_min: Option<f64>,
    /// What it costs with the longest answer; `null` if the model has no price, or nothing bounds the answer.
    pub cost_usd_max: Option<f64>,
}

/// A model that would not be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftOut {
    /// The configured name of the provider.
    pub provider: String,
    /// The model, by the name that clients use.
    pub model: String,
    /// What it lacks.
    pub why: String,
}
