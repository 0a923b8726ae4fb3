//! One reader of one request: records every frame it sees, and cuts the connection, pauses or goes away as the plan
//! says.

use std::time::Duration;

use schemas::{ErrorCode, Event, EventBody, Output, Status};
use tokio::time::sleep;

use super::client::{Client, Sending};
use crate::{history::Fact, workload::Reading};

/// What a reader does after a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It continues reading.
    More,
    /// It has seen the end.
    Ended,
    /// It cuts the connection and comes back after this long.
    Cut(Duration),
    /// It goes away for ever.
    Gone,
}

/// A reader.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    client: &'a Client,
    name: String,
    reading: Reading,
    /// `(attempt, seq)` of the last frame it saw.
    pub(super) last: Option<(u32, u64)>,
    /// Frames since it connected.
    frames: u32,
    cuts: u32,
    /// Whether it is reading, according to the history.
    reads: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(client: &'a Client, sending: &Sending) -> Self {
        let name = format!("{}-{}", client.name(), sending.index);
        Self { client, name, reading: sending.reading, last: None, frames: 0, cuts: 0, reads: false }
    }

    /// Records that it starts or comes back.
    pub(super) fn starts(&mut self) {
        (self.frames, self.reads) = (0, true);
        let request = self.client.planned.key.clone();
        self.client.write(Fact::Reads { request, reader: self.name.clone(), after: self.last });
    }

    /// Records that it leaves or was disconnected.
    pub(super) fn leaves(&mut self) {
        if std::mem::take(&mut self.reads) {
            let request = self.client.planned.key.clone();
            self.client.write(Fact::Left { request, reader: self.name.clone() });
        }
    }

    /// Records that frames may be missing before the next one.
    pub(super) fn misses(&self) {
        let request = self.client.planned.key.clone();
        self.client.write(Fact::Gap { request, reader: self.name.clone() });
    }

    /// Whether a frame is newer than the last one.
    pub(super) fn is_news(&self, event: &Event) -> bool {
        Some((event.attempt, event.seq)) > self.last
    }

    /// Whether a frame directly follows the last one.
    pub(super) fn is_next(&self, event: &Event) -> bool {
        match self.last {
            // A new reader starts at the first frame of the request or of an attempt.
            None => event.first_seq() == 0,
            Some((attempt, seq)) => {
                let place = (event.attempt, event.first_seq());
                place == (attempt, seq + 1) || event.attempt > attempt && place.1 == 0
            }
        }
    }

    /// Records a frame.
    pub(super) async fn sees(&mut self, event: &Event) -> Next {
        let (request, reader) = (self.client.planned.key.clone(), self.name.clone());
        if let EventBody::Gap { to, .. } = event.body {
            self.client.write(Fact::Gap { request, reader });
            self.last = Some((event.attempt, to.saturating_sub(1)));
            return Next::More;
        }
        let (mut text, status) = (text(&event.body), status(&event.body));
        let (attempt, seq) = (event.attempt, event.seq);
        // If pieces were joined for a reader that is behind, each gets its own entry; the first has the text.
        for seq in event.first_seq()..=seq {
            let (request, reader, text) = (request.clone(), reader.clone(), text.take());
            let event = event.body.name().to_owned();
            self.client.write(Fact::Frame { request, reader, attempt, seq, event, text, status });
        }
        self.last = Some((attempt, seq)).max(self.last);
        self.frames += 1;
        if status.is_some() {
            self.client.ground.tally.ended.add();
            self.leaves();
            return Next::Ended;
        }
        self.plan().await
    }

    /// What the plan says to do after this frame.
    async fn plan(&mut self) -> Next {
        let bad = &self.client.ground.tally.bad_readers;
        match self.reading {
            Reading::Follow => Next::More,
            Reading::Slow { pause_ms } => {
                bad.add();
                sleep(Duration::from_millis(pause_ms)).await;
                Next::More
            }
            Reading::Vanish { frames } if self.frames >= frames => {
                bad.add();
                self.leaves();
                Next::Gone
            }
            Reading::Resume { frames, cuts, away_ms } if self.frames > frames && self.cuts < cuts => {
                self.cuts += 1;
                self.leaves();
                Next::Cut(Duration::from_millis(away_ms))
            }
            Reading::Vanish { .. } | Reading::Resume { .. } => Next::More,
        }
    }
}

/// The text of a frame.
fn text(body: &EventBody) -> Option<String> {
    match body {
        EventBody::ChatDelta(delta) => Some(delta.delta.clone()),
        EventBody::Complete(done) | EventBody::ChatComplete(done) => output_text(&done.output),
        EventBody::Fail { error } => Some(error.message.clone()),
        _ => None,
    }
}

/// The text of an output.
pub(crate) fn output_text(output: &Output) -> Option<String> {
    match output {
        Output::Chat(chat) => Some(chat.text.clone()),
        Output::Embeddings(_) | Output::Media(_) | Output::Other(_) => None,
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
