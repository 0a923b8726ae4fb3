//! Serves the Anthropic Messages API, so that an SDK changes only its base URL. A request becomes the OpenAI chat body
//! that is the contract's payload, and its answer becomes a message again.
//!
//! | file | what it holds |
//! |---|---|
//! | [`messages`], [`count`], [`models`] | the routes |
//! | `version` | the API version that a request names |
//! | `body`, `block` | the request body, key for key |
//! | `payload`, `conversation`, `tools` | its translation into a chat payload |
//! | `wire`, `events` | the answer as a message and as stream events |
//! | [`refusal`] | errors in the form of this API, for all its routes |
//!
//! These rules translate a request. Everything else is refused with an error that names the field; `thread` is refused
//! with the code on which the SDKs go on without it.
//!
//! | in the request | rule |
//! |---|---|
//! | `model`, `stream` | unchanged |
//! | `temperature`, `top_p`, `top_k` | unchanged; refused under 2026-10-21, as in the original |
//! | `max_tokens` | `max_completion_tokens`; required, and at least 1 |
//! | `system`, messages with the role `system` (2026-10-21) | messages with the role `system`, in the same order |
//! | `stop_sequences`, `metadata.user_id` | `stop`, `user` |
//! | `text` | text; `citations` of earlier answers are dropped |
//! | `image` | `image_url`: a data URI or the URL. File ids are refused |
//! | `document` | `file`: PDF and plain text as data URIs. URLs, ids, blocks, `context` and citations are refused |
//! | `tool_use` | a function call; the texts of a turn come before its calls |
//! | `tool_result` | a `tool` message, with its images and documents; with `is_error` it begins with `Error:` |
//! | `thinking` of earlier answers | `reasoning_content`, without its signature |
//! | `redacted_thinking` | dropped: only Anthropic can read it |
//! | `tools` | functions; `strict` is unchanged, `eager_input_streaming` dropped |
//! | Anthropic's server tools, deferred tools, examples, `allowed_callers` | refused |
//! | `tool_choice`, `disable_parallel_tool_use` | `tool_choice`, `parallel_tool_calls` |
//! | `thinking`, `output_config.effort` | `reasoning_effort`: `none` if thinking is disabled, else the effort |
//! | `thinking` without an effort | by `budget_tokens`: `low` below 4,096, `medium` below 16,384, else `high` |
//! | `output_config.format` | `response_format`, against which Dynode checks the answer |
//! | `cache_control`, everywhere | kept on the part, call, tool or message: a hint for providers that know it |
//! | `cache_control` of a message's only text | moved to the message |
//! | `service_tier`, `speed`, `diagnostics`, the header `anthropic-beta` | dropped: they do not change the answer |
//! | `simulate` | unchanged: Dynode's own field, for simulated models |
//!
//! An answer shows reasoning as `thinking` with an empty signature, and only if the request asked for `thinking` and
//! its display is not `omitted`: other clients may take the first block for the text. A refusal becomes `stop_details`.

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
