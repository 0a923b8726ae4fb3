use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::sleep;

use super::*;
use crate::bench::scenario::Work;

const AT_ONCE: Work = Work::Chat { delay_ms: 0 };

/// Answers after a time that may grow with each answer.
struct Slow {
    takes: Duration,
    then: Duration,
    asked: Arc<AtomicU64>,
}

impl Caller for Slow {
    async fn call(&mut self, _: &mut Notes) -> Result<(), Failure> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        sleep(self.takes).await;
        self.takes = self.then;
        Ok(())
    }
}

fn slow(callers: usize, takes_ms: u64, then_ms: u64) -> (Vec<Slow>, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let one = |_| Slow {
        takes: Duration::from_millis(takes_ms),
        then: Duration::from_millis(then_ms),
        asked: Arc::clone(&asked),
    };
    ((0..callers).map(one).collect(), asked)
}

fn window(from_ms: u64, until_ms: u64) -> Window {
    let now = Instant::now();
    Window { from: now + Duration::from_millis(from_ms), until: now + Duration::from_millis(until_ms) }
}

#[tokio::test(start_paused = true)]
async fn a_closed_loop_counts_what_ends_within_the_window() {
    let (callers, asked) = slow(2, 10, 10);
    let tally = drive(callers, Case::closed(AT_ONCE, 2), window(100, 200)).await;
    assert_eq!((tally.done, tally.failures()), (20, 0));
    assert_eq!(asked.load(Ordering::Relaxed), 40);
    assert_eq!(tally.latencies.quantile_ms(0.5).map(f64::round), Some(10.0));
}

/// The pacer is a thread, so that this runs on a real clock. One caller that answers in 20 ms cannot keep up with 100 a
/// second: those that wait for it are late, and count from when they were to be sent.
#[tokio::test]
async fn an_open_loop_counts_the_wait_of_those_that_could_not_be_sent() {
    let (callers, _) = slow(1, 20, 20);
    let tally = drive(callers, Case::open(AT_ONCE, 100), window(0, 300)).await;
    // However busy the machine is, it can only become more.
    let slowest = tally.latencies.quantile_ms(1.0).unwrap();
    assert!(tally.done > 1 && slowest >= 8.0 * tally.done as f64, "{} answered, {slowest} ms", tally.done);
    assert!(tally.lateness.quantile_ms(1.0).unwrap() < slowest, "being answered takes time as well");
}
