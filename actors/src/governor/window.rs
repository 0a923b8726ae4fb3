//! Allows at most so many tokens in any minute: reserves what each call is expected to use when it starts, and corrects
//! that when it has ended. Pure.
//!
//! It remembers every call of the last minute. So it is exact, frees at once what was not used, and carries a debt: a
//! call that used more than expected makes the next ones wait.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(60);

/// A limit of tokens a minute.
#[derive(Debug)]
pub(super) struct Window {
    limit: u64,
    sum: u64,
    /// Oldest first.
    reserved: VecDeque<Reserved>,
    next: u64,
}

#[derive(Debug)]
struct Reserved {
    ticket: Ticket,
    at: Instant,
}

/// A reservation, to be settled later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    number: u64,
    tokens: u64,
}

impl Window {
    /// At most `limit` tokens in any window of a minute.
    pub(super) fn per_minute(limit: u32) -> Self {
        Self { limit: u64::from(limit.max(1)), sum: 0, reserved: VecDeque::new(), next: 0 }
    }

    /// How long until `tokens` tokens may be used. A call of more than a minute's tokens needs a minute for itself.
    pub(super) fn wait(&mut self, tokens: u64, now: Instant) -> Duration {
        self.forget(now);
        let mut excess = (self.sum + tokens.min(self.limit)).saturating_sub(self.limit);
        for Reserved { ticket, at } in &self.reserved {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(ticket.tokens);
            if excess == 0 {
                return (*at + WINDOW).saturating_duration_since(now);
            }
        }
        Duration::ZERO
    }

    /// Reserves `tokens` tokens, for which there was no wait.
    pub(super) fn reserve(&mut self, tokens: u64, now: Instant) -> Ticket {
        let ticket = Ticket { number: self.next, tokens };
        self.next += 1;
        self.sum += tokens;
        self.reserved.push_back(Reserved { ticket, at: now });
        ticket
    }

    /// `used` tokens were used in place of those reserved.
    pub(super) fn settle(&mut self, ticket: Ticket, used: u64, now: Instant) {
        self.forget(now);
        match self.reserved.binary_search_by_key(&ticket.number, |reserved| reserved.ticket.number) {
            Ok(place) => {
                self.sum = self.sum - ticket.tokens + used;
                self.reserved[place].ticket.tokens = used;
            }
            // Reserved more than a minute ago: only what was used beyond that is new.
            Err(_) if used > ticket.tokens => _ = self.reserve(used - ticket.tokens, now),
            Err(_) => {}
        }
    }

    /// The share of the limit that is left.
    pub(super) fn free(&mut self, now: Instant) -> f64 {
        self.forget(now);
        1.0 - self.sum as f64 / self.limit as f64
    }

    fn forget(&mut self, now: Instant) {
        while let Some(oldest) = self.reserved.front()
            && now.duration_since(oldest.at) >= WINDOW
        {
            self.sum -= oldest.ticket.tokens;
            self.reserved.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: u32 = 1_000;

    proptest! {
        #[test]
        fn no_window_of_a_minute_holds_more_than_the_limit(
            calls in prop::collection::vec((1..=u64::from(LIMIT), 0..20_000_u64, 0.0..=1.0_f64), 1..200)
        ) {
            let mut window = Window::per_minute(LIMIT);
            let (mut now, mut used) = (Instant::now(), Vec::<(Instant, u64)>::new());
            for (tokens, pause, share) in calls {
                now += window.wait(tokens, now);
                prop_assert!(window.wait(tokens, now).is_zero(), "the wait was too short");
                let ticket = window.reserve(tokens, now);
                let actual = (tokens as f64 * share) as u64;
                used.push((now, actual));
                now += Duration::from_millis(pause);
                window.settle(ticket, actual, now);
            }
            for (index, (first, _)) in used.iter().enumerate() {
                let within = used[index..].iter().take_while(|(at, _)| at.duration_since(*first) < WINDOW);
                let sum: u64 = within.map(|(_, tokens)| tokens).sum();
                prop_assert!(sum <= u64::from(LIMIT), "{sum} tokens in a minute");
            }
        }

        #[test]
        fn the_sum_is_that_of_the_last_minute(
            calls in prop::collection::vec((0..3_000_u64, 0..90_000_u64, 0..5_000_u64), 1..100)
        ) {
            let (mut window, mut now) = (Window::per_minute(LIMIT), Instant::now());
            for (tokens, pause, used) in calls {
                let ticket = window.reserve(tokens, now);
                now += Duration::from_millis(pause);
                window.settle(ticket, used, now);
                let sum: u64 = window.reserved.iter().map(|reserved| reserved.ticket.tokens).sum();
                prop_assert_eq!(window.sum, sum);
            }
            window.forget(now + WINDOW);
            prop_assert_eq!(window.sum, 0);
        }
    }

    #[test]
    fn what_was_not_used_is_free_at_once_and_a_debt_makes_others_wait() {
        let (mut window, now) = (Window::per_minute(LIMIT), Instant::now());
        let ticket = window.reserve(1_000, now);
        assert_eq!(window.wait(1, now), WINDOW);
        window.settle(ticket, 100, now);
        assert_eq!(window.wait(900, now), Duration::ZERO);
        let later = now + Duration::from_secs(20);
        let ticket = window.reserve(900, later);
        window.settle(ticket, 5_000, later);
        assert_eq!(window.wait(1, later + Duration::from_secs(30)), Duration::from_secs(30));
    }

    #[test]
    fn a_call_of_more_than_a_minutes_tokens_has_its_turn() {
        let (mut window, now) = (Window::per_minute(LIMIT), Instant::now());
        window.reserve(1, now);
        assert_eq!(window.wait(u64::MAX, now), WINDOW);
        assert_eq!(window.wait(u64::MAX, now + WINDOW), Duration::ZERO);
    }
}
