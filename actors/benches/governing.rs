//! What it costs to be next, and to be allowed to call.

use std::{sync::Arc, time::Duration};

use actors::{
    ProviderLimits,
    fair::{FairQueue, Lane},
    governor::{Arguments, End, Governor, Need, Retries},
    metrics::Metrics,
};
use broker::Seams;
use divan::{AllocProfiler, Bencher};
use ractor::Actor;
use schemas::Priority;
use tokio::{runtime::Builder, time::Instant};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// One job of each of so many tenants has come; the next is granted, and ends.
#[divan::bench(args = [1, 100, 5_000])]
fn fair_queue_grants_and_ends(bencher: Bencher<'_, '_>, tenants: u32) {
    let lane = |tenant: u32| Lane::of_tenant(Priority::Standard, format!("tenant-{tenant}"));
    let lanes: Vec<_> = (0..tenants).map(lane).collect();
    let mut queue = FairQueue::default();
    lanes.iter().for_each(|lane| queue.arrive(lane, 1));
    bencher.bench_local(|| {
        if let Some(lane) = queue.grant() {
            queue.end(&lane, 1.0, Some(1.0));
            queue.arrive(&lane, 1);
        }
    });
}

/// A permit is asked of the actor, given, and settled.
#[divan::bench]
fn governor_permits_a_call(bencher: Bencher<'_, '_>) {
    let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
    let retries = Retries::default();
    let arguments = Arguments {
        provider: "p".into(),
        limits: ProviderLimits::default(),
        keys: 1,
        seams: Seams::simulated(7, Default::default()),
        metrics: Arc::new(Metrics::default()),
        retries: retries.clone(),
        clerk: None,
    };
    let Ok((governor, _)) = runtime.block_on(Actor::spawn(None, Governor, arguments)) else { return };
    let governor = Governor::handle(governor, retries);
    bencher.bench_local(|| {
        let deadline = Instant::now() + Duration::from_secs(60);
        let need = Need { model: "m".into(), input: 90, output_max: Some(50), deadline };
        runtime.block_on(async {
            if let Ok(permit) = governor.permit(need).await {
                permit.settle(End::Answered { input: 90, output: 50 });
            }
        });
    });
}
