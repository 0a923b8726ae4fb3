use std::{sync::Arc, time::Duration};

use ::broker::{
    Broker, Seams, Topology,
    memory::{Memory, Options},
};
use jiff::Timestamp;
use proptest::prelude::*;
use schemas::{ErrorCode, KeyBudget, KeyId, KeyMode, Parents, SentBy, Subjects, Tenant};
use tokio::time::timeout;

use super::{
    BudgetConfig, Budgets, Per,
    book::{Book, LAPSE_MS},
    money::Money,
    purse::{Entry, Purse},
};
use crate::outbox::Outbox;

const ENGINES: usize = 3;
const LIMIT: Money = Money::billionths(1_000);

/// What becomes of a write, and of the answer to it.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Answered,
    Unanswered,
    Lost,
    /// It arrives after the engine has given it up.
    Late,
}

/// What an engine does.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// Starts a call that may cost so much.
    Start(u64),
    /// Ends its oldest call, which has cost this share of what it might have.
    End(u64),
    Tells,
    Dies,
    /// Nobody does anything for so long.
    Waits(i64),
}

fn steps() -> impl Strategy<Value = Vec<(usize, Does, Fate)>> {
    let does = prop_oneof![
        6 => (1..120_u64).prop_map(Does::Start),
        6 => (0..=100_u64).prop_map(Does::End),
        3 => Just(Does::Tells),
        1 => Just(Does::Dies),
        2 => (0..3 * LAPSE_MS).prop_map(Does::Waits),
    ];
    let fate = prop_oneof![
        6 => Just(Fate::Answered), 1 => Just(Fate::Unanswered), 1 => Just(Fate::Lost), 1 => Just(Fate::Late),
    ];
    prop::collection::vec((0..ENGINES, does, fate), 1..200)
}

/// The broker.
#[derive(Debug, Default)]
struct Shelf {
    book: Book,
    revision: u64,
    late: Vec<(Book, u64)>,
}

impl Shelf {
    fn store(&mut self, book: Book, revision: u64) -> bool {
        let fits = revision == self.revision;
        if fits {
            (self.book, self.revision) = (book, revision + 1);
        }
        fits
    }
}

#[derive(Debug)]
struct Engine {
    purse: Purse,
    /// As it saw it last.
    seen: Option<(Book, u64)>,
    calls: Vec<Money>,
}

impl Engine {
    fn new(number: usize) -> Self {
        Self { purse: Purse::new(format!("n{number}")), seen: None, calls: Vec::new() }
    }

    /// As an account does it, but for waiting.
    fn draw(&mut self, shelf: &mut Shelf, least: Money, now_ms: i64, fate: Fate) -> bool {
        loop {
            let (mut book, revision) =
                self.seen.take().unwrap_or_else(|| (shelf.book.clone(), shelf.revision));
            let Ok(entry) = self.purse.draw(&mut book, LIMIT, least, now_ms) else { return false };
            let is_stale = revision != shelf.revision;
            match fate {
                Fate::Answered if is_stale => {}
                Fate::Answered => return self.stored(shelf, book, revision, entry),
                Fate::Unanswered => {
                    shelf.store(book, revision);
                    return false;
                }
                Fate::Lost => return false,
                Fate::Late => {
                    shelf.late.push((book, revision));
                    return false;
                }
            }
        }
    }

    fn stored(&mut self, shelf: &mut Shelf, book: Book, revision: u64, entry: Entry) -> bool {
        assert!(shelf.store(book.clone(), revision));
        self.purse.entered(entry);
        self.seen = Some((book, revision + 1));
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Whatever engines do, in whatever order, and whatever is lost between them and the broker: what calls have cost, and may
    /// still cost, is never more than the limit, and never more than the book says.
    #[test]
    fn no_budget_is_overrun(steps in steps()) {
        let (mut shelf, mut now_ms, mut named) = (Shelf::default(), 0, ENGINES);
        let mut engines: Vec<_> = (0..ENGINES).map(Engine::new).collect();
        // By calls that have ended, and of calls whose engine has died.
        let mut gone = Money::ZERO;
        for (number, does, fate) in steps {
            let engine = &mut engines[number];
            match does {
                Does::Start(cost) => {
                    let cost = Money::billionths(cost);
                    let has = engine.purse.hold(cost)
                        || engine.draw(&mut shelf, cost, now_ms, fate) && engine.purse.hold(cost);
                    if has {
                        engine.calls.push(cost);
                    }
                }
                Does::End(share) if !engine.calls.is_empty() => {
                    let held = engine.calls.remove(0);
                    let cost = Money::billionths((held.usd() * 1e9) as u64 * share / 100);
                    engine.purse.settle(held, cost);
                    gone = gone.plus(cost);
                }
                Does::End(_) => {}
                Does::Tells => {
                    engine.purse.give_back(false);
                    engine.draw(&mut shelf, Money::ZERO, now_ms, fate);
                }
                Does::Dies => {
                    gone = engine.calls.iter().fold(gone, |sum, held| sum.plus(*held));
                    named += 1;
                    *engine = Engine::new(named);
                }
                Does::Waits(ms) => now_ms += ms,
            }
            if let (Does::Waits(_), Some((book, revision))) = (does, shelf.late.pop()) {
                shelf.store(book, revision);
            }
            let running = engines.iter().flat_map(|engine| &engine.calls);
            let real = running.fold(gone, |sum, held| sum.plus(*held));
            prop_assert!(real <= LIMIT, "{real:?} of {LIMIT:?}");
            prop_assert!(real <= shelf.book.total(), "{real:?} is more than {:?}", shelf.book);
        }
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

/// The budgets of one engine, on a broker of its own.
fn budgets(per: Per, usd: f64) -> (Budgets, Memory) {
    let seams = Seams::simulated(1, Timestamp::UNIX_EPOCH);
    let memory = Memory::new(Options { seams: seams.clone(), ..Options::default() });
    let (broker, topology) =
        (Arc::new(memory.clone()) as Arc<dyn Broker>, Topology::new(Subjects::default()));
    let outbox = Outbox::new(broker, Arc::new(topology), seams);
    let of = |tenant: Option<&str>, organisation: Option<&str>, usd| BudgetConfig {
        tenant: tenant.map(str::to_owned),
        organisation: organisation.map(str::to_owned),
        instance: None,
        project: None,
        per,
        usd,
        warn_at: 0.8,
    };
    // That of the organisation is of several tenants.
    let rules = [of(Some("*"), None, usd), of(None, Some("Labs"), 1.5 * usd)];
    let labs = Parents { organisation: Some("Labs".to_owned()), ..Parents::default() };
    let parents = ["lab-1", "lab-2"].map(|name| (Tenant::new(name).unwrap(), labs.clone())).into();
    (Budgets::new(&rules, parents, &outbox, "n1".into(), Arc::default()), memory)
}

fn acme() -> Tenant {
    Tenant::new("acme").unwrap()
}

#[tokio::test(start_paused = true)]
async fn it_is_warned_once_a_period() {
    let (budgets, _) = budgets(Per::Hour, 1.0);
    let account = || budgets.accounts.lock().values().last().cloned().unwrap();
    for _ in 0..2 {
        budgets.hold(&acme(), None, 0.79).await.unwrap().settle(0.79);
        budgets.tell(false).await;
        assert_eq!(account().spent(), Money::of_usd(0.79));
        assert!(!account().must_warn(), "not before it is nearly spent");
        budgets.hold(&acme(), None, 0.01).await.unwrap().settle(0.01);
        account().tell(&budgets.store, false).await.unwrap();
        assert!(account().must_warn() && !account().must_warn());
        tokio::time::sleep(HOUR).await;
    }
    assert_eq!(budgets.accounts.lock().len(), 1, "the first period was forgotten");
    budgets.tell(false).await;
    assert!(budgets.accounts.lock().is_empty(), "of periods that are over nothing is kept");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_answer_is_waited_for() {
    let (budgets, memory) = budgets(Per::Day, 1.0);
    memory.disconnect();
    let (acme, minute) = (acme(), Duration::from_secs(60));
    let waiting = async { timeout(minute, budgets.hold(&acme, None, 0.1)).await };
    let back = async {
        tokio::time::sleep(minute / 2).await;
        memory.reconnect();
    };
    let (held, ()) = tokio::join!(waiting, back);
    held.unwrap().unwrap().settle(0.1);
    budgets.close().await;
    memory.disconnect();
    assert!(timeout(minute, budgets.hold(&acme, None, 0.1)).await.is_err(), "nothing was left here");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_begun_and_not_ended_is_spent_and_one_that_has_not_begun_is_not() {
    let (budgets, _) = budgets(Per::Day, 1.0);
    drop(budgets.hold(&acme(), None, 0.6).await.unwrap());
    let mut hold = budgets.hold(&acme(), None, 0.6).await.unwrap();
    hold.begin();
    drop(hold);
    budgets.close().await;
    let error = budgets.hold(&acme(), None, 0.6).await.unwrap_err();
    assert!(
        error.message.contains("of $1.000000 a day $0.600000 are spent and $0.000000 are held"),
        "{error}"
    );
    assert_eq!(error.retry_after_ms, Some(24 * 3_600_000));
}

#[tokio::test(start_paused = true)]
async fn a_budget_of_a_key_holds_beside_that_of_its_tenant() {
    let (budgets, _) = budgets(Per::Day, 1.0);
    let by = |key: &str, usd: Option<f64>| SentBy {
        key: KeyId::new(key).unwrap(),
        mode: KeyMode::Live,
        budget: usd.map(|usd| KeyBudget { usd, per: Per::Hour }),
    };
    let (small, none) = (by("small", Some(0.3)), by("none", None));
    budgets.hold(&acme(), Some(&small), 0.3).await.unwrap().settle(0.3);
    let error = budgets.hold(&acme(), Some(&small), 0.1).await.unwrap_err();
    assert!(error.message.starts_with("the budget of the API key `small` does not allow"), "{error}");
    assert_eq!(error.retry_after_ms, Some(3_600_000));
    budgets.hold(&acme(), Some(&none), 0.7).await.unwrap().settle(0.7);
    let other = by("other", Some(9.0));
    let error = budgets.hold(&acme(), Some(&other), 0.1).await.unwrap_err();
    assert!(error.message.starts_with("the budget of `acme`"), "{error}");
    let elsewhere = budgets.hold(&Tenant::new("b").unwrap(), Some(&small), 0.3).await;
    elsewhere.unwrap().settle(0.3);
}

#[tokio::test(start_paused = true)]
async fn the_tenants_of_an_organisation_share_its_budget() {
    let (budgets, _) = budgets(Per::Day, 1.0);
    let labs = ["lab-1", "lab-2"].map(|name| Tenant::new(name).unwrap());
    budgets.hold(&labs[0], None, 1.0).await.unwrap().settle(1.0);
    let error = budgets.hold(&labs[1], None, 0.75).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::BudgetExceeded);
    assert!(error.message.contains("the budget of the organisation `Labs` does not allow"), "{error}");
    assert!(error.retry_after_ms.is_some());
    let hold = budgets.hold(&labs[1], None, 0.5).await.unwrap();
    assert!(budgets.hold(&labs[1], None, 0.5).await.is_err(), "its own has room, and the whole has none");
    drop(hold);
    budgets.hold(&labs[1], None, 0.5).await.unwrap();
    budgets.hold(&acme(), None, 1.0).await.unwrap();
}
