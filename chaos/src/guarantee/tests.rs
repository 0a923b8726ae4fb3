use std::{fs, path::PathBuf};

use super::*;
use crate::run::scenarios;

/// `docs/guarantees.md`, from which its links go out.
fn page() -> (PathBuf, String) {
    let docs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let page = fs::read_to_string(docs.join("guarantees.md")).unwrap();
    (docs, page)
}

/// The cells of the row of `guarantee`.
fn row(page: &str, guarantee: Guarantee) -> Vec<&str> {
    let first = format!("| **{guarantee}** {} |", guarantee.title());
    let mut rows = page.lines().filter(|line| line.starts_with(&first));
    let row = rows.next().unwrap_or_else(|| panic!("docs/guarantees.md has no row that begins `{first}`"));
    assert_eq!(rows.next(), None, "{guarantee} has two rows");
    row.trim_matches('|').split('|').map(str::trim).collect()
}

fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link)
}

#[test]
fn every_guarantee_stands_in_the_table_with_its_mechanism_and_its_proof() {
    let (_, page) = page();
    for guarantee in Guarantee::ALL {
        let cells = row(&page, guarantee);
        assert_eq!(cells.len(), 5, "{guarantee}: {cells:?}");
        assert!(!cells[1].is_empty(), "{guarantee} promises nothing");
        assert!(links(cells[3]).next().is_some(), "the mechanism of {guarantee} names no file");
        assert!(links(cells[4]).next().is_some(), "the proof of {guarantee} names no file");
    }
}

#[test]
fn every_file_that_is_named_exists() {
    let (docs, page) = page();
    let missing: Vec<_> = links(&page).filter(|link| !docs.join(link).exists()).collect();
    assert!(missing.is_empty(), "docs/guarantees.md names what is not there: {missing:?}");
}

#[test]
fn the_proof_begins_with_the_checker_of_that_number() {
    let (docs, page) = page();
    for guarantee in Guarantee::ALL {
        let checker = links(row(&page, guarantee)[4]).next().unwrap();
        assert!(checker.starts_with("../chaos/src/checker/"), "{guarantee}: {checker} is no checker");
        let source = fs::read_to_string(docs.join(checker)).unwrap();
        assert!(source.starts_with(&format!("//! {guarantee}: ")), "{checker} does not check {guarantee}");
    }
}

#[test]
fn every_scenario_that_is_named_exists_and_aims_at_its_guarantee() {
    let (_, page) = page();
    for guarantee in Guarantee::ALL {
        for name in row(&page, guarantee)[4].split('`').skip(1).step_by(2) {
            let scenario =
                scenarios::find(name).unwrap_or_else(|| panic!("{guarantee}: no scenario `{name}`"));
            assert!(scenario.aims.contains(&guarantee), "`{name}` does not aim at {guarantee}");
        }
    }
}
