//! `GET /v1/responses/{id}/input_items`: lists the input of a response as items. The gateway keeps only chat messages,
//! including those of earlier responses, and makes the items from them.

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use schemas::Error;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    items::{Body, COMPLETED, Item, Part},
    kept,
};
use crate::{
    answer,
    app::App,
    door::{Entry, Path, Query},
    refusal::Refusal,
};

/// How many items a page has by default, and at most.
const PAGE: usize = 20;
const PAGE_MAX: usize = 100;

/// Which page.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Paging {
    /// Return the items after this one.
    after: Option<String>,
    /// The maximum number of items: 1 to 100, 20 by default.
    #[schemars(range(min = 1, max = PAGE_MAX))]
    limit: Option<usize>,
    /// First item first (`asc`), or last item first (`desc`, the default).
    order: Option<Order>,
}

/// The order of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Order {
    Asc,
    Desc,
}

/// One page of the input of a response.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ResponseItemList")]
pub(crate) struct ItemList {
    /// The object type.
    #[schemars(extend("const" = "list"))]
    object: &'static str,
    /// The items.
    data: Vec<Value>,
    /// The id of the first item; null if the page is empty.
    first_id: Value,
    /// The id of the last item.
    last_id: Value,
    /// Whether more items follow.
    has_more: bool,
}

/// One page of the items.
pub(crate) async fn list(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Path(id): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Response, Refusal> {
    let mut share = app.room.share();
    let (key, question, _) = kept::find(&app, &entry.caller, &id, &mut share).await?;
    let page = paging.page(of(key.id.as_str(), &question.messages))?;
    Ok(answer::named(key.id, Json(page).into_response()))
}

impl Paging {
    fn page(&self, mut items: Vec<Value>) -> Result<ItemList, Error> {
        let limit = self.limit.unwrap_or(PAGE);
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(Error::invalid("limit", format!("{limit} is not between 1 and {PAGE_MAX}")));
        }
        if self.order != Some(Order::Asc) {
            items.reverse();
        }
        if let Some(after) = &self.after {
            let place = items.iter().position(|item| item["id"] == **after);
            let place =
                place.ok_or_else(|| Error::invalid("after", "no item of this response has this id"))?;
            items.drain(..=place);
        }
        let has_more = items.len() > limit;
        items.truncate(limit);
        let id = |item: Option<&Value>| item.map_or(Value::Null, |item| item["id"].clone());
        let (first_id, last_id) = (id(items.first()), id(items.last()));
        Ok(ItemList { object: "list", data: items, first_id, last_id, has_more })
    }
}

/// Converts the messages of the request `request` to items.
fn of(request: &str, messages: &[Value]) -> Vec<Value> {
    let mut items = Items { request: format!("in_{request}"), items: Vec::new() };
    messages.iter().for_each(|message| items.take(message));
    items.items
}

struct Items {
    request: String,
    items: Vec<Value>,
}

impl Items {
    fn take(&mut self, message: &Value) {
        let text = |field: &str| message[field].as_str().unwrap_or_default();
        match text("role") {
            "assistant" => self.said(message),
            "tool" => {
                let (call, output) = (text("tool_call_id"), &message["content"]);
                let item = json!({ "type": "function_call_output", "call_id": call, "output": output });
                self.push("fco", item);
            }
            role => {
                let content: Vec<_> = match &message["content"] {
                    Value::Array(parts) => parts.iter().map(asked).collect(),
                    text => vec![json!({ "type": "input_text", "text": text })],
                };
                self.push("msg", json!({ "type": "message", "role": role, "content": content }));
            }
        }
    }

    /// Writes a model's message and calls as its answer had them: no message if it only called tools.
    fn said(&mut self, message: &Value) {
        let calls = message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |field: &str| message[field].as_str().filter(|text| !text.is_empty() || calls.is_empty());
        let said = text("content").map(|text| Part::Text(text.to_owned()));
        let refused = text("refusal").map(|text| Part::Refusal(text.to_owned()));
        let parts: Vec<_> = said.into_iter().chain(refused).collect();
        if !parts.is_empty() {
            self.add(Body::Message(parts));
        }
        for call in calls {
            let text = |at: &str| call.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (call_id, name, arguments) =
                (text("/id"), text("/function/name"), text("/function/arguments"));
            self.add(Body::Call { call_id, name, arguments });
        }
    }

    fn add(&mut self, body: Body) {
        let item = Item::new(&self.request, self.items.len(), body);
        self.items.push(item.json(COMPLETED));
    }

    fn push(&mut self, kind: &str, mut item: Value) {
        item["id"] = format!("{kind}_{}_{}", self.request, self.items.len()).into();
        item["status"] = COMPLETED.into();
        self.items.push(item);
    }
}

/// Converts a part of the input.
fn asked(part: &Value) -> Value {
    match part["type"].as_str().unwrap_or_default() {
        "text" => json!({ "type": "input_text", "text": part["text"] }),
        "image_url" => {
            let (url, detail) = (&part["image_url"]["url"], part["image_url"]["detail"].as_str());
            json!({ "type": "input_image", "image_url": url, "detail": detail.unwrap_or("auto") })
        }
        "file" => {
            let mut file = part["file"].clone();
            file["type"] = "input_file".into();
            file
        }
        _ => part.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::responses::input;

    fn asked() -> Value {
        json!([
            { "type": "message", "role": "user", "content": [
                { "type": "input_text", "text": "this" },
                { "type": "input_image", "image_url": "https://x/cat.png", "detail": "low" },
                { "type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA==" },
            ] },
            { "type": "message", "role": "assistant", "content": [
                { "type": "output_text", "text": "I look", "annotations": [], "logprobs": [] }] },
            { "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}" },
            { "type": "function_call_output", "call_id": "c1", "output": "sun" },
            { "type": "message", "role": "system", "content": [{ "type": "input_text", "text": "be brief" }] },
        ])
    }

    #[test]
    fn what_was_asked_is_told_again_item_by_item() {
        let items = of("r", &input::messages(&asked()).unwrap());
        let mut expected = asked();
        let kinds = ["msg", "msg", "fc", "fco", "msg"];
        for (index, (item, kind)) in expected.as_array_mut().unwrap().iter_mut().zip(kinds).enumerate() {
            item["id"] = format!("{kind}_in_r_{index}").into();
            item["status"] = "completed".into();
        }
        assert_eq!(Value::Array(items), expected);
    }

    #[test]
    fn who_only_calls_has_said_nothing() {
        let call = json!({ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{}" } });
        let items = of("r", &[json!({ "role": "assistant", "content": "", "tool_calls": [call] })]);
        assert_eq!((items.len(), &items[0]["type"]), (1, &json!("function_call")));
    }

    #[test]
    fn pages_follow_each_other_from_the_last_item_or_from_the_first() {
        let items = || of("r", &input::messages(&asked()).unwrap());
        let page = |after: Option<&str>, order| {
            let paging = Paging { after: after.map(str::to_owned), limit: Some(2), order };
            let page = paging.page(items()).unwrap();
            let ids: Vec<_> = page.data.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
            assert_eq!(
                (page.first_id.as_str(), page.last_id.as_str()),
                (ids.first().map(String::as_str), ids.last().map(String::as_str))
            );
            (ids, page.has_more)
        };
        let ids = |list: [&str; 2]| list.map(str::to_owned).to_vec();
        assert_eq!(page(None, None), (ids(["msg_in_r_4", "fco_in_r_3"]), true));
        assert_eq!(page(Some("fc_in_r_2"), Some(Order::Asc)), (ids(["fco_in_r_3", "msg_in_r_4"]), false));
        assert_eq!(page(Some("msg_in_r_4"), Some(Order::Asc)), (Vec::new(), false));
        let wrong = |after: Option<&str>, limit| {
            let paging = Paging { after: after.map(str::to_owned), limit, order: None };
            paging.page(items()).unwrap_err().param
        };
        assert_eq!(wrong(Some("msg_in_x_4"), None).as_deref(), Some("after"));
        assert_eq!(wrong(None, Some(0)).as_deref(), Some("limit"));
        assert_eq!(wrong(None, Some(101)).as_deref(), Some("limit"));
    }
}
