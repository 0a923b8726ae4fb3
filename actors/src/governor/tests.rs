use adapters::{KeyFault, Left};
use jiff::Timestamp;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn limits(concurrency: u32) -> ProviderLimits {
    ProviderLimits { concurrency, ..ProviderLimits::default() }
}

async fn governor_of(limits: ProviderLimits, keys: usize) -> Handle {
    let retries = Retries::default();
    let arguments = Arguments {
        provider: "p".into(),
        limits,
        keys,
        seams: Seams::simulated(1, Timestamp::UNIX_EPOCH),
        metrics: Arc::default(),
        retries: retries.clone(),
        clerk: None,
    };
    Governor::handle(Actor::spawn(None, Governor, arguments).await.unwrap().0, retries)
}

async fn governor(limits: ProviderLimits) -> Handle {
    governor_of(limits, 1).await
}

fn need() -> Need {
    Need { model: "m".into(), input: 10, output_max: Some(10), deadline: Instant::now() + SECOND * 3_600 }
}

async fn permit(governor: &Handle) -> Permit {
    governor.permit(need()).await.unwrap()
}

const ANSWERED: End = End::Answered { input: 10, output: 10 };

#[tokio::test(start_paused = true)]
async fn no_more_calls_at_once_than_allowed() {
    let governor = governor(limits(2)).await;
    let first = permit(&governor).await;
    let _second = permit(&governor).await;
    let third = permit(&governor);
    tokio::pin!(third);
    assert!(tokio::time::timeout(SECOND * 60, &mut third).await.is_err());
    drop(first);
    third.await;
}

#[tokio::test(start_paused = true)]
async fn nobody_calls_before_the_time_that_the_provider_named() {
    let governor = governor(limits(8)).await;
    let start = Instant::now();
    permit(&governor).await.settle(End::Throttled { pause: SECOND * 7 });
    permit(&governor).await;
    assert!(start.elapsed() >= SECOND * 7, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_for_whom_that_is_too_late_is_told_at_once() {
    let governor = governor(limits(8)).await;
    permit(&governor).await.settle(End::Throttled { pause: SECOND * 60 });
    let start = Instant::now();
    let refusal = governor.permit(Need { deadline: start + SECOND * 30, ..need() }).await.unwrap_err();
    assert_eq!(refusal, Refusal::Busy { retry_after: SECOND * 60 });
    assert_eq!(start.elapsed(), Duration::ZERO);
    permit(&governor).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_reply_says_is_left_holds_until_its_reset() {
    let governor = governor(limits(8)).await;
    let start = Instant::now();
    let requests = Some(Left { count: 1, lasts: SECOND * 9 });
    permit(&governor).await.limits(Limits { requests, tokens: None });
    permit(&governor).await;
    assert!(start.elapsed() < SECOND, "one was left");
    permit(&governor).await;
    assert!(start.elapsed() >= SECOND * 9, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_who_gives_up_waiting_does_not_use_up_a_permit() {
    let governor = governor(limits(1)).await;
    let held = permit(&governor).await;
    assert!(tokio::time::timeout(SECOND, governor.permit(need())).await.is_err());
    drop(held);
    permit(&governor).await;
}

#[tokio::test(start_paused = true)]
async fn a_rate_makes_callers_wait_and_serves_them_all() {
    let governor = governor(ProviderLimits { requests_per_minute: Some(20), ..limits(100) }).await;
    let start = Instant::now();
    for _ in 0..40 {
        permit(&governor).await;
    }
    assert!(start.elapsed() > SECOND * 60, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn tokens_are_reserved_and_what_was_not_used_comes_back() {
    let governor = governor(ProviderLimits { tokens_per_minute: Some(40), ..limits(100) }).await;
    let start = Instant::now();
    let first = permit(&governor).await;
    let _second = permit(&governor).await;
    first.settle(End::Answered { input: 5, output: 5 });
    let small = Need { output_max: Some(0), ..need() };
    governor.permit(small.clone()).await.unwrap();
    assert!(start.elapsed() < SECOND, "ten tokens were given back");
    governor.permit(small).await.unwrap();
    assert!(start.elapsed() >= SECOND * 60, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_length_that_a_client_makes_up_is_more_than_all_others_and_no_sum_overflows() {
    let governor = governor(ProviderLimits { tokens_per_minute: Some(40), ..limits(100) }).await;
    let endless = Need { output_max: Some(u64::MAX), ..need() };
    let start = Instant::now();
    for minutes in 0..3 {
        governor.permit(endless.clone()).await.unwrap().settle(End::Failed);
        assert!(start.elapsed() >= SECOND * 60 * minutes, "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn keys_take_turns_and_one_that_is_lost_leaves_its_work_to_the_others() {
    let governor = governor_of(limits(4), 2).await;
    let held = [permit(&governor).await, permit(&governor).await];
    assert_eq!(held.each_ref().map(Permit::key), [0, 1], "by free capacity");
    let [first, second] = held;
    first.settle(End::KeyFault(KeyFault::Rejected));
    second.settle(ANSWERED);
    for _ in 0..5 {
        assert_eq!(permit(&governor).await.key(), 1);
    }
    let look = governor.look().await.unwrap();
    assert_eq!((look.keys, look.aside.len(), look.aside[0].key), (2, 1, 1), "{look:?}");
    permit(&governor).await.settle(End::KeyFault(KeyFault::Spent));
    let refusal = governor.permit(need()).await.unwrap_err();
    assert_eq!(refusal, Refusal::NoKey(vec![(0, KeyFault::Rejected), (1, KeyFault::Spent)]));
    tokio::time::sleep(ProviderLimits::default().key_rest).await;
    assert_eq!(permit(&governor).await.key(), 1, "a quota may come back, a rejected key does not");
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_told_when_the_last_key_is_lost() {
    let governor = governor(limits(1)).await;
    let held = permit(&governor).await;
    let waiting = governor.permit(need());
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(SECOND, &mut waiting).await.is_err());
    held.settle(End::KeyFault(KeyFault::Spent));
    assert!(matches!(waiting.await, Err(Refusal::NoKey(_))));
}

#[tokio::test(start_paused = true)]
async fn a_failing_model_is_rejected_and_another_one_is_not() {
    let governor = governor(limits(8)).await;
    for _ in 0..20 {
        if let Ok(permit) = governor.permit(need()).await {
            permit.settle(End::Failed);
        }
    }
    assert!(governor.look().await.unwrap().rejecting > 0.8);
    let mut rejected = 0;
    for _ in 0..100 {
        rejected += usize::from(governor.permit(need()).await.is_err());
        governor.permit(Need { model: "other".into(), ..need() }).await.unwrap();
    }
    assert!((70..100).contains(&rejected), "{rejected} of 100: some always go");
    assert!(!governor.may_retry());
    tokio::time::sleep(SECOND * 120).await;
    permit(&governor).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_first_token_is_no_failure() {
    let governor = governor(limits(64)).await;
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(permit(&governor).await);
    }
    tokio::time::sleep(SECOND * 50).await;
    assert_eq!(governor.look().await.unwrap().rejecting, 0.0);
    held.iter_mut().for_each(|permit| permit.heard(Some(SECOND * 50)));
    held.into_iter().for_each(|permit| permit.settle(End::Failed));
    assert_eq!(governor.look().await.unwrap().rejecting, 0.0, "they broke off later");
}
