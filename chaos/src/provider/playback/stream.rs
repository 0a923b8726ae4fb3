//! Plays a script as server-sent events: in the order of the script, each token at its time, broken off where
//! the fault says. Without a gap, chunks go out in batches, since sending them singly would gain nothing.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::stream::unfold;
use tokio::time::Instant;

use super::{Ending, break_off, drip, pause};
use crate::connections::Line;
use crate::provider::behaviour::Fault;
use crate::provider::calls::{CallOutcome, OpenCall};
use crate::provider::dialect::Dialect;
use crate::provider::exchange::{Ask, Script};

/// Bytes after which a batch of chunks is handed to the connection.
const BATCH_BYTES: usize = 16 * 1024;

/// Starts to play the script.
pub(super) fn play(mut script: Box<dyn Script>, ask: &Ask, call: OpenCall, line: Line) -> Response {
    let behaviour = &ask.behaviour;
    let media_type = script.media_type();
    let body = if behaviour.fault == Some(Fault::Drip) {
        let mut all = BytesMut::new();
        while !script.is_done() {
            script.write_next(&mut all);
        }
        all.extend_from_slice(if media_type.is_none() { ask.dialect.done() } else { b"" });
        drip(all.freeze(), behaviour.gap, call)
    } else {
        let player = Player::new(script, ask, call, line);
        Body::from_stream(unfold(player, |mut player| async move {
            let item = player.next().await?;
            Some((item, player))
        }))
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(media_type.unwrap_or_else(|| ask.dialect.stream_type()))),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, body).into_response()
}

/// What happens instead of the next chunk.
#[derive(Clone, Copy, Debug)]
enum Break {
    Off(Ending),
    ErrorEvent,
    HalfEvent,
}

struct Player {
    script: Box<dyn Script>,
    dialect: Dialect,
    gap: Duration,
    /// When the latest timed chunk is due: a gap after the one before was due, not after it went out, which
    /// keeps the rate although a timer is always a little late.
    due: Instant,
    /// After how many chunks the stream breaks, and how.
    breaks: Option<(u32, Break)>,
    malformed: bool,
    done: bool,
    started: bool,
    over: bool,
    out: BytesMut,
    call: OpenCall,
    line: Line,
}

impl Player {
    fn new(script: Box<dyn Script>, ask: &Ask, call: OpenCall, line: Line) -> Self {
        let behaviour = &ask.behaviour;
        let is_file = script.media_type().is_some();
        let breaks = match behaviour.fault {
            Some(Fault::Stall) => Some((0, Break::Off(Ending::Silence))),
            Some(Fault::StallAfter(chunks)) => Some((chunks, Break::Off(Ending::Silence))),
            Some(Fault::CutAfter(chunks)) => Some((chunks, Break::Off(Ending::Close))),
            Some(Fault::ResetAfter(chunks)) => Some((chunks, Break::Off(Ending::Reset))),
            // A file has no place for an error: it only breaks off.
            Some(Fault::ErrorAfter(chunks)) if is_file => Some((chunks, Break::Off(Ending::Close))),
            Some(Fault::ErrorAfter(chunks)) => Some((chunks, Break::ErrorEvent)),
            Some(Fault::Truncate) => Some((script.chunks() / 2, Break::HalfEvent)),
            _ => None,
        };
        Self {
            script,
            dialect: ask.dialect,
            gap: behaviour.gap,
            due: Instant::now() + behaviour.first_token,
            breaks,
            malformed: behaviour.fault == Some(Fault::Malformed) && !is_file,
            done: behaviour.fault != Some(Fault::NoDone) && !is_file,
            started: false,
            over: false,
            // A stream with gaps never fills a batch, and there may be very many such streams.
            out: BytesMut::with_capacity(if behaviour.gap.is_zero() { BATCH_BYTES } else { 0 }),
            call,
            line,
        }
    }

    /// The next bytes of the body: as many chunks as are due.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.over {
            return None;
        }
        if std::mem::replace(&mut self.started, true) && self.script.next_is_paced() {
            self.due += self.gap;
        }
        let wait = self.due.saturating_duration_since(Instant::now());
        pause(wait).await;
        let broken = self.write_due();
        if self.out.is_empty()
            && let Some(how) = broken
        {
            match how {
                Break::Off(ending) => return Some(Err(break_off(ending, &mut self.call, &self.line).await)),
                Break::ErrorEvent => {
                    let failure = self.script.failure().unwrap_or_else(|| self.dialect.failure());
                    self.out.extend_from_slice(failure.as_bytes());
                }
                Break::HalfEvent => self.write_half(),
            }
            self.end(CallOutcome::Broken);
        } else if broken.is_none() && self.script.is_done() {
            if self.done {
                self.out.extend_from_slice(self.dialect.done());
            }
            self.end(CallOutcome::Answered);
        }
        Some(Ok(self.out.split().freeze()))
    }

    /// Writes chunks until a gap is due, the batch is full or the script ends; returns the break if one comes first.
    fn write_due(&mut self) -> Option<Break> {
        while self.out.len() < BATCH_BYTES {
            if let Some((after, how)) = self.breaks
                && self.call.chunks == after
            {
                return Some(how);
            }
            if self.script.is_done() {
                return None;
            }
            let start = self.out.len();
            self.script.write_next(&mut self.out);
            if self.malformed && self.call.chunks == 1 {
                self.out.truncate(start);
                self.out.extend_from_slice(self.dialect.malformed());
            }
            self.call.chunks += 1;
            if !self.gap.is_zero() && self.script.next_is_paced() {
                return None;
            }
        }
        None
    }

    fn write_half(&mut self) {
        self.script.write_next(&mut self.out);
        self.out.truncate(self.out.len() / 2);
    }

    /// The answer is complete once it is handed over; a client that hangs up at its end mark has not gone away.
    fn end(&mut self, outcome: CallOutcome) {
        self.over = true;
        self.call.end(outcome, StatusCode::OK.as_u16());
    }
}
