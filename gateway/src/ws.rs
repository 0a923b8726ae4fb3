//! `/ws`, the canonical client API: many requests on one socket, each in order, text as JSON and binary as MessagePack.

pub(crate) mod incoming;
mod outgoing;
mod request;
mod session;

use axum::{
    Extension,
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use schemas::{Error, ErrorCode};

use crate::{
    app::{App, Shared},
    door::{self, Entry},
    refusal::Refusal,
};

/// The subprotocol, for clients that name one.
const PROTOCOL: &str = "dynode";
/// A frame over the limit is read to the end up to this multiple of it, so that its sender gets the close code instead
/// of a reset connection.
const FRAME_READ_FACTOR: usize = 4;

/// Opens a socket.
pub(crate) async fn upgrade(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let upgrade = upgrade.map_err(|rejection| {
        let why = format!("this is a WebSocket: {}", rejection.body_text());
        Error::new(ErrorCode::InvalidRequest, why)
    })?;
    app.check_open().map_err(|error| app.spread(error))?;
    check_origin(&app, &headers)?;
    let read_max = app.config.frame_bytes_max.saturating_mul(FRAME_READ_FACTOR);
    // The tracker's token makes a drain wait for this socket.
    let work = app.work.token();
    // A page that puts its key among the subprotocols needs one to be chosen; that with the key is not repeated.
    let socket = upgrade.protocols([PROTOCOL]).max_message_size(read_max).max_frame_size(read_max);
    Ok(socket
        .on_upgrade(move |socket| async move {
            session::run(app, entry.caller, socket).await;
            drop(work);
        })
        .into_response())
}

/// Browsers name the page that opens a socket; a foreign page must not use this server through its visitor.
fn check_origin(app: &Shared, headers: &HeaderMap) -> Result<(), Error> {
    let Some(origin) = door::text(headers, header::ORIGIN.as_str()) else {
        return Ok(());
    };
    let host = door::text(headers, header::HOST.as_str());
    let own = origin.split_once("://").map(|(_, authority)| authority) == host.as_deref();
    if own || app.config.origins_allowed.iter().any(|allowed| allowed == "*" || *allowed == origin) {
        return Ok(());
    }
    let why = "pages of this origin may not open a socket; add it to gateway.origins_allowed";
    Err(Error::new(ErrorCode::Forbidden, why))
}
