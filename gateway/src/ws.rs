//! `/ws`, the canonical client API: many requests on one socket, each in order, text as JSON and binary as MessagePack.

mod client;
mod credit;
mod deeds;
pub(crate) mod incoming;
mod membership;
mod outgoing;
mod question;
mod request;
mod session;
mod stream;

use axum::{
    Extension,
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    response::{IntoResponse, Response},
};
use schemas::{Error, ErrorCode};

use crate::{app::App, door::Entry, refusal::Refusal};

/// The subprotocol, for clients that name one.
const PROTOCOL: &str = "dynode";
/// The gateway reads a frame over the limit up to this multiple of it, so that its sender gets the close code instead
/// of a reset connection.
const FRAME_READ_FACTOR: usize = 4;
/// The size of a socket's read buffer, and of its write buffer before a flush. The library's default of 128 KiB each
/// would be nearly all that an idle socket costs; the buffer grows for a larger message.
const BUFFER_BYTES: usize = 8 << 10;

/// Opens a socket.
pub(crate) async fn upgrade(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let upgrade = upgrade.map_err(|rejection| {
        let why = format!("this is a WebSocket: {}", rejection.body_text());
        Error::new(ErrorCode::InvalidRequest, why)
    })?;
    app.check_open().map_err(|error| app.spread(error))?;
    let read_max = app.config.frame_bytes_max.saturating_mul(FRAME_READ_FACTOR);
    // The tracker's token makes a drain wait for this socket.
    let work = app.work.token();
    // A page that sends its key as a subprotocol needs the server to choose one: never the one with the key.
    let socket = upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(read_max)
        .max_frame_size(read_max);
    Ok(socket
        .on_upgrade(move |socket| async move {
            session::run(app, entry.caller, socket).await;
            drop(work);
        })
        .into_response())
}
