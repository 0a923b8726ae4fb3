//! Passes the events of one request to one reader: each once, in order, to the end.
//!
//! Live frames come from the hub. If one is missing, the feed reads the event stream and goes on; if the end is
//! missing, it reads the outcome; for a reader that is behind it joins the pieces of an answer. It never waits for a
//! client, and dropping a call of [`Feed::next`] loses nothing.

use std::{collections::VecDeque, time::Duration};

use broker::Replay;
use futures_util::StreamExt;
use schemas::{Event, EventBody, Format};
use tokio::{sync::mpsc, time::Instant};
use tracing::debug;

use crate::{
    app::App,
    frame::{Frame, Position},
    joined::Joined,
    notice::Notice,
    pools::Forecast,
    quota::Charge,
    record::{self, Key},
    submit::QUEUED,
};

/// A request that is silent for this long may have ended unheard: a safety net that is rarely needed.
const SILENCE: Duration = Duration::from_secs(15);
/// How often the stream is read for one missing frame before the reader is told of a gap. The stream captures frames
/// just after subscribers hear them, so the first look can be too early.
const RECOVERY_TRIES: u32 = 3;
/// A request that only its reader knows is announced as queued after this long: most begin sooner.
const UNTOLD: Duration = Duration::from_millis(40);
/// A reader with this many waiting frames is behind: more than a burst of a fast model, less than its channel holds.
const BEHIND_FRAMES: usize = 64;
/// The unit of the pause before each further look.
const RECOVERY_PAUSE: Duration = Duration::from_millis(50);

/// Where the first attempt begins.
const FIRST: Position = (1, 0);

pub(crate) struct Feed {
    app: App,
    key: Key,
    live: mpsc::Receiver<Frame>,
    source: Source,
    ready: VecDeque<Frame>,
    /// Pieces that follow `ready`, to be passed on as one.
    joined: Option<Joined>,
    /// The reader is slower than the request: pieces are joined until it has caught up.
    behind: bool,
    /// The reader counts pieces, so none are joined.
    is_counted: bool,
    /// The last frame that was passed on, or that the reader has from before.
    last: Option<Position>,
    /// A live frame whose predecessor is missing.
    held: Option<Frame>,
    /// The end, read from the outcome while frames before it may still be on their way.
    end: Option<Frame>,
    tries: u32,
    silent_at: Instant,
    /// What its reader has sent, if that can be told from another request under the same id.
    fingerprint: Option<String>,
    /// When the first attempt is expected; until it comes.
    forecast: Option<Forecast>,
    /// What to tell of the request if it waits.
    notice: Option<Notice>,
    /// What the request was assumed to use, until its actual use is known.
    charge: Option<Charge>,
    ended: bool,
}

/// Where the next frame comes from.
enum Source {
    Live,
    Pause(Instant),
    Open,
    Stored(Replay),
    Outcome,
}

/// Where a frame stands relative to the last one passed on.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Next,
    Seen,
    Gap,
}

impl Feed {
    /// Listens from now on. `last` is the position of the last frame that the reader has.
    pub(crate) fn open(app: &App, key: Key, last: Option<Position>) -> Self {
        Self {
            app: app.clone(),
            live: app.hub.open(&key.events),
            key,
            source: Source::Live,
            ready: VecDeque::new(),
            joined: None,
            behind: false,
            is_counted: false,
            last,
            held: None,
            end: None,
            tries: 0,
            silent_at: Instant::now() + SILENCE,
            fingerprint: None,
            forecast: None,
            notice: None,
            charge: None,
            ended: false,
        }
    }

    /// Starts with what is stored: the request is older than this feed.
    pub(crate) fn attach(&mut self) {
        self.source = Source::Open;
    }

    /// Passes every piece on as it came, even to a reader that is behind.
    pub(crate) const fn keep_pieces(&mut self) {
        self.is_counted = true;
    }

    /// Waits for the first frame; it is kept for [`Feed::next`].
    pub(crate) async fn begins_within(&mut self, limit: Duration) -> bool {
        let first = tokio::time::timeout(limit, self.next()).await.ok().flatten();
        first.map(|frame| self.ready.push_front(frame)).is_some()
    }

    /// Expects the first attempt by `forecast`, and counts how far off that was.
    pub(crate) const fn expect(&mut self, forecast: Option<Forecast>) {
        self.forecast = forecast;
    }

    /// Announces with `notice` that the request waits, if it does.
    pub(crate) fn tell_if_silent(&mut self, notice: Notice) {
        self.silent_at = Instant::now() + UNTOLD;
        self.notice = Some(notice);
    }

    /// At its end, settles `charge` with what the request has used.
    pub(crate) fn charge(&mut self, charge: Option<Charge>) {
        self.charge = charge;
    }

    /// The reader has sent the request with this fingerprint, and gets no events of another.
    pub(crate) fn is_for(&mut self, fingerprint: String) {
        self.fingerprint = Some(fingerprint);
    }

    /// The reader has seen the frame at `position`.
    pub(crate) fn seen(&mut self, position: Position) {
        self.last = self.last.max(Some(position));
    }

    /// Waits until the request has an outcome, without taking frames: for a reader that must not get any now. Dropping
    /// a call loses nothing.
    pub(crate) async fn until_ended(&mut self) {
        loop {
            // Before the look, so that no end is missed between the two.
            let end = self.app.hub.end_of(&self.key.events);
            match record::outcome(&self.app, &self.key).await {
                Ok(Some(_)) => return,
                Ok(None) => {}
                Err(error) => debug!(%error, id = %self.key.id, "cannot look for the outcome"),
            }
            let _ = tokio::time::timeout(SILENCE, end).await;
        }
    }

    /// The next frame; `None` after the terminal one.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                if let Some(charge) = self.charge.take_if(|_| frame.head.event.is_terminal()) {
                    charge.settle(&frame);
                }
                return Some(frame);
            }
            if self.joined.is_some() && !self.more_at_hand() {
                self.pass_joined();
                continue;
            }
            if self.ended {
                return None;
            }
            self.step().await;
        }
    }

    /// Whether the next frame is there already, as far as can be told: the stream has what a live reader lost.
    fn more_at_hand(&self) -> bool {
        match self.source {
            Source::Live => self.held.is_none() && !self.live.is_empty(),
            Source::Open | Source::Stored(_) => true,
            Source::Pause(_) | Source::Outcome => false,
        }
    }

    async fn step(&mut self) {
        match &mut self.source {
            Source::Live => self.step_live().await,
            Source::Pause(until) => {
                tokio::time::sleep_until(*until).await;
                self.source = Source::Open;
            }
            Source::Open => {
                self.app.meters.recovery();
                let stream = &self.app.parts.topology.events;
                self.source = match self.app.broker().replay(stream, &self.key.events, 0).await {
                    Ok(replay) => Source::Stored(replay),
                    Err(error) => {
                        debug!(%error, id = %self.key.id, "cannot replay events");
                        Source::Outcome
                    }
                };
            }
            Source::Stored(replay) => match replay.next().await {
                Some(Ok(stored)) => self.offer_stored(Frame::read(&stored.message)),
                Some(Err(_)) | None => self.source = Source::Outcome,
            },
            Source::Outcome => {
                let outcome = record::outcome(&self.app, &self.key).await;
                self.source = Source::Live;
                match outcome {
                    Ok(stored) => self.end = stored.and_then(|stored| self.end_of(&stored)),
                    Err(error) => debug!(%error, id = %self.key.id, "cannot look for the outcome"),
                }
            }
        }
    }

    async fn step_live(&mut self) {
        // The held frame came before everything in the channel, and the end after it.
        if let Some(frame) = self.held.take() {
            return self.settle(frame, |feed, frame| feed.held = Some(frame));
        }
        if let Some(frame) = self.end.take() {
            return match self.live.try_recv() {
                Ok(earlier) => {
                    self.end = Some(frame);
                    self.offer(earlier);
                }
                Err(_) => self.settle(frame, |feed, frame| feed.end = Some(frame)),
            };
        }
        match self.live.len() {
            0 => self.behind = false,
            BEHIND_FRAMES.. => self.behind = true,
            _ => {}
        }
        match tokio::time::timeout_at(self.silent_at, self.live.recv()).await {
            Ok(Some(frame)) => {
                self.silent_at = Instant::now() + SILENCE;
                self.notice = None;
                self.offer(frame);
            }
            Ok(None) => {
                self.live = self.app.hub.open(&self.key.events);
                self.source = Source::Open;
                self.behind = true;
            }
            Err(_) => {
                self.silent_at = Instant::now() + SILENCE;
                match self.notice.take() {
                    Some(notice) => notice.tell(&self.app, &self.key).await,
                    None => self.source = Source::Outcome,
                }
            }
        }
    }

    fn offer(&mut self, frame: Frame) {
        match place(self.last, &frame) {
            Place::Next => self.pass(frame),
            Place::Seen => {}
            Place::Gap => self.held = Some(frame),
        }
    }

    /// A frame that the stream itself lacks will not come.
    fn offer_stored(&mut self, frame: Option<Frame>) {
        match frame.map(|frame| (place(self.last, &frame), frame)) {
            Some((Place::Next, frame)) => self.pass(frame),
            Some((Place::Gap, frame)) => self.pass_over_gap(frame),
            Some((Place::Seen, _)) | None => {}
        }
    }

    /// Passes a frame that had to wait, or looks once more for what is missing before it.
    fn settle(&mut self, frame: Frame, keep: impl FnOnce(&mut Self, Frame)) {
        match place(self.last, &frame) {
            Place::Next => self.pass(frame),
            Place::Seen => {}
            Place::Gap if self.tries < RECOVERY_TRIES => {
                self.source = match self.tries {
                    0 => Source::Open,
                    tries => Source::Pause(Instant::now() + RECOVERY_PAUSE * tries),
                };
                self.tries += 1;
                keep(self, frame);
            }
            Place::Gap => self.pass_over_gap(frame),
        }
    }

    fn pass(&mut self, frame: Frame) {
        if self.fingerprint.as_ref().is_some_and(|sent| frame.is_of_another(sent)) {
            return self.end_in_conflict(&frame);
        }
        self.tries = 0;
        if frame.head.attempt > 0
            && let Some(forecast) = self.forecast.take()
        {
            self.app.meters.estimate(forecast.outcome());
        }
        self.announce_restart(&frame);
        self.announce_queued(&frame);
        self.last = Some(frame.position());
        self.ended = frame.head.event.is_terminal();
        self.put(frame);
    }

    /// Another request came first by another path, which shows only now: the reader's own does not run.
    fn end_in_conflict(&mut self, frame: &Frame) {
        let (attempt, seq) = self.last.map_or((0, 0), |(attempt, seq)| (attempt, seq + 1));
        let body = EventBody::Fail { error: record::conflict(&self.key.id) };
        self.ended = true;
        self.push(Event { id: self.key.id.clone(), attempt, seq, body }, frame);
    }

    /// Queues a frame for the reader; if the reader is behind, joins it to the pieces before it.
    fn put(&mut self, frame: Frame) {
        if self.joined.as_mut().is_some_and(|joined| joined.add(&frame)) {
            return;
        }
        self.pass_joined();
        if !self.behind || self.is_counted {
            return self.ready.push_back(frame);
        }
        match Joined::begin(frame) {
            Ok(joined) => self.joined = Some(joined),
            Err(other) => self.ready.push_back(other),
        }
    }

    fn pass_joined(&mut self) {
        if let Some(joined) = self.joined.take() {
            if joined.is_several() {
                self.app.meters.joined();
            }
            self.ready.push_back(joined.into_frame());
        }
    }

    fn pass_over_gap(&mut self, frame: Frame) {
        self.app.meters.gap();
        self.announce_restart(&frame);
        let (attempt, to) = frame.position();
        let from = self.last.filter(|last| last.0 == attempt).map_or(0, |last| last.1);
        let body = EventBody::Gap { from, to };
        self.push(Event { id: self.key.id.clone(), attempt, seq: to.saturating_sub(1), body }, &frame);
        self.last = Some((attempt, to.saturating_sub(1)));
        self.pass(frame);
    }

    /// Says that a newer attempt voids what the reader has of an older one: the worker that died could not.
    fn announce_restart(&mut self, frame: &Frame) {
        let Some((attempt, seq)) = self.last.filter(|last| (1..frame.head.attempt).contains(&last.0)) else {
            return;
        };
        if frame.name() == "restarted" {
            return;
        }
        let reason = format!("attempt {attempt} was lost; attempt {} begins", frame.head.attempt);
        let body = EventBody::Restarted { reason };
        self.push(Event { id: self.key.id.clone(), attempt, seq: seq + 1, body }, frame);
    }

    /// A request that begins at once published no `queued`; a reader of all its events gets one here.
    fn announce_queued(&mut self, frame: &Frame) {
        if self.last.is_none() && frame.position() == FIRST {
            let ((attempt, seq), id) = (QUEUED, self.key.id.clone());
            let body = EventBody::Queued { position: None, estimated_wait_ms: None };
            self.push(Event { id, attempt, seq, body }, frame);
        }
    }

    /// Builds the end from the outcome. If an older attempt than the reader has seen ended the request, the newer one
    /// was in vain: the reader is told so, and then gets the end as that of the newer one.
    fn end_of(&mut self, stored: &broker::Stored) -> Option<Frame> {
        let format = stored.message.format();
        let end = record::read_outcome(stored).and_then(|mut outcome| {
            if let Some((attempt, seq)) = self.last.filter(|last| last.0 > outcome.ended.0) {
                let reason = format!("attempt {} had ended the request before", outcome.ended.0);
                let body = EventBody::Restarted { reason };
                self.push_as(&Event { id: self.key.id.clone(), attempt, seq: seq + 1, body }, format);
                self.last = Some((attempt, seq + 1));
                outcome.ended = (attempt, seq + 2);
            }
            Frame::of_outcome(&outcome, format)
        });
        end.inspect_err(|error| debug!(%error, subject = stored.message.subject, "cannot use an outcome"))
            .ok()
    }

    fn push(&mut self, event: Event, like: &Frame) {
        self.push_as(&event, like.format);
    }

    fn push_as(&mut self, event: &Event, format: Format) {
        match Frame::of(event, format) {
            Ok(frame) => self.put(frame),
            Err(error) => debug!(%error, id = %self.key.id, "cannot write a notice"),
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.live.close();
        self.app.hub.prune(&self.key.events);
    }
}

fn place(last: Option<Position>, frame: &Frame) -> Place {
    let (attempt, seq) = frame.position();
    match last {
        Some((current, _)) if attempt < current => Place::Seen,
        Some((current, shown)) if attempt == current => match seq {
            seq if seq == shown + 1 => Place::Next,
            seq if seq > shown => Place::Gap,
            // A feed that is still open has not passed the end: a reader that has everything gets it again.
            _ if frame.head.event.is_terminal() => Place::Next,
            _ => Place::Seen,
        },
        // Before the first attempt there are only `queued` and a refusal, and either may stand alone.
        _ if seq == 0 || attempt == 0 => Place::Next,
        _ => Place::Gap,
    }
}

#[cfg(test)]
mod tests;
