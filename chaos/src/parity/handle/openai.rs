//! HTTP in OpenAI's form: one answer, its pieces by SSE, or the bytes of a file. It says what that API cannot carry.

use std::io;

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{StreamExt, future::try_join_all};
use reqwest::{Response, StatusCode, header::CONTENT_TYPE};
use schemas::{
    ChatDelta, ChatOutput, EmbeddingOutput, Output, Usage,
    chat::{FinishReason, ToolCall, ToolCallDelta},
    embedding::Vector,
};
use serde::Deserialize;
use serde_json::{Value, json};
use sse_stream::SseByteStream;
use tokio::time::sleep;

use super::{
    Asked, Said,
    requests::{check_id, refuse, signed},
};
use crate::parity::{ground::Ground, normal, sha256, shown::Shown};

/// The end of a stream.
const DONE: &str = "[DONE]";

/// The path of an action.
fn path(action: &str) -> Option<&'static str> {
    Some(match action {
        "chat.completion" => "/v1/chat/completions",
        "embedding.query" => "/v1/embeddings",
        "image.generate" => "/v1/images/generations",
        "audio.synthesize" => "/v1/audio/speech",
        _ => return None,
    })
}

/// Why a request has no form here.
pub(super) fn lacks(request: &Value) -> Option<String> {
    let fields = request.as_object()?;
    let action = fields.get("action").and_then(Value::as_str).unwrap_or_default();
    if path(action).is_none() {
        return Some("OpenAI's API names the action by its path".to_owned());
    }
    let unknown = fields.keys().find(|name| !matches!(name.as_str(), "action" | "payload" | "metadata"));
    unknown.map(|name| format!("OpenAI's API has no `{name}`"))
}

/// See [`super::Handle::converse`].
pub(super) async fn converse(ground: &Ground, asked: &[Asked]) -> io::Result<Vec<Shown>> {
    try_join_all(asked.iter().map(|one| ask(ground, one))).await
}

async fn ask(ground: &Ground, asked: &Asked) -> io::Result<Shown> {
    let (path, body) = match &asked.said {
        Said::Text(text) => ("/v1/chat/completions", text.as_bytes().to_vec()),
        Said::Request(request) => {
            let mut payload = request["payload"].clone();
            if let (Some(fields), Some(notes)) = (payload.as_object_mut(), request.get("metadata")) {
                fields.insert("metadata".to_owned(), notes.clone());
            }
            (
                path(request["action"].as_str().unwrap_or_default()).unwrap_or_default(),
                payload.to_string().into(),
            )
        }
    };
    let mut shown = Shown::default();
    let request = ground.http.post(ground.url(path)).header(CONTENT_TYPE, "application/json").body(body);
    let request = signed(request, &asked.who).header("idempotency-key", asked.id.as_str());
    let response = request.send().await.map_err(io::Error::other)?;
    check_id(&mut shown, &response, asked);
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match (response.status(), kind.to_owned()) {
        (StatusCode::OK, kind) if kind.starts_with("text/event-stream") => {
            read(&mut shown, response, asked).await
        }
        (StatusCode::OK, kind) if kind == "application/json" => {
            let body: Value = response.json().await.map_err(io::Error::other)?;
            answer(&mut shown, &body)?;
        }
        (StatusCode::OK, kind) => {
            let file = file(&kind, &response.bytes().await.map_err(io::Error::other)?);
            shown.ends(json!({"end": "succeeded", "output": {"files": [file]}, "usage": null}));
        }
        _ => refuse(&mut shown, "failed", response).await?,
    }
    Ok(shown)
}

#[derive(Deserialize)]
struct Chunk {
    id: String,
    object: String,
    choices: Vec<ChunkChoice>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct ChunkChoice {
    index: u32,
    delta: Message,
    finish_reason: Option<FinishReason>,
    logprobs: Option<Logprobs>,
}

#[derive(Deserialize)]
struct Logprobs {
    content: Vec<Value>,
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    usage: Tokens,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: FinishReason,
    logprobs: Option<Logprobs>,
}

/// A message, or a piece of one.
#[derive(Deserialize)]
struct Message {
    role: Option<String>,
    content: Option<String>,
    refusal: Option<String>,
    reasoning_content: Option<String>,
    #[serde(default)]
    tool_calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    index: Option<u32>,
    id: Option<String>,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    #[serde(default)]
    arguments: String,
}

#[derive(Deserialize)]
struct Tokens {
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: u64,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
}

impl Tokens {
    fn usage(&self, shown: &mut Shown) -> Usage {
        if self.total_tokens != self.prompt_tokens + self.completion_tokens {
            shown.fault("total_tokens is not the sum".to_owned());
        }
        Usage {
            input_tokens: self.prompt_tokens,
            output_tokens: self.completion_tokens,
            cached_tokens: self.prompt_tokens_details.as_ref().map_or(0, |details| details.cached_tokens),
            reasoning_tokens: self
                .completion_tokens_details
                .as_ref()
                .map_or(0, |details| details.reasoning_tokens),
            ..Usage::default()
        }
    }
}

/// A stream of chunks: for each choice its role, its pieces, its finish; then the usage, and the mark of the end.
async fn read(shown: &mut Shown, response: Response, asked: &Asked) {
    let mut events = SseByteStream::new(response.bytes_stream());
    let (mut plan, mut usage, mut begun) = (asked.plan, None, Vec::new());
    while let Some(Ok(sse)) = events.next().await {
        let Some(data) = sse.data else { continue };
        if data == DONE {
            return shown.ends_as_streamed(usage.as_ref());
        }
        let body: Value = serde_json::from_str(&data).unwrap_or_default();
        if body.get("error").is_some() {
            return shown.fails("failed", normal::in_stream(&body));
        }
        let Ok(chunk) = Chunk::deserialize(body) else {
            return shown.fault(format!("no chunk: {data}"));
        };
        if chunk.id != format!("chatcmpl-{}", asked.id) || chunk.object != "chat.completion.chunk" {
            shown.fault(format!("a chunk of another answer: {data}"));
        }
        usage = chunk.usage.map(|tokens| tokens.usage(shown)).or(usage);
        for choice in chunk.choices {
            if choice.delta.role.is_some() == begun.contains(&choice.index) {
                shown.fault(format!("the role does not come first, and once: {data}"));
            }
            begun.push(choice.index);
            shown.absorbs(&choice.piece(), None);
        }
        sleep(plan.pause).await;
        if plan.leaves(shown) {
            return;
        }
    }
    shown.fault(format!("the stream ended without {DONE}"));
}

impl ChunkChoice {
    fn piece(self) -> ChatDelta {
        let piece = |call: Call| ToolCallDelta {
            index: call.index.unwrap_or_default(),
            id: call.id,
            name: call.function.name,
            arguments: call.function.arguments,
        };
        ChatDelta {
            stop_sequence: None,
            choice: self.index,
            delta: self.delta.content.unwrap_or_default(),
            reasoning: self.delta.reasoning_content.unwrap_or_default(),
            refusal: self.delta.refusal.unwrap_or_default(),
            tool_calls: self.delta.tool_calls.into_iter().map(piece).collect(),
            logprobs: self.logprobs.map(|told| told.content).unwrap_or_default(),
            finish_reason: self.finish_reason,
            first_seq: None,
        }
    }
}

impl Choice {
    fn output(self) -> ChatOutput {
        let call = |call: Call| ToolCall {
            id: call.id.unwrap_or_default(),
            name: call.function.name.unwrap_or_default(),
            arguments: call.function.arguments,
        };
        ChatOutput {
            stop_sequence: None,
            text: self.message.content.unwrap_or_default(),
            reasoning: self.message.reasoning_content.unwrap_or_default(),
            refusal: self.message.refusal.unwrap_or_default(),
            tool_calls: self.message.tool_calls.into_iter().map(call).collect(),
            logprobs: self.logprobs.map(|told| told.content).unwrap_or_default(),
            finish_reason: Some(self.finish_reason),
            alternatives: Vec::new(),
        }
    }
}

/// One whole answer: a chat, embeddings or images.
fn answer(shown: &mut Shown, body: &Value) -> io::Result<()> {
    if body.get("choices").is_some() {
        let completion = Completion::deserialize(body).map_err(io::Error::other)?;
        let usage = completion.usage.usage(shown);
        let mut choices = completion.choices.into_iter().map(Choice::output);
        let mut output = choices.next().unwrap_or_default();
        output.alternatives = choices.collect();
        shown.succeeds(&Output::Chat(output), Some(&usage));
        return Ok(());
    }
    let data = body["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    if body["object"] == "list" {
        let embeddings: Option<Vec<_>> = data.iter().map(|one| vector(&one["embedding"])).collect();
        let embeddings = embeddings.ok_or_else(|| io::Error::other("an embedding is no vector"))?;
        let usage = Tokens::deserialize(&body["usage"]).map_err(io::Error::other)?.usage(shown);
        shown.succeeds(&Output::Embeddings(EmbeddingOutput { embeddings }), Some(&usage));
        return Ok(());
    }
    let image = |one: &Value| STANDARD.decode(one["b64_json"].as_str()?).ok();
    let images: Option<Vec<_>> = data.iter().map(image).collect();
    let images = images.ok_or_else(|| io::Error::other("an image is not base64"))?;
    let kind = format!("image/{}", body["output_format"].as_str().unwrap_or_default());
    let files: Vec<_> = images.iter().map(|bytes| file(&kind, bytes)).collect();
    shown.ends(json!({"end": "succeeded", "output": {"files": files}, "usage": null}));
    Ok(())
}

/// Numbers, or base64 of little-endian floats.
fn vector(value: &Value) -> Option<Vector> {
    match value {
        Value::String(text) => Vector::from_le_bytes(&STANDARD.decode(text).ok()?),
        numbers => serde_json::from_value(numbers.clone()).ok(),
    }
}

fn file(media_type: &str, bytes: &[u8]) -> Value {
    json!({"media_type": media_type, "bytes": bytes.len(), "sha256": sha256(bytes)})
}
