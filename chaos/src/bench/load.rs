//! The load: callers that repeat the same request, in a closed loop or at a steady rate. It shares the machine with the
//! system under test, so each request costs as little as possible: one thread, one lock, prepared bytes.

pub(crate) mod ask;
pub(crate) mod bus;
pub(crate) mod http;
pub(crate) mod marks;
mod pacer;
pub(crate) mod schedule;
pub(crate) mod socket;
pub(crate) mod tally;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};

use self::{
    schedule::Schedule,
    tally::{Notes, Tally, Window},
};
use super::scenario::{Case, Load};

/// How long after the window a request that was due within it may still take. Slower ones have failed.
const GRACE: Duration = Duration::from_secs(10);
/// The reason of those failures.
const UNANSWERED: &str = "not answered in time";

/// Why a request failed, in a few words: equal for equal reasons.
pub(crate) type Failure = String;

/// A caller. It sends one request at a time, the next once this one is answered.
pub(crate) trait Caller: Send + 'static {
    /// Sends one request, reads the whole answer, and notes what it sees on the way.
    fn call(&mut self, notes: &mut Notes) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// How many callers a load needs: for an open load, as many as could be busy if all is slow.
pub(crate) const fn callers(load: Load) -> u32 {
    match load {
        Load::Closed(at_once) => at_once,
        // One second's worth, or as many as a fast machine can keep open.
        Load::Open(rate) => match rate {
            0..64 => 64,
            64..1_000 => rate,
            _ => 1_000,
        },
    }
}

/// Runs the callers until the end of the window, and returns what they saw within it.
pub(crate) async fn drive<C: Caller>(callers: Vec<C>, case: Case, window: Window) -> Tally {
    let tally = Arc::new(Mutex::new(Tally::new()));
    match case.load {
        Load::Closed(_) => closed(callers, case.work.takes(), window, &tally).await,
        Load::Open(rate) => open(callers, f64::from(rate), window, &tally).await,
    }
    let seen = tally.lock();
    seen.clone()
}

/// Counts what ended within the window. The callers' starts are spread over the duration of an answer: if they started
/// together they would stay in step for ever, as no users do.
async fn closed<C: Caller>(callers: Vec<C>, takes: Duration, window: Window, tally: &Arc<Mutex<Tally>>) {
    let mut tasks = JoinSet::new();
    let (began, all) = (Instant::now(), u32::try_from(callers.len()).unwrap_or(u32::MAX).max(1));
    for (number, mut caller) in (0_u32..).zip(callers) {
        let tally = Arc::clone(tally);
        let begins = began + takes / all * number;
        // If it dies, its answer is missing.
        tasks.spawn(async move {
            let mut notes = Notes::default();
            if begins > began {
                sleep_until(begins).await;
            }
            loop {
                let due = Instant::now();
                if due >= window.until {
                    return;
                }
                notes.clear();
                let answered = caller.call(&mut notes).await;
                let now = Instant::now();
                if window.holds(now) {
                    count(&mut tally.lock(), answered, due, now, &notes);
                }
            }
        });
    }
    settle(tasks, window).await;
}

/// Counts the requests that were due within the window, however long they take: leaving out those still running at the
/// end would leave out the slowest.
async fn open<C: Caller>(callers: Vec<C>, rate: f64, window: Window, tally: &Arc<Mutex<Tally>>) {
    let began = Instant::now();
    let schedule = Schedule::new(began, window.until, rate);
    let arrivals = pacer::start(schedule);
    let arrivals = Arc::new(tokio::sync::Mutex::new(arrivals));
    let mut tasks = JoinSet::new();
    for mut caller in callers {
        let (tally, arrivals) = (Arc::clone(tally), Arc::clone(&arrivals));
        tasks.spawn(async move {
            let mut notes = Notes::default();
            // `next` releases the lock, so that the next caller can wait while this one sends.
            while let Some(due) = next(&arrivals).await {
                let late = due.elapsed();
                notes.clear();
                let answered = caller.call(&mut notes).await;
                let now = Instant::now();
                if window.holds(due) {
                    let mut tally = tally.lock();
                    tally.lateness.record(late);
                    count(&mut tally, answered, due, now, &notes);
                }
            }
        });
    }
    settle(tasks, window).await;
    let due = (0..).map_while(|number| schedule.due(number)).filter(|due| window.holds(*due)).count() as u64;
    let mut tally = tally.lock();
    let unanswered = due.saturating_sub(tally.done + tally.failures());
    if unanswered > 0 {
        tally.failures.insert(UNANSWERED.to_owned(), unanswered);
    }
}

async fn next(arrivals: &tokio::sync::Mutex<mpsc::Receiver<Instant>>) -> Option<Instant> {
    arrivals.lock().await.recv().await
}

fn count(tally: &mut Tally, answered: Result<(), Failure>, due: Instant, now: Instant, notes: &Notes) {
    match answered {
        Ok(()) => tally.done(due, now, notes),
        Err(why) => tally.failed(&why),
    }
}

/// Waits a while for the running requests.
async fn settle(mut tasks: JoinSet<()>, window: Window) {
    let end = window.until + GRACE;
    while let Ok(Some(_)) = timeout_at(end, tasks.join_next()).await {}
    tasks.shutdown().await;
}

#[cfg(test)]
mod tests;
