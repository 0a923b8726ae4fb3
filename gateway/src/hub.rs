//! One subscription for all requests: hands every event to the readers of its request. Never waits for a reader.
//!
//! A reader that falls behind loses its channel, which is how it learns that it must look into the stream.

use std::{sync::Arc, time::Duration};

use broker::{Broker, Link, Message, Subscription};
use dashmap::DashMap;
use futures_util::StreamExt;
use schemas::Subjects;
use tokio::sync::{broadcast, mpsc};
use tracing::{info, warn};

use crate::{app::App, frame::Frame};

/// The frames that wait for one reader: a long burst of deltas, in less than 100 KiB.
const READER_FRAMES_MAX: usize = 256;
/// The events that wait for one watcher of everything.
const WATCHER_EVENTS_MAX: usize = 4_096;
/// The signals that wait for one socket; only the newest matters.
const SIGNALS_MAX: usize = 64;
/// How long to wait before a lost subscription is asked for again.
const RESUBSCRIBE_AFTER: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Hub {
    readers: DashMap<String, Vec<mpsc::Sender<Frame>>>,
    watchers: broadcast::Sender<Arc<Message>>,
    signals: broadcast::Sender<Arc<Message>>,
}

impl Hub {
    pub(crate) fn new() -> Self {
        let (watchers, signals) =
            (broadcast::Sender::new(WATCHER_EVENTS_MAX), broadcast::Sender::new(SIGNALS_MAX));
        Self { readers: DashMap::new(), watchers, signals }
    }

    /// Live frames of one event subject, from now on. The channel ends where frames were lost.
    pub(crate) fn open(&self, subject: &str) -> mpsc::Receiver<Frame> {
        let (sender, receiver) = mpsc::channel(READER_FRAMES_MAX);
        self.readers.entry(subject.to_owned()).or_default().push(sender);
        receiver
    }

    /// Forgets readers of `subject` that are gone.
    pub(crate) fn prune(&self, subject: &str) {
        self.readers.remove_if_mut(subject, |_, readers| {
            readers.retain(|reader| !reader.is_closed());
            readers.is_empty()
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
        if let Some(mut readers) = self.readers.get_mut(&message.subject)
            && let Some(frame) = Frame::read(&message)
        {
            readers.retain(|reader| reader.try_send(frame.clone()).is_ok());
        }
        if self.watchers.receiver_count() > 0 {
            // The only error is that nobody listens any more.
            let _ = self.watchers.send(Arc::new(message));
        }
    }

    /// Events may have been lost: every reader looks into the stream.
    fn cut_all(&self) {
        self.readers.clear();
    }
}

/// What the hub listens to.
pub(crate) struct Ears {
    events: Subscription,
    signals: Subscription,
    heartbeats: Subscription,
}

impl Ears {
    pub(crate) async fn open(broker: &dyn Broker, subjects: &Subjects) -> Result<Self, broker::Error> {
        let events = broker.subscribe(&subjects.all("evt")).await?;
        let signals = broker.subscribe(&subjects.all("sig")).await?;
        let heartbeats = broker.subscribe(&subjects.all("hb")).await?;
        Ok(Self { events, signals, heartbeats })
    }
}

/// Hands out events until it is dropped. Its death leaves every door deaf, so the server ends with it.
pub(crate) async fn run(app: App, mut ears: Ears) {
    let (hub, broker, subjects) = (&app.hub, app.broker(), &app.parts.topology.subjects);
    let mut link = broker.link();
    let mut was_down = matches!(*link.borrow_and_update(), Link::Down(_));
    loop {
        tokio::select! {
            event = ears.events.next() => match event {
                Some(message) => hub.hand_out(message),
                None => ears = reopen(hub, broker, subjects).await,
            },
            signal = ears.signals.next() => match signal {
                Some(message) => {
                    app.pools.hear_signal(&message);
                    // The only error is that no socket is open.
                    let _ = hub.signals.send(Arc::new(message));
                }
                None => ears = reopen(hub, broker, subjects).await,
            },
            heartbeat = ears.heartbeats.next() => match heartbeat {
                Some(message) => app.pools.hear(&message),
                None => ears = reopen(hub, broker, subjects).await,
            },
            Ok(()) = link.changed() => {
                let down = matches!(*link.borrow_and_update(), Link::Down(_));
                if was_down && !down {
                    info!("broker reachable again: readers look for what they missed");
                    hub.cut_all();
                }
                was_down = down;
            }
        }
    }
}

async fn reopen(hub: &Hub, broker: &dyn Broker, subjects: &Subjects) -> Ears {
    loop {
        match Ears::open(broker, subjects).await {
            Ok(ears) => {
                hub.cut_all();
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
    use schemas::{Event, EventBody, Format, RequestId};

    use super::*;

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
        assert!(hub.readers.is_empty());
    }
}
