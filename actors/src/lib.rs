//! The engine: supervised stages that carry a request from the broker to a provider and its outcome back.
//!
//! ```text
//! Supervisor                     one for one, restart intensity, backoff
//! ├── Governor  (one a provider) keys, limits, breakers; asked before each call
//! ├── Pool      classifier       requests  → work
//! ├── Pool      (one a provider) work      → outcome
//! └── Pool      delivery         callbacks → their targets
//!     └── Worker × concurrency   one job at a time; dies alone, is replaced
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | [`system`] | the only public handle: start, failed, drain |
//! | [`supervisor`], [`pool`], [`worker`] | the actors: thin shells |
//! | [`queue`], [`fair`], `dispatch` | a stage's lanes, which lane is next, and which messages a pool takes |
//! | [`stage`] | what a stage decides, and the one loop around every decision: claim, decide, publish, settle |
//! | [`classifier`], [`provider`], [`delivery`] | the stages: decisions only |
//! | `strays` | ends overdue work for providers that no engine has |
//! | [`budgets`] | what each tenant may spend |
//! | [`governor`], [`closings`] | who may call a provider, when, by which key; a pause asked of one reaches all |
//! | [`waterfall`], [`measured`] | the order in which models are tried, and what this engine measured of them |
//! | [`lanes`] | whether a tenant's work waits in a lane of its own |
//! | [`planner`] | what a request would cost, and the work it becomes, without asking anybody |
//! | [`progress`], [`vitals`] | when each sign of life is due, for the loop and for a watcher outside the runtime |
//! | [`heartbeat`], [`pressure`] | publish how each pool is, and when publishers should wait |
//! | `form` | the form that a request asks of its answer |
//! | [`intensity`], [`backoff`] | pure parts |
//!
//! Within a file, code stands in the order in which it runs. Nothing here knows HTTP servers or sockets.

pub mod backoff;
pub mod budgets;
pub mod classifier;
pub mod closings;
pub mod config;
pub mod control;
pub mod delivery;
mod dispatch;
pub mod emitter;
pub mod fair;
mod form;
pub mod governor;
pub mod heartbeat;
pub mod intensity;
pub mod lanes;
pub mod measured;
pub mod metrics;
pub mod outbox;
pub mod planner;
pub mod pool;
pub mod pressure;
pub mod progress;
pub mod provider;
pub mod queue;
pub mod stage;
mod strays;
pub mod supervisor;
pub mod system;
pub mod vitals;
pub mod waterfall;
pub mod worker;

pub use budgets::BudgetConfig;
pub use config::{CallbackConfig, EngineConfig, ProviderLimits, Providers, RuleConfig};
pub use planner::Planner;
pub use system::{Error, Parts, System};
pub use vitals::Vitals;
pub use waterfall::Waterfalls;
