//! Paces an open loop on its own thread: timers of a runtime are accurate only to a millisecond, which is longer than
//! what is measured.

use std::thread;

use tokio::{sync::mpsc, time::Instant};

use super::schedule::Schedule;

/// How many due requests may queue; by then the system is minutes behind, and the pacer waits as well.
const WAITING_MAX: usize = 1 << 16;

/// Starts the pacer. It ends with the schedule, or when the receiver is dropped.
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
    // Without a thread nothing is sent, as the figures show.
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
        // Nobody unparks it: it wakes when the time is up, or spuriously.
        thread::park_timeout(left);
    }
}
