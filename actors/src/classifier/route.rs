//! Who does the work: the providers that serve the model, or those that the request names. Pure.

use adapters::Registry;
use schemas::{Error, ErrorCode, Plan, Request, Step};

/// The plan for `request`; the error says what is not served and what is.
pub(super) fn plan(registry: &Registry, request: &Request) -> Result<Plan, Error> {
    let steps = match request.route.waterfall.as_slice() {
        [] => by_model(registry, request)?,
        waterfall => waterfall.iter().map(|step| named(registry, request, step)).collect::<Result<_, _>>()?,
    };
    Ok(Plan { steps })
}

fn by_model(registry: &Registry, request: &Request) -> Result<Vec<Step>, Error> {
    let Some(model) = request.model() else {
        return Err(unserved(registry, request, "payload.model", "a model must be named".into()));
    };
    let steps: Vec<_> = registry.resolve(model, request.action).into_iter().map(step).collect();
    if steps.is_empty() {
        return Err(unserved(registry, request, "payload.model", format!("`{model}` is not served here")));
    }
    Ok(steps)
}

/// `provider/model`, or `provider` for the model that the payload names.
fn named(registry: &Registry, request: &Request, text: &str) -> Result<Step, Error> {
    let qualified = match (text.contains('/'), request.model()) {
        (false, Some(model)) => format!("{text}/{model}"),
        _ => text.to_owned(),
    };
    let found = registry.resolve(&qualified, request.action).into_iter().next();
    found.map(step).ok_or_else(|| {
        unserved(registry, request, "route.waterfall", format!("no provider serves `{qualified}`"))
    })
}

fn step(model: &adapters::Model) -> Step {
    Step { provider: model.provider.clone(), model: model.upstream.clone() }
}

fn unserved(registry: &Registry, request: &Request, param: &str, why: String) -> Error {
    let served = registry.models().iter().filter(|model| model.action == request.action);
    let served: Vec<_> = served.map(|model| model.id.as_str()).collect();
    let known = match served.as_slice() {
        [] => format!("no provider is configured for {}", request.action),
        served => format!("the models for {} are {}", request.action, served.join(", ")),
    };
    let error = Error::new(ErrorCode::NotFound, format!("{param}: {why}; {known}"));
    Error { param: Some(param.to_owned()), ..error }
}
