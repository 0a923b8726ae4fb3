//! Lists models in the form of the Anthropic API.

use jiff::Timestamp;
use schemas::{Action, Error, ErrorCode};
use serde::{Deserialize, Serialize};

use crate::{app::Shared, caller::Caller};

/// The most models on a page, and the default; both as in the original.
const LIMIT_MAX: usize = 1_000;
const LIMIT: usize = 20;

/// The page that the client asks for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Page {
    limit: Option<usize>,
    after_id: Option<String>,
    before_id: Option<String>,
}

/// A page of models, in the form of this API.
#[derive(Serialize)]
pub(crate) struct List {
    data: Vec<Model>,
    has_more: bool,
    first_id: Option<String>,
    last_id: Option<String>,
}

/// A model, in the form of this API.
#[derive(Serialize)]
pub(crate) struct Model {
    r#type: &'static str,
    id: String,
    display_name: String,
    created_at: String,
    lifecycle: &'static str,
}

/// One page of the models that the caller may use.
pub(crate) fn listing(app: &Shared, caller: &Caller, page: &Page) -> Result<List, Error> {
    list(app, &ids(app, caller), page)
}

/// One model.
pub(crate) fn find(app: &Shared, caller: &Caller, id: &str) -> Result<Model, Error> {
    get(app, &ids(app, caller), id)
}

/// The chat models that the caller may use: messages cannot ask others. Several providers may serve one.
fn ids(app: &Shared, caller: &Caller) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for info in app.parts.catalogue.now().models() {
        if info.action == Action::ChatCompletion && caller.may_ask_for(&info.id) && !ids.contains(&info.id) {
            ids.push(info.id.clone());
        }
    }
    ids
}

fn get(app: &Shared, ids: &[String], id: &str) -> Result<Model, Error> {
    let none = || {
        let why = "no such model; GET /v1/models lists them";
        Error { param: Some("model".into()), ..Error::new(ErrorCode::NotFound, why) }
    };
    ids.iter().find(|known| *known == id).map(|id| model(app, id)).ok_or_else(none)
}

fn list(app: &Shared, ids: &[String], page: &Page) -> Result<List, Error> {
    let limit = page.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Error::invalid("limit", format!("expected a number from 1 to {LIMIT_MAX}")));
    }
    let (ids, has_more) = paged(ids, page, limit);
    let data = ids.iter().map(|id| model(app, id)).collect();
    Ok(List { data, has_more, first_id: ids.first().cloned(), last_id: ids.last().cloned() })
}

/// The part of `ids` that `page` asks for, and whether more follow in its direction. A page beside an unknown model is
/// empty.
fn paged<'i>(ids: &'i [String], page: &Page, limit: usize) -> (&'i [String], bool) {
    let place = |wanted: &str| ids.iter().position(|id| *id == wanted);
    if let Some(before) = &page.before_id {
        let end = place(before).unwrap_or(0);
        let start = end.saturating_sub(limit);
        return (&ids[start..end], start > 0);
    }
    let start = page.after_id.as_deref().map_or(0, |after| place(after).map_or(ids.len(), |at| at + 1));
    let end = ids.len().min(start + limit);
    (&ids[start..end], end < ids.len())
}

fn model(app: &Shared, id: &str) -> Model {
    let created_at = Timestamp::from_second(app.started_s).unwrap_or_default().to_string();
    Model { r#type: "model", id: id.to_owned(), display_name: id.to_owned(), created_at, lifecycle: "active" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_in_both_directions() {
        let ids = ["a", "b", "c", "d", "e"].map(str::to_owned);
        let page = |after: Option<&str>, before: Option<&str>, limit| {
            let (after_id, before_id) = (after.map(Into::into), before.map(Into::into));
            let (ids, has_more) = paged(&ids, &Page { limit: None, after_id, before_id }, limit);
            (ids.concat(), has_more)
        };
        assert_eq!(page(None, None, 2), ("ab".into(), true));
        assert_eq!(page(Some("b"), None, 2), ("cd".into(), true));
        assert_eq!(page(Some("d"), None, 2), ("e".into(), false));
        assert_eq!(page(Some("e"), None, 2), (String::new(), false));
        assert_eq!(page(None, Some("d"), 2), ("bc".into(), true));
        assert_eq!(page(None, Some("b"), 2), ("a".into(), false));
        assert_eq!(page(Some("x"), None, 2), (String::new(), false));
        assert_eq!(page(None, Some("x"), 2), (String::new(), false));
    }
}
