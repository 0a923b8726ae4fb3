//! The callback receiver: accepts every POST on any path, stores it, checks its signature if it knows the
//! secret, and replies as configured. It acts on nothing it receives.
//!
//! The query of the callback's URL says how to reply, in the grammar of [`replies`]; [`Config::replies`]
//! covers what the query leaves out. `GET /_sim/deliveries` lists what arrived (`DELETE` forgets it), and
//! so does [`Receiver::deliveries`].

mod delivery;
mod dial;
pub mod replies;
pub mod signature;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{DefaultBodyLimit, OriginalUri, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::net::TcpListener;

pub use delivery::{Delivery, SignatureCheck};
pub use dial::Dial;
pub use replies::Replies;
pub use signature::Secret;

use crate::connections;
use crate::scribe::Scribe;
use crate::{Journal, Snapshot};

/// The largest callback. The specification asks for less than 20 kB; a thousand of them are kept.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// How many messages have their attempts counted; beyond it the counts restart.
const MAX_COUNTED_MESSAGES: usize = 100_000;

/// The configuration of a callback receiver.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How to reply if the URL does not say.
    pub replies: Replies,
    /// The secret that the sender signs with; `None` leaves signatures unchecked.
    pub secret: Option<Secret>,
    /// How many deliveries are remembered.
    pub deliveries_kept: usize,
    /// The history that records every delivery, if any.
    pub history: Option<Scribe>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            replies: Replies::default(),
            secret: None,
            deliveries_kept: 1_000,
            history: None,
        }
    }
}

/// A callback receiver with its port bound.
#[derive(Debug)]
pub struct Receiver {
    listener: TcpListener,
    address: SocketAddr,
    desk: Arc<Desk>,
}

impl Receiver {
    /// Binds the port; callbacks wait in its backlog until [`Receiver::serve`].
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn bind(config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, desk: Arc::new(Desk::new(config)) })
    }

    /// The address it listens on.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What arrived; the handle stays valid while and after it serves.
    #[must_use]
    pub fn deliveries(&self) -> Journal<Delivery> {
        self.desk.deliveries.clone()
    }

    /// Changes how it replies, while it serves.
    #[must_use]
    pub fn dial(&self) -> Dial {
        Dial::of(&self.desk)
    }

    /// Accepts callbacks until `shutdown` completes.
    ///
    /// # Errors
    /// If the listener fails for good.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let router = Router::new()
            .route("/_sim/deliveries", get(list_deliveries).delete(forget_deliveries))
            .fallback(receive)
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(self.desk);
        connections::serve(self.listener, router, shutdown).await
    }
}

/// What all deliveries to one receiver share.
#[derive(Debug)]
struct Desk {
    replies: Mutex<Replies>,
    secret: Option<Secret>,
    deliveries: Journal<Delivery>,
    /// How often each message has arrived.
    attempts: Mutex<HashMap<String, u32>>,
    history: Option<Scribe>,
    struck: AtomicU64,
}

impl Desk {
    fn new(config: Config) -> Self {
        Self {
            replies: Mutex::new(config.replies),
            secret: config.secret,
            deliveries: Journal::new(config.deliveries_kept),
            attempts: Mutex::default(),
            history: config.history,
            struck: AtomicU64::new(0),
        }
    }

    /// Counts one more attempt of `message`, from 1.
    fn count(&self, message: &str) -> u32 {
        let mut attempts = self.attempts.lock();
        if attempts.len() >= MAX_COUNTED_MESSAGES {
            attempts.clear();
        }
        let attempt = attempts.entry(message.to_owned()).or_default();
        *attempt += 1;
        *attempt
    }

    fn check(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> SignatureCheck {
        match &self.secret {
            None => SignatureCheck::NotChecked,
            Some(secret) => match secret.verify(headers, body, now) {
                Ok(()) => SignatureCheck::Valid,
                Err(refusal) => SignatureCheck::Invalid(refusal.to_string()),
            },
        }
    }
}

async fn receive(
    State(desk): State<Arc<Desk>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let usual = desk.replies.lock().clone();
    let replies = match usual.with(uri.query().unwrap_or_default()) {
        Ok(replies) => replies,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let now = Timestamp::now();
    let signature = desk.check(&headers, &body, now);
    let message = headers.get("webhook-id").map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
    // Retries of one message share its id; without an id, everything to a path counts as one message.
    let attempt = desk.count(message.as_deref().unwrap_or(uri.path()));
    let status = replies.status_for(attempt);
    let (target, headers) = (uri.to_string(), delivery::kept(&headers));
    let delivery = Delivery { at: now, target, headers, body, message, attempt, signature, status };
    if let Some(scribe) = &desk.history {
        delivery.write_down(scribe);
    }
    desk.deliveries.push(delivery);
    if status >= 300 || !replies.delay.is_zero() {
        desk.struck.fetch_add(1, Ordering::Relaxed);
    }
    if !replies.delay.is_zero() {
        tokio::time::sleep(replies.delay).await;
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = status.into_response();
    if let Some(wait) = replies.retry_after.filter(|_| !status.is_success()) {
        let seconds = wait.as_nanos().div_ceil(1_000_000_000) as u64;
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

async fn list_deliveries(State(desk): State<Arc<Desk>>) -> Json<Snapshot<Delivery>> {
    Json(desk.deliveries.snapshot())
}

async fn forget_deliveries(State(desk): State<Arc<Desk>>) -> StatusCode {
    desk.deliveries.clear();
    desk.attempts.lock().clear();
    StatusCode::NO_CONTENT
}
