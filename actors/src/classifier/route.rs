//! Chooses who does the work: of the models that a request names, those that can do it, in the order in which they are
//! tried. Pure but for what was measured.

use std::{cmp::Ordering, sync::Arc};

use adapters::{Lack, Model, Needs, Registry};
use schemas::{Error, ErrorCode, Estimate, EstimatedStep, LeftOut, Plan, Prefer, Request, Step, Tenant};

use crate::{
    measured::Measured,
    waterfall::{self, AUTO, Waterfalls},
};

/// Chooses models.
#[derive(Debug)]
pub struct Router {
    registry: Arc<Registry>,
    waterfalls: Waterfalls,
    measured: Arc<Measured>,
}

impl Router {
    /// Chooses among the models of `registry`, down the `waterfalls`, by what was `measured`.
    pub const fn new(registry: Arc<Registry>, waterfalls: Waterfalls, measured: Arc<Measured>) -> Self {
        Self { registry, waterfalls, measured }
    }

    /// How many slots of `pool` are free here.
    pub(super) fn free_slots(&self, pool: &str) -> u64 {
        self.measured.free_slots(pool)
    }

    /// The plan for `request` of `tenant`; the error says what is not served and what is, or what each model lacks.
    pub(super) fn plan(&self, tenant: &Tenant, request: &Request) -> Result<Plan, Error> {
        let (models, prefer) = self.allowed(tenant, request)?;
        let (mut models, unable) = able(models, needs(request));
        if models.is_empty() {
            return Err(nobody_is_able(&unable));
        }
        self.leave_busy_out(&mut models);
        self.sort(&mut models, request.route.prefer.or(prefer));
        Ok(Plan { steps: models.into_iter().map(step).collect() })
    }

    /// The plan for `request` of `tenant`, if no measurement can change it; `None` if one can, or if there is no plan.
    pub(crate) fn plan_unmeasured(&self, tenant: &Tenant, request: &Request) -> Option<Plan> {
        let (models, prefer) = self.allowed(tenant, request).ok()?;
        let (mut models, _) = able(models, needs(request));
        let prefer = request.route.prefer.or(prefer);
        let is_measured = prefer == Some(Prefer::Latency) || models.iter().any(|model| model.only_when_idle);
        if models.is_empty() || models.len() > 1 && is_measured {
            return None;
        }
        self.sort(&mut models, prefer);
        Some(Plan { steps: models.into_iter().map(step).collect() })
    }

    /// What `request` of `tenant` would cost: by each model that would be tried, busy or not, and why other models
    /// would not be tried. The error says what is not served.
    pub(crate) fn estimate(&self, tenant: &Tenant, request: &Request) -> Result<Estimate, Error> {
        let (models, prefer) = self.allowed(tenant, request)?;
        let needs = needs(request);
        let (mut models, unable) = able(models, needs);
        self.sort(&mut models, request.route.prefer.or(prefer));
        let step = |model: &Model| EstimatedStep {
            provider: model.provider.clone(),
            model: model.id.clone(),
            output_tokens_max: needs.output_tokens_max(model),
            cost_usd_min: needs.cost_min(model),
            cost_usd_max: needs.cost_max(model),
        };
        let left_out = |(model, lack): (&Model, Lack)| LeftOut {
            provider: model.provider.clone(),
            model: model.id.clone(),
            why: lack.to_string(),
        };
        Ok(Estimate {
            action: request.action,
            input_tokens: needs.input_tokens(),
            steps: models.into_iter().map(step).collect(),
            left_out: unable.into_iter().map(left_out).collect(),
        })
    }

    /// The least that `request` of `tenant` must be allowed to cost, if each model that may be asked has a price. The
    /// error says that no model is left for the most that the request may cost.
    pub(crate) fn least_cost(&self, tenant: &Tenant, request: &Request) -> Result<Option<f64>, Error> {
        let Ok((models, _)) = self.allowed(tenant, request) else { return Ok(None) };
        let needs = needs(request);
        let (models, unable) = able(models, needs);
        let is_for_cost = |(_, lack): &(&Model, Lack)| matches!(lack, Lack::Dear { .. } | Lack::Unpriced);
        if models.is_empty() && unable.iter().any(is_for_cost) {
            return Err(nobody_is_able(&unable));
        }
        let costs = models.into_iter().map(|model| needs.cost_usd_max(model));
        let least = costs.collect::<Option<Vec<_>>>();
        Ok(least.and_then(|costs| costs.into_iter().min_by(|a, b| ascending(*a, *b))))
    }

    fn sort(&self, models: &mut Vec<&Model>, prefer: Option<Prefer>) {
        match prefer {
            None => {}
            Some(Prefer::Latency) => self.sort_by_latency(models),
            Some(Prefer::Cost) => models.sort_by(|a, b| ascending(cost(a), cost(b))),
            Some(Prefer::Quality) => models.sort_by(|a, b| ascending(quality(b), quality(a))),
        }
    }

    /// Of the named models, those that the request's key reaches.
    fn allowed(&self, tenant: &Tenant, request: &Request) -> Result<(Vec<&Model>, Option<Prefer>), Error> {
        let (mut models, prefer) = self.candidates(tenant, request)?;
        if request.is_test() {
            models.retain(|model| model.is_simulated);
            if models.is_empty() {
                return Err(not_for_tests(request));
            }
        }
        Ok((models, prefer))
    }

    /// The named models, in order, and the preference if the request has none.
    fn candidates(&self, tenant: &Tenant, request: &Request) -> Result<(Vec<&Model>, Option<Prefer>), Error> {
        if !request.route.waterfall.is_empty() {
            let named = request.route.waterfall.iter().map(|step| self.named(request, step));
            return Ok((named.collect::<Result<_, _>>()?, None));
        }
        let name = request.model().unwrap_or(AUTO);
        if let Some(waterfall) = self.waterfalls.get(request.action, name) {
            let steps = waterfall.steps_of(tenant).iter();
            let models = steps.filter_map(|step| waterfall::model(&self.registry, request.action, step));
            return Ok((models.collect(), waterfall.prefer));
        }
        let mut models = self.registry.resolve(name, request.action);
        if models.is_empty() && name == AUTO {
            models = self.registry.models().iter().filter(|model| model.action == request.action).collect();
        }
        if models.is_empty() {
            return Err(self.unserved(request, "payload.model", format!("`{name}` is not served here")));
        }
        Ok((models, None))
    }

    /// `provider/model`, or `provider` for the model that the payload names.
    fn named(&self, request: &Request, text: &str) -> Result<&Model, Error> {
        let qualified = match (text.contains('/'), request.model()) {
            (false, Some(model)) => format!("{text}/{model}"),
            _ => text.to_owned(),
        };
        let found = self.registry.resolve(&qualified, request.action).into_iter().next();
        found.ok_or_else(|| {
            self.unserved(request, "route.waterfall", format!("no provider serves `{qualified}`"))
        })
    }

    /// Leaves out busy models that are asked only while idle, unless no other is left. Looks at each once: a pool may
    /// become busy between two looks.
    fn leave_busy_out(&self, models: &mut Vec<&Model>) {
        let is_there = |model: &&Model| !model.only_when_idle || self.measured.is_idle(&model.provider);
        let there: Vec<_> = models.iter().copied().filter(is_there).collect();
        if !there.is_empty() {
            *models = there;
        }
    }

    /// Reads each time once: it may change during the sort.
    fn sort_by_latency(&self, models: &mut Vec<&Model>) {
        let mut timed: Vec<_> = models.iter().map(|model| (self.latency(model), *model)).collect();
        timed.sort_by(|(a, _), (b, _)| ascending(*a, *b));
        *models = timed.into_iter().map(|(_, model)| model).collect();
    }

    /// A model that was never asked counts as quick, so that it is asked, and measured.
    fn latency(&self, model: &Model) -> f64 {
        self.measured.first_output_ms(&model.provider, &model.upstream).unwrap_or(0.0)
    }

    fn unserved(&self, request: &Request, param: &str, why: String) -> Error {
        let models = self.registry.models().iter().filter(|model| model.action == request.action);
        let waterfalls = self.waterfalls.of(request.action).map(|(name, _)| name);
        let served: Vec<_> = waterfalls.chain(models.map(|model| model.id.as_str())).collect();
        let known = match served.as_slice() {
            [] => format!("no provider is configured for {}", request.action),
            served => format!("the models for {} are {}", request.action, served.join(", ")),
        };
        let error = Error::new(ErrorCode::NotFound, format!("{param}: {why}; {known}"));
        Error { param: Some(param.to_owned()), ..error }
    }
}

fn not_for_tests(request: &Request) -> Error {
    let (param, name) = match request.route.waterfall.is_empty() {
        true => ("payload.model", request.model().unwrap_or(AUTO).to_owned()),
        false => ("route.waterfall", request.route.waterfall.join(", ")),
    };
    let why = format!(
        "{param}: a test key (dyn_test_…) reaches simulated providers only, and none of them serves `{name}`"
    );
    Error { param: Some(param.to_owned()), ..Error::new(ErrorCode::Forbidden, why) }
}

fn needs(request: &Request) -> Needs {
    Needs::of(request.action, &request.payload, request.route.max_cost_usd)
}

/// Those of `models` that can do what is asked, and those that cannot, with what each lacks.
fn able(models: Vec<&Model>, needs: Needs) -> (Vec<&Model>, Vec<(&Model, Lack)>) {
    let (mut able, mut unable) = (Vec::new(), Vec::new());
    for model in models {
        match needs.unmet(model) {
            None => able.push(model),
            Some(lack) => unable.push((model, lack)),
        }
    }
    (able, unable)
}

fn nobody_is_able(unable: &[(&Model, Lack)]) -> Error {
    let lack = |(model, lack): &(&Model, Lack)| format!("`{}/{}` {lack}", model.provider, model.id);
    let lacks: Vec<_> = unable.iter().map(lack).collect();
    Error::invalid("payload.model", format!("no model that was named can do it: {}", lacks.join("; ")))
}

fn step(model: &Model) -> Step {
    Step { provider: model.provider.clone(), model: model.upstream.clone() }
}

/// What a thousand tokens in and as many out cost; an unknown price counts as dear.
fn cost(model: &Model) -> f64 {
    model.price.as_ref().map_or(f64::INFINITY, |price| price.typical())
}

/// Unknown counts as poor.
fn quality(model: &Model) -> f64 {
    model.abilities.quality.unwrap_or(0.0)
}

fn ascending(a: f64, b: f64) -> Ordering {
    a.total_cmp(&b)
}

#[cfg(test)]
mod tests;
