//! Describes the OpenAI API.

use schemars::JsonSchema;
use schemas::{ChatRequest, EmbeddingRequest, ErrorCode, ImageRequest, SpeechRequest};
use serde_json::{Value, json};

use crate::{
    openai::{
        embeddings,
        models::{List, Model},
        wire::{Chunk, Completion},
    },
    openapi::{Operation, headers::IDEMPOTENCY_KEY, operation::Tag},
};

/// The errors with which a request may end while its client waits.
pub(super) const ENDINGS: [ErrorCode; 8] = [
    ErrorCode::NotFound,
    ErrorCode::Conflict,
    ErrorCode::TooLarge,
    ErrorCode::Cancelled,
    ErrorCode::ProviderError,
    ErrorCode::ProviderUnavailable,
    ErrorCode::Stalled,
    ErrorCode::Internal,
];

/// The OpenAI chat-completions body. The server reads the fields named here and passes any other field of that API to
/// the provider unchanged.
#[derive(JsonSchema)]
#[schemars(rename = "ChatCompletionBody")]
#[expect(dead_code, reason = "only its schema is used")]
struct ChatBody {
    #[schemars(flatten)]
    read: ChatRequest,
    /// The format of the answer: `{"type":"json_object"}`, or `{"type":"json_schema","json_schema":{…}}` to have the
    /// answer checked against that schema.
    response_format: Option<Value>,
    /// Which tool the model is to call: `auto`, `none`, `required`, or one by its name.
    tool_choice: Option<Value>,
    /// Makes answers as repeatable as the provider can.
    seed: Option<Value>,
    /// The text at which the answer stops, or several.
    stop: Option<Value>,
    /// The share of the likeliest tokens to draw from, from 0 to 1.
    top_p: Option<Value>,
}

/// The OpenAI images body. The server passes any other field of that API to the provider unchanged.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct ImageBody {
    #[schemars(flatten)]
    read: ImageRequest,
    /// How the answer carries the images; `b64_json` by default.
    response_format: Option<ImageForm>,
}

/// How the answer carries images.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
enum ImageForm {
    /// The image itself, as base64.
    B64Json,
    /// A signed link.
    Url,
}

/// The images that were made.
#[derive(JsonSchema)]
#[schemars(rename = "ImageList")]
#[expect(dead_code, reason = "only its schema is used")]
struct Images {
    /// When they were made, in seconds since 1970.
    created: i64,
    /// The images, in order.
    data: Vec<Image>,
    /// `png`, `webp` or `jpeg`.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_format: Option<String>,
    /// Tokens used, if the model counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
}

/// One image, as base64 or as a link.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Image {
    /// The image, as base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    b64_json: Option<String>,
    /// A signed link to the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// The OpenAI speech body. The server passes any other field of that API to the provider unchanged.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct SpeechBody {
    #[schemars(flatten)]
    read: SpeechRequest,
    /// Only `audio`: the sound itself.
    stream_format: Option<SpeechForm>,
}

/// How the answer carries speech.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
enum SpeechForm {
    /// The sound itself.
    Audio,
}

const CHAT_STREAM: &str = r#"data: {"id":"chatcmpl-req-123","object":"chat.completion.chunk","created":1795000000,"model":"sim-fast","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null,"logprobs":null}]}

data: [DONE]

"#;

pub(crate) fn create_chat_completion() -> Operation {
    Operation::new(
        Tag::OpenAi,
        "create_chat_completion",
        "Answer a conversation",
        "Send the conversation as `messages` and get the next message of the model. Set `stream: true` to get it piece by \
         piece as server-sent events, the last of which is `data: [DONE]`. Pass `tools` to let the model call functions: \
         the calls come back, and you answer them with messages of role `tool`. Closing the connection cancels the request \
         after a while.",
    )
    .header(IDEMPOTENCY_KEY)
    .takes::<ChatBody>(json!({
        "model": "sim-fast",
        "messages": [{ "role": "user", "content": "Say hello." }],
    }))
    .answers(200, "The answer, or its pieces where `stream` is true.")
    .json::<Completion<'_>>(json!({
        "id": "chatcmpl-req-123", "object": "chat.completion", "created": 1_795_000_000, "model": "sim-fast",
        "choices": [{
            "index": 0, "finish_reason": "stop", "logprobs": null,
            "message": { "role": "assistant", "content": "Hello.", "refusal": null },
        }],
        "usage": {
            "prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11,
            "prompt_tokens_details": { "cached_tokens": 0 },
            "completion_tokens_details": { "reasoning_tokens": 0 },
        },
    }))
    .events::<Chunk<'_>>(CHAT_STREAM)
    .refuses(&ENDINGS)
}

pub(crate) fn create_embedding() -> Operation {
    Operation::new(
        Tag::OpenAi,
        "create_embedding",
        "Turn texts into vectors",
        "Send one text or many as `input` and get a vector for each, in the same order. Compare vectors by their cosine. \
         Ask for `encoding_format: base64` to save bytes.",
    )
    .header(IDEMPOTENCY_KEY)
    .takes::<EmbeddingRequest>(json!({ "model": "sim-embed", "input": ["a cat", "a dog"] }))
    .answers(200, "One vector an input.")
    .json::<embeddings::List<'_>>(json!({
        "object": "list", "model": "sim-embed", "usage": { "prompt_tokens": 2, "total_tokens": 2 },
        "data": [{ "object": "embedding", "index": 0, "embedding": [0.25, -0.5] }],
    }))
    .refuses(&ENDINGS)
}

pub(crate) fn generate_image() -> Operation {
    Operation::new(
        Tag::OpenAi,
        "generate_image",
        "Make images from a prompt",
        "Describe what is to be seen in `prompt` and get the images as base64, or with `response_format: url` as signed \
         links that expire. Images are not streamed.",
    )
    .header(IDEMPOTENCY_KEY)
    .takes::<ImageBody>(json!({ "model": "sim-image", "prompt": "a cat on a chair", "response_format": "url" }))
    .answers(200, "The images.")
    .json::<Images>(json!({
        "created": 1_795_000_000, "output_format": "png",
        "data": [{ "url": "http://127.0.0.1:8321/v1/assets/a1?expires=1795000600&signature=x" }],
    }))
    .refuses(&ENDINGS)
}

pub(crate) fn create_speech() -> Operation {
    Operation::new(
        Tag::OpenAi,
        "create_speech",
        "Speak a text",
        "Send the text as `input` and get the sound. `response_format` names the format, `voice` who speaks.",
    )
    .header(IDEMPOTENCY_KEY)
    .takes::<SpeechBody>(
        json!({ "model": "sim-speech", "input": "Hello.", "voice": "alloy", "response_format": "wav" }),
    )
    .answers(200, "The sound, with its type.")
    .raw("audio/*")
    .refuses(&ENDINGS)
}

pub(crate) fn list_models() -> Operation {
    Operation::new(
        Tag::OpenAi,
        "list_models",
        "List the models",
        "Get every model that can be asked for, and the waterfalls that go by a name of their own.",
    )
    .answers(200, "The models.")
    .json::<List>(json!({
        "object": "list",
        "data": [{ "id": "sim-fast", "object": "model", "created": 1_795_000_000, "owned_by": "sim", "action": "chat.completion" }],
    }))
}

pub(crate) fn get_model() -> Operation {
    Operation::new(
        Tag::OpenAi,
        "get_model",
        "Look up a model",
        "Find out whether a model can be asked for here, and who runs it.",
    )
    .path::<String>("id", "The id of the model. It may hold slashes, plain or as `%2F`.", "sim-fast")
    .answers(200, "The model.")
    .json::<Model>(
        json!({ "id": "sim-fast", "object": "model", "created": 1_795_000_000, "owned_by": "sim", "action": "chat.completion" }),
    )
    .refuses(&[ErrorCode::NotFound])
}
