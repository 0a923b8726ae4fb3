//! Describes the Responses API of OpenAI.

use schemars::JsonSchema;
use schemas::ErrorCode;
use serde_json::{Value, json};

use crate::openapi::{Operation, headers::IDEMPOTENCY_KEY, operation::Tag};

use super::openai::ENDINGS;

/// The Responses body. The server refuses a field that it does not support, and names it.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct ResponseBody {
    /// The model, or a waterfall of several.
    model: String,
    /// The question: a text, or a list of items.
    input: Value,
    /// Instructions for the model, before the input.
    instructions: Option<String>,
    /// Functions that the model may call.
    tools: Option<Vec<Value>>,
    /// Which function the model is to call: `auto`, `none`, `required`, or one by its name.
    tool_choice: Option<Value>,
    /// The format of the answer, in `format`.
    text: Option<Value>,
    /// How much the model should think, in `effort`.
    reasoning: Option<Value>,
    /// The maximum number of tokens in the answer.
    max_output_tokens: Option<u64>,
    /// The response that this one continues.
    previous_response_id: Option<String>,
    /// Whether the answer comes as events.
    stream: Option<bool>,
    /// Whether to answer at once, for the response to be read later.
    background: Option<bool>,
    /// Whether to keep the response so that it can be retrieved.
    store: Option<bool>,
}

/// A response in its current state.
#[derive(JsonSchema)]
#[schemars(rename = "Response")]
#[expect(dead_code, reason = "only its schema is used")]
struct ResponseObject {
    /// The id of the response.
    id: String,
    /// The object type.
    #[schemars(extend("const" = "response"))]
    object: String,
    /// When it was created, in seconds since 1970.
    created_at: i64,
    /// `queued`, `in_progress`, `completed`, `incomplete`, `failed` or `cancelled`.
    status: String,
    /// The requested model.
    model: String,
    /// The output so far, item by item.
    output: Vec<Value>,
}

/// A deleted response.
#[derive(JsonSchema)]
#[schemars(rename = "ResponseDeleted")]
#[expect(dead_code, reason = "only its schema is used")]
struct Deleted {
    /// The id of the response.
    id: String,
    /// Whether it was deleted.
    deleted: bool,
}

/// The estimated number of tokens in a question.
#[derive(JsonSchema)]
#[schemars(rename = "ResponseTokenCount")]
#[expect(dead_code, reason = "only its schema is used")]
struct TokenCount {
    /// The object type.
    #[schemars(extend("const" = "response.input_tokens"))]
    object: String,
    /// Estimated by a rule of thumb.
    input_tokens: u64,
}

fn response() -> Value {
    json!({
        "id": "resp_0198", "object": "response", "created_at": 1_796_000_000, "status": "completed", "model": "sim-chat",
        "output": [{ "type": "message", "id": "msg_0198", "role": "assistant", "status": "completed",
            "content": [{ "type": "output_text", "text": "You said: Hello", "annotations": [] }] }],
    })
}

fn of_response(operation: Operation) -> Operation {
    operation
        .path::<String>("id", "The id of the response.", "resp_0198")
        .refuses(&[ErrorCode::NotFound, ErrorCode::Conflict])
}

pub(crate) fn create_response() -> Operation {
    Operation::new(
        Tag::OpenAi,
        "create_response",
        "Ask for a response",
        "Ask a model by the Responses API. Set `stream` to read the answer as it comes, `background` to come back for it.",
    )
    .header(IDEMPOTENCY_KEY)
    .takes::<ResponseBody>(json!({ "model": "sim-chat", "input": "Hello" }))
    .answers(200, "The response, or its events.")
    .json::<ResponseObject>(response())
    .events::<Value>("event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0}\n\n")
    .refuses(&ENDINGS)
}

pub(crate) fn get_response() -> Operation {
    let operation = Operation::new(
        Tag::OpenAi,
        "get_response",
        "Read a response",
        "Get a response as far as it has come; with `stream=true` its events, after `starting_after` where that is named.",
    );
    of_response(operation)
        .query::<crate::openai::responses::Wanted>()
        .answers(200, "The response, or its events.")
        .json::<ResponseObject>(response())
        .events::<Value>(
            "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0}\n\n",
        )
        .refuses(&ENDINGS)
}

pub(crate) fn list_input_items() -> Operation {
    let operation = Operation::new(
        Tag::OpenAi,
        "list_input_items",
        "List what a response was asked with",
        "Get the items that a response was asked with, page by page, those of the responses before it included.",
    );
    of_response(operation)
        .query::<crate::openai::responses::input_items::Paging>()
        .answers(200, "A page of items.")
        .json::<crate::openai::responses::input_items::ItemList>(json!({
            "object": "list", "first_id": "msg_in_0198_0", "last_id": "msg_in_0198_0", "has_more": false,
            "data": [{ "type": "message", "id": "msg_in_0198_0", "role": "user", "status": "completed",
                "content": [{ "type": "input_text", "text": "Hello" }] }],
        }))
        .refuses(&ENDINGS)
}

pub(crate) fn count_input_tokens() -> Operation {
    Operation::new(
        Tag::OpenAi,
        "count_input_tokens",
        "Estimate the tokens of a question",
        "Get about how many tokens a question has, by a rule of thumb. Nothing is sent to a provider.",
    )
    .takes::<ResponseBody>(json!({ "model": "sim-chat", "input": "Hello" }))
    .answers(200, "The estimate.")
    .json::<TokenCount>(json!({ "object": "response.input_tokens", "input_tokens": 8 }))
    .refuses(&ENDINGS)
}

pub(crate) fn cancel_response() -> Operation {
    let operation = Operation::new(
        Tag::OpenAi,
        "cancel_response",
        "Cancel a response",
        "Stop a response that runs in the background.",
    );
    of_response(operation).answers(200, "The response, cancelled.").json::<ResponseObject>(response())
}

pub(crate) fn delete_response() -> Operation {
    let operation = Operation::new(
        Tag::OpenAi,
        "delete_response",
        "Forget a response",
        "Make a response unreadable by its id. The outcome of its request stays for as long as outcomes are kept.",
    );
    of_response(operation)
        .answers(200, "It is gone.")
        .json::<Deleted>(json!({ "id": "resp_0198", "deleted": true }))
}
