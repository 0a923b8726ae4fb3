//! Decides which messages a pool takes next: never more than it has slots for, and from each lane in its turn.
//!
//! A bell says that a message came into a lane. The dispatcher takes a slot before it asks a lane, and the slot travels
//! with the message; a question waits only for moments, so no empty lane keeps a slot for long. A look into the stream
//! finds what rings for nobody (an expired lease, a lost bell).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use broker::{Broker, Consumer, ConsumerSpec, ErrorKind, Lease};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use ractor::ActorRef;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};
use tracing::{debug, warn};

use crate::{
    backoff::Backoff,
    fair::{FairQueue, Lane},
    pool::{Arguments, Message},
    queue::Queue,
    stage::{Held, Return},
};

/// How often to look into the stream: the longest time that a message waits after its lease has expired.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After this long without activity the dispatcher forgets a lane; the next bell opens it again.
const LANE_QUIET_MAX: Duration = Duration::from_secs(60);
/// How long to wait before asking a failed broker again.
const PULL_BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
/// The most bells read before the next question, which then covers all of them.
const BELLS_AT_ONCE_MAX: usize = 256;
/// A bell may ring a moment before its message can be pulled.
const BELL_PATIENCE: Duration = Duration::from_millis(10);
/// If the message did not come in that time, the dispatcher asks once more after this long.
const BELL_RETRY: Duration = Duration::from_millis(100);
/// A lane that alone has work gets, beyond that work, one in this many of the slots that are left: what came since its
/// bell comes along, and the next lane to ring finds slots.
const ALONG: u64 = 4;
/// If nothing waits, half of the free slots wait this long at the lane of the last message: the next one comes without
/// a bell. The other half is for any other lane that rings.
const WARM_PATIENCE: Duration = Duration::from_millis(250);
/// How long to leave alone a lane that cannot be asked.
const LANE_RETRY: Duration = Duration::from_secs(5);
/// Room for unread returns, or as many as there are slots: a return that finds no room looks like a job that runs on.
const RETURNS_MIN: usize = 4_096;

/// Pulls messages for a pool, and hands them to it.
pub(crate) struct Dispatch {
    arguments: Arguments,
    pool: ActorRef<Message>,
    queue: Queue,
    fair: FairQueue,
    lanes: BTreeMap<Lane, Open>,
    /// When a message whose retry was delayed here is back in its lane.
    later: BTreeSet<(Instant, Lane)>,
    questions: FuturesUnordered<BoxFuture<'static, Answer>>,
    looking: bool,
    /// The lane of the last message: the next one is likely to come from there.
    warm: Option<Lane>,
    returns: mpsc::Receiver<Return>,
    back: mpsc::Sender<Return>,
}

/// The state of an open lane.
#[derive(Default)]
struct Open {
    /// `None` until the lane is asked for the first time, and while it is being asked.
    consumer: Option<Box<dyn Consumer>>,
    /// Bells since it was asked, for messages that had not come yet: the answer may or may not hold them.
    rung: u64,
    /// The furthest place that a bell rang for, and the furthest that a message came from. They come in order.
    rung_for: u64,
    came: u64,
    quiet_since: Option<Instant>,
}

impl Open {
    /// A bell rang for the message at `place`, if it named one; returns whether that message is still to come.
    fn rings(&mut self, place: Option<u64>) -> bool {
        self.quiet_since = None;
        let place = place.unwrap_or(u64::MAX);
        let is_new = place > self.came;
        if is_new {
            self.rung = self.rung.saturating_add(1);
            self.rung_for = self.rung_for.max(place);
        }
        is_new
    }

    /// `leases` came; returns how many may still be there, of those that bells rang for meanwhile.
    fn comes(&mut self, leases: &[Lease]) -> u64 {
        self.came = leases.iter().map(|lease| lease.sequence).fold(self.came, u64::max);
        self.rung = self.rung.min(self.rung_for.saturating_sub(self.came));
        self.rung
    }
}

/// The answer to a question to the broker.
enum Answer {
    Pulled(Pulled),
    Looked(Result<Vec<(String, u64)>, broker::Error>),
}

struct Pulled {
    lane: Lane,
    consumer: Option<Box<dyn Consumer>>,
    slots: OwnedSemaphorePermit,
    /// Whether a bell rang for the lane.
    expected: bool,
    leases: Result<Vec<Lease>, broker::Error>,
}

impl Dispatch {
    pub(crate) fn new(arguments: Arguments, pool: ActorRef<Message>) -> Self {
        let (back, returns) = mpsc::channel(RETURNS_MIN.max(arguments.slots.available_permits()));
        Self {
            queue: arguments.runner.stage().queue(),
            arguments,
            pool,
            fair: FairQueue::default(),
            lanes: BTreeMap::new(),
            later: BTreeSet::new(),
            questions: FuturesUnordered::new(),
            looking: false,
            warm: None,
            returns,
            back,
        }
    }

    /// Takes messages until told to stop.
    pub(crate) async fn run(mut self) {
        let mut failures = 0;
        while !self.arguments.stop.is_cancelled() {
            let Err(error) = self.serve(&mut failures).await else { break };
            failures += 1;
            warn!(stage = self.arguments.runner.stage().name(), %error, failures, "broker gives no messages");
            let stop = self.arguments.stop.clone();
            tokio::select! {
                biased;
                () = sleep(PULL_BACKOFF.delay(failures, 1.0)) => {}
                () = stop.cancelled() => {}
            }
        }
        // Messages on their way are still worked on; the drain waits for them.
        while let Some(answer) = self.questions.next().await {
            if let Answer::Pulled(pulled) = answer
                && let Err(error) = self.pulled(pulled)
            {
                debug!(%error, "nothing came of the last question");
            }
        }
    }

    /// `Ok` when told to stop, the error otherwise.
    async fn serve(&mut self, failures: &mut u32) -> Result<(), broker::Error> {
        let (stop, slots) = (self.arguments.stop.clone(), Arc::clone(&self.arguments.slots));
        // Before the look, so that nothing is missed in between.
        let bells = self.arguments.broker.subscribe(&self.queue.bell_pattern()).await?;
        let mut bells = bells.ready_chunks(BELLS_AT_ONCE_MAX);
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.ask();
            let waiting = self.fair.has_demand();
            let due = self.later.first().map(|(at, _)| *at);
            // The order matters little, but a fixed one makes a run repeatable.
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(answer) = self.questions.next(), if !self.questions.is_empty() => {
                    self.answered(answer)?;
                    *failures = 0;
                }
                Some(returned) = self.returns.recv() => self.returned(returned),
                rung = bells.next() => match rung {
                    Some(rung) => rung.iter().for_each(|bell| self.rung(bell)),
                    None => return Err(broker::Error::new(ErrorKind::Disconnected, "the watch for new work ended")),
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.wake(),
                slot = slots.acquire(), if waiting => drop(slot),
                _ = looks.tick() => self.look(),
            }
        }
    }

    /// Gives the free slots to lanes, in their turn, and asks those lanes.
    fn ask(&mut self) {
        for (lane, jobs) in self.grants() {
            let rung = self.lanes.get(&lane).is_some_and(|open| open.rung > 0);
            self.question(lane, jobs, if rung { BELL_PATIENCE } else { Duration::ZERO }, rung);
        }
        let Some(lane) = self.warm.take() else { return };
        let spare = self.arguments.slots.available_permits() as u64 / 2;
        if spare > 0 && !self.fair.has_demand() {
            self.fair.charge(&lane, spare);
            self.question(lane, spare, WARM_PATIENCE, false);
        }
    }

    /// How many of the free slots each lane gets.
    fn grants(&mut self) -> BTreeMap<Lane, u64> {
        let mut free = self.arguments.slots.available_permits() as u64;
        let mut granted = BTreeMap::<Lane, u64>::new();
        let alone = self.fair.competing() == 1;
        while free > 0 {
            let Some(lane) = self.fair.grant() else { break };
            free -= 1;
            let more = if alone { self.along(&lane, free) } else { 0 };
            self.fair.charge(&lane, more);
            free -= more;
            *granted.entry(lane).or_default() += 1 + more;
        }
        granted
    }

    /// How many more of the free slots go to a lane without competition.
    fn along(&self, lane: &Lane, free: u64) -> u64 {
        let known = self.fair.demand(lane).min(free);
        // A lane without a consumer takes longer to ask.
        let is_open = self.lanes.get(lane).is_some_and(|open| open.consumer.is_some());
        if is_open { known + (free - known) / ALONG } else { known }
    }

    /// Asks a lane for `jobs` jobs, which were granted to it.
    fn question(&mut self, lane: Lane, jobs: u64, patience: Duration, expected: bool) {
        let count = u32::try_from(jobs).unwrap_or(u32::MAX);
        let Ok(slots) = Arc::clone(&self.arguments.slots).try_acquire_many_owned(count) else {
            self.fair.refund(&lane, jobs);
            self.fair.suspect(&lane, 1);
            return;
        };
        self.fair.set_asked(&lane, true);
        self.warm = self.warm.take().filter(|warm| *warm != lane);
        let open = self.lanes.entry(lane.clone()).or_default();
        (open.rung, open.quiet_since) = (0, None);
        let (consumer, broker) = (open.consumer.take(), Arc::clone(&self.arguments.broker));
        let spec = self.queue.consumer(&lane);
        let question = async move {
            let asked = ask(&*broker, &spec, consumer, slots.num_permits(), patience).await;
            let (consumer, leases) = match asked {
                Ok((consumer, leases)) => (Some(consumer), Ok(leases)),
                Err(error) => (None, Err(error)),
            };
            Answer::Pulled(Pulled { lane, consumer, slots, expected, leases })
        };
        self.questions.push(question.boxed());
    }

    fn answered(&mut self, answer: Answer) -> Result<(), broker::Error> {
        match answer {
            Answer::Pulled(pulled) => self.pulled(pulled),
            Answer::Looked(subjects) => {
                self.looking = false;
                self.looked(subjects?);
                Ok(())
            }
        }
    }

    /// Hands on the messages that came, and frees the slots left over.
    fn pulled(&mut self, pulled: Pulled) -> Result<(), broker::Error> {
        let Pulled { lane, consumer, mut slots, expected, leases } = pulled;
        let asked = slots.num_permits() as u64;
        let estimate = self.fair.estimate(&lane);
        self.fair.set_asked(&lane, false);
        let open = self.lanes.entry(lane.clone()).or_default();
        open.consumer = consumer;
        let leases = match leases {
            Ok(leases) => leases,
            Err(error) => {
                // Whoever repairs the stream may start its numbers anew.
                open.came = 0;
                self.fair.refund(&lane, asked);
                return self.failed(lane, error);
            }
        };
        let came = leases.len() as u64;
        self.fair.refund(&lane, asked.saturating_sub(came));
        if expected && came == 0 {
            self.later.insert((Instant::now() + BELL_RETRY, lane.clone()));
        }
        // The `pending` of the last message leaves out redeliveries.
        let behind = leases.last().filter(|_| came >= asked).map_or(0, |last| last.pending.max(1));
        self.fair.believe(&lane, behind.saturating_add(open.comes(&leases)));
        if came > 0 {
            self.warm = Some(lane.clone());
        }
        let link = self.arguments.broker.link();
        let hold = |lease: Lease| {
            let (back, link) = (self.back.clone(), link.clone());
            let account = Return { lane: lane.clone(), estimate, cost: None, again: None };
            slots.split(1).map(|slot| Held::new(lease, slot, account, back, link))
        };
        let held: Vec<Held> = leases.into_iter().filter_map(hold).collect();
        // If the pool is gone, dropping the leased messages hands them back.
        if !held.is_empty() && self.pool.cast(Message::Leased(held)).is_err() {
            return Err(broker::Error::new(ErrorKind::Closed, "the pool has stopped"));
        }
        Ok(())
    }

    /// An unreachable broker fails for all lanes; any other error is one lane's trouble and must not affect the others.
    fn failed(&mut self, lane: Lane, error: broker::Error) -> Result<(), broker::Error> {
        if matches!(error.kind(), ErrorKind::Disconnected | ErrorKind::Timeout | ErrorKind::Closed) {
            self.fair.suspect(&lane, 1);
            return Err(error);
        }
        let (queue, class, tenant) = (&self.queue.base, lane.class.as_str(), lane.tenant.as_deref());
        warn!(queue, class, tenant, %error, "broker gives no messages of one lane");
        self.later.insert((Instant::now() + LANE_RETRY, lane));
        Ok(())
    }

    fn rung(&mut self, bell: &broker::Message) {
        let Some(lane) = self.queue.rung(&bell.subject) else { return };
        if self.lanes.entry(lane.clone()).or_default().rings(bell.rings_for()) {
            self.fair.arrive(&lane, 1);
        }
    }

    fn returned(&mut self, returned: Return) {
        let Return { lane, estimate, cost, again } = returned;
        self.fair.end(&lane, estimate, cost);
        if let Some(delay) = again {
            self.later.insert((Instant::now() + delay, lane));
        }
    }

    /// Delayed messages that are due are back in their lanes.
    fn wake(&mut self) {
        while let Some((at, _)) = self.later.first()
            && *at <= Instant::now()
            && let Some((_, lane)) = self.later.pop_first()
        {
            self.fair.suspect(&lane, 1);
        }
    }

    /// Asks what the stream holds, one question at a time.
    fn look(&mut self) {
        if self.looking {
            return;
        }
        self.looking = true;
        let (broker, stream) = (Arc::clone(&self.arguments.broker), self.queue.stream.clone());
        let pattern = self.queue.pattern();
        self.questions.push(async move { Answer::Looked(broker.subjects(&stream, &pattern).await) }.boxed());
    }

    /// The stream's messages may be at work, here or elsewhere, or may wait: asking their lane will tell.
    fn looked(&mut self, subjects: Vec<(String, u64)>) {
        let mut held = BTreeMap::<Lane, u64>::new();
        for (subject, messages) in subjects {
            if let Some(lane) = self.queue.lane(&subject) {
                *held.entry(lane).or_default() += messages;
            }
        }
        let now = Instant::now();
        for (lane, held) in &held {
            self.fair.suspect(lane, *held);
            self.lanes.entry(lane.clone()).or_default().quiet_since = None;
        }
        let put_off: BTreeSet<&Lane> = self.later.iter().map(|(_, lane)| lane).collect();
        let fair = &mut self.fair;
        self.lanes.retain(|lane, open| {
            let quiet = !held.contains_key(lane) && fair.is_idle(lane) && !put_off.contains(lane);
            let since = quiet.then(|| *open.quiet_since.get_or_insert(now));
            let keep = since.is_none_or(|since| now.duration_since(since) < LANE_QUIET_MAX);
            if !keep {
                fair.forget(lane);
            }
            keep
        });
    }
}

/// Asks a lane, and creates its consumer if there is none yet.
async fn ask(
    broker: &dyn Broker,
    spec: &ConsumerSpec,
    consumer: Option<Box<dyn Consumer>>,
    max: usize,
    patience: Duration,
) -> Result<(Box<dyn Consumer>, Vec<Lease>), broker::Error> {
    let mut consumer = match consumer {
        Some(consumer) => consumer,
        None => broker.consume(spec).await?,
    };
    let leases = consumer.pull(max, patience).await?;
    Ok((consumer, leases))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_for_what_has_come_asks_for_nothing() {
        let mut open = Open { came: 7, ..Open::default() };
        assert!(!open.rings(Some(7)), "it came over a question that stood");
        assert!(open.rings(Some(8)) && open.rings(Some(9)));
        assert_eq!(open.comes(&[]), 2, "neither has come");
        open.came = 8;
        assert_eq!(open.comes(&[]), 1);
        open.came = 9;
        assert_eq!(open.comes(&[]), 0);
        assert!(open.rings(None), "one that does not say may be for anything");
        assert_eq!(open.comes(&[]), 1);
    }
}
