//! Decides the action of an `auto` request from its input, by configured rules. Pure.

use regex::Regex;
use schemas::{Action, Error};
use serde_json::Value;

use crate::RuleConfig;

/// The rules, in order; the first that fits decides.
#[derive(Debug)]
pub struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    when: String,
    matches: Option<Regex>,
    action: Action,
}

/// An invalid rule: its place in the list, from 0, the key, and how to fix it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("classifier.rules[{index}].{key}: {why}")]
pub struct BadRule {
    /// Its place in the list.
    pub index: usize,
    /// The key at fault.
    pub key: &'static str,
    /// What is wrong and how to fix it.
    pub why: String,
}

impl Rules {
    /// Compiles `rules`.
    pub fn new(rules: &[RuleConfig]) -> Result<Self, BadRule> {
        rules
            .iter()
            .enumerate()
            .map(|(index, rule)| Rule::new(index, rule))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The action of an `auto` request with this payload.
    pub fn decide(&self, payload: &Value) -> Result<Action, Error> {
        self.0.iter().find(|rule| rule.fits(payload)).map(|rule| rule.action).ok_or_else(|| {
            let why =
                "`auto` does not fit this payload: no rule of the configuration matches; name the action";
            Error::invalid("action", why)
        })
    }
}

impl Rule {
    fn new(index: usize, config: &RuleConfig) -> Result<Self, BadRule> {
        let bad = |key, why: String| BadRule { index, key, why };
        if !config.when.is_empty() && !config.when.starts_with('/') {
            let why = format!("`{}` is not a JSON pointer; write it as `/{}`", config.when, config.when);
            return Err(bad("when", why));
        }
        if config.action == Action::Auto {
            return Err(bad("action", "a rule cannot decide for `auto`; name the action".into()));
        }
        let matches = config.matches.as_deref().map(Regex::new).transpose();
        let matches = matches.map_err(|error| bad("matches", error.to_string()))?;
        Ok(Self { when: config.when.clone(), matches, action: config.action })
    }

    fn fits(&self, payload: &Value) -> bool {
        let Some(value) = payload.pointer(&self.when) else { return false };
        self.matches.as_ref().is_none_or(|regex| value.as_str().is_some_and(|text| regex.is_match(text)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(when: &str, matches: Option<&str>, action: Action) -> RuleConfig {
        RuleConfig { when: when.into(), matches: matches.map(Into::into), action }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules = Rules::new(&[
            rule("/prompt", Some("(?i)draw|picture"), Action::ImageGenerate),
            rule("/messages", None, Action::ChatCompletion),
            rule("/input", None, Action::EmbeddingQuery),
        ])
        .unwrap();
        assert_eq!(rules.decide(&json!({"prompt": "Draw a cat"})).unwrap(), Action::ImageGenerate);
        assert_eq!(rules.decide(&json!({"messages": [], "input": ""})).unwrap(), Action::ChatCompletion);
        assert_eq!(rules.decide(&json!({"input": "x"})).unwrap(), Action::EmbeddingQuery);
        assert_eq!(rules.decide(&json!({"prompt": "sing"})).unwrap_err().param.as_deref(), Some("action"));
    }

    #[test]
    fn a_bad_rule_is_named_with_the_mend() {
        let error = Rules::new(&[rule("messages", None, Action::ChatCompletion)]).unwrap_err();
        assert!(error.to_string().contains("rules[0].when") && error.why.contains("/messages"), "{error}");
        let error = Rules::new(&[rule("/a", Some("("), Action::ChatCompletion)]).unwrap_err();
        assert_eq!(error.key, "matches");
    }
}
