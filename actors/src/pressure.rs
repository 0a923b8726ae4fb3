//! Tells publishers when to wait: `pause` and `resume` on `dynode.sig.<pool>`, before anybody has to be refused.
//!
//! Every node hears all heartbeats and comes to the same result; one of them speaks for the pool. It repeats a pause
//! with each of its beats, so that late listeners learn of it, and a node that begins to speak says how things stand.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use broker::{Broker, Message};
use futures_util::StreamExt;
use schemas::{Backpressure, Census, Flow, Format, Heartbeat, Subjects};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use crate::backoff::Backoff;

/// The shortest retry delay, in milliseconds: a sooner retry meets the same queue.
const RETRY_AFTER_MS_MIN: u64 = 1_000;
const SUBSCRIBE_BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// When a pool pauses and when it resumes. Between the two nothing changes, so that a queue near the limit does not
/// flap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Band {
    /// Above this estimated wait the pool pauses, in milliseconds.
    pub pause_wait_ms: u64,
    /// Below this one it resumes; less than the other.
    pub resume_wait_ms: u64,
}

impl Band {
    /// The state that follows `now` at this wait. Pure.
    pub const fn next(self, now: Flow, wait_ms: u64) -> Flow {
        match now {
            Flow::Resume if wait_ms > self.pause_wait_ms => Flow::Pause,
            Flow::Pause if wait_ms < self.resume_wait_ms => Flow::Resume,
            _ => now,
        }
    }
}

/// Watches the pools of one node.
#[derive(Debug)]
pub struct Pressure {
    node: String,
    band: Band,
    broker: Arc<dyn Broker>,
    subjects: Subjects,
    census: Census,
    origin: Instant,
    pools: BTreeMap<String, Stand>,
}

/// The state of a pool.
#[derive(Debug)]
struct Stand {
    flow: Flow,
    /// Whether this node speaks for the pool, as of its last heartbeat.
    speaking: bool,
}

impl Pressure {
    /// Watches `pools`, which this node has.
    pub fn new(
        node: String,
        band: Band,
        broker: Arc<dyn Broker>,
        subjects: Subjects,
        pools: impl IntoIterator<Item = String>,
    ) -> Self {
        let stand = |pool| (pool, Stand { flow: Flow::Resume, speaking: false });
        let pools = pools.into_iter().map(stand).collect();
        Self { node, band, broker, subjects, census: Census::default(), origin: Instant::now(), pools }
    }

    /// Listens until dropped. Without it nobody is asked to wait; the limits of the doors and of the broker hold.
    pub async fn run(mut self) {
        let mut failures = 0;
        loop {
            match self.broker.subscribe(&self.subjects.all("hb")).await {
                Ok(mut heartbeats) => {
                    failures = 0;
                    while let Some(message) = heartbeats.next().await {
                        self.hear(&message).await;
                    }
                }
                Err(error) => warn!(%error, "heartbeats are not heard"),
            }
            failures += 1;
            sleep(SUBSCRIBE_BACKOFF.delay(failures, 1.0)).await;
        }
    }

    /// Takes in a heartbeat; judges the pool if the heartbeat is this node's own.
    async fn hear(&mut self, message: &Message) {
        let beat = match message.format().decode::<Heartbeat>(&message.payload) {
            Ok(beat) => beat,
            Err(error) => return debug!(%error, subject = message.subject, "not a heartbeat"),
        };
        let now_ms = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (ours, pool) = (beat.node == self.node, beat.worker.clone());
        self.census.hear(beat, now_ms);
        if let (true, Some(signal)) = (ours, self.judge(&pool, now_ms)) {
            self.say(signal).await;
        }
    }

    /// The signal to publish for `pool` now, if any.
    fn judge(&mut self, pool: &str, now_ms: u64) -> Option<Backpressure> {
        let stand = self.pools.get_mut(pool)?;
        let wait_ms = self.census.estimated_wait_ms(pool, now_ms)?;
        let flow = self.band.next(stand.flow, wait_ms);
        let changed = flow != stand.flow;
        let spoke = stand.speaking;
        stand.flow = flow;
        stand.speaking = self.census.speaker(pool, now_ms) == Some(self.node.as_str());
        if !stand.speaking || (spoke && !changed && flow == Flow::Resume) {
            return None;
        }
        if changed {
            info!(pool, state = ?flow, wait_ms, "backpressure");
        }
        let retry_after_ms = (flow == Flow::Pause)
            .then(|| wait_ms.saturating_sub(self.band.resume_wait_ms).max(RETRY_AFTER_MS_MIN));
        Some(Backpressure {
            pool: pool.to_owned(),
            state: flow,
            retry_after_ms,
            estimated_wait_ms: Some(wait_ms),
        })
    }

    async fn say(&self, signal: Backpressure) {
        let subject = self.subjects.signal(&signal.pool);
        // Numbers and strings always encode.
        let Ok(payload) = Format::Json.encode(&signal) else { return };
        if let Err(error) = self.broker.send(Message::new(subject, Format::Json, payload)).await {
            debug!(%error, pool = signal.pool, "signal not sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use broker::memory::Memory;
    use proptest::prelude::*;

    use super::*;

    const BAND: Band = Band { pause_wait_ms: 5_000, resume_wait_ms: 2_000 };

    #[test]
    fn a_pool_pauses_above_the_band_and_resumes_below_it() {
        assert_eq!(BAND.next(Flow::Resume, 5_000), Flow::Resume);
        assert_eq!(BAND.next(Flow::Resume, 5_001), Flow::Pause);
        assert_eq!(BAND.next(Flow::Pause, 2_000), Flow::Pause);
        assert_eq!(BAND.next(Flow::Pause, 1_999), Flow::Resume);
    }

    proptest! {
        #[test]
        fn nothing_flaps_inside_the_band(waits in prop::collection::vec(2_000..=5_000_u64, 1..100), paused: bool) {
            let first = if paused { Flow::Pause } else { Flow::Resume };
            let last = waits.into_iter().fold(first, |flow, wait_ms| BAND.next(flow, wait_ms));
            prop_assert_eq!(last, first);
        }
    }

    fn pressure(node: &str) -> Pressure {
        let broker = Arc::new(Memory::default());
        Pressure::new(node.into(), BAND, broker, Subjects::default(), ["sim".to_owned()])
    }

    fn beat(node: &str, queue: u64) -> Heartbeat {
        Heartbeat {
            v: schemas::VERSION,
            node: node.into(),
            worker: "sim".into(),
            pid: 1,
            connected: true,
            every_ms: 2_000,
            slots: 1,
            queue: Some(queue),
            inflight: 1,
            last_progress_ms: 0,
            average_job_ms: 1_000.0,
            governing: None,
            at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[tokio::test]
    async fn one_node_speaks_and_repeats_a_pause_and_the_next_takes_over_when_it_is_silent() {
        let mut nodes = [pressure("a"), pressure("b")];
        let mut said = |queue, at_ms: u64, living: &[&str]| {
            nodes.each_mut().map(|node| {
                living.iter().for_each(|name| node.census.hear(beat(name, queue), at_ms));
                node.judge("sim", at_ms).map(|signal| signal.state)
            })
        };
        assert_eq!(
            said(0, 0, &["a", "b"]),
            [Some(Flow::Resume), None],
            "who begins to speak says how it stands"
        );
        assert_eq!(said(0, 1_000, &["a", "b"]), [None, None], "nothing has changed");
        assert_eq!(said(90, 2_000, &["a", "b"]), [Some(Flow::Pause), None]);
        assert_eq!(said(90, 3_000, &["a", "b"]), [Some(Flow::Pause), None], "a pause is repeated");
        assert_eq!(said(0, 10_000, &["b"])[1], Some(Flow::Resume), "the next one knew that it was paused");
    }
}
