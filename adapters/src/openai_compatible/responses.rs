//! `POST responses`: the road of models that answer only there, and of those that keep their reasoning there
//! (`api = "responses"` of a model). The payload stays the chat-completions body; it goes out translated.
//!
//! What does not cross as it is follows these rules, and nothing else does. *Refused* means that the waterfall goes on to
//! the next provider.
//!
//! | in the payload | rule |
//! |---|---|
//! | messages | items of `input`, each in its role; calls of tools and their results become items of their own |
//! | earlier `reasoning` of the assistant | left out: it is no item that the API takes back |
//! | reasoning before calls of tools, sealed by the API | carried in the id of the call, which the client sends back as it came; given back to the model that had it. More than 64 KiB is left out |
//! | images, files | sent as they are, their `detail` too; speech refused |
//! | `tools`, `tool_choice` | functions, flattened; others refused. `strict` is off unless it is asked for, as in chats |
//! | `response_format` | becomes `text.format` |
//! | `verbosity` | becomes `text.verbosity` |
//! | `reasoning_effort` | becomes `reasoning.effort` |
//! | ids of tool calls over 40 characters | shortened, the same one alike everywhere |
//! | `max_completion_tokens`, `max_tokens` | `max_output_tokens`; below 16, which the API does not take, refused |
//! | `store` | off unless it is asked for, as in chats |
//! | `temperature`, `top_p`, `parallel_tool_calls`, `metadata`, `user`, `safety_identifier`, `service_tier`, `prompt_cache_key`, `prompt_cache_retention` | sent as they are |
//! | `reasoning`, `include`, `truncation` | the API's own: sent as they are |
//! | `stop`, `n` over 1, `logprobs`, speech, `functions`, `web_search_options` and what is not known | refused |
//! | `seed`, `frequency_penalty`, `presence_penalty`, `logit_bias`, `prediction` | left out: they only tune |

mod events;
mod request;
mod wire;

pub(super) use events::Events;
pub(super) use request::body;
