use proptest::prelude::*;

use super::*;

/// Numbers that follow from `seed` and look like random ones.
fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^ (mixed >> 27)
    }
}

fn record() -> KeyRecord {
    KeyRecord {
        id: KeyId::new("k").unwrap(),
        mode: KeyMode::Live,
        tenant: Tenant::new("acme").unwrap(),
        name: String::new(),
        role: Role::User,
        actions: Vec::new(),
        models: Vec::new(),
        limits: CallerLimits::NONE,
        budget: None,
        created_at: None,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    }
}

proptest! {
    #[test]
    fn a_key_is_read_as_it_was_made(seed: u64, test: bool) {
        let mode = if test { KeyMode::Test } else { KeyMode::Live };
        let key = ApiKey::make(mode, numbers(seed));
        let read = ApiKey::parse(key.expose()).unwrap();
        prop_assert_eq!((read.id(), read.mode(), read.expose()), (key.id(), mode, key.expose()));
        let start = format!("dyn_{}_{}_", mode.as_str(), key.id());
        prop_assert!(key.expose().starts_with(&start));
        let shown = format!("{key:?}");
        prop_assert!(!shown.contains(&key.expose()[start.len()..start.len() + 8]));
    }

    #[test]
    fn a_mistyped_key_is_told(seed: u64, at in any::<proptest::sample::Index>(), other in "[0-9A-Za-z]") {
        let key = ApiKey::make(KeyMode::Live, numbers(seed));
        let mut text = key.expose().to_owned();
        let at = at.index(text.len());
        text.replace_range(at..=at, &other);
        prop_assert_eq!(ApiKey::parse(&text).is_ok(), text == key.expose());
        prop_assert!(ApiKey::parse(&key.expose()[..at]).is_err(), "cut off");
    }

    #[test]
    fn no_text_panics(text in ".{0,80}") {
        prop_assert!(ApiKey::parse(&text).is_err());
        let alike = format!("dyn_live_{text}");
        prop_assert!(ApiKey::parse(&alike).is_err());
    }

    #[test]
    fn what_a_star_stands_for_does_not_matter(head in "[a-z]{0,3}", any in "[a-z/]{0,5}", tail in "[a-z]{0,3}") {
        let text = format!("{head}{any}{tail}");
        let patterns = [format!("{head}*{tail}"), format!("*{tail}"), format!("{head}*"), "**".to_owned()];
        for pattern in patterns {
            prop_assert!(matches(&pattern, &text), "{} {}", pattern, text);
        }
        prop_assert!(matches(&text, &text));
        let more = format!("{text}x");
        prop_assert!(!matches(&text, &more));
    }
}

#[test]
fn two_keys_are_not_alike() {
    let mut random = numbers(7);
    let one = ApiKey::make(KeyMode::Live, &mut random);
    let two = ApiKey::make(KeyMode::Live, &mut random);
    assert_ne!(one.id(), two.id());
    assert_ne!(one.expose()[20..], two.expose()[20..]);
    assert_eq!(one.expose().len(), "dyn_live_".len() + ID_CHARS + 1 + SECRET_CHARS + CHECKSUM_CHARS);
}

#[test]
fn what_is_no_key_is_told_from_what_is_mistyped() {
    let why = |text| ApiKey::parse(text).unwrap_err();
    assert_eq!([why(""), why("sk-1234"), why("dyn_dead_a"), why("dyn_live_ä")], [BadKey::Form; 4]);
    assert_eq!([why("dyn_live_"), why("dyn_test_abc_def")], [BadKey::Checksum; 2]);
}

#[test]
fn patterns_are_whole_names() {
    for (pattern, text, expected) in [
        ("sim-*", "sim-chat", true),
        ("sim-*", "a-sim-chat", false),
        ("*/gpt-*-mini", "openai/gpt-5-mini", true),
        ("*/gpt-*-mini", "openai/gpt-mini", false),
        ("a*a", "a", false),
        ("a*b*c", "abxbc", true),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
}

#[test]
fn a_key_is_good_until_it_expires_or_is_revoked() {
    let at = |second| Timestamp::from_second(second).unwrap();
    assert!(record().is_good(at(10)));
    let expiring = KeyRecord { expires_at: Some(at(10)), ..record() };
    assert!(expiring.is_good(at(9)) && !expiring.is_good(at(10)));
    let revoked = KeyRecord { revoked_at: Some(at(10)), ..record() };
    assert!(revoked.is_good(at(9)) && !revoked.is_good(at(10)));
}

#[test]
fn where_nothing_is_named_everything_may_be_asked_for() {
    let any = record();
    assert!(any.allows_action(Action::Auto) && any.allows_model("x"));
    let narrow =
        KeyRecord { actions: vec![Action::EmbeddingQuery], models: vec!["sim-*".to_owned()], ..record() };
    assert!(narrow.allows_action(Action::EmbeddingQuery) && narrow.allows_model("sim-embed"));
    assert!(!narrow.allows_action(Action::Auto) && !narrow.allows_model("auto"));
}
