//! The doors: an OpenAI-compatible API, a native API and a WebSocket, over one path of acceptance.
//!
//! A door only changes form. It talks to the broker and to nothing else: it never calls a provider, never decides who
//! does the work, and holds no state that a request needs to survive.
//!
//! | file | what it holds |
//! |---|---|
//! | [`config`], [`error`] | what is set, what stops the gateway |
//! | [`server`], `listener`, `connection`, `impatient`, `router`, `door` | sockets, time limits, the table of routes, what every request passes |
//! | `caller` | who comes in |
//! | `submit`, `record`, `cancel` | the one path of acceptance; what the broker knows of a request; its end |
//! | `pools`, `waiting`, `room` | what is known of the pools from their heartbeats, and who is admitted |
//! | `hub`, `feed`, `frame`, `joined`, `ending` | live events of all requests, and one reader's view of one of them |
//! | `linger` | chats whose clients have gone |
//! | `openai`, `native`, `events`, `ws` | the doors |
//! | `assets` | the files that were made, for their tenant and by signed links |
//! | `estimate`, `usage` | what a request would cost; what requests have cost |
//! | `webhooks` | what providers tell of long work, stored for whoever waits |
//! | `dead` | the operator's door: what was parked |
//! | `openapi`, `docs` | the document of all routes; the page on which people read it |
//! | `refusal`, `sse`, `health`, `status` | the forms of errors and of streams; probes |
//! | [`standby`] | the doors while there is no broker yet |
//! | `app`, `account`, `metrics` | what the doors share, what is counted and logged |

pub mod config;
pub mod error;
pub mod server;
pub mod standby;

mod account;
mod app;
mod assets;
mod caller;
mod cancel;
mod catalogue;
mod connection;
mod dead;
mod docs;
mod door;
mod ending;
mod estimate;
mod events;
mod feed;
mod frame;
mod health;
mod hub;
mod impatient;
mod joined;
mod linger;
mod listener;
mod metrics;
mod native;
mod openai;
mod openapi;
mod pools;
mod record;
mod refusal;
mod room;
mod router;
mod sse;
mod status;
mod submit;
mod usage;
mod waiting;
mod webhooks;
mod ws;

#[cfg(feature = "fuzzing")]
pub mod fuzzing;
#[cfg(test)]
mod testing;

pub use app::{Estimator, Parts};
pub use catalogue::{Catalogue, ModelInfo};
pub use config::Config;
pub use error::Error;
pub use health::Standing;
pub use openapi::openapi;
pub use server::Gateway;
pub use standby::Standby;
pub use webhooks::Signers;
