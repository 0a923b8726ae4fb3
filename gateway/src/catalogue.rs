//! Lists what clients can ask for, and which provider is asked first. A change of the configuration replaces the whole;
//! requests under way keep what they saw.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use parking_lot::RwLock;
use schemas::{Action, Request};

/// One model that clients can ask for, or a named waterfall of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// Its name; may contain `/`.
    pub id: String,
    /// What it does.
    pub action: Action,
    /// Who runs it, as `GET /v1/models` reports.
    pub owned_by: String,
    /// The provider that is asked first.
    pub pool: String,
}

/// The current listing. Cheap to clone; all clones share it.
#[derive(Debug, Clone, Default)]
pub struct Catalogue(Arc<RwLock<Arc<Listing>>>);

/// The listing at one moment.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    models: Vec<ModelInfo>,
    /// By model name: the actions under it, each with the provider that is asked first.
    pools: HashMap<String, Vec<(Action, String)>>,
    providers: BTreeSet<String>,
}

impl Catalogue {
    /// A catalogue of these `models`.
    pub fn new(models: Vec<ModelInfo>) -> Self {
        let catalogue = Self::default();
        catalogue.replace(models);
        catalogue
    }

    /// Replaces the listing with these models.
    pub fn replace(&self, models: Vec<ModelInfo>) {
        let mut pools = HashMap::<String, Vec<_>>::new();
        for model in &models {
            // The first provider listed for a model is asked first.
            let pools = pools.entry(model.id.clone()).or_default();
            if pools.iter().all(|(action, _)| *action != model.action) {
                pools.push((model.action, model.pool.clone()));
            }
        }
        let providers = models.iter().map(|model| model.pool.clone()).collect();
        *self.0.write() = Arc::new(Listing { models, pools, providers });
    }

    /// The current listing.
    pub(crate) fn now(&self) -> Arc<Listing> {
        Arc::clone(&self.0.read())
    }
}

impl Listing {
    /// Every model, in the order of the listing.
    pub(crate) fn models(&self) -> &[ModelInfo] {
        &self.models
    }

    /// Every provider, by name.
    pub(crate) const fn providers(&self) -> &BTreeSet<String> {
        &self.providers
    }

    /// The pool that is asked first; `None` if only the classifier can tell.
    pub(crate) fn pool_of(&self, request: &Request) -> Option<&str> {
        let first = match request.route.waterfall.first() {
            Some(step) => step.as_str(),
            None => {
                let model = request.model()?;
                if let Some(pools) = self.pools.get(model) {
                    return pool_for(request.action, pools);
                }
                model
            }
        };
        let provider = first.split('/').next().unwrap_or(first);
        self.providers.get(provider).map(String::as_str)
    }
}

/// The pool that does `action`; for an action still to be found out, the pool if there is only one.
fn pool_for(action: Action, pools: &[(Action, String)]) -> Option<&str> {
    let pool = match pools {
        [(_, only)] if action == Action::Auto => Some(only),
        _ => pools.iter().find(|(does, _)| *does == action).map(|(_, pool)| pool),
    };
    pool.map(String::as_str)
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
    fn one_name_may_stand_for_different_actions() {
        let images =
            ModelInfo { action: Action::ImageGenerate, pool: "images".into(), ..model("auto", "dynode") };
        let catalogue = Catalogue::new(vec![model("auto", "chats"), images, model("alone", "chats")]);
        let pool = |action, model: &str| {
            catalogue.now().pool_of(&Request::new(action, json!({ "model": model }))).map(str::to_owned)
        };
        assert_eq!(pool(Action::ChatCompletion, "auto").as_deref(), Some("chats"));
        assert_eq!(pool(Action::ImageGenerate, "auto").as_deref(), Some("images"));
        assert_eq!(pool(Action::EmbeddingQuery, "auto"), None);
        assert_eq!(pool(Action::Auto, "auto"), None, "the classifier finds out");
        assert_eq!(pool(Action::Auto, "alone").as_deref(), Some("chats"));
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
