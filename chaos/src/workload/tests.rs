use super::*;
use crate::history::markers;

fn target() -> Target {
    Target {
        url: "http://hooks.test".into(),
        secret: schemas::Secret::new("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    }
}

#[test]
fn a_seed_gives_the_same_workload_and_another_seed_another() {
    let profile = Profile::default();
    assert_eq!(Workload::draw(7, &profile), Workload::draw(7, &profile));
    assert_ne!(Workload::draw(7, &profile), Workload::draw(8, &profile));
}

#[test]
fn it_is_data_and_comes_back_from_a_file() {
    let workload = Workload::draw(3, &Profile { requests: 200, bad: 0.5, ..Profile::default() });
    let text = serde_json::to_string(&workload).unwrap();
    assert_eq!(serde_json::from_str::<Workload>(&text).unwrap(), workload);
}

#[test]
fn every_feature_comes_up() {
    let profile = Profile { requests: 2_000, bad: 0.3, ..Profile::default() };
    let all = Workload::draw(1, &profile).requests;
    let any = |holds: fn(&Planned) -> bool| assert!(all.iter().any(holds));
    any(|planned| planned.callback);
    any(|planned| planned.cancel_after_ms.is_some());
    any(|planned| planned.repeats.iter().any(|repeat| repeat.same));
    any(|planned| planned.repeats.iter().any(|repeat| !repeat.same));
    any(|planned| planned.ask.embeds);
    any(|planned| planned.ask.action == Action::Auto);
    any(|planned| planned.format == Wire::MessagePack);
    any(|planned| matches!(planned.reading, Reading::Resume { .. }));
    any(|planned| matches!(planned.reading, Reading::Slow { .. }));
    any(|planned| matches!(planned.reading, Reading::Vanish { .. }));
    for bad in Bad::EVERYWHERE {
        assert!(all.iter().any(|planned| planned.bad == Some(bad)), "{bad:?}");
    }
}

#[test]
fn whole_requests_pass_the_check_and_bring_their_marker() {
    let profile = Profile { requests: 300, bad: 0.0, ..Profile::default() };
    for planned in Workload::draw(5, &profile).requests {
        let request = planned.request(false, &target());
        request.check().unwrap();
        let text = request.payload.to_string();
        let key = format!("{}/{}", planned.key.tenant, planned.key.id);
        assert_eq!(markers(&text).collect::<Vec<_>>(), [key]);
        assert_ne!(planned.fingerprint(true), planned.fingerprint(false));
    }
}
