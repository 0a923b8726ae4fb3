//! HTTP in the form of OpenAI's Responses API: a response, or its typed events by SSE, cancelled and resumed by its id.
//! A retrieved response must equal the answered one.

mod body;

use std::io;

use futures_util::{StreamExt, future::try_join_all};
use reqwest::{Response, StatusCode, header::CONTENT_TYPE};
use schemas::{
    ChatDelta, ChatOutput, Output, Usage,
    chat::{FinishReason, ToolCall, ToolCallDelta},
};
use serde_json::{Value, json};
use sse_stream::SseByteStream;
use tokio::time::sleep;

use super::{
    Asked, Said,
    requests::{check_id, is_stream, signed},
};
use crate::parity::{ground::Ground, normal, shown::Shown};

const PATH: &str = "/v1/responses";

/// Fields of the body, and their names in a chat.
const NAMES: [(&str, &str); 3] = [
    ("input", "messages"),
    ("max_output_tokens", "max_tokens"),
    ("text.format.schema", "response_format.json_schema.schema"),
];

/// Why a request has no form here.
pub(super) fn lacks(request: &Value) -> Option<String> {
    body::of(request).err()
}

/// See [`super::Handle::converse`].
pub(super) async fn converse(ground: &Ground, asked: &[Asked]) -> io::Result<Vec<Shown>> {
    try_join_all(asked.iter().map(|one| ask(ground, one))).await
}

async fn ask(ground: &Ground, asked: &Asked) -> io::Result<Shown> {
    let body = match &asked.said {
        Said::Text(text) => text.clone(),
        Said::Request(request) => body::of(request).map_err(io::Error::other)?.to_string(),
    };
    let mut shown = Shown::default();
    let request = ground.http.post(ground.url(PATH)).header(CONTENT_TYPE, "application/json").body(body);
    let request = signed(request, &asked.who).header("idempotency-key", asked.id.as_str());
    let response = request.send().await.map_err(io::Error::other)?;
    check_id(&mut shown, &response, asked);
    let ended = match response.status() {
        StatusCode::OK if is_stream(&response) => read(ground, &mut shown, response, asked).await?,
        StatusCode::OK => Some(response.json().await.map_err(io::Error::other)?),
        _ => {
            refuse(&mut shown, response).await?;
            None
        }
    };
    if let Some(response) = ended {
        answered(&mut shown, &response, asked);
        retrieved(ground, &mut shown, &response, asked).await?;
    }
    Ok(shown)
}

async fn refuse(shown: &mut Shown, response: Response) -> io::Result<()> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.bytes().await.map_err(io::Error::other)?;
    let (error, faults) =
        normal::refusal(status, &headers, &serde_json::from_slice(&bytes).unwrap_or_default());
    faults.into_iter().for_each(|fault| shown.fault(fault));
    shown.fails("failed", normal::renamed(error, &NAMES));
    Ok(())
}

/// A response that has an answer.
fn answered(shown: &mut Shown, response: &Value, asked: &Asked) {
    if response["id"] != format!("resp_{}", asked.id) || response["object"] != "response" {
        shown.fault(format!("a response of another: {response}"));
    }
    let mut output = ChatOutput { finish_reason: finish(response), ..ChatOutput::default() };
    for item in list(&response["output"]) {
        match item["type"].as_str().unwrap_or_default() {
            "reasoning" => list(&item["summary"]).for_each(|part| output.reasoning += text(&part["text"])),
            "message" => list(&item["content"]).for_each(|part| {
                output.text += text(&part["text"]);
                output.refusal += text(&part["refusal"]);
            }),
            "function_call" => output.tool_calls.push(ToolCall {
                id: text(&item["call_id"]).to_owned(),
                name: text(&item["name"]).to_owned(),
                arguments: text(&item["arguments"]).to_owned(),
            }),
            other => shown.fault(format!("an item of the type {other}")),
        }
    }
    let usage = usage(shown, &response["usage"]);
    shown.succeeds(&Output::Chat(output), Some(&usage));
}

/// A retrieval by id must return the same.
async fn retrieved(ground: &Ground, shown: &mut Shown, told: &Value, asked: &Asked) -> io::Result<()> {
    let request = ground.http.get(ground.url(&format!("{PATH}/resp_{}", asked.id)));
    let response = signed(request, &asked.who).send().await.map_err(io::Error::other)?;
    let kept: Value = response.json().await.map_err(io::Error::other)?;
    if kept != *told {
        shown.fault(format!("told {told}, but retrieved {kept}"));
    }
    Ok(())
}

/// What a stream has told so far, over all of its connections.
#[derive(Default)]
struct Told {
    /// The number of the next event.
    next: u64,
    /// The calls, by their item numbers.
    calls: Vec<Value>,
    /// The items that are whole.
    items: Vec<Value>,
    /// The response that has an answer.
    response: Option<Value>,
}

/// Reads a stream to its end; returns the response if it has an answer.
async fn read(
    ground: &Ground,
    shown: &mut Shown,
    response: Response,
    asked: &Asked,
) -> io::Result<Option<Value>> {
    let (mut plan, mut told) = (asked.plan, Told::default());
    let mut events = SseByteStream::new(response.bytes_stream());
    let own = ground.url(&format!("{PATH}/resp_{}", asked.id));
    while let Some(Ok(sse)) = events.next().await {
        let Some(data) = sse.data else { continue };
        let event: Value = serde_json::from_str(&data).unwrap_or_default();
        if sse.event.as_deref() != event["type"].as_str() {
            shown.fault(format!("an event under another name, {:?}: {data}", sse.event));
        }
        told.hears(shown, &event);
        if shown.has_ended() || told.response.is_some() {
            return Ok(told.response);
        }
        sleep(plan.pause).await;
        if plan.leaves(shown) {
            return Ok(None);
        }
        if plan.cancels(shown) {
            let request = signed(ground.http.post(format!("{own}/cancel")), &asked.who);
            request.send().await.map_err(io::Error::other)?;
        }
        if plan.cuts(shown) {
            let after = told.next.saturating_sub(1);
            let request = ground.http.get(format!("{own}?stream=true&starting_after={after}"));
            let response = signed(request, &asked.who).send().await.map_err(io::Error::other)?;
            events = SseByteStream::new(response.bytes_stream());
        }
    }
    shown.fault("the stream ended without an end".to_owned());
    Ok(None)
}

impl Told {
    fn hears(&mut self, shown: &mut Shown, event: &Value) {
        if event["sequence_number"].as_u64() != Some(self.next) {
            shown.fault(format!("expected the number {}: {event}", self.next));
        }
        self.next += 1;
        let delta = || text(&event["delta"]).to_owned();
        match event["type"].as_str().unwrap_or_default() {
            "response.output_text.delta" => shown.absorbs(&ChatDelta::text(delta()), None),
            "response.refusal.delta" => {
                shown.absorbs(&ChatDelta { refusal: delta(), ..ChatDelta::default() }, None);
            }
            "response.reasoning_summary_text.delta" => {
                shown.absorbs(&ChatDelta { reasoning: delta(), ..ChatDelta::default() }, None);
            }
            "response.output_item.added" if event["item"]["type"] == "function_call" => {
                let item = &event["item"];
                self.calls.push(event["output_index"].clone());
                let (id, name) = (text(&item["call_id"]).to_owned(), text(&item["name"]).to_owned());
                self.calls(shown, event, Some((id, name)), String::new());
            }
            "response.function_call_arguments.delta" => self.calls(shown, event, None, delta()),
            "response.output_item.done" => self.items.push(event["item"].clone()),
            "response.completed" | "response.incomplete" => {
                let response = event["response"].clone();
                if !list(&response["output"]).eq(&self.items) {
                    shown.fault(format!("{} is not made of the items before it", event["response"]));
                }
                let finish_reason = finish(&response);
                shown.absorbs(&ChatDelta { finish_reason, ..ChatDelta::default() }, None);
                self.response = Some(response);
            }
            "response.failed" => failed(shown, &event["response"]),
            "error" => {
                let error = normal::object(&event["code"], &Value::Null, &event["param"], &event["message"]);
                shown.fails("failed", normal::renamed(error, &NAMES));
            }
            _ => {}
        }
    }

    /// A piece of the call that `event` is about.
    fn calls(&self, shown: &mut Shown, event: &Value, named: Option<(String, String)>, arguments: String) {
        let place = self.calls.iter().position(|item| *item == event["output_index"]);
        let Some(index) = place.and_then(|place| u32::try_from(place).ok()) else {
            return shown.fault(format!("a piece of no call: {event}"));
        };
        let (id, name) = named.unzip();
        let piece = ToolCallDelta { index, id, name, arguments };
        shown.absorbs(&ChatDelta { tool_calls: vec![piece], ..ChatDelta::default() }, None);
    }
}

/// A response without an answer. Its message begins with Dynode's error code: the SDKs know only a few codes.
fn failed(shown: &mut Shown, response: &Value) {
    if response["status"] == "cancelled" {
        return shown.ends(json!({"end": "cancelled", "usage": null}));
    }
    let (code, message) = text(&response["error"]["message"]).split_once(": ").unwrap_or_default();
    let error = normal::object(&code.into(), &Value::Null, &Value::Null, &message.into());
    shown.fails("failed", normal::renamed(error, &NAMES));
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn finish(response: &Value) -> Option<FinishReason> {
    match (response["status"].as_str()?, response["incomplete_details"]["reason"].as_str()) {
        ("completed", _) if list(&response["output"]).any(|item| item["type"] == "function_call") => {
            Some(FinishReason::ToolCalls)
        }
        ("completed", _) => Some(FinishReason::Stop),
        ("incomplete", Some("max_output_tokens")) => Some(FinishReason::Length),
        ("incomplete", Some("content_filter")) => Some(FinishReason::ContentFilter),
        _ => None,
    }
}

fn usage(shown: &mut Shown, told: &Value) -> Usage {
    let number = |path: &str| told.pointer(path).and_then(Value::as_u64).unwrap_or_default();
    let usage = Usage {
        input_tokens: number("/input_tokens"),
        output_tokens: number("/output_tokens"),
        cached_tokens: number("/input_tokens_details/cached_tokens"),
        cache_write_tokens: number("/input_tokens_details/cache_write_tokens"),
        reasoning_tokens: number("/output_tokens_details/reasoning_tokens"),
        ..Usage::default()
    };
    if number("/total_tokens") != usage.input_tokens + usage.output_tokens {
        shown.fault("total_tokens is not the sum".to_owned());
    }
    usage
}
