//! `POST responses`: serves models that answer only there, or that keep their reasoning there (a model's `api =
//! "responses"`). The payload stays the chat-completions body; it goes out translated.
//!
//! These rules, and no others, cover what is not sent as it is. *Refused* means that the waterfall goes on to the next
//! provider.
//!
//! | in the payload | rule |
//! |---|---|
//! | messages | items of `input`, each in its role; tool calls and their results become items of their own |
//! | earlier `reasoning` of the assistant | left out: the API does not take it back as an item |
//! | sealed reasoning before tool calls | carried in the call's id, back to the same model; left out above 64 KiB |
//! | images, files | sent as they are, with their `detail`; speech refused |
//! | `tools`, `tool_choice` | functions, flattened; others refused. `strict` is off unless it is asked for, as in chats |
//! | `response_format` | becomes `text.format` |
//! | `verbosity` | becomes `text.verbosity` |
//! | `reasoning_effort` | becomes `reasoning.effort` |
//! | ids of tool calls over 40 characters | shortened, the same id always in the same way |
//! | `max_completion_tokens`, `max_tokens` | `max_output_tokens`; refused below 16, which the API does not take |
//! | `store` | off unless it is asked for, as in chats |
//! | `temperature`, `top_p`, `parallel_tool_calls`, `metadata`, `user`, `safety_identifier`, `service_tier`, `prompt_cache_key`, `prompt_cache_retention` | sent as they are |
//! | `reasoning`, `include`, `truncation` | the API's own: sent as they are |
//! | `stop`, `n` over 1, `logprobs`, speech, `functions`, `web_search_options` and unknown fields | refused |
//! | `seed`, `frequency_penalty`, `presence_penalty`, `logit_bias`, `prediction` | left out: they only tune |

mod events;
mod request;
mod wire;

pub(super) use events::Events;
pub(super) use request::body;
