//! The doors of the gateway: an OpenAI-compatible API, a native API and a WebSocket, over one path of acceptance.
//!
//! A door only converts between formats. It talks only to the broker: it never calls a provider, never decides who does
//! the work, and holds no state that a request needs to survive.
//!
//! | file | what it holds |
//! |---|---|
//! | [`config`], [`error`] | settings; the errors that stop the gateway |
//! | [`server`], `listener`, `tls`, `connection`, `impatient`, `idle` | sockets, and the limits of connections |
//! | `peers`, `flood`, `http2` | how many connections come from one address; floods of pings |
//! | `router`, `absent`, `origin`, `hardening` | the table of routes; answers for others; origins; security headers |
//! | `passage`, `door`, `remainder` | what every request passes |
//! | `access`, `caller`, `until` | who may use which door; who the caller is; the end of streams whose key has ended |
//! | `keys` | the API keys, and the door that manages them |
//! | `quota`, [`tenants`] | limits per minute and on concurrent requests; the configured tenants |
//! | `submit`, `notice` | the one path of acceptance; the event that says that a request is queued |
//! | `record`, `cancel` | what the broker knows of a request; its cancellation |
//! | `pools`, `waiting`, `room` | the state of the pools from their heartbeats, and admission |
//! | `hub`, `feed`, `frame`, `joined`, `ending` | live events of all requests, and one reader's view of one request |
//! | `sessions` | who has joined which session |
//! | `linger` | chats whose clients have gone |
//! | `openai`, `anthropic`, `native`, `events`, `ws` | the doors |
//! | `models` | the models, in the format of either API |
//! | `answer`, `chat_stream` | the answer to a client that waits, whole; the answer of a chat, piece by piece |
//! | `page` | a web page that uses the WebSocket |
//! | `assets` | the files that were made, for their tenant and by signed links |
//! | `estimate`, `usage` | what a request would cost; what requests have cost |
//! | `feedback` | ratings of answers |
//! | `webhooks` | providers' webhooks about long work, stored for the worker that waits |
//! | `dead`, `targets` | the operator's doors: dead letters; targets that do not take callbacks |
//! | `openapi`, `docs` | the OpenAPI document of all routes; the page that shows it |
//! | `refusal`, `sse`, `health`, `status` | the formats of errors and of streams; probes |
//! | [`standby`] | the doors until there is a broker |
//! | `app`, `account`, `metrics` | what the doors share; metrics and logs |

pub mod config;
pub mod error;
pub mod server;
pub mod standby;
pub mod tenants;

mod absent;
mod access;
mod account;
mod answer;
mod anthropic;
mod app;
mod assets;
mod caller;
mod cancel;
mod catalogue;
mod chat_stream;
mod connection;
mod dead;
mod docs;
mod door;
mod ending;
mod estimate;
mod events;
mod feed;
mod feedback;
mod flood;
mod frame;
mod hardening;
mod health;
mod http2;
mod hub;
mod idle;
mod impatient;
mod joined;
mod keys;
mod linger;
mod listener;
mod metrics;
mod models;
mod native;
mod notice;
mod openai;
mod openapi;
mod origin;
mod page;
mod passage;
mod peers;
mod pools;
mod quota;
mod record;
mod refusal;
mod remainder;
mod room;
mod router;
mod sessions;
mod sse;
mod status;
mod submit;
mod targets;
mod tls;
mod until;
mod usage;
mod waiting;
mod webhooks;
mod ws;

#[cfg(feature = "fuzzing")]
pub mod fuzzing;
#[cfg(test)]
mod testing;

pub use app::{CostCheck, Estimator, Filer, Parts};
pub use catalogue::{Catalogue, ModelInfo};
pub use config::Config;
pub use error::Error;
pub use health::Standing;
pub use keys::{Access, ConfiguredKeys, KeyConfig, config_hash};
pub use openapi::openapi;
pub use server::Gateway;
pub use standby::Standby;
pub use tenants::{LimitConfig, TenantConfig, Tenants};
pub use webhooks::Signers;
