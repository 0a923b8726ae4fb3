//! Waterfalls: named lists of models that are tried one after the other. They are configuration.

use std::collections::BTreeMap;

use adapters::{Model, Registry};
use schemas::{Action, Prefer, Tenant};
use serde::Deserialize;

/// The name by which a request that knows no waterfall asks for the one of its action.
pub const AUTO: &str = "auto";

/// Ends a step that is left out if no provider serves it.
const OPTIONAL: char = '?';

/// One `[waterfalls."ACTION".NAME]`: clients name it like a model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaterfallConfig {
    /// The models, each `provider/model`, in the order in which they are tried. One that ends in `?` is left out if no
    /// provider serves it.
    pub steps: Vec<String>,
    /// The preference for requests that have none; without it the order is kept.
    #[serde(default)]
    pub prefer: Option<Prefer>,
    /// The steps of tenants that have their own.
    #[serde(default)]
    pub tenants: BTreeMap<String, Vec<String>>,
}

/// A waterfall is invalid: `path` is the key, `why` how to fix it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct BadWaterfall {
    /// The key.
    pub path: String,
    /// What is wrong and how to fix it.
    pub why: String,
}

/// Every waterfall, by action and name.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Waterfalls(BTreeMap<Action, BTreeMap<String, WaterfallConfig>>);

impl Waterfalls {
    /// The waterfall `name` for `action`, if there is one.
    pub fn get(&self, action: Action, name: &str) -> Option<&WaterfallConfig> {
        self.0.get(&action)?.get(name)
    }

    /// The waterfalls for `action`, with their names.
    pub fn of(&self, action: Action) -> impl Iterator<Item = (&str, &WaterfallConfig)> {
        self.0.get(&action).into_iter().flatten().map(|(name, waterfall)| (name.as_str(), waterfall))
    }

    /// The actions that have waterfalls.
    pub fn actions(&self) -> impl Iterator<Item = Action> {
        self.0.keys().copied()
    }

    /// The same without the steps that are left out, and without the waterfalls that have none left.
    pub fn settled(&self, registry: &Registry) -> Self {
        let of_action = |(action, waterfalls): (&Action, &BTreeMap<String, WaterfallConfig>)| {
            let left = waterfalls.iter().filter_map(|(name, waterfall)| {
                let settled = waterfall.settled(*action, registry);
                let is_asked = waterfall.steps.is_empty() || !settled.steps.is_empty();
                is_asked.then(|| (name.clone(), settled))
            });
            (*action, left.collect())
        };
        Self(self.0.iter().map(of_action).collect())
    }

    /// Checks every step against what is configured.
    pub fn check(&self, registry: &Registry) -> Result<(), BadWaterfall> {
        self.actions().try_for_each(|action| {
            self.of(action).try_for_each(|(name, waterfall)| waterfall.check(action, name, registry))
        })
    }
}

impl WaterfallConfig {
    /// The steps of `tenant`.
    pub fn steps_of(&self, tenant: &Tenant) -> &[String] {
        self.tenants.get(tenant.as_str()).unwrap_or(&self.steps)
    }

    fn settled(&self, action: Action, registry: &Registry) -> Self {
        let settle = |steps: &Vec<String>| {
            let serves = |step: &&String| {
                step.strip_suffix(OPTIONAL).is_none_or(|step| model(registry, action, step).is_some())
            };
            let steps = steps.iter().filter(serves);
            steps.map(|step| step.strip_suffix(OPTIONAL).unwrap_or(step).to_owned()).collect::<Vec<_>>()
        };
        let of_tenants = self.tenants.iter().map(|(tenant, steps)| (tenant.clone(), settle(steps)));
        // A tenant with no step left has the common steps.
        let tenants = of_tenants.filter(|(tenant, left)| self.tenants[tenant].is_empty() || !left.is_empty());
        Self { steps: settle(&self.steps), prefer: self.prefer, tenants: tenants.collect() }
    }

    fn check(&self, action: Action, name: &str, registry: &Registry) -> Result<(), BadWaterfall> {
        let root = format!("waterfalls.{action}.{name}");
        if name != AUTO && !registry.resolve(name, action).is_empty() {
            let why = "a model has this name already; clients could not tell the two apart".to_owned();
            return Err(BadWaterfall { path: root, why });
        }
        let lists = self.tenants.iter().map(|(tenant, steps)| (format!("{root}.tenants.{tenant}"), steps));
        for (path, steps) in std::iter::once((format!("{root}.steps"), &self.steps)).chain(lists) {
            if steps.is_empty() {
                let why = "names no model; name at least one, as in [\"openai/gpt-small\"]".to_owned();
                return Err(BadWaterfall { path, why });
            }
            for (index, step) in steps.iter().enumerate() {
                if model(registry, action, step).is_none() {
                    let known = registry.models().iter().filter(|model| model.action == action);
                    let known: Vec<_> =
                        known.map(|model| format!("{}/{}", model.provider, model.id)).collect();
                    let why =
                        format!("no provider serves `{step}` for {action}; served: {}", known.join(", "));
                    return Err(BadWaterfall { path: format!("{path}[{index}]"), why });
                }
            }
        }
        Ok(())
    }
}

/// The model that a step names, `provider/model`.
pub fn model<'a>(registry: &'a Registry, action: Action, step: &str) -> Option<&'a Model> {
    registry.resolve(step, action).into_iter().find(|model| {
        step.strip_prefix(model.provider.as_str()).and_then(|rest| rest.strip_prefix('/'))
            == Some(model.id.as_str())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn registry() -> Registry {
        let table = json!({
            "a": {"kind": "simulated", "models": {"m": {}, "e": {"action": "embedding.query"}}},
            "b": {"kind": "simulated", "models": {"m": {}}},
        });
        Registry::build(&serde_json::from_value(table).unwrap()).unwrap()
    }

    fn fault(table: Value) -> String {
        let waterfalls: Waterfalls = serde_json::from_value(table).unwrap();
        waterfalls.check(&registry()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_named() {
        let rows = [
            (
                json!({"chat.completion": {"w": {"steps": []}}}),
                "waterfalls.chat.completion.w.steps: names no",
            ),
            (
                json!({"chat.completion": {"w": {"steps": ["a/m", "c/m"]}}}),
                "w.steps[1]: no provider serves `c/m` for chat.completion; served: a/m, b/m",
            ),
            (json!({"chat.completion": {"w": {"steps": ["m"]}}}), "steps[0]: no provider serves `m`"),
            (json!({"chat.completion": {"w": {"steps": ["a/e"]}}}), "steps[0]: no provider"),
            (
                json!({"chat.completion": {"w": {"steps": ["a/m"], "tenants": {"t": []}}}}),
                "w.tenants.t: names no",
            ),
            (json!({"chat.completion": {"m": {"steps": ["a/m"]}}}), "a model has this name"),
        ];
        for (table, why) in rows {
            let fault = fault(table);
            assert!(fault.contains(why), "{fault}");
        }
    }

    #[test]
    fn a_step_that_is_optional_is_left_out_where_nobody_serves_it() {
        let table = json!({"chat.completion": {
            "auto": {"steps": ["c/m?", "a/m?", "b/m"], "tenants": {"acme": ["c/m?"], "other": ["c/m?", "b/m?"]}},
            "w": {"steps": ["c/m?"]}, "x": {"steps": ["c/m"]},
        }});
        let waterfalls: Waterfalls = serde_json::from_value(table).unwrap();
        let settled = waterfalls.settled(&registry());
        let auto = settled.get(Action::ChatCompletion, AUTO).unwrap();
        assert_eq!(auto.steps, ["a/m", "b/m"]);
        assert_eq!(auto.steps_of(&Tenant::new("acme").unwrap()), ["a/m", "b/m"]);
        assert_eq!(auto.steps_of(&Tenant::new("other").unwrap()), ["b/m"]);
        assert_eq!(settled.get(Action::ChatCompletion, "w"), None);
        let fault = settled.check(&registry()).unwrap_err().to_string();
        assert!(fault.contains("x.steps[0]: no provider serves `c/m`"), "one that is not is missed: {fault}");
    }

    #[test]
    fn a_tenant_may_have_steps_of_its_own() {
        let table = json!({"chat.completion": {"auto": {"steps": ["a/m"], "tenants": {"acme": ["b/m"]}}}});
        let waterfalls: Waterfalls = serde_json::from_value(table).unwrap();
        waterfalls.check(&registry()).unwrap();
        let auto = waterfalls.get(Action::ChatCompletion, AUTO).unwrap();
        assert_eq!(auto.steps_of(&Tenant::new("acme").unwrap()), ["b/m"]);
        assert_eq!(auto.steps_of(&Tenant::new("other").unwrap()), ["a/m"]);
        assert_eq!(waterfalls.get(Action::EmbeddingQuery, AUTO), None);
    }
}
