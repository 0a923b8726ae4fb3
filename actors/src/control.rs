//! Brings cancels to the work that they end, at once or when it is claimed.
//!
//! A cancel is a message on `dynode.ctl.<tenant>.<id>`. Engines hear it live, and a stream keeps it until its request
//! has ended: an engine reads back there what came while no engine ran, or while the connection was lost. Cancels of
//! claimed work are looked up in memory; the work never waits for the broker.

mod asked;

use std::{sync::Arc, time::Duration};

use broker::{CANCELS_AGE, CANCELS_MAX, Error, Link, Subscription};
use dashmap::DashMap;
use futures_util::StreamExt;
use parking_lot::Mutex;
use schemas::{RequestId, Tenant};
use tokio::{
    sync::{SetOnce, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{backoff::Backoff, outbox::Outbox};
use asked::Asked;

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
/// A live message may be lost unnoticed, for example by a reader that falls behind; a read of the stream finds it no
/// later than this, and costs the broker two questions.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// For this long after a broker's return, what it forgot or lost may come again: a lease expires, a client repeats
/// itself.
const FORGETFUL: Duration = Duration::from_secs(120);

type Key = (Tenant, RequestId);

/// The requests that run here, and the cancels for any request.
#[derive(Debug)]
pub struct Control {
    outbox: Outbox,
    running: DashMap<Key, CancellationToken>,
    asked: Mutex<Asked>,
    /// Whether the cancels from before this engine's start have been read.
    caught_up: SetOnce<()>,
    /// When the connection to the broker last came back.
    came_back: Mutex<Option<Instant>>,
}

/// A running request; dropping this ends its registration.
#[derive(Debug)]
pub struct Registration {
    control: Arc<Control>,
    key: Key,
    token: CancellationToken,
}

impl Registration {
    /// Resolves when somebody cancels the request.
    pub async fn cancelled(&self) {
        self.token.cancelled().await;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.control.running.remove(&self.key);
    }
}

impl Control {
    /// Knows of no cancels yet.
    pub fn new(outbox: Outbox) -> Self {
        Self {
            outbox,
            running: DashMap::new(),
            asked: Mutex::new(Asked::new(CANCELS_MAX, CANCELS_AGE)),
            caught_up: SetOnce::new(),
            came_back: Mutex::new(None),
        }
    }

    /// Registers a request as running; cancels it at once if its cancel came first.
    pub fn register(self: &Arc<Self>, tenant: &Tenant, id: &RequestId) -> Registration {
        let key = (tenant.clone(), id.clone());
        let token = CancellationToken::new();
        // Registered before the look, so that a cancel in between is not missed.
        self.running.insert(key.clone(), token.clone());
        if self.asked.lock().contains(&key, Instant::now()) {
            token.cancel();
        }
        Registration { control: Arc::clone(self), key, token }
    }

    /// Resolves when this engine knows the cancels from before its start, which is almost always at once.
    pub async fn caught_up(&self) {
        self.caught_up.wait().await;
    }

    /// Whether the connection to the broker came back so recently that the broker may have forgotten what it has done
    /// and what it was told: it keeps events in its memory.
    pub fn came_back_lately(&self) -> bool {
        self.came_back.lock().is_some_and(|at| at.elapsed() < FORGETFUL)
    }

    /// Cancels a request, now or when it comes.
    pub fn cancel(&self, key: Key) {
        self.asked.lock().remember(key.clone(), Instant::now());
        if let Some(token) = self.running.get(&key) {
            token.cancel();
        }
    }

    /// The outcome of a request stands: its cancel, if there was one, has done its work and makes room. A failure costs
    /// only that room, and only until the cancel ages out.
    pub async fn ended(&self, tenant: &Tenant, id: &RequestId) {
        if !self.asked.lock().forget(&(tenant.clone(), id.clone())) {
            return;
        }
        let (broker, topology) = (self.outbox.broker(), self.outbox.topology());
        let (stream, subject) = (&topology.cancels, topology.subjects.control(tenant, id));
        let removed = match broker.last(stream, &subject).await {
            Ok(Some(stored)) => broker.remove(stream, stored.sequence).await,
            other => other.map(drop),
        };
        if let Err(error) = removed {
            debug!(%error, %id, "a cancel that is done is left to age");
        }
    }

    /// Listens for cancels until aborted. Without it nothing can be cancelled, so it subscribes again whenever the
    /// subscription ends.
    pub fn listen(self: &Arc<Self>) -> JoinHandle<()> {
        let control = Arc::clone(self);
        tokio::spawn(async move {
            let pattern = control.outbox.topology().subjects.all("ctl");
            let mut failures = 0;
            loop {
                match control.outbox.broker().subscribe(&pattern).await {
                    Ok(live) => {
                        failures = 0;
                        control.hear(live, &pattern).await;
                    }
                    Err(error) => {
                        warn!(%error, "cannot subscribe to cancels; running work does not hear them")
                    }
                }
                // A subscription ends with the connection, or with something as bad.
                *control.came_back.lock() = Some(Instant::now());
                failures += 1;
                sleep(BACKOFF.delay(failures, 1.0)).await;
            }
        })
    }

    /// Hears what comes live, and reads what may have come unheard, until the subscription ends.
    async fn hear(&self, mut live: Subscription, pattern: &str) {
        let mut link = self.outbox.broker().link();
        let (mut from, mut failures) = (0, 0);
        loop {
            // The subscription is there already, so nothing falls between reading and hearing.
            let again = match self.read(pattern, &mut from).await {
                Ok(()) => {
                    failures = 0;
                    self.say_caught_up();
                    READ_AGAIN_AFTER
                }
                Err(error) => {
                    if failures == 0 {
                        warn!(%error, "cannot read the cancels that came while this engine was not listening; it hears new ones");
                    }
                    // A failure that will not pass by itself must not hold the work up.
                    if !error.is_transient() {
                        self.say_caught_up();
                    }
                    failures += 1;
                    BACKOFF.delay(failures, 1.0)
                }
            };
            let again = Instant::now() + again;
            loop {
                tokio::select! {
                    // The order of simultaneous events is fixed, so that a run can be repeated from its seed.
                    biased;
                    message = live.next() => match message {
                        Some(message) => self.note(&message.subject),
                        None => return,
                    },
                    // A server that came back may have another stream, with its own numbers.
                    () = back_up(&mut link) => {
                        from = 0;
                        *self.came_back.lock() = Some(Instant::now());
                        break;
                    }
                    () = sleep_until(again) => break,
                }
            }
        }
    }

    fn say_caught_up(&self) {
        // Fails if it was set before.
        let _ = self.caught_up.set(());
    }

    /// Reads the stream from `from` to its end.
    async fn read(&self, pattern: &str, from: &mut u64) -> Result<(), Error> {
        let stream = &self.outbox.topology().cancels;
        let mut cancels = self.outbox.broker().replay(stream, pattern, *from).await?;
        while let Some(stored) = cancels.next().await {
            let stored = stored?;
            self.note(&stored.message.subject);
            *from = stored.sequence + 1;
        }
        Ok(())
    }

    fn note(&self, subject: &str) {
        if let Some(key) = self.outbox.topology().subjects.parse_request_key("ctl", subject) {
            self.cancel(key);
        }
    }
}

/// Resolves when the connection is back; never, once the broker is closed.
pub(crate) async fn back_up(link: &mut watch::Receiver<Link>) {
    loop {
        if link.changed().await.is_err() {
            return std::future::pending().await;
        }
        if matches!(*link.borrow_and_update(), Link::Up) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use broker::{Broker, Limits, Message, Seams, Topology, memory::Memory};
    use bytes::Bytes;
    use futures_util::FutureExt;
    use schemas::{Format, Subjects};

    use super::*;

    fn control(broker: &Memory) -> Arc<Control> {
        let topology = Arc::new(Topology::new(Subjects::default()));
        Arc::new(Control::new(Outbox::new(Arc::new(broker.clone()), topology, Seams::system())))
    }

    fn key(id: &str) -> Key {
        (Tenant::new("t").unwrap(), RequestId::new(id).unwrap())
    }

    #[tokio::test]
    async fn a_cancel_reaches_running_work_and_work_that_comes_later() {
        let control = control(&Memory::default());
        let running = control.register(&key("a").0, &key("a").1);
        control.cancel(key("a"));
        running.cancelled().await;
        control.cancel(key("b"));
        control.register(&key("b").0, &key("b").1).cancelled().await;
        drop(running);
        assert!(control.running.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn work_waits_until_the_cancels_from_before_are_known_and_no_longer() {
        let broker = Memory::default();
        broker.ensure(&Topology::new(Subjects::default()).streams(&Limits::default())).await.unwrap();
        broker.send(Message::new("dynode.ctl.t.a", Format::Json, Bytes::new())).await.unwrap();
        broker.disconnect();
        let control = control(&broker);
        let listening = control.listen();
        let early = control.register(&key("a").0, &key("a").1);
        sleep(Duration::from_secs(60)).await;
        assert!(control.caught_up().now_or_never().is_none(), "nothing could be read");
        broker.reconnect();
        control.caught_up().await;
        assert!(early.cancelled().now_or_never().is_some(), "known before the work goes on");
        listening.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_keeps_no_cancels_does_not_hold_the_work_up() {
        let control = control(&Memory::default());
        let listening = control.listen();
        control.caught_up().await;
        listening.abort();
    }
}
