//! How a client reads the events of its request, whatever brings them: when it pauses, leaves and comes back.

use std::time::Duration;

use schemas::{ErrorCode, Event, EventBody, Output, Status, event::Completion};

use super::Client;
use crate::{history::Fact, workload::Reading};

/// How soon a reader comes back after somebody else cut it.
pub(super) const COME_BACK: Duration = Duration::from_millis(300);

/// A slow reader is slow for this many frames: enough to fill every queue, and few enough that it sees the end in time.
const SLOW_FRAMES: u32 = 10;

/// One reader of one request.
pub(super) struct Reader {
    client: Client,
    name: String,
    /// The last place that it saw.
    pub(super) last: Option<(u32, u64)>,
    /// Frames since it last began or came back.
    frames: u32,
    cuts: u32,
    reading: bool,
}

/// What a reader does after a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Read,
    Pause(Duration),
    /// Cuts its connection, and comes back after this.
    Away(Duration),
    /// It has the end, or wants no more.
    Leave,
}

impl Reader {
    pub(super) const fn new(client: Client, name: String) -> Self {
        Self { client, name, last: None, frames: 0, cuts: 0, reading: false }
    }

    /// Begins to read, or comes back.
    pub(super) fn begin(&mut self) {
        self.frames = 0;
        self.reading = true;
        let (request, reader, after) = (self.client.key(), self.name.clone(), self.last);
        self.client.write(Fact::Reads { request, reader, after });
    }

    /// Stops reading.
    pub(super) fn leave(&mut self) {
        if std::mem::take(&mut self.reading) {
            self.client.write(Fact::Left { request: self.client.key(), reader: self.name.clone() });
        }
    }

    /// A reader on the bus itself sees by the numbers that it missed frames.
    pub(super) fn note_gap(&self, event: &Event) {
        let follows = match self.last {
            Some((attempt, seq)) if event.attempt == attempt => event.first_seq() == seq + 1,
            // A reader needs nothing from before the first attempt.
            _ => event.seq == 0 || event.attempt == 0,
        };
        if !follows {
            self.client.write(Fact::Gap { request: self.client.key(), reader: self.name.clone() });
        }
    }

    /// Takes a frame.
    pub(super) fn take(&mut self, event: &Event) -> Next {
        let (request, reader) = (self.client.key(), self.name.clone());
        let (attempt, seq) = (event.attempt, event.seq);
        if matches!(event.body, EventBody::Gap { .. }) {
            self.client.write(Fact::Gap { request, reader });
            return Next::Read;
        }
        self.last = self.last.max(Some((attempt, seq)));
        let (name, status) = (event.body.name(), status(&event.body));
        let mut text = text(&event.body);
        // If pieces were joined for a reader that is behind, each has its line; the first has the text.
        for seq in event.first_seq()..=seq {
            let (request, reader, event, text) =
                (request.clone(), reader.clone(), name.to_owned(), text.take());
            self.client.write(Fact::Frame { request, reader, attempt, seq, event, text, status });
        }
        self.frames += 1;
        if status.is_some() {
            return Next::Leave;
        }
        match self.client.planned.reading {
            Reading::Follow => Next::Read,
            Reading::Slow { pause_ms } if self.frames <= SLOW_FRAMES => {
                Next::Pause(Duration::from_millis(pause_ms))
            }
            Reading::Vanish { frames } if self.frames > frames => Next::Leave,
            Reading::Resume { frames, cuts, away_ms } if self.frames > frames && self.cuts < cuts => {
                self.cuts += 1;
                Next::Away(Duration::from_millis(away_ms))
            }
            Reading::Slow { .. } | Reading::Vanish { .. } | Reading::Resume { .. } => Next::Read,
        }
    }
}

fn status(body: &EventBody) -> Option<Status> {
    match body {
        EventBody::Complete(_) | EventBody::ChatComplete(_) => Some(Status::Succeeded),
        EventBody::Cancelled { .. } => Some(Status::Cancelled),
        EventBody::Fail { error } if error.code == ErrorCode::DeadlineExceeded => Some(Status::Expired),
        EventBody::Fail { .. } => Some(Status::Failed),
        _ => None,
    }
}

fn text(body: &EventBody) -> Option<String> {
    match body {
        EventBody::ChatDelta(delta) => Some(delta.delta.clone()),
        EventBody::ChatComplete(Completion { output: Output::Chat(output), .. }) => Some(output.text.clone()),
        EventBody::Fail { error } => Some(error.message.clone()),
        _ => None,
    }
}
