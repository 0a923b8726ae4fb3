//! The mutations that prove the harness still apply: one whose text is gone would prove nothing. `tests/mutations/run`
//! builds and runs them, which is far too long for here.

use std::{collections::BTreeMap, fs, path::Path};

use toml::Table;

/// As many that are caught must there be, at least.
const CAUGHT_MIN: usize = 10;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every mutation, by name.
fn mutations() -> BTreeMap<String, Table> {
    let files = fs::read_dir(root().join("tests/mutations")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap().parse().unwrap())
        })
        .collect()
}

#[test]
fn every_mutation_still_applies() {
    for (name, mutation) in mutations() {
        let mut texts: BTreeMap<&str, String> = BTreeMap::new();
        for edit in mutation["edit"].as_array().unwrap() {
            let [file, find, replace] = ["file", "find", "replace"].map(|key| edit[key].as_str().unwrap());
            let text =
                texts.entry(file).or_insert_with(|| fs::read_to_string(root().join(file)).expect(file));
            let found = text.matches(find).count();
            assert_eq!(found, 1, "{name}: {file} must have this once, so that it can be broken:\n{find}");
            assert_ne!(find, replace, "{name}: changes nothing");
            *text = text.replace(find, replace);
        }
    }
}

#[test]
fn every_mutation_says_what_catches_it_and_stands_in_the_table() {
    let guarantees = fs::read_to_string(root().join("docs/guarantees.md")).unwrap();
    let mut caught = 0;
    for (name, mutation) in mutations() {
        let says = |key: &str| mutation.contains_key(key);
        assert!(says("breaks"), "{name}: does not say what it breaks");
        assert!(
            says("by") == says("within") && says("by") != says("survives"),
            "{name}: caught, or why not?"
        );
        assert!(
            guarantees.contains(&format!("| `{name}` |")),
            "{name}: docs/guarantees.md has no row for it"
        );
        caught += usize::from(says("by"));
    }
    assert!(caught >= CAUGHT_MIN, "only {caught} mutations are caught");
}
