//! The Anthropic Messages API: an SDK changes its base URL and nothing else. A request becomes the OpenAI chat body that is
//! the contract's payload, and its answer a message again.
//!
//! | file | what it holds |
//! |---|---|
//! | [`messages`], [`count`], [`models`] | the routes |
//! | `version` | which version of the API is spoken |
//! | `body`, `block` | what a request may hold, key for key |
//! | `payload`, `conversation`, `tools` | what becomes of it |
//! | `wire`, `events` | the message, whole and in pieces |
//! | [`refusal`] | errors in the words of this API, for all of its routes |
//!
//! What crosses does so by these rules. All else is refused, and the error names the field; `thread` is refused by the
//! code on which the SDKs go on without it.
//!
//! | in the request | rule |
//! |---|---|
//! | `model`, `stream`, `temperature`, `top_p`, `top_k` | as they are; the last three are refused under 2026-10-21, as the original does |
//! | `max_tokens` | `max_completion_tokens`; required, and at least 1 |
//! | `system`, messages of the role `system` (2026-10-21) | messages of the role `system`, where they stand |
//! | `stop_sequences`, `metadata.user_id` | `stop`, `user` |
//! | `text` | a text; `citations` of earlier answers are dropped |
//! | `image` | `image_url`: a data URI or the URL. Ids of files are refused |
//! | `document` | `file`: PDF and plain text as data URIs. URLs, ids, blocks, `context` and citations are refused |
//! | `tool_use` | a call of a function; the texts of a turn come before its calls |
//! | `tool_result` | a `tool` message, images and documents in it included; with `is_error` it begins with `Error:` |
//! | `thinking` of earlier answers | `reasoning_content`, without its signature; `redacted_thinking` is dropped: nobody else can read it |
//! | `tools` | functions; `strict` as it is, `eager_input_streaming` dropped. Tools of Anthropic's servers, deferred ones, examples and callers are refused |
//! | `tool_choice`, `disable_parallel_tool_use` | `tool_choice`, `parallel_tool_calls` |
//! | `thinking`, `output_config.effort` | `reasoning_effort`: `none` where thinking is disabled, else the effort; without one it is by `budget_tokens`: `low` below 4,096, `medium` below 16,384, `high` from there, and where there is none |
//! | `output_config.format` | `response_format`, which Dynode holds the answer against |
//! | `cache_control`, everywhere | the same, on the part, call, tool or message: a wish, which providers of Anthropic's get and others do not; that of a message's only text stands beside it |
//! | `service_tier`, `speed`, `diagnostics`, the header `anthropic-beta` | dropped: they do not change what is answered |
//! | `simulate` | Dynode's own, for simulated models: as it is |
//!
//! In the answer reasoning is shown as `thinking`, with an empty signature, and only where `thinking` was asked for and
//! is not `omitted`: who has not asked may read the first block as the text. A refusal is `stop_details`.

mod block;
mod body;
mod conversation;
pub(crate) mod count;
mod events;
pub(crate) mod messages;
pub(crate) mod models;
mod payload;
pub(crate) mod refusal;
mod tools;
mod version;
mod wire;

pub(crate) use version::is_spoken;
