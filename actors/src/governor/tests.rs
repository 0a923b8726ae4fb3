use super::*;

async fn governor(concurrency: u32, requests_per_minute: Option<u32>) -> Handle {
    let limits = ProviderLimits { concurrency, requests_per_minute };
    Governor::handle(Actor::spawn(None, Governor, limits).await.unwrap().0)
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_at_once_than_allowed() {
    let governor = governor(2, None).await;
    let first = governor.permit().await.unwrap();
    let _second = governor.permit().await.unwrap();
    let third = governor.permit();
    tokio::pin!(third);
    assert!(tokio::time::timeout(Duration::from_secs(60), &mut third).await.is_err());
    drop(first);
    third.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nobody_calls_before_the_time_that_the_provider_named() {
    let governor = governor(8, None).await;
    let start = Instant::now();
    governor.closed_until(start + Duration::from_secs(7));
    governor.permit().await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(7), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_who_gives_up_waiting_does_not_use_up_a_permit() {
    let governor = governor(1, None).await;
    let held = governor.permit().await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(1), governor.permit()).await.is_err());
    drop(held);
    governor.permit().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_rate_makes_callers_wait_and_serves_them_all() {
    let governor = governor(100, Some(20)).await;
    let start = Instant::now();
    for _ in 0..40 {
        governor.permit().await.unwrap();
    }
    assert!(start.elapsed() > Duration::from_secs(60), "{:?}", start.elapsed());
}
