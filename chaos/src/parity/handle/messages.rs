//! HTTP in the form of Anthropic's Messages API: a message, or its blocks by SSE. The key goes in `x-api-key`, the
//! older of the two ways.

mod body;

use std::io;

use futures_util::{StreamExt, future::try_join_all};
use reqwest::{Response, StatusCode, header::CONTENT_TYPE};
use schemas::{
    ChatDelta, ChatOutput, Output, Usage,
    chat::{FinishReason, ToolCall, ToolCallDelta},
};
use serde_json::Value;
use sse_stream::SseByteStream;
use tokio::time::sleep;

use super::{
    Asked, Said,
    requests::{check_id, is_stream},
};
use crate::parity::{ground::Ground, normal, shown::Shown};

/// The version that takes a temperature, as chats do.
const VERSION: &str = "2023-06-01";

/// Fields of the body, and their names in a chat.
const NAMES: [(&str, &str); 1] = [("output_config.format.schema", "response_format.json_schema.schema")];

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
    let mut request = ground.http.post(ground.url("/v1/messages")).header(CONTENT_TYPE, "application/json");
    request = request.header("anthropic-version", VERSION).header("idempotency-key", asked.id.as_str());
    if let Some(key) = &asked.who.key {
        request = request.header("x-api-key", key.expose());
    }
    let mut shown = Shown::default();
    let response = request.body(body).send().await.map_err(io::Error::other)?;
    check_id(&mut shown, &response, asked);
    match response.status() {
        StatusCode::OK if is_stream(&response) => read(&mut shown, response, asked).await,
        StatusCode::OK => whole(&mut shown, &response.json().await.map_err(io::Error::other)?, asked),
        _ => refuse(&mut shown, response).await?,
    }
    Ok(shown)
}

/// The answer is an error: the table of errors has what the other doors say for its code.
async fn refuse(shown: &mut Shown, response: Response) -> io::Result<()> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.bytes().await.map_err(io::Error::other)?;
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    if headers.get("request-id").and_then(|id| id.to_str().ok()) != body["request_id"].as_str() {
        shown.fault("the request_id of an error is not the request-id of its answer".to_owned());
    }
    let (error, faults) = normal::refusal_of_messages(status, &headers, &body);
    faults.into_iter().for_each(|fault| shown.fault(fault));
    shown.fails("failed", normal::renamed(error, &NAMES));
    Ok(())
}

fn whole(shown: &mut Shown, message: &Value, asked: &Asked) {
    check(shown, message, asked);
    let mut output = ChatOutput { finish_reason: finish(&message["stop_reason"]), ..ChatOutput::default() };
    output.refusal = explanation(message);
    for block in message["content"].as_array().into_iter().flatten() {
        match block["type"].as_str().unwrap_or_default() {
            "text" => output.text.push_str(text(&block["text"])),
            "thinking" => output.reasoning.push_str(text(&block["thinking"])),
            "tool_use" => output.tool_calls.push(ToolCall {
                id: text(&block["id"]).to_owned(),
                name: text(&block["name"]).to_owned(),
                arguments: block["input"].to_string(),
            }),
            other => shown.fault(format!("a block of the type {other}")),
        }
    }
    shown.succeeds(&Output::Chat(output), Some(&usage(&message["usage"])));
}

/// The message must be that of the request.
fn check(shown: &mut Shown, message: &Value, asked: &Asked) {
    if message["id"] != format!("msg_{}", asked.id) || message["role"] != "assistant" {
        shown.fault(format!("a message of another: {message}"));
    }
}

/// What a stream has told so far.
#[derive(Default)]
struct Told {
    has_begun: bool,
    /// The calls, by their block numbers.
    calls: Vec<u64>,
    /// How many blocks have begun, and whether the last of them is still open.
    blocks: u64,
    open: bool,
    usage: Option<Usage>,
}

async fn read(shown: &mut Shown, response: Response, asked: &Asked) {
    let mut events = SseByteStream::new(response.bytes_stream());
    let (mut plan, mut told) = (asked.plan, Told::default());
    while let Some(Ok(sse)) = events.next().await {
        let Some(data) = sse.data else { continue };
        let event: Value = serde_json::from_str(&data).unwrap_or_default();
        if sse.event.as_deref() != event["type"].as_str() {
            shown.fault(format!("an event under another name, {:?}: {data}", sse.event));
        }
        told.hears(shown, &event, asked);
        if shown.has_ended() {
            return;
        }
        sleep(plan.pause).await;
        if plan.leaves(shown) {
            return;
        }
    }
    shown.fault("the stream ended without message_stop".to_owned());
}

impl Told {
    fn hears(&mut self, shown: &mut Shown, event: &Value, asked: &Asked) {
        let kind = event["type"].as_str().unwrap_or_default();
        if !matches!(kind, "message_start" | "error") && !self.has_begun {
            shown.fault(format!("{kind} before message_start"));
        }
        match kind {
            "message_start" => {
                check(shown, &event["message"], asked);
                if std::mem::replace(&mut self.has_begun, true) {
                    shown.fault("a second message_start".to_owned());
                }
            }
            "content_block_start" => self.begins(shown, event),
            "content_block_delta" => self.grows(shown, event),
            "content_block_stop" => {
                self.expect(shown, event, self.blocks.wrapping_sub(1));
                self.open = false;
            }
            "message_delta" => {
                let (finish_reason, refusal) =
                    (finish(&event["delta"]["stop_reason"]), explanation(&event["delta"]));
                shown.absorbs(&ChatDelta { finish_reason, refusal, ..ChatDelta::default() }, None);
                self.usage = Some(usage(&event["usage"]));
            }
            "message_stop" => shown.ends_as_streamed(self.usage.as_ref()),
            "error" => shown.fails("failed", normal::renamed(normal::in_stream_of_messages(event), &NAMES)),
            "ping" => {}
            other => shown.fault(format!("an event of the type {other}")),
        }
    }

    fn begins(&mut self, shown: &mut Shown, event: &Value) {
        if self.open {
            shown.fault(format!("a block within another: {event}"));
        }
        self.expect(shown, event, self.blocks);
        (self.blocks, self.open) = (self.blocks + 1, true);
        let block = &event["content_block"];
        if block["type"] == "tool_use" {
            let (id, name) = (text(&block["id"]).to_owned(), text(&block["name"]).to_owned());
            self.calls.push(self.blocks - 1);
            self.calls(shown, Some((id, name)), "");
        }
    }

    fn grows(&mut self, shown: &mut Shown, event: &Value) {
        self.expect(shown, event, self.blocks.wrapping_sub(1));
        let delta = &event["delta"];
        match delta["type"].as_str().unwrap_or_default() {
            "text_delta" => shown.absorbs(&ChatDelta::text(text(&delta["text"])), None),
            "thinking_delta" => {
                let reasoning = text(&delta["thinking"]).to_owned();
                shown.absorbs(&ChatDelta { reasoning, ..ChatDelta::default() }, None);
            }
            "input_json_delta" => self.calls(shown, None, text(&delta["partial_json"])),
            other => shown.fault(format!("a piece of the type {other}")),
        }
    }

    /// A piece of the last call.
    fn calls(&self, shown: &mut Shown, named: Option<(String, String)>, arguments: &str) {
        let index = u32::try_from(self.calls.len()).unwrap_or_default().saturating_sub(1);
        let (id, name) = named.unzip();
        let piece = ToolCallDelta { index, id, name, arguments: arguments.to_owned() };
        shown.absorbs(&ChatDelta { tool_calls: vec![piece], ..ChatDelta::default() }, None);
    }

    fn expect(&self, shown: &mut Shown, event: &Value, index: u64) {
        if event["index"].as_u64() != Some(index) {
            shown.fault(format!("expected the block {index}: {event}"));
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What a refusal says.
fn explanation(message: &Value) -> String {
    text(&message["stop_details"]["explanation"]).to_owned()
}

fn finish(reason: &Value) -> Option<FinishReason> {
    match reason.as_str()? {
        "end_turn" | "stop_sequence" => Some(FinishReason::Stop),
        "max_tokens" => Some(FinishReason::Length),
        "tool_use" => Some(FinishReason::ToolCalls),
        "refusal" => Some(FinishReason::ContentFilter),
        _ => None,
    }
}

/// This API counts the input without what a cache held or took.
fn usage(told: &Value) -> Usage {
    let number = |path: &str| told.pointer(path).and_then(Value::as_u64).unwrap_or_default();
    let (cached, written) = (number("/cache_read_input_tokens"), number("/cache_creation_input_tokens"));
    Usage {
        input_tokens: number("/input_tokens") + cached + written,
        output_tokens: number("/output_tokens"),
        cached_tokens: cached,
        cache_write_tokens: written,
        reasoning_tokens: number("/output_tokens_details/thinking_tokens"),
        ..Usage::default()
    }
}
