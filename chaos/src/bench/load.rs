//! The load: callers that ask for the same again and again, in a closed loop or at a steady rate. It shares the machine
//! with what it measures, so that a request costs it as little as can be: one thread, one lock, prepared bytes.

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

/// How much longer than the window requests may take that were to be sent within it. Those that take longer have failed.
const GRACE: Duration = Duration::from_secs(10);
/// What those have failed of.
const UNANSWERED: &str = "not answered in time";

/// Why a request failed, in a few words: the same for the same reason.
pub(crate) type Failure = String;

/// Who asks. One at a time; the next is asked when this one has been answered.
pub(crate) trait Caller: Send + 'static {
    /// Asks once, to the end of the answer, and notes what comes on the way.
    fn call(&mut self, notes: &mut Notes) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// How many callers a load needs: of an open one, as many as could be under way when all is slow.
pub(crate) const fn callers(load: Load) -> u32 {
    match load {
        Load::Closed(at_once) => at_once,
        // A second's worth, or what a quick machine can still hold open.
        Load::Open(rate) => match rate {
            0..64 => 64,
            64..1_000 => rate,
            _ => 1_000,
        },
    }
}

/// Has the callers ask until the end of the window, and says what was seen within it.
pub(crate) async fn drive<C: Caller>(callers: Vec<C>, case: Case, window: Window) -> Tally {
    let tally = Arc::new(Mutex::new(Tally::new()));
    match case.load {
        Load::Closed(_) => closed(callers, case.work.takes(), window, &tally).await,
        Load::Open(rate) => open(callers, f64::from(rate), window, &tally).await,
    }
    let seen = tally.lock();
    seen.clone()
}

/// Counts what has ended within the window. Callers begin spread over the time that an answer takes: those that begin
/// together would speak in step for ever, as no users do.
async fn closed<C: Caller>(callers: Vec<C>, takes: Duration, window: Window, tally: &Arc<Mutex<Tally>>) {
    let mut tasks = JoinSet::new();
    let (began, all) = (Instant::now(), u32::try_from(callers.len()).unwrap_or(u32::MAX).max(1));
    for (number, mut caller) in (0_u32..).zip(callers) {
        let tally = Arc::clone(tally);
        let begins = began + takes / all * number;
        // Its death shows as a missing answer.
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

/// Counts what was to be sent within the window, however long it takes: whoever leaves out what is still under way at the
/// end leaves out the slowest.
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
            // Bound apart, so that the next caller can wait while this one asks.
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

/// Waits for those under way, for a while.
async fn settle(mut tasks: JoinSet<()>, window: Window) {
    let end = window.until + GRACE;
    while let Ok(Some(_)) = timeout_at(end, tasks.join_next()).await {}
    tasks.shutdown().await;
}

#[cfg(test)]
mod tests;
