use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn lane(class: Priority, tenant: &str) -> Lane {
    Lane::of_tenant(class, tenant)
}

fn standard(tenant: &str) -> Lane {
    lane(Priority::Standard, tenant)
}

/// Grants so many jobs one after the other, each of which ends at once at the cost of its tenant.
fn serve(queue: &mut FairQueue, jobs: usize, cost: impl Fn(&Lane) -> f64) -> BTreeMap<Lane, (u64, f64)> {
    let mut served = BTreeMap::<Lane, (u64, f64)>::new();
    for _ in 0..jobs {
        let Some(lane) = queue.grant() else { break };
        let estimate = queue.estimate(&lane);
        queue.end(&lane, estimate, Some(cost(&lane)));
        let (count, total) = served.entry(lane.clone()).or_default();
        *count += 1;
        *total += cost(&lane);
    }
    served
}

#[test]
fn a_light_tenant_is_next_however_much_another_has_waiting() {
    let mut queue = FairQueue::default();
    queue.arrive(&standard("flood"), 100_000);
    serve(&mut queue, 1_000, |_| 7.0);
    queue.arrive(&standard("light"), 1);
    assert_eq!(queue.grant().unwrap(), standard("light"));
    assert_eq!(queue.grant().unwrap(), standard("flood"));
}

#[test]
fn tokens_are_shared_and_not_jobs() {
    let mut queue = FairQueue::default();
    queue.arrive(&standard("long"), 10_000);
    queue.arrive(&standard("short"), 10_000);
    let served = serve(&mut queue, 1_100, |lane| if *lane == standard("long") { 100.0 } else { 10.0 });
    let (long, short) = (served[&standard("long")], served[&standard("short")]);
    assert!((long.1 - short.1).abs() <= 200.0, "{long:?} {short:?}");
    assert!(short.0 > 9 * long.0);
}

#[test]
fn a_pause_earns_nothing() {
    let mut queue = FairQueue::default();
    queue.arrive(&standard("idle"), 1);
    queue.arrive(&standard("busy"), 100_000);
    serve(&mut queue, 1_000, |_| 1.0);
    queue.arrive(&standard("idle"), 1_000);
    let served = serve(&mut queue, 100, |_| 1.0);
    assert!((49..=51).contains(&served[&standard("idle")].0), "{served:?}");
}

#[test]
fn who_is_alone_gets_everything() {
    let mut queue = FairQueue::default();
    queue.arrive(&standard("alone"), 500);
    assert_eq!(serve(&mut queue, 1_000, |_| 3.0)[&standard("alone")].0, 500);
    assert_eq!(queue.grant(), None);
}

#[test]
fn classes_go_by_rank_and_the_lower_keep_a_share() {
    let mut queue = FairQueue::default();
    for class in CLASSES {
        queue.arrive(&lane(class, "t"), 100_000);
    }
    let served = serve(&mut queue, 2_000, |_| 1.0);
    let count = |class| served[&lane(class, "t")].0;
    assert_eq!(count(Priority::Batch), 100);
    assert!((398..=402).contains(&count(Priority::Standard)), "{served:?}");
    let mut queue = FairQueue::default();
    queue.arrive(&lane(Priority::Batch, "t"), 10);
    assert_eq!(serve(&mut queue, 10, |_| 1.0)[&lane(Priority::Batch, "t")].0, 10);
    queue.arrive(&lane(Priority::Batch, "t"), 10);
    queue.arrive(&lane(Priority::Interactive, "u"), 1);
    assert_eq!(queue.grant().unwrap().class, Priority::Interactive);
}

#[test]
fn a_lane_that_is_being_asked_is_not_asked_again() {
    let mut queue = FairQueue::default();
    queue.arrive(&standard("a"), 5);
    queue.arrive(&standard("b"), 1);
    queue.set_asked(&standard("a"), true);
    assert_eq!(queue.grant(), Some(standard("b")));
    assert!(!queue.has_demand());
    queue.set_asked(&standard("a"), false);
    assert_eq!(queue.grant(), Some(standard("a")));
}

#[test]
fn a_grant_that_found_nothing_costs_nothing() {
    let mut queue = FairQueue::default();
    queue.arrive(&standard("empty"), 1);
    queue.arrive(&standard("other"), 10);
    for _ in 0..50 {
        queue.charge(&standard("empty"), 8);
        queue.refund(&standard("empty"), 8);
    }
    queue.believe(&standard("empty"), 3);
    let served = serve(&mut queue, 6, |_| 1.0);
    assert_eq!(served[&standard("empty")].0, 3);
    assert!(queue.is_idle(&standard("empty")));
}

/// Serves so many jobs of a flood beside a shared lane in which there are always so many tenants with one job each; how many
/// went to the shared one.
fn shared_of(jobs: usize, tenants: u64, cost: impl Fn(&Lane) -> f64) -> u64 {
    let (mut queue, shared) = (FairQueue::default(), Lane::shared(Priority::Standard));
    queue.arrive(&standard("flood"), 1_000_000);
    queue.arrive(&shared, tenants);
    let mut count = 0;
    for _ in 0..jobs {
        let lane = queue.grant().unwrap();
        let estimate = queue.estimate(&lane);
        queue.end(&lane, estimate, Some(cost(&lane)));
        if lane == shared {
            queue.arrive(&shared, 1);
            count += 1;
        }
    }
    count
}

#[test]
fn in_the_shared_lane_each_job_counts_as_a_tenant() {
    let served = shared_of(1_000, 9, |_| 3.0);
    assert!((890..=910).contains(&served), "nine of ten tenants: {served}");
    let served = shared_of(1_000, 1, |_| 3.0);
    assert!((490..=510).contains(&served), "one of two: {served}");
    let long = |lane: &Lane| if lane.tenant.is_none() { 30.0 } else { 10.0 };
    let served = shared_of(1_000, 3, long);
    assert!((740..=760).contains(&served), "three of four, whatever they cost: {served}");
}

#[test]
fn nobody_waits_for_what_a_stranger_in_the_shared_lane_has_cost() {
    let (mut queue, shared) = (FairQueue::default(), Lane::shared(Priority::Standard));
    queue.arrive(&standard("flood"), 1_000_000);
    queue.arrive(&shared, 2);
    serve(&mut queue, 20, |lane| if *lane == shared { 100_000.0 } else { 1.0 });
    queue.arrive(&shared, 1);
    assert!((0..2).any(|_| queue.grant() == Some(shared.clone())), "one of the next two turns");
}

#[test]
fn what_floods_are_given_while_the_shared_lane_is_asked_is_made_good() {
    let (mut queue, shared) = (FairQueue::default(), Lane::shared(Priority::Standard));
    queue.arrive(&standard("flood"), 1_000_000);
    queue.arrive(&shared, 100);
    queue.set_asked(&shared, true);
    for _ in 0..50 {
        assert_eq!(queue.grant(), Some(standard("flood")), "a slot is not kept free for long");
    }
    queue.set_asked(&shared, false);
    for _ in 0..100 {
        assert_eq!(queue.grant(), Some(shared.clone()));
    }
}

#[test]
fn a_flood_that_is_being_asked_gains_nothing_by_it() {
    let (mut queue, shared, flood) =
        (FairQueue::default(), Lane::shared(Priority::Standard), standard("flood"));
    queue.arrive(&flood, 1_000_000);
    queue.arrive(&shared, 9);
    let (mut asked_for, mut floods) = (0, 0);
    for _ in 0..1_000 {
        let lane = queue.grant().unwrap();
        let estimate = queue.estimate(&lane);
        queue.end(&lane, estimate, Some(1.0));
        asked_for = if lane == flood { 3_i32 } else { asked_for - 1 };
        queue.set_asked(&flood, asked_for > 0);
        floods += u32::from(lane == flood);
        queue.believe(&shared, 9);
    }
    assert!((90..=110).contains(&floods), "one of ten tenants: {floods}");
}

#[test]
fn a_flood_goes_on_beside_a_shared_lane_that_is_never_empty() {
    assert!(1_000 - shared_of(1_000, 99, |_| 1.0) >= 9);
}

#[test]
fn a_grant_of_the_shared_lane_that_found_nothing_costs_nothing() {
    let (mut queue, shared) = (FairQueue::default(), Lane::shared(Priority::Standard));
    queue.arrive(&shared, 10);
    queue.arrive(&standard("other"), 10);
    for arrived in 0..50 {
        queue.charge(&shared, 8);
        queue.arrive(&shared, arrived);
        queue.refund(&shared, 8);
        queue.believe(&shared, 10);
    }
    let served = serve(&mut queue, 11, |_| 1.0);
    assert!(served[&shared].0 >= 9, "{served:?}");
}

proptest! {
    #[test]
    fn tenants_who_always_have_work_are_served_alike(
        costs in prop::collection::vec(1.0..50.0_f64, 2..6),
        jobs in 50_usize..400,
    ) {
        let mut queue = FairQueue::default();
        let name = |index: usize| standard(&format!("t{index}"));
        for index in 0..costs.len() {
            queue.arrive(&name(index), 1_000_000);
        }
        let cost_of = |lane: &Lane| costs[lane.tenant.as_ref().unwrap()[1..].parse::<usize>().unwrap()];
        let served = serve(&mut queue, jobs, cost_of);
        let total = |index: usize| served.get(&name(index)).map_or(0.0, |(_, total)| *total);
        let totals: Vec<f64> = (0..costs.len()).map(total).collect();
        let (most, least) = (
            totals.iter().copied().fold(0.0, f64::max),
            totals.iter().copied().fold(f64::INFINITY, f64::min),
        );
        // One job of each is under way, and the first ones were charged by guess.
        prop_assert!(most - least <= 2.0 * 50.0, "{totals:?}");
    }

    #[test]
    fn whoever_has_work_is_found(arrivals in prop::collection::vec((0_usize..3, 0_usize..4, 0_u64..5), 0..40)) {
        let mut queue = FairQueue::default();
        let mut waiting = 0;
        for (class, tenant, more) in arrivals {
            queue.arrive(&lane(CLASSES[class], &format!("t{tenant}")), more);
            waiting += more;
        }
        for _ in 0..waiting {
            prop_assert!(queue.has_demand());
            prop_assert!(queue.grant().is_some());
        }
        prop_assert!(!queue.has_demand());
        prop_assert_eq!(queue.grant(), None);
    }
}
