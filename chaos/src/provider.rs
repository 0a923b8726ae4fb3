//! The simulated provider: a server that speaks OpenAI's wire format and Anthropic's, answers at the speed and with the
//! faults that a call asks for, and remembers what arrived. It does not think: the same request gets the same words.
//!
//! The model's name or the `x-sim` header of a call says how to answer it, in the grammar of
//! [`behaviour`]; the header wins over the name, the name over [`Config::behaviour`]. What arrived is at
//! `GET /_sim/calls` (`DELETE` forgets it) and at [`Provider::calls`].

mod anthropic;
pub mod behaviour;
mod calls;
mod chat;
mod dial;
mod dialect;
mod embeddings;
mod errors;
mod exchange;
mod fields;
mod frames;
mod gemini;
mod images;
mod limits;
mod models;
mod ollama;
mod openai;
mod playback;
mod responses;
mod said;
mod sim;
mod speech;
mod text;
mod tool;
mod vendors;
mod witness;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, OriginalUri, State};
use axum::http::header::HOST;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use secrecy::SecretString;
use tokio::net::TcpListener;

pub use behaviour::Behaviour;
pub use calls::{Call, CallOutcome};
pub use dial::Dial;
pub use vendors::WEBHOOK_SECRET;

use crate::connections::{self};
use crate::scribe::Scribe;
use crate::{Journal, Snapshot};
use dialect::Dialect;
use errors::ApiError;
use exchange::{Arrival, Ask, Door, exchange};
use sim::Sim;

/// The largest request body: the largest prompts with images inside, with room to spare.
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// What a simulated provider is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How to answer calls whose model and header say nothing else.
    pub behaviour: Behaviour,
    /// The models that `GET /v1/models` lists. Names of the grammar answer whether listed or not; any other
    /// name answers only if listed.
    pub models: Vec<String>,
    /// The bearer token that every call must carry; `None` takes any or none.
    pub api_key: Option<SecretString>,
    /// Length of an embedding if the request asks for no other.
    pub dimensions: u32,
    /// How many calls to remember.
    pub calls_kept: usize,
    /// Where to write down every call, if anywhere.
    pub history: Option<Scribe>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            behaviour: Behaviour::default(),
            models: vec!["sim".to_owned(), "sim-60ms".to_owned()],
            api_key: None,
            dimensions: 1_536,
            calls_kept: 10_000,
            history: None,
        }
    }
}

/// A simulated provider that has bound its port.
#[derive(Debug)]
pub struct Provider {
    listener: TcpListener,
    address: SocketAddr,
    sim: Arc<Sim>,
}

impl Provider {
    /// Takes the port; calls wait in its backlog until [`Provider::serve`].
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, sim: Arc::new(Sim::new(config)) })
    }

    /// The address it listens on.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What arrived; the handle stays valid while it serves and afterwards.
    #[must_use]
    pub fn calls(&self) -> Journal<Call> {
        self.sim.calls.clone()
    }

    /// Changes its behaviour while it serves.
    #[must_use]
    pub fn dial(&self) -> Dial {
        Dial::of(&self.sim)
    }

    /// Answers calls until `shutdown` completes.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        connections::serve(self.listener, router(self.sim), shutdown).await
    }
}

fn router(sim: Arc<Sim>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(create_chat_completion))
        .route("/v1/responses", post(create_response))
        .route("/v1/embeddings", post(create_embeddings))
        .route("/v1/images/generations", post(create_images))
        .route("/v1/audio/speech", post(create_speech))
        .route("/_sim/images/{file}", get(images::file))
        .route("/v1beta/{*name}", post(gemini::call))
        .route("/api/chat", post(ollama::chat))
        .route("/api/embed", post(ollama::embed))
        .route("/v1/messages", post(create_message))
        .route("/v1/messages/count_tokens", post(count_message_tokens))
        .route("/v1/models", get(models::list))
        // A wildcard, since the name of a model may contain a slash, encoded or not.
        .route("/v1/models/{*model}", get(models::retrieve).post(gemini::call))
        .merge(vendors::routes())
        .route("/_sim/calls", get(list_calls).delete(forget_calls))
        .fallback(unknown_url)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(sim)
}

async fn create_chat_completion(State(sim): State<Arc<Sim>>, arrival: Arrival) -> Response {
    let door = Door::new(Dialect::OpenAi, "/v1/chat/completions");
    exchange(&sim, door, arrival, chat::compose).await
}

async fn create_response(State(sim): State<Arc<Sim>>, arrival: Arrival) -> Response {
    let door = Door::new(Dialect::Responses, "/v1/responses");
    exchange(&sim, door, arrival, responses::compose).await
}

async fn create_embeddings(State(sim): State<Arc<Sim>>, arrival: Arrival) -> Response {
    let door = Door::new(Dialect::OpenAi, "/v1/embeddings");
    exchange(&sim, door, arrival, embeddings::compose).await
}

async fn create_images(State(sim): State<Arc<Sim>>, arrival: Arrival) -> Response {
    let door = Door::new(Dialect::OpenAi, "/v1/images/generations");
    let host = arrival.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let compose = |ask: &Ask| images::compose(ask, &host);
    exchange(&sim, door, arrival, compose).await
}

async fn create_speech(State(sim): State<Arc<Sim>>, arrival: Arrival) -> Response {
    let door = Door::new(Dialect::OpenAi, "/v1/audio/speech");
    exchange(&sim, door, arrival, speech::compose).await
}

async fn create_message(State(sim): State<Arc<Sim>>, arrival: Arrival) -> Response {
    let door = Door::new(Dialect::Anthropic, "/v1/messages");
    let version = anthropic::Version::of(&arrival.headers);
    let compose = |ask: &Ask| anthropic::compose(ask, version);
    exchange(&sim, door, arrival, compose).await
}

async fn count_message_tokens(State(sim): State<Arc<Sim>>, arrival: Arrival) -> Response {
    let door = Door::new(Dialect::Anthropic, "/v1/messages/count_tokens");
    let version = anthropic::Version::of(&arrival.headers);
    let compose = |ask: &Ask| anthropic::count(ask, version);
    exchange(&sim, door, arrival, compose).await
}

async fn list_calls(State(sim): State<Arc<Sim>>) -> Json<Snapshot<Call>> {
    Json(sim.calls.snapshot())
}

async fn forget_calls(State(sim): State<Arc<Sim>>) -> StatusCode {
    sim.calls.clear();
    StatusCode::NO_CONTENT
}

async fn unknown_url(
    State(sim): State<Arc<Sim>>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    let dialect = Dialect::of_path(uri.path()).unwrap_or_else(|| Dialect::of(&headers));
    dialect.refuse(&ApiError::unknown_url(method.as_str(), uri.path()), &sim.next_id())
}

async fn wrong_method(
    State(sim): State<Arc<Sim>>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    let dialect = Dialect::of_path(uri.path()).unwrap_or_else(|| Dialect::of(&headers));
    dialect.refuse(&ApiError::wrong_method(method.as_str(), uri.path()), &sim.next_id())
}
