//! I7, I17, I18: what grows, where the engine goes, what it says.

use super::{story::key, *};
use crate::history::Fact;

fn measured(value: f64, cap: Option<f64>) -> Story {
    Story::default().fact("harness", Fact::Measured { gauge: "queue sim".into(), value, cap })
}

#[test]
fn i7_what_is_bounded_stays_bounded() {
    holds(&measured(10.0, Some(10.0)), Guarantee::I7);
    breaks(&measured(10.5, Some(10.0)), Guarantee::I7, "over_the_cap");
    breaks(&measured(f64::NAN, Some(10.0)), Guarantee::I7, "over_the_cap");
    not_exercised(&measured(10.5, None), Guarantee::I7);
    let capped = Bounds { caps: [("queue sim".to_owned(), 10.0)].into(), ..bounds() };
    assert!(matches!(
        check(&measured(11.0, None).entries, &capped).of(Guarantee::I7),
        Verdict::Broken { .. }
    ));
}

#[test]
fn i17_nobody_lures_the_engine_to_a_denied_address() {
    let address = "169.254.169.254:80".to_owned();
    let lured = Fact::Lured { request: key("r1"), address: address.clone() };
    let story = Story::default().fact("client 1", lured);
    holds(&story, Guarantee::I17);
    let finding = breaks(
        &story.fact("trap", Fact::Trespassed { address: address.clone() }),
        Guarantee::I17,
        "trespass",
    );
    assert_eq!((finding.request, finding.lines), (Some(key("r1")), vec![0, 1]));
    breaks(&Story::default().fact("trap", Fact::Trespassed { address }), Guarantee::I17, "trespass");
    not_exercised(&Story::default(), Guarantee::I17);
}

#[test]
fn i18_no_planted_secret_turns_up() {
    let searched =
        |canaries| Story::default().fact("harness", Fact::Searched { place: "worker.log".into(), canaries });
    holds(&searched(3), Guarantee::I18);
    not_exercised(&searched(0), Guarantee::I18);
    let leaked = Fact::Leaked { place: "worker.log".into(), line: "key=…".into() };
    breaks(&searched(3).fact("harness", leaked), Guarantee::I18, "leak");
}
