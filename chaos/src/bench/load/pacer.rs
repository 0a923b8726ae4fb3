//! Whoever says when the next request of an open loop is due: a thread of its own, since a runtime's timers are only good
//! to a millisecond, and what is measured takes less.

use std::thread;

use tokio::{sync::mpsc, time::Instant};

use super::schedule::Schedule;

/// Requests that may be due and not yet taken; by then the system is minutes behind, and the pacer waits as well.
const WAITING_MAX: usize = 1 << 16;

/// Starts it. It ends with the schedule, or when nobody takes anything any more.
pub(super) fn start(schedule: Schedule) -> mpsc::Receiver<Instant> {
    let (due, arrivals) = mpsc::channel(WAITING_MAX);
    let pace = move || {
        for at in (0..).map_while(|number| schedule.due(number)) {
            wait_until(at);
            if due.blocking_send(at).is_err() {
                return;
            }
        }
    };
    // Where no thread can be had, nothing is sent: the figures show it.
    if let Err(error) = thread::Builder::new().name("pacer".to_owned()).spawn(pace) {
        tracing::error!(%error, "cannot start the pacer of the load");
    }
    arrivals
}

fn wait_until(at: Instant) {
    loop {
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        // Nobody unparks it: it wakes when the time is over, or for nothing.
        thread::park_timeout(left);
    }
}
