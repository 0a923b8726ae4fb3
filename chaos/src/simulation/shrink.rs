//! Makes a failing scenario small: takes out strikes, then requests, then what single requests do besides, as long as
//! it still fails in the same way. Everything else stays as the seed drew it.

use super::scenario::Scenario;

/// A scenario that still fails, and how many runs it took to find it.
#[derive(Debug)]
pub struct Shrunk {
    /// The scenario.
    pub scenario: Scenario,
    /// The runs.
    pub runs: u32,
}

/// Shrinks `scenario` in at most `runs_max` runs; `fails` says whether a smaller one still fails in the same way.
pub fn shrink(scenario: Scenario, runs_max: u32, fails: impl FnMut(&Scenario) -> bool) -> Shrunk {
    let mut search = Search { best: scenario, runs: 0, runs_max, fails };
    search.thin_out(
        |scenario| scenario.plan.strikes.len(),
        |scenario, range| {
            scenario.plan.strikes.drain(range);
        },
    );
    search.thin_out(
        |scenario| scenario.workload.requests.len(),
        |scenario, range| {
            scenario.workload.requests.drain(range);
        },
    );
    search.simplify();
    // A strike that a removed request needed may be needed no more.
    search.thin_out(
        |scenario| scenario.plan.strikes.len(),
        |scenario, range| {
            scenario.plan.strikes.drain(range);
        },
    );
    Shrunk { scenario: search.best, runs: search.runs }
}

struct Search<F> {
    best: Scenario,
    runs: u32,
    runs_max: u32,
    fails: F,
}

impl<F: FnMut(&Scenario) -> bool> Search<F> {
    /// Keeps `smaller` if it still fails.
    fn offer(&mut self, smaller: Scenario) -> bool {
        if self.runs >= self.runs_max {
            return false;
        }
        self.runs += 1;
        let kept = (self.fails)(&smaller);
        if kept {
            self.best = smaller;
        }
        kept
    }

    /// Takes out stretches of a list: halves, then quarters, and so on to single items (delta debugging).
    fn thin_out(
        &mut self,
        length: impl Fn(&Scenario) -> usize,
        take: impl Fn(&mut Scenario, std::ops::Range<usize>),
    ) {
        let mut size = length(&self.best);
        while size > 0 && self.runs < self.runs_max {
            let mut from = 0;
            while from < length(&self.best) {
                let to = (from + size).min(length(&self.best));
                let mut smaller = self.best.clone();
                take(&mut smaller, from..to);
                // After a removal, the next stretch of the list has moved to this place.
                if !self.offer(smaller) {
                    from = to;
                }
            }
            size /= 2;
        }
    }

    fn simplify(&mut self) {
        for index in 0..self.best.workload.requests.len() {
            let changes: [fn(&mut crate::workload::Planned); 3] = [
                |planned| planned.repeats.clear(),
                |planned| planned.cancel_after_ms = None,
                |planned| planned.callback = false,
            ];
            for change in changes {
                let mut smaller = self.best.clone();
                change(&mut smaller.workload.requests[index]);
                if smaller != self.best {
                    self.offer(smaller);
                }
            }
        }
        for engines in 1..self.best.setup.engines {
            let mut smaller = self.best.clone();
            smaller.setup.engines = engines;
            if self.offer(smaller) {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_needs_one_strike_and_one_request_is_shrunk_to_those() {
        let scenario = (0..100)
            .map(Scenario::draw)
            .find(|scenario| scenario.plan.strikes.len() > 10 && scenario.workload.requests.len() > 10);
        let scenario = scenario.unwrap();
        let (strike, request) = (scenario.plan.strikes[7].clone(), scenario.workload.requests[5].key.clone());
        let fails = |scenario: &Scenario| {
            scenario.plan.strikes.contains(&strike) && scenario.workload.find(&request).is_some()
        };
        let Shrunk { scenario, runs } = shrink(scenario, 500, fails);
        assert_eq!(scenario.plan.strikes, std::slice::from_ref(&strike));
        assert_eq!(scenario.workload.requests.len(), 1);
        assert!(runs < 100, "{runs} runs");
    }

    #[test]
    fn it_never_runs_more_often_than_allowed() {
        let mut runs = 0;
        let shrunk = shrink(Scenario::draw(1), 7, |_| {
            runs += 1;
            false
        });
        assert_eq!((shrunk.runs, runs), (7, 7));
    }
}
