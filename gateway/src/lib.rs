//! The doors: an OpenAI-compatible API, a native API and a WebSocket, over one path of acceptance.
//!
//! A door only changes form. It talks to the broker and to nothing else: it never calls a provider, never decides who
//! does the work, and holds no state that a request needs to survive.
//!
//! | file | what it holds |
//! |---|---|
//! | [`config`], [`error`] | what is set, what stops the gateway |
//! | [`server`], `listener`, `tls`, `connection`, `impatient`, `idle` | sockets, and the limits of connections |
//! | `peers`, `flood`, `http2` | how many connections come from one address; pings without number |
//! | `router`, `absent`, `origin`, `hardening`, `passage`, `door`, `remainder` | the table of routes, what is told of others, and what every request passes |
//! | `access`, `caller` | who may come in by which door, and who it is; `until` ends what was asked for with a key that has ended |
//! | `keys` | the API keys, and the door at which they are managed |
//! | `quota`, [`tenants`] | how much may be asked for in a minute and at once; to whom tenants belong |
//! | `submit`, `notice`, `record`, `cancel` | the one path of acceptance; what is told of who waits; what the broker knows of a request; its end |
//! | `pools`, `waiting`, `room` | what is known of the pools from their heartbeats, and who is admitted |
//! | `hub`, `feed`, `frame`, `joined`, `ending` | live events of all requests, and one reader's view of one of them |
//! | `sessions` | who has joined which session |
//! | `linger` | chats whose clients have gone |
//! | `openai`, `anthropic`, `native`, `events`, `ws` | the doors |
//! | `models` | what can be asked for, in the words of either API |
//! | `answer`, `chat_stream` | the answer of a request that a client waits for, whole; that of a chat, piece by piece |
//! | `page` | a page that talks over the WebSocket |
//! | `assets` | the files that were made, for their tenant and by signed links |
//! | `estimate`, `usage` | what a request would cost; what requests have cost |
//! | `feedback` | how answers were rated |
//! | `webhooks` | what providers tell of long work, stored for whoever waits |
//! | `dead`, `targets` | the operator's doors: what was parked, and who takes no callbacks |
//! | `openapi`, `docs` | the document of all routes; the page on which people read it |
//! | `refusal`, `sse`, `health`, `status` | the forms of errors and of streams; probes |
//! | [`standby`] | the doors while there is no broker yet |
//! | `app`, `account`, `metrics` | what the doors share, what is counted and logged |

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
