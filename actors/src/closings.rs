//! Tells all engines that a provider wants no calls for a while: one hears it, all are told, later ones read it.
//!
//! Each governor holds back its own engine. Here the other engines learn what a provider has asked for, so that it need
//! not tell them one by one. Best effort: an engine cut off from the broker neither tells nor hears.

use std::{sync::Arc, time::Duration};

use broker::{Error, Message, Subscription};
use futures_util::StreamExt;
use schemas::{Closing, Format, outcome::milliseconds};
use tokio::{
    sync::SetOnce,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tracing::{debug, warn};

use crate::{backoff::Backoff, control::back_up, outbox::Outbox, provider::Governors};

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
/// What was heard live need not be read; an engine that was away reads when its connection is back.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(300);

/// Publishes and hears of closed providers.
#[derive(Debug)]
pub struct Closings {
    outbox: Outbox,
    governors: Arc<Governors>,
    /// Every provider, and how many keys it has.
    providers: Vec<(String, usize)>,
    /// Whether what was published before this engine started has been read.
    caught_up: SetOnce<()>,
}

impl Closings {
    /// Knows of none yet; passes those of `providers` on to `governors`.
    pub fn new(outbox: Outbox, governors: Arc<Governors>, providers: Vec<(String, usize)>) -> Self {
        Self { outbox, governors, providers, caught_up: SetOnce::new() }
    }

    /// The provider wants no call by `key` before `pause` has passed: no engine that hears of it starts one.
    pub async fn close(&self, provider: &str, key: usize, pause: Duration) {
        self.governors.close(provider, key, Instant::now() + pause);
        self.tell(provider, key).await;
    }

    /// Every key of every provider.
    fn keys(&self) -> impl Iterator<Item = (&str, usize)> {
        self.providers.iter().flat_map(|(provider, keys)| (0..*keys).map(|key| (provider.as_str(), key)))
    }

    /// Publishes the latest known time, so that only the last message of a key need be read.
    async fn tell(&self, provider: &str, key: usize) {
        let Some(closed_until) = self.governors.closed_until(provider, key) else { return };
        let now = self.outbox.now();
        let until = now.saturating_add(closed_until.duration_since(Instant::now())).unwrap_or(now);
        let subject = self.outbox.topology().subjects.closing(provider, key);
        // A time always encodes.
        let Ok(payload) = Format::Json.encode(&Closing { until }) else { return };
        if let Err(error) = self.outbox.broker().send(Message::new(subject, Format::Json, payload)).await {
            debug!(%error, provider, "other engines do not hear that a provider wants no calls");
        }
    }

    /// Resolves when this engine knows what was published before it started, which is almost always at once.
    pub async fn caught_up(&self) {
        self.caught_up.wait().await;
    }

    /// Listens until aborted.
    pub fn listen(self: &Arc<Self>) -> JoinHandle<()> {
        let closings = Arc::clone(self);
        tokio::spawn(async move {
            let pattern = closings.outbox.topology().subjects.all("lim");
            let mut failures = 0;
            loop {
                match closings.outbox.broker().subscribe(&pattern).await {
                    Ok(live) => {
                        failures = 0;
                        closings.hear(live).await;
                    }
                    Err(error) => warn!(%error, "it is not heard which providers want no calls"),
                }
                failures += 1;
                sleep(BACKOFF.delay(failures, 1.0)).await;
            }
        })
    }

    /// Reads what is stored, and hears what comes, until the subscription ends.
    async fn hear(&self, mut live: Subscription) {
        let mut link = self.outbox.broker().link();
        let mut failures = 0;
        loop {
            // The subscription is there already, so nothing falls between reading and hearing.
            let again = match self.read().await {
                Ok(()) => {
                    failures = 0;
                    READ_AGAIN_AFTER
                }
                Err(error) => {
                    debug!(%error, "it is not known which providers want no calls");
                    failures += 1;
                    BACKOFF.delay(failures, 1.0)
                }
            };
            // Fails if it was set before. Nobody waits for a broker that does not answer: a provider says it again.
            let _ = self.caught_up.set(());
            let again = Instant::now() + again;
            loop {
                tokio::select! {
                    // The order of simultaneous events is fixed, so that a run can be repeated from its seed.
                    biased;
                    message = live.next() => match message {
                        Some(message) => self.note(&message),
                        None => return,
                    },
                    // Now publish what could not be published, and read what was not heard.
                    () = back_up(&mut link) => {
                        for (provider, key) in self.keys() {
                            self.tell(provider, key).await;
                        }
                        break;
                    }
                    () = sleep_until(again) => break,
                }
            }
        }
    }

    /// Reads the last message of each key.
    async fn read(&self) -> Result<(), Error> {
        let topology = self.outbox.topology();
        for (provider, key) in self.keys() {
            let subject = topology.subjects.closing(provider, key);
            if let Some(stored) = self.outbox.broker().last(&topology.closings, &subject).await? {
                self.note(&stored.message);
            }
        }
        Ok(())
    }

    fn note(&self, message: &Message) {
        let provider = self.outbox.topology().subjects.parse_closing(&message.subject);
        let closing = message.format().decode::<Closing>(&message.payload);
        if let (Some((provider, key)), Ok(Closing { until })) = (provider, closing) {
            let pause = Duration::from_millis(milliseconds(self.outbox.now(), until));
            self.governors.close(provider, key, Instant::now() + pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use broker::{Broker, Limits, Seams, Topology, memory::Memory};
    use jiff::Timestamp;
    use ractor::Actor;
    use schemas::Subjects;

    use super::*;
    use crate::{
        ProviderLimits,
        governor::{Arguments, Governor, Need, Retries},
    };

    const PROVIDER: &str = "sim";

    /// One engine's part of it.
    async fn engine(broker: &Memory) -> (Arc<Closings>, Arc<Governors>, JoinHandle<()>) {
        let topology = Arc::new(Topology::new(Subjects::default()));
        let outbox =
            Outbox::new(Arc::new(broker.clone()), topology, Seams::simulated(1, Timestamp::UNIX_EPOCH));
        let governors = Arc::new(Governors::default());
        seat(&governors).await;
        let closings = Arc::new(Closings::new(
            outbox,
            Arc::clone(&governors),
            vec![(PROVIDER.to_owned(), 1), ("other".to_owned(), 2)],
        ));
        let listening = closings.listen();
        (closings, governors, listening)
    }

    async fn seat(governors: &Governors) {
        let retries = Retries::default();
        let arguments = Arguments {
            provider: PROVIDER.into(),
            limits: ProviderLimits { concurrency: 8, ..ProviderLimits::default() },
            keys: 1,
            seams: Seams::simulated(1, Timestamp::UNIX_EPOCH),
            metrics: Arc::default(),
            retries: retries.clone(),
            clerk: None,
        };
        let (governor, _) = Actor::spawn(None, Governor, arguments).await.unwrap();
        governors.set(PROVIDER, Governor::handle(governor, retries));
    }

    async fn broker() -> Memory {
        let broker = Memory::with_seams(Seams::simulated(1, Timestamp::UNIX_EPOCH));
        broker.ensure(&Topology::new(Subjects::default()).streams(&Limits::default())).await.unwrap();
        broker
    }

    async fn waits(governors: &Governors) -> Duration {
        let asked = Instant::now();
        let deadline = Instant::now() + Duration::from_secs(3_600);
        let need = Need { model: "m".into(), input: 10, output_max: Some(10), deadline };
        governors.get(PROVIDER).unwrap().permit(need).await.unwrap();
        asked.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_engine_is_told_holds_for_those_that_run_and_for_those_that_start_later() {
        let broker = broker().await;
        let (told, _, _one) = engine(&broker).await;
        let (hears, others, _two) = engine(&broker).await;
        hears.caught_up().await;
        told.close(PROVIDER, 0, Duration::from_secs(9)).await;
        sleep(Duration::from_secs(1)).await;
        let (later, newest, _three) = engine(&broker).await;
        later.caught_up().await;
        let waited = tokio::join!(waits(&others), waits(&newest));
        assert!(waited.0 >= Duration::from_secs(8) && waited.1 >= Duration::from_secs(8), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_time_that_is_told_later_does_not_hide_the_longer() {
        let broker = broker().await;
        let (told, _, _one) = engine(&broker).await;
        told.close(PROVIDER, 0, Duration::from_secs(9)).await;
        told.close(PROVIDER, 0, Duration::from_secs(2)).await;
        let (later, newest, _two) = engine(&broker).await;
        later.caught_up().await;
        assert!(waits(&newest).await >= Duration::from_secs(8));
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_told_is_told_when_the_connection_is_back() {
        let broker = broker().await;
        let (told, _, _one) = engine(&broker).await;
        let (_, others, _two) = engine(&broker).await;
        sleep(Duration::from_secs(1)).await;
        broker.disconnect();
        told.close(PROVIDER, 0, Duration::from_secs(60)).await;
        sleep(Duration::from_secs(1)).await;
        broker.reconnect();
        sleep(Duration::from_secs(1)).await;
        assert!(waits(&others).await > Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_told_while_the_connection_was_lost_is_read_when_it_is_back() {
        let broker = broker().await;
        let (_, governors, _one) = engine(&broker).await;
        sleep(Duration::from_secs(1)).await;
        let until = Timestamp::UNIX_EPOCH + Duration::from_secs(60);
        let body = Format::Json.encode(&Closing { until }).unwrap();
        let deaf = broker::memory::Rule::new(broker::memory::Fault::Drop, "dynode.lim.>");
        let deaf = broker.inject(deaf).unwrap();
        broker.send(Message::new("dynode.lim.sim.0", Format::Json, body)).await.unwrap();
        broker.heal(deaf);
        broker.disconnect();
        sleep(Duration::from_secs(1)).await;
        broker.reconnect();
        sleep(Duration::from_secs(1)).await;
        assert!(waits(&governors).await > Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_governor_that_takes_the_place_of_another_knows_what_that_was_told() {
        let governors = Governors::default();
        governors.close(PROVIDER, 0, Instant::now() + Duration::from_secs(7));
        seat(&governors).await;
        assert!(waits(&governors).await >= Duration::from_secs(7));
    }
}
