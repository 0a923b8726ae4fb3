//! The grammar: what each text means, and that no text does harm.

use proptest::prelude::*;

use super::*;

const fn ms(amount: u64) -> Duration {
    Duration::from_millis(amount)
}

fn base() -> Behaviour {
    Behaviour::default()
}

#[test]
fn each_setting_changes_its_field_and_no_other() {
    let faulty = |fault| Behaviour { fault: Some(fault), ..base() };
    let table = [
        ("", base()),
        ("first=60ms", Behaviour { first_token: ms(60), ..base() }),
        ("first=2s, gap=10ms", Behaviour { first_token: ms(2_000), gap: ms(10), ..base() }),
        ("gap=1m", Behaviour { gap: ms(60_000), ..base() }),
        ("tokens=50", Behaviour { tokens: 50, ..base() }),
        ("rpm=60", Behaviour { rpm: Some(60), ..base() }),
        ("share=30", Behaviour { share: Some(30), ..base() }),
        ("times=2", Behaviour { times: Some(2), ..base() }),
        ("retry-after=2", Behaviour { retry_after: Some(ms(2_000)), ..base() }),
        ("retry-after=200ms", Behaviour { retry_after: Some(ms(200)), ..base() }),
        ("status=429", faulty(Fault::Status(429))),
        ("fault=429", faulty(Fault::Status(429))),
        ("503", faulty(Fault::Status(503))),
        ("fault=status=500", faulty(Fault::Status(500))),
        ("quota", faulty(Fault::Quota)),
        ("html", faulty(Fault::Html)),
        ("stall", faulty(Fault::Stall)),
        ("fault=stall-after=3", faulty(Fault::StallAfter(3))),
        ("drip", faulty(Fault::Drip)),
        ("cut-after=0", faulty(Fault::CutAfter(0))),
        ("reset-after=4", faulty(Fault::ResetAfter(4))),
        ("truncate", faulty(Fault::Truncate)),
        ("malformed", faulty(Fault::Malformed)),
        ("error-after=5", faulty(Fault::ErrorAfter(5))),
        ("no-usage", faulty(Fault::NoUsage)),
        ("no-done", faulty(Fault::NoDone)),
        ("prose", faulty(Fault::Prose)),
        ("fenced", faulty(Fault::Fenced)),
        ("empty", faulty(Fault::Empty)),
        ("refusal", faulty(Fault::Refusal)),
        ("filtered", faulty(Fault::Filtered)),
        ("failed", faulty(Fault::Failed)),
        ("500,none", base()),
    ];
    for (text, expected) in table {
        assert_eq!(base().with(text).as_ref(), Ok(&expected), "{text}");
    }
}

#[test]
fn a_wrong_setting_is_refused_and_quoted() {
    let wrong = [
        "frist=1ms",
        "first=60",
        "first=60h",
        "first=ms",
        "first=-1ms",
        "first=61m",
        "tokens=0",
        "tokens=16385",
        "tokens=many",
        "status=200",
        "status=600",
        "429x",
        "stall-after",
        "stall=1",
        "gap",
        "drip,",
        "rpm=0",
        "retry-after=99999999999",
    ];
    for text in wrong {
        let error = base().with(text).expect_err(text).to_string();
        let quoted = text.trim_start_matches("drip,");
        assert!(error.starts_with(&format!("`{quoted}`")), "{text}: {error}");
    }
}

#[test]
fn a_model_name_is_the_simulators_only_when_it_follows_the_grammar() {
    assert_eq!(base().of_model("sim"), Ok(Some(base())));
    assert_eq!(base().of_model("sim-60ms"), Ok(Some(Behaviour { first_token: ms(60), ..base() })));
    assert_eq!(
        base().of_model("sim-60ms:tokens=5,429"),
        Ok(Some(Behaviour { first_token: ms(60), tokens: 5, fault: Some(Fault::Status(429)), ..base() }))
    );
    for foreign in ["gpt-5", "simple", "sim-large", "sim-", "Sim", ""] {
        assert_eq!(base().of_model(foreign), Ok(None), "{foreign}");
    }
    assert!(base().of_model("sim:speed=fast").is_err());
}

#[test]
fn what_a_text_does_not_name_stays() {
    let configured = Behaviour { tokens: 9, gap: ms(7), rpm: Some(3), ..base() };
    let model = configured.clone().of_model("sim-5ms:status=500").unwrap().unwrap();
    let called = model.with("tokens=2,none").unwrap();
    assert_eq!(called, Behaviour { first_token: ms(5), tokens: 2, ..configured });
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        (400u16..600).prop_map(Fault::Status),
        any::<u32>().prop_map(Fault::StallAfter),
        any::<u32>().prop_map(Fault::CutAfter),
        any::<u32>().prop_map(Fault::ResetAfter),
        any::<u32>().prop_map(Fault::ErrorAfter),
        Just(Fault::Quota),
        Just(Fault::Html),
        Just(Fault::Stall),
        Just(Fault::Drip),
        Just(Fault::Truncate),
        Just(Fault::Malformed),
        Just(Fault::NoUsage),
        Just(Fault::NoDone),
        Just(Fault::Prose),
        Just(Fault::Fenced),
        Just(Fault::Empty),
        Just(Fault::Refusal),
        Just(Fault::Filtered),
        Just(Fault::Failed),
    ]
}

prop_compose! {
    fn any_behaviour()(
        first in 0u64..=3_600_000,
        gap in 0u64..=3_600_000,
        tokens in 1..=MAX_TOKENS,
        fault in proptest::option::of(any_fault()),
        times in proptest::option::of(1u32..),
        share in proptest::option::of(1u32..=100),
        wait in proptest::option::of(0u64..=3_600_000),
        rpm in proptest::option::of(1..=MAX_RPM),
    ) -> Behaviour {
        Behaviour {
            first_token: ms(first),
            gap: ms(gap),
            tokens,
            fault,
            times,
            share,
            retry_after: wait.map(ms),
            rpm,
        }
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,80}") {
        let _ = base().with(&text);
        let _ = base().of_model(&text);
    }

    #[test]
    fn no_near_miss_panics(text in "(sim-?)?([a-z0-9=:,-]|first=|status=|retry-after=|tokens=){0,12}") {
        let _ = base().with(&text);
        let _ = base().of_model(&text);
    }

    #[test]
    fn a_behaviour_survives_its_own_text(behaviour in any_behaviour()) {
        prop_assert_eq!(base().with(&behaviour.to_string()), Ok(behaviour.clone()));
        prop_assert_eq!(base().of_model(&format!("sim:{behaviour}")), Ok(Some(behaviour)));
    }
}
