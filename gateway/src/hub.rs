//! Hands every event, from one subscription for all requests, to the readers of its request. Never waits for a reader.
//!
//! A reader that falls behind loses its channel, which tells it to read the stream.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use broker::{Broker, Link, Message, Subscription};
use dashmap::DashMap;
use futures_util::{FutureExt, StreamExt};
use schemas::Subjects;
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval},
};
use tracing::{info, warn};

use crate::{app::App, frame::Frame, sessions::Sessions, waiting::Ticket};

/// The most frames that wait for one reader: a long burst of deltas, 100 KiB of single tokens, 1 MiB of joined ones.
const READER_FRAMES_MAX: usize = 256;
/// The most events that wait for one watcher of everything.
const WATCHER_EVENTS_MAX: usize = 4_096;
/// The most signals that wait for one socket; only the newest matters.
const SIGNALS_MAX: usize = 64;
/// The most events handed out in a row before the hub looks at anything else.
const READY_MAX: usize = 256;
/// How long to wait before retrying a lost subscription.
const RESUBSCRIBE_AFTER: Duration = Duration::from_millis(500);
/// How often the hub lets go of requests whose start it did not hear before their deadline: it may have been lost.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Hub {
    /// By event subject.
    requests: DashMap<String, Listeners>,
    /// Who has joined which session.
    pub(crate) sessions: Sessions,
    watchers: broadcast::Sender<Arc<Message>>,
    signals: broadcast::Sender<Arc<Message>>,
}

/// The listeners to the events of one request.
#[derive(Debug, Default)]
struct Listeners {
    readers: Vec<mpsc::Sender<Frame>>,
    /// Those that wait only for the end.
    ends: Vec<oneshot::Sender<()>>,
    /// The request has not begun; it counts as waiting until it does, or until this instant.
    waits: Option<(Instant, Ticket)>,
}

impl Listeners {
    fn hear(&mut self, frame: &Frame) {
        self.readers.retain(|reader| reader.try_send(frame.clone()).is_ok());
        if frame.head.attempt > 0 || frame.head.event.is_terminal() {
            self.waits = None;
        }
        if frame.head.event.is_terminal() {
            for end in self.ends.drain(..) {
                // The only error is that nobody waits any more.
                let _ = end.send(());
            }
        }
    }

    fn forget_the_gone(&mut self) {
        self.readers.retain(|reader| !reader.is_closed());
        self.ends.retain(|end| !end.is_closed());
    }

    const fn is_empty(&self) -> bool {
        self.readers.is_empty() && self.ends.is_empty() && self.waits.is_none()
    }
}

impl Hub {
    pub(crate) fn new() -> Self {
        let (watchers, signals) =
            (broadcast::Sender::new(WATCHER_EVENTS_MAX), broadcast::Sender::new(SIGNALS_MAX));
        Self { requests: DashMap::new(), sessions: Sessions::default(), watchers, signals }
    }

    /// Live frames of one event subject, from now on. The channel ends if frames are lost.
    pub(crate) fn open(&self, subject: &str) -> mpsc::Receiver<Frame> {
        let (sender, receiver) = mpsc::channel(READER_FRAMES_MAX);
        self.requests.entry(subject.to_owned()).or_default().readers.push(sender);
        receiver
    }

    /// Resolves when a terminal event of this subject is heard, or when it may have been missed.
    pub(crate) fn end_of(&self, subject: &str) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut listeners = self.requests.entry(subject.to_owned()).or_default();
        listeners.forget_the_gone();
        listeners.ends.push(sender);
        receiver
    }

    /// Forgets readers of `subject` that are gone.
    pub(crate) fn prune(&self, subject: &str) {
        self.requests.remove_if_mut(subject, |_, listeners| {
            listeners.forget_the_gone();
            listeners.is_empty()
        });
    }

    /// Counts the request as waiting, by its ticket, until the hub hears it begin, or until its deadline.
    pub(crate) fn wait_for(&self, subject: &str, ticket: Ticket, deadline: Instant) {
        self.requests.entry(subject.to_owned()).or_default().waits = Some((deadline, ticket));
    }

    /// Whether the request counts as waiting.
    pub(crate) fn waits(&self, subject: &str) -> bool {
        self.requests.get(subject).is_some_and(|listeners| listeners.waits.is_some())
    }

    /// Stops counting the request as waiting: it was not sent, or had been sent before.
    pub(crate) fn wait_no_more(&self, subject: &str) {
        if let Some(mut listeners) = self.requests.get_mut(subject) {
            listeners.waits = None;
        }
        self.prune(subject);
    }

    fn sweep(&self, now: Instant) {
        self.requests.retain(|_, listeners| {
            listeners.waits.take_if(|(deadline, _)| *deadline <= now);
            !listeners.is_empty()
        });
    }

    /// Every live event.
    pub(crate) fn watch(&self) -> broadcast::Receiver<Arc<Message>> {
        self.watchers.subscribe()
    }

    /// Every backpressure signal.
    pub(crate) fn signals(&self) -> broadcast::Receiver<Arc<Message>> {
        self.signals.subscribe()
    }

    fn hand_out(&self, message: Message) {
        if let Some(mut listeners) = self.requests.get_mut(&message.subject)
            && let Some(frame) = Frame::read(&message)
        {
            listeners.hear(&frame);
            let deserted = listeners.is_empty();
            drop(listeners);
            if deserted {
                self.prune(&message.subject);
            }
        }
        self.sessions.hear(&message);
        if self.watchers.receiver_count() > 0 {
            // The only error is that nobody listens any more.
            let _ = self.watchers.send(Arc::new(message));
        }
    }

    /// Hands out the events that are ready, without looking at everything else before each. Returns whether more may
    /// come.
    fn hand_out_ready(&self, events: &mut Subscription) -> bool {
        for _ in 0..READY_MAX {
            match events.next().now_or_never() {
                Some(Some(message)) => self.hand_out(message),
                Some(None) => return false,
                None => break,
            }
        }
        true
    }

    /// Events may have been lost: every reader reads the stream, and the waiting requests are counted afresh.
    fn cut_all(&self) {
        self.sessions.cut_all();
        // In the order of their subjects, so that readers always wake in the same order.
        let subjects: BTreeSet<_> = self.requests.iter().map(|request| request.key().clone()).collect();
        for subject in subjects {
            self.requests.remove(&subject);
        }
    }
}

/// The subscriptions of the hub.
pub(crate) struct Ears {
    events: Subscription,
    signals: Subscription,
    heartbeats: Subscription,
    attendance: Subscription,
}

impl Ears {
    pub(crate) async fn open(broker: &dyn Broker, subjects: &Subjects) -> Result<Self, broker::Error> {
        let events = broker.subscribe(&subjects.all("evt")).await?;
        let signals = broker.subscribe(&subjects.all("sig")).await?;
        let heartbeats = broker.subscribe(&subjects.all("hb")).await?;
        let attendance = broker.subscribe(&subjects.all("att")).await?;
        Ok(Self { events, signals, heartbeats, attendance })
    }
}

/// Hands out events until it is dropped. Without it every door is deaf, so the server ends with it.
pub(crate) async fn run(app: App, mut ears: Ears) {
    let hub = &app.hub;
    let mut link = app.broker().link();
    let mut was_down = matches!(*link.borrow_and_update(), Link::Down(_));
    let mut sweeps = interval(SWEEP_EVERY);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // Messages that arrive at once are handled in this order, so that a run can be repeated from its seed.
            // Events come last: there are many, and few of the others.
            biased;
            signal = ears.signals.next() => match signal {
                Some(message) => {
                    app.pools.hear_signal(&message);
                    // The only error is that no socket is open.
                    let _ = hub.signals.send(Arc::new(message));
                }
                None => ears = reopen(&app).await,
            },
            attendance = ears.attendance.next() => match attendance {
                Some(message) => app.lingers.hear(&app, &message),
                None => ears = reopen(&app).await,
            },
            heartbeat = ears.heartbeats.next() => match heartbeat {
                Some(message) => app.pools.hear(&message),
                None => ears = reopen(&app).await,
            },
            Ok(()) = link.changed() => {
                let down = matches!(*link.borrow_and_update(), Link::Down(_));
                if was_down && !down {
                    info!("broker reachable again: readers look for what they missed");
                    hub.cut_all();
                    app.lingers.begin_anew();
                    app.is_reachable_again();
                }
                was_down = down;
            }
            _ = sweeps.tick() => hub.sweep(Instant::now()),
            event = ears.events.next() => match event {
                Some(message) => {
                    hub.hand_out(message);
                    if !hub.hand_out_ready(&mut ears.events) {
                        ears = reopen(&app).await;
                    }
                }
                None => ears = reopen(&app).await,
            },
        }
    }
}

async fn reopen(app: &App) -> Ears {
    loop {
        match Ears::open(app.broker(), &app.parts.topology.subjects).await {
            Ok(ears) => {
                app.hub.cut_all();
                app.lingers.begin_anew();
                app.is_reachable_again();
                return ears;
            }
            Err(error) => {
                warn!(%error, "the subscription to events is lost; asking again");
                tokio::time::sleep(RESUBSCRIBE_AFTER).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::{Event, EventBody, Format, RequestId, Tenant};

    use super::*;
    use crate::waiting::Waiting;

    fn begun() -> Message {
        let body = EventBody::Running { provider: "p".into(), model: "m".into() };
        let event = Event { id: RequestId::new("r").unwrap(), attempt: 1, seq: 0, body };
        Message::new("dynode.evt.t.r", Format::Json, Format::Json.encode(&event).unwrap())
    }

    fn message(seq: u64) -> Message {
        let body = EventBody::Queued { position: None, estimated_wait_ms: None };
        let event = Event { id: RequestId::new("r").unwrap(), attempt: 0, seq, body };
        Message::new("dynode.evt.t.r", Format::Json, Format::Json.encode(&event).unwrap())
    }

    #[tokio::test]
    async fn a_reader_that_falls_behind_loses_its_channel_and_others_do_not() {
        let hub = Hub::new();
        let mut slow = hub.open("dynode.evt.t.r");
        let mut quick = hub.open("dynode.evt.t.r");
        for seq in 0..=READER_FRAMES_MAX as u64 {
            hub.hand_out(message(seq));
            assert_eq!(quick.recv().await.unwrap().head.seq, seq);
        }
        for seq in 0..READER_FRAMES_MAX as u64 {
            assert_eq!(slow.recv().await.unwrap().head.seq, seq);
        }
        assert!(slow.recv().await.is_none(), "the loss is seen as the end of the channel");
    }

    #[tokio::test]
    async fn readers_that_are_gone_are_forgotten() {
        let hub = Hub::new();
        drop(hub.open("dynode.evt.t.r"));
        hub.prune("dynode.evt.t.r");
        assert!(hub.requests.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_until_it_is_heard_to_begin_or_its_deadline_has_passed() {
        let (hub, line) = (Hub::new(), Waiting::new(1));
        let ticket = || line.take(&Tenant::new("t").unwrap(), "sim");
        let deadline = Instant::now() + Duration::from_secs(60);
        let wait = || hub.wait_for("dynode.evt.t.r", ticket().unwrap(), deadline);
        wait();
        hub.hand_out(message(0));
        assert!(ticket().is_none(), "`queued` is no beginning");
        hub.hand_out(begun());
        assert!(ticket().is_some() && hub.requests.is_empty());
        wait();
        hub.wait_no_more("dynode.evt.t.r");
        wait();
        hub.cut_all();
        wait();
        hub.sweep(deadline - Duration::from_secs(1));
        assert!(ticket().is_none());
        hub.sweep(deadline);
        assert!(ticket().is_some() && hub.requests.is_empty());
    }
}
