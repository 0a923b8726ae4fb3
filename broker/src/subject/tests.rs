//! Matching against a slow and obvious specification.

use proptest::prelude::*;

use super::*;

#[test]
fn patterns_match_as_in_nats() {
    let cases = [
        ("a.b", "a.b", true),
        ("a.b", "a.b.c", false),
        ("a.*", "a.b", true),
        ("a.*", "a", false),
        ("a.*", "a.b.c", false),
        ("a.>", "a.b.c", true),
        ("a.>", "a", false),
        (">", "a", true),
        ("*.b", "a.b", true),
        ("*.b.>", "a.b.c.d", true),
        ("A.b", "a.b", false),
    ];
    for (pattern, subject, expected) in cases {
        assert_eq!(
            Pattern::parse(pattern).unwrap().matches(subject),
            expected,
            "{pattern} against {subject}"
        );
    }
}

#[test]
fn malformed_subjects_and_patterns_are_refused() {
    for text in ["", ".", "a.", ".a", "a..b", "a b", "a.\tb", "a.>.b"] {
        assert_eq!(Pattern::parse(text), None, "{text:?}");
    }
    for text in ["", "a..b", "a.*", "a.>", "a b"] {
        assert!(!is_subject(text), "{text:?}");
    }
    assert!(is_subject("a.b*c.d"));
}

/// The specification: token lists, by recursion.
fn specified(pattern: &[&str], subject: &[&str]) -> bool {
    match (pattern, subject) {
        ([], []) => true,
        ([">"], [_, ..]) => true,
        (["*", pattern @ ..], [_, subject @ ..]) => specified(pattern, subject),
        ([one, pattern @ ..], [two, subject @ ..]) => one == two && specified(pattern, subject),
        _ => false,
    }
}

fn subjects() -> impl Strategy<Value = String> {
    proptest::collection::vec("[abc]", 1..5).prop_map(|tokens| tokens.join("."))
}

fn patterns() -> impl Strategy<Value = String> {
    (proptest::collection::vec("[abc*]", 1..4), any::<bool>())
        .prop_map(|(tokens, rest)| tokens.join(".") + if rest { ".>" } else { "" })
}

proptest! {
    #[test]
    fn matching_follows_the_specification(pattern in patterns(), subject in subjects()) {
        let expected = specified(&pattern.split('.').collect::<Vec<_>>(), &subject.split('.').collect::<Vec<_>>());
        prop_assert_eq!(Pattern::parse(&pattern).unwrap().matches(&subject), expected);
    }

    #[test]
    fn what_matches_two_patterns_proves_that_they_overlap(one in patterns(), two in patterns(), subject in subjects()) {
        let (one, two) = (Pattern::parse(&one).unwrap(), Pattern::parse(&two).unwrap());
        prop_assert_eq!(one.overlaps(&two), two.overlaps(&one));
        if one.matches(&subject) && two.matches(&subject) {
            prop_assert!(one.overlaps(&two));
        }
    }

    #[test]
    fn the_index_finds_what_a_scan_finds_and_forgets_what_is_removed(
        all in proptest::collection::vec(patterns(), 0..12),
        gone in proptest::collection::vec(any::<bool>(), 12),
        subject in subjects(),
    ) {
        let patterns: Vec<_> = all.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        let mut index = Index::default();
        for (id, pattern) in patterns.iter().enumerate() {
            index.insert(pattern, id);
        }
        for (id, pattern) in patterns.iter().enumerate().filter(|(id, _)| gone[*id]) {
            index.remove(pattern, id);
        }
        let mut found = Vec::new();
        index.find(&subject, &mut found);
        let scan: Vec<_> = (0..patterns.len()).filter(|id| !gone[*id] && patterns[*id].matches(&subject)).collect();
        prop_assert_eq!(found, scan);
        for (id, pattern) in patterns.iter().enumerate() {
            index.remove(pattern, id);
        }
        prop_assert!(index.is_empty());
    }

    #[test]
    fn any_text_is_read_as_nats_would_or_refused(text in ".{0,40}|[ab.*> ]{0,12}") {
        prop_assert_eq!(parse(&text).ok(), Pattern::parse(&text));
        if check_subject(&text).is_ok() {
            let pattern = parse(&text).expect("every subject is a pattern");
            prop_assert!(pattern.is_exact() && pattern.matches(&text));
        }
    }
}
