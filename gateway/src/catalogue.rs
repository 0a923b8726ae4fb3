//! What can be asked for, and who is asked first. Replaced whole when the configuration changes; requests that are under
//! way keep what they saw.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use parking_lot::RwLock;
use schemas::{Action, Request};

/// One model that can be asked for, or a waterfall of several under a name of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// Its name; may contain `/`.
    pub id: String,
    /// What it does.
    pub action: Action,
    /// Who runs it, as `GET /v1/models` tells.
    pub owned_by: String,
    /// The provider that is asked first.
    pub pool: String,
}

/// What can be asked for now. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Catalogue(Arc<RwLock<Arc<Listing>>>);

/// What could be asked for at one moment.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    models: Vec<ModelInfo>,
    /// The provider that is asked first for each model.
    pools: HashMap<String, String>,
    providers: BTreeSet<String>,
}

impl Catalogue {
    /// These `models`, run by these `providers`.
    pub fn new(models: Vec<ModelInfo>) -> Self {
        let catalogue = Self::default();
        catalogue.replace(models);
        catalogue
    }

    /// From now on it is these.
    pub fn replace(&self, models: Vec<ModelInfo>) {
        let mut pools = HashMap::new();
        for model in &models {
            // The first that serves a model is asked first.
            pools.entry(model.id.clone()).or_insert_with(|| model.pool.clone());
        }
        let providers = models.iter().map(|model| model.pool.clone()).collect();
        *self.0.write() = Arc::new(Listing { models, pools, providers });
    }

    /// What it is now.
    pub(crate) fn now(&self) -> Arc<Listing> {
        Arc::clone(&self.0.read())
    }
}

impl Listing {
    /// Every model, in the order in which they are listed.
    pub(crate) fn models(&self) -> &[ModelInfo] {
        &self.models
    }

    /// Every provider, by name.
    pub(crate) const fn providers(&self) -> &BTreeSet<String> {
        &self.providers
    }

    /// The pool that is asked first; `None` where only the classifier can tell.
    pub(crate) fn pool_of(&self, request: &Request) -> Option<&str> {
        let first = match request.route.waterfall.first() {
            Some(step) => step.as_str(),
            None => {
                let model = request.model()?;
                if let Some(pool) = self.pools.get(model) {
                    return Some(pool);
                }
                model
            }
        };
        let provider = first.split('/').next().unwrap_or(first);
        self.providers.get(provider).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn model(id: &str, pool: &str) -> ModelInfo {
        ModelInfo { id: id.into(), action: Action::ChatCompletion, owned_by: pool.into(), pool: pool.into() }
    }

    #[test]
    fn a_request_is_for_the_pool_that_is_asked_first() {
        let catalogue = Catalogue::new(vec![model("m", "one"), model("m", "two"), model("lab/x", "two")]);
        let pool = |model: &str, waterfall: &[&str]| {
            let mut request = Request::new(Action::ChatCompletion, json!({ "model": model }));
            request.route.waterfall = waterfall.iter().map(|step| (*step).to_owned()).collect();
            catalogue.now().pool_of(&request).map(str::to_owned)
        };
        assert_eq!(pool("m", &[]).as_deref(), Some("one"));
        assert_eq!(pool("lab/x", &[]).as_deref(), Some("two"));
        assert_eq!(pool("two/m", &[]).as_deref(), Some("two"));
        assert_eq!(pool("m", &["two", "one"]).as_deref(), Some("two"));
        assert_eq!(pool("m", &["two/lab/x"]).as_deref(), Some("two"));
        assert_eq!((pool("nobody", &[]), pool("m", &["nobody/m"])), (None, None));
    }

    #[test]
    fn what_is_replaced_is_another_for_every_clone() {
        let catalogue = Catalogue::new(vec![model("old", "one")]);
        let (clone, before) = (catalogue.clone(), catalogue.now());
        catalogue.replace(vec![model("new", "two")]);
        assert_eq!(clone.now().models()[0].id, "new");
        assert_eq!(before.models()[0].id, "old", "whoever has begun goes on with what it saw");
    }
}
