//! One budget in one period, as this engine has it: its purse, and drawing more, one caller after the other.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use parking_lot::Mutex;
use schemas::{Error, ErrorCode, outcome::milliseconds};
use tokio::time::{Instant, timeout};

use super::{
    book::Book,
    money::Money,
    purse::{Purse, Shortage},
    rules::{Budget, Owner, Period},
    store::Store,
};

/// How often to read a book again that others change too.
const TRIES_MAX: u32 = 16;
/// A broker that takes longer than this counts as unreachable.
const PATIENCE: Duration = Duration::from_secs(1);
/// For this long nobody asks again for an amount that was refused: a tenant that goes on must not keep the broker busy.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// An account.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) owner: Owner,
    pub(super) budget: Budget,
    pub(super) period: Period,
    purse: Mutex<Purse>,
    /// What all engines had spent when the book was last seen.
    spent: Mutex<Money>,
    refused: Mutex<Option<Refused>>,
    /// The book as last seen, with its revision. Whoever has the lock asks the broker; the others wait for the result.
    seen: tokio::sync::Mutex<Option<(Book, Option<u64>)>>,
    is_warned: AtomicBool,
}

/// An amount that was refused, and until when nobody asks for it again.
#[derive(Debug, Clone, Copy)]
struct Refused {
    cost: Money,
    shortage: Shortage,
    until: Instant,
}

/// Why nothing is held.
#[derive(Debug)]
pub(super) enum Reason {
    /// There is too little.
    Spent(Shortage),
    /// The broker does not say what there is.
    Unknown(broker::Error),
}

impl Account {
    /// The account of `owner`, under the unique name `holder`.
    pub(super) fn new(owner: Owner, budget: Budget, period: Period, holder: String) -> Self {
        Self {
            owner,
            budget,
            period,
            purse: Mutex::new(Purse::new(holder)),
            spent: Mutex::default(),
            refused: Mutex::default(),
            seen: tokio::sync::Mutex::default(),
            is_warned: AtomicBool::new(false),
        }
    }

    /// Holds `cost` for a call that is to start.
    pub(super) async fn hold(&self, store: &Store, cost: Money) -> Result<(), Reason> {
        if let Some(held) = self.hold_here(cost) {
            return held.map_err(Reason::Spent);
        }
        let mut seen = self.seen.lock().await;
        loop {
            // The caller before may have drawn enough, or learned that there is too little.
            if let Some(held) = self.hold_here(cost) {
                return held.map_err(Reason::Spent);
            }
            self.draw(store, &mut seen, cost).await?;
        }
    }

    /// A call for which `held` was held has cost `cost`.
    pub(super) fn settle(&self, held: Money, cost: Money) {
        self.purse.lock().settle(held, cost);
    }

    /// Gives back what was not needed, or all that is spare, and writes down what was spent if the book lacks it.
    pub(super) async fn tell(&self, store: &Store, gives_all: bool) -> Result<(), broker::Error> {
        let mut seen = self.seen.lock().await;
        {
            let mut purse = self.purse.lock();
            purse.give_back(gives_all);
            if purse.is_told(store.now().as_millisecond()) {
                return Ok(());
            }
        }
        match self.draw(store, &mut seen, Money::ZERO).await {
            Err(Reason::Unknown(error)) => Err(error),
            // It draws nothing, so there is always enough.
            Err(Reason::Spent(_)) | Ok(()) => Ok(()),
        }
    }

    /// Whether nothing is left to write down.
    pub(super) fn is_told(&self, now: Timestamp) -> bool {
        self.purse.lock().is_told(now.as_millisecond())
    }

    /// What all engines have spent, as far as this engine knows.
    pub(super) fn spent(&self) -> Money {
        *self.spent.lock()
    }

    /// Whether to warn now of what is spent: once.
    pub(super) fn must_warn(&self) -> bool {
        self.spent() >= self.budget.warn_from && !self.is_warned.swap(true, Ordering::Relaxed)
    }

    /// The error for a request for which there is too little.
    pub(super) fn refusal(&self, cost: Money, shortage: Shortage, now: Timestamp) -> Error {
        let (Shortage { spent, held }, Budget { per, limit, .. }) = (shortage, self.budget);
        let (owner, per, end) = (&self.owner, per.as_str(), self.period.end);
        let why = format!(
            "the budget of {owner} does not allow this call, which may cost {cost}: of {limit} a {per} {spent} are spent \
             and {held} are held or set aside for calls; it begins anew at {end}"
        );
        Error::new(ErrorCode::BudgetExceeded, why).retry_after_ms(milliseconds(now, end))
    }

    /// Whether `cost` is held now, without asking the broker; `None` if it must be asked.
    fn hold_here(&self, cost: Money) -> Option<Result<(), Shortage>> {
        if self.purse.lock().hold(cost) {
            return Some(Ok(()));
        }
        let refused = *self.refused.lock();
        let refused = refused.filter(|refused| cost >= refused.cost && Instant::now() < refused.until)?;
        Some(Err(refused.shortage))
    }

    /// Draws what is missing for `least`, and writes down what was spent.
    async fn draw(
        &self,
        store: &Store,
        seen: &mut Option<(Book, Option<u64>)>,
        least: Money,
    ) -> Result<(), Reason> {
        let slow = || broker::Error::new(broker::ErrorKind::Timeout, "the budget's book");
        let drawn = timeout(PATIENCE, self.try_draw(store, seen, least)).await;
        drawn.unwrap_or_else(|_| Err(Reason::Unknown(slow())))
    }

    async fn try_draw(
        &self,
        store: &Store,
        seen: &mut Option<(Book, Option<u64>)>,
        least: Money,
    ) -> Result<(), Reason> {
        let name = self.budget.book(&self.owner, self.period);
        for _ in 0..TRIES_MAX {
            // Forgotten until its write is answered: before that nobody knows how the book stands.
            let known = seen.take();
            let is_news = known.is_none();
            let (mut book, revision) = match known {
                Some(known) => known,
                None => store.read(&name).await.map_err(Reason::Unknown)?,
            };
            let now_ms = store.now().as_millisecond();
            let drawn = self.purse.lock().draw(&mut book, self.budget.limit, least, now_ms);
            let entry = match drawn {
                Ok(entry) => entry,
                // Others may have given back since it was read.
                Err(_) if !is_news => continue,
                Err(shortage) => {
                    *self.spent.lock() = shortage.spent;
                    let until = Instant::now() + REFUSED_FOR;
                    *self.refused.lock() = Some(Refused { cost: least, shortage, until });
                    return Err(Reason::Spent(shortage));
                }
            };
            if let Some(revision) = store.write(&name, &book, revision).await.map_err(Reason::Unknown)? {
                self.purse.lock().entered(entry);
                *self.spent.lock() = book.spent();
                *seen = Some((book, Some(revision)));
                return Ok(());
            }
        }
        let why = "the budget's book is changed by others all the time";
        Err(Reason::Unknown(broker::Error::new(broker::ErrorKind::WrongRevision, why)))
    }
}
