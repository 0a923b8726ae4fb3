//! The grammar: what each text means, and that no text does harm.

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Faults {
    text.parse().unwrap()
}

const fn ms(amount: u64) -> Duration {
    Duration::from_millis(amount)
}

#[test]
fn each_setting_changes_its_field_and_no_other() {
    let table = [
        ("latency=200ms", Way { latency: ms(200), ..Way::default() }),
        ("jitter=2s", Way { jitter: ms(2_000), ..Way::default() }),
        ("bandwidth=16k", Way { bandwidth: NonZeroU64::new(16_384), ..Way::default() }),
        ("slice=7", Way { slice: NonZeroU64::new(7), ..Way::default() }),
        ("corrupt=1000", Way { corrupt: NonZeroU32::new(1_000), ..Way::default() }),
        ("stall", Way { hold: Some(Hold::Stall), ..Way::default() }),
        ("swallow", Way { hold: Some(Hold::Swallow), ..Way::default() }),
        ("cut", Way { cut_after: Some(0), ..Way::default() }),
        ("bandwidth=20971520k", Way { bandwidth: NonZeroU64::new(21_474_836_480), ..Way::default() }),
        ("cut-after=2m", Way { cut_after: Some(2_097_152), ..Way::default() }),
        ("reset", Way { reset_after: Some(0), ..Way::default() }),
        ("reset-after=3", Way { reset_after: Some(3), ..Way::default() }),
        ("stall,swallow", Way { hold: Some(Hold::Swallow), ..Way::default() }),
    ];
    for (text, way) in table {
        let up = text.split(',').map(|setting| format!("up:{setting}")).collect::<Vec<_>>().join(" , ");
        assert_eq!(read(text), Faults { refuse: false, up: way.clone(), down: way.clone() }, "{text}");
        assert_eq!(read(&up), Faults { up: way.clone(), ..Faults::default() }, "{up}");
        assert_eq!(read(&up.replace("up:", "down:")), Faults { down: way, ..Faults::default() }, "{up}");
    }
    assert_eq!(read("refuse"), Faults { refuse: true, ..Faults::default() });
    for none in ["", " ", "none"] {
        assert!(read(none).is_none(), "{none}");
    }
}

#[test]
fn a_wrong_setting_is_refused_and_quoted() {
    let wrong = [
        "latency",
        "latency=5",
        "latency=61m",
        "bandwidth=0",
        "bandwidth=1g",
        "slice=+1",
        "slice=-1",
        "corrupt=0",
        "corrupt=1%",
        "cut-after=99999999999999",
        "cut-after=1048577m",
        "cut-after=99999999999999999999",
        "stall=1",
        "left:stall",
        "up:",
        "up:refuse",
        "up:down:stall",
        "none,stall",
        "k",
        "slice=k",
        "slice=ä",
    ];
    for text in wrong {
        let error = text.parse::<Faults>().expect_err(text).to_string();
        let quoted = text.split(',').next().unwrap();
        assert!(error.starts_with(&format!("`{quoted}`")), "{text}: {error}");
    }
    assert!("stall,".parse::<Faults>().is_err());
}

#[test]
fn the_text_names_a_side_only_where_the_sides_differ() {
    assert_eq!(read("down:stall,latency=1s").to_string(), "latency=1000ms,down:stall");
    assert_eq!(read("up:cut,down:cut,refuse").to_string(), "refuse,cut");
    assert_eq!(Faults::default().to_string(), "none");
}

prop_compose! {
    fn way()(
        latency in 0_u64..3_600_000,
        jitter in 0_u64..3_600_000,
        bandwidth in proptest::option::of(1_u64..=MAX_BYTES),
        slice in proptest::option::of(1_u64..=MAX_BYTES),
        corrupt in proptest::option::of(1_u32..),
        hold in proptest::option::of(prop_oneof![Just(Hold::Stall), Just(Hold::Swallow)]),
        cut_after in proptest::option::of(0_u64..=MAX_BYTES),
        reset_after in proptest::option::of(0_u64..=MAX_BYTES),
    ) -> Way {
        Way {
            latency: ms(latency),
            jitter: ms(jitter),
            bandwidth: bandwidth.and_then(NonZeroU64::new),
            slice: slice.and_then(NonZeroU64::new),
            corrupt: corrupt.and_then(NonZeroU32::new),
            hold,
            cut_after,
            reset_after,
        }
    }
}

proptest! {
    #[test]
    fn any_faults_are_read_back_from_their_text(refuse: bool, up in way(), down in way()) {
        let faults = Faults { refuse, up, down };
        prop_assert_eq!(read(&faults.to_string()), faults);
    }

    #[test]
    fn no_text_panics(text in ".{0,60}|(up:|down:|slice=|bandwidth=|latency=|corrupt=|cut-after=|[0-9kmsäé,+-]){0,10}") {
        if let Ok(faults) = text.parse::<Faults>() {
            prop_assert_eq!(read(&faults.to_string()), faults);
        }
    }
}
