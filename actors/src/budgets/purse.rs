//! This engine's part of one budget. It pays for calls without asking, and draws what is missing from the book. Pure.
//!
//! What is spent, held for running calls and spare together never exceeds what the book has for this engine: a draw is
//! written down before it is used, and what is given back is taken out before that is written down. Only a call that
//! costs more than was held for it exceeds it, until the next entry.

use super::{
    book::{Book, LAPSE_MS, Line},
    money::Money,
};

/// A draw takes one of this many parts of what is free, so that a busy tenant does not ask for each call; or the cost
/// of the one call, if that is more.
const SLICES: u64 = 50;
/// A line with a reserve is rewritten when it is this old: long before it counts as that of an engine that is gone.
const RENEW_MS: i64 = LAPSE_MS / 3;

/// A purse.
#[derive(Debug)]
pub(super) struct Purse {
    holder: String,
    /// By calls that have ended.
    spent: Money,
    /// For calls that run, or are to start.
    held: Money,
    /// For the next calls.
    spare: Money,
    /// The least that was spare since the last give-back: this much was not needed.
    unused: Money,
    /// Its line in the book, as far as known.
    written: Option<Line>,
    /// Whether the book may hold more, from a write that was not answered.
    is_in_doubt: bool,
}

/// A line to write into the book, and how much of it is new.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    line: Line,
    drawn: Money,
}

/// There is not enough for the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shortage {
    /// What is spent.
    pub(super) spent: Money,
    /// What is held for calls that have not ended, here and on other engines.
    pub(super) held: Money,
}

impl Purse {
    /// An empty purse, for an engine and a period without a line under the name `holder` in the book.
    pub(super) const fn new(holder: String) -> Self {
        let (spent, held, spare, unused) = (Money::ZERO, Money::ZERO, Money::ZERO, Money::ZERO);
        Self { holder, spent, held, spare, unused, written: None, is_in_doubt: false }
    }

    /// Holds `cost` for a call, if that much is spare.
    pub(super) fn hold(&mut self, cost: Money) -> bool {
        let has = self.spare >= cost;
        if has {
            self.spare = self.spare.minus(cost);
            self.unused = self.unused.min(self.spare);
            self.held = self.held.plus(cost);
        }
        has
    }

    /// A call for which `held` was held has cost `cost`.
    pub(super) fn settle(&mut self, held: Money, cost: Money) {
        self.held = self.held.minus(held);
        self.spent = self.spent.plus(cost);
        self.spare = self.spare.plus(held).minus(cost);
        self.unused = self.unused.min(self.spare);
    }

    /// Writes into `book` what there is plus what it draws so that `least` can be held; writes nothing if the `limit`
    /// does not allow it.
    pub(super) fn draw(
        &mut self,
        book: &mut Book,
        limit: Money,
        least: Money,
        now_ms: i64,
    ) -> Result<Entry, Shortage> {
        self.count_anew_if_closed(book, now_ms);
        book.write(&self.holder, self.line(now_ms));
        book.close_lapsed(now_ms);
        let free = limit.minus(book.total());
        let missing = least.minus(self.spare);
        if missing > free {
            let spent = book.spent();
            return Err(Shortage { spent, held: book.total().minus(spent) });
        }
        let drawn = if missing == Money::ZERO { missing } else { missing.max(free.part_of(SLICES)) };
        let mut line = self.line(now_ms);
        line.reserved = line.reserved.plus(drawn);
        book.write(&self.holder, line);
        self.is_in_doubt = true;
        Ok(Entry { line, drawn })
    }

    /// The entry is stored in the book.
    pub(super) fn entered(&mut self, entry: Entry) {
        self.spare = self.spare.plus(entry.drawn);
        self.written = Some(entry.line);
        self.is_in_doubt = false;
    }

    /// Takes out what was not needed since the last time, or all that is spare; the next entry gives it back.
    pub(super) fn give_back(&mut self, all: bool) {
        self.spare = if all { Money::ZERO } else { self.spare.minus(self.unused) };
        self.unused = self.spare;
    }

    /// Whether the book is up to date.
    pub(super) fn is_told(&self, now_ms: i64) -> bool {
        let line = self.line(now_ms);
        let is_known = self.written.map_or(line.total() == Money::ZERO, |written| {
            let is_old = now_ms.saturating_sub(written.at_ms) >= RENEW_MS;
            (written.spent, written.reserved) == (line.spent, line.reserved)
                && (line.reserved == Money::ZERO || !is_old)
        });
        is_known && !self.is_in_doubt
    }

    fn line(&self, now_ms: i64) -> Line {
        Line { spent: self.spent, reserved: self.held.plus(self.spare), at_ms: now_ms }
    }

    /// An engine that was cut off for so long that others have closed its line begins another: what stood in the old
    /// line counts as spent there. If a line is missing sooner, the broker lost it, and it is written again as it was.
    fn count_anew_if_closed(&mut self, book: &Book, now_ms: i64) {
        let is_closed = |line: &Line| now_ms.saturating_sub(line.at_ms) > LAPSE_MS && !book.has(&self.holder);
        if let Some(line) = self.written.filter(is_closed) {
            self.spent = self.spent.minus(line.total());
            self.written = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Money = Money::billionths(1_000);

    fn cents(purse: &Purse) -> [Money; 3] {
        [purse.spent, purse.held, purse.spare]
    }

    #[test]
    fn a_draw_is_a_slice_while_there_is_much_and_one_call_when_there_is_little() {
        let money = Money::billionths;
        let (mut purse, mut book) = (Purse::new("a".into()), Book::default());
        let entry = purse.draw(&mut book, LIMIT, money(5), 0).unwrap();
        purse.entered(entry);
        assert_eq!(cents(&purse), [0, 0, 20].map(money), "a fiftieth");
        assert!(purse.hold(money(5)));
        purse.settle(money(5), money(2));
        assert_eq!(cents(&purse), [2, 0, 18].map(money));
        let entry = purse.draw(&mut book, LIMIT, money(900), 0).unwrap();
        purse.entered(entry);
        assert!(purse.hold(money(900)));
        assert_eq!(cents(&purse), [2, 900, 0].map(money), "and no more");
        let shortage = purse.draw(&mut book, LIMIT, money(99), 0).unwrap_err();
        assert_eq!((shortage.spent, shortage.held), (money(2), money(900)));
        assert!(purse.draw(&mut book, LIMIT, money(98), 0).is_ok());
    }

    #[test]
    fn what_was_not_needed_for_a_while_goes_back() {
        let money = Money::billionths;
        let (mut purse, mut book) = (Purse::new("a".into()), Book::default());
        assert!(purse.is_told(0), "nothing");
        let entry = purse.draw(&mut book, LIMIT, money(1), 0).unwrap();
        purse.entered(entry);
        assert!(purse.is_told(0) && purse.hold(money(8)));
        purse.give_back(false);
        assert_eq!(purse.spare, money(12), "it was drawn just now");
        assert!(purse.hold(money(2)));
        purse.settle(money(2), money(0));
        purse.give_back(false);
        assert_eq!(purse.spare, money(2), "ten were not touched");
        assert!(!purse.is_told(0));
        let entry = purse.draw(&mut book, LIMIT, Money::ZERO, 0).unwrap();
        purse.entered(entry);
        assert_eq!(book.total(), money(10));
        assert!(purse.is_told(RENEW_MS - 1) && !purse.is_told(RENEW_MS), "what is held is renewed");
        purse.settle(money(8), money(8));
        purse.give_back(true);
        let entry = purse.draw(&mut book, LIMIT, Money::ZERO, 0).unwrap();
        purse.entered(entry);
        assert!(purse.is_told(i64::MAX), "what is spent need not be");
    }

    #[test]
    fn a_write_that_was_not_answered_is_made_good_by_the_next() {
        let money = Money::billionths;
        let (mut purse, mut book) = (Purse::new("a".into()), Book::default());
        let entry = purse.draw(&mut book, LIMIT, money(500), 0).unwrap();
        assert!(!purse.hold(money(500)) && !purse.is_told(0), "nobody knows what was stored: {entry:?}");
        assert_eq!(book.total(), money(500));
        let entry = purse.draw(&mut book, LIMIT, Money::ZERO, 0).unwrap();
        purse.entered(entry);
        assert!(purse.is_told(0) && book.total() == Money::ZERO);
    }

    #[test]
    fn a_line_that_was_closed_counts_once_and_one_that_was_lost_is_written_again() {
        let money = Money::billionths;
        let (mut purse, mut book) = (Purse::new("a".into()), Book::default());
        let entry = purse.draw(&mut book, LIMIT, money(50), 0).unwrap();
        purse.entered(entry);
        assert!(purse.hold(money(50)));
        purse.settle(money(50), money(50));
        let entry = purse.draw(&mut book, LIMIT, Money::ZERO, 0).unwrap();
        purse.entered(entry);
        let mut lost = Book::default();
        purse.draw(&mut lost, LIMIT, Money::ZERO, LAPSE_MS).unwrap();
        assert_eq!(lost.spent(), money(50));
        let (late, mut own) = (2 * LAPSE_MS + 1, book.clone());
        purse.draw(&mut own, LIMIT, Money::ZERO, late).unwrap();
        assert!(own.has("a") && own.spent() == money(50), "nobody closes its own");
        assert!(purse.draw(&mut book, LIMIT, money(40), 0).map(|entry| purse.entered(entry)).is_ok());
        assert!(purse.hold(money(30)));
        purse.settle(money(30), money(10));
        book.close_lapsed(late - 1);
        assert!(book.has("a"));
        book.close_lapsed(late);
        assert!(!book.has("a"));
        purse.draw(&mut book, LIMIT, Money::ZERO, late).unwrap();
        assert_eq!(book.spent(), money(90), "fifty, and all of the forty: ten of them are not spent twice");
    }

    #[test]
    fn a_call_that_cost_more_than_was_held_for_it_takes_from_what_is_spare() {
        let money = Money::billionths;
        let (mut purse, mut book) = (Purse::new("a".into()), Book::default());
        let entry = purse.draw(&mut book, LIMIT, money(1), 0).unwrap();
        purse.entered(entry);
        assert!(purse.hold(money(15)));
        purse.settle(money(15), money(18));
        assert_eq!(cents(&purse), [18, 0, 2].map(money));
        purse.settle(money(0), money(1_000));
        assert_eq!(cents(&purse), [1_018, 0, 0].map(money));
        assert!(purse.draw(&mut book, LIMIT, Money::LEAST, 0).is_err());
        let entry = purse.draw(&mut book, LIMIT, Money::ZERO, 0).unwrap();
        assert_eq!(entry.line.spent, money(1_018), "what is spent is told nevertheless");
    }
}
