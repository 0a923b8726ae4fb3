//! House rules that hold without a reviewer: sizes, first lines, who may import whom, what may not stand in the tree.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The longest Rust file, tests included.
const FILE_LINES_MAX: usize = 500;
/// The longest function body, in lines.
const FUNCTION_LINES_MAX: usize = 70;

/// What each crate may import of ours; whoever is on the same layer meets on subjects.
const MAY_IMPORT: [(&str, &[&str]); 6] = [
    ("schemas", &[]),
    ("broker", &["schemas"]),
    ("adapters", &["schemas"]),
    ("actors", &["schemas", "broker", "adapters"]),
    ("gateway", &["schemas", "broker"]),
    // The simulation is made of the whole engine; all else there sees it from outside.
    ("chaos", &["schemas", "broker", "adapters", "actors", "gateway"]),
];
/// What a crate must not know, whoever else does.
const MUST_NOT_KNOW: [(&str, &[&str]); 6] = [
    ("schemas", &["tokio", "async-nats", "ractor", "axum", "reqwest"]),
    ("broker", &["ractor", "axum", "reqwest"]),
    ("adapters", &["async-nats", "ractor", "governor"]),
    ("actors", &["async-nats", "axum"]),
    ("gateway", &["async-nats", "ractor", "reqwest", "governor"]),
    ("chaos", &["ractor"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of ours below `dir` with this extension.
fn files(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        let skipped = ["target", "node_modules", ".git", "dynode-data"].iter().any(|skip| name == *skip);
        if path.is_dir() && !skipped {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|have| have == extension) {
            found.push(path);
        }
    }
}

fn sources() -> BTreeMap<PathBuf, String> {
    let mut found = Vec::new();
    files(root(), "rs", &mut found);
    assert!(found.len() > 50, "the tree was not found");
    found
        .into_iter()
        .map(|path| (path.strip_prefix(root()).unwrap().into(), fs::read_to_string(path).unwrap()))
        .collect()
}

fn assert_none(what: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{what}:\n  {}", offenders.join("\n  "));
}

#[test]
fn files_are_short() {
    let long = |(path, text): (PathBuf, String)| {
        let lines = text.lines().count();
        (lines > FILE_LINES_MAX).then(|| format!("{}: {lines} lines", path.display()))
    };
    assert_none("split these files", &sources().into_iter().filter_map(long).collect::<Vec<_>>());
}

#[test]
fn functions_fit_a_screen() {
    let mut long = Vec::new();
    for (path, text) in sources() {
        let mut open: Option<(usize, usize, String)> = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            match &open {
                Some((start, depth, name))
                    if indent == *depth && line.trim_end() == format!("{}}}", " ".repeat(*depth)) =>
                {
                    let lines = number - start;
                    if lines > FUNCTION_LINES_MAX {
                        long.push(format!("{}:{}: {name} has {lines} lines", path.display(), start + 1));
                    }
                    open = None;
                }
                None if line.contains("fn ") && line.trim_end().ends_with('{') => {
                    let name = line.trim().trim_end_matches('{').trim().to_owned();
                    open = Some((number, indent, name));
                }
                _ => {}
            }
        }
    }
    assert_none("split these functions", &long);
}

#[test]
fn every_module_says_what_it_answers_for() {
    let silent = |(path, text): (PathBuf, String)| {
        let tests = path.file_stem().is_some_and(|stem| stem == "tests")
            || path.components().any(|c| c.as_os_str() == "tests");
        let first = text.lines().next().unwrap_or_default();
        (!tests && !first.starts_with("//! ")).then(|| path.display().to_string())
    };
    assert_none(
        "begin these files with `//! `",
        &sources().into_iter().filter_map(silent).collect::<Vec<_>>(),
    );
}

#[test]
fn imports_point_downwards() {
    let mut offenders = Vec::new();
    for (krate, allowed) in MAY_IMPORT {
        let manifest: toml::Table =
            fs::read_to_string(root().join(krate).join("Cargo.toml")).unwrap().parse().unwrap();
        let dependencies: Vec<_> = manifest["dependencies"].as_table().unwrap().keys().cloned().collect();
        let ours = MAY_IMPORT.map(|(name, _)| name);
        let forbidden =
            MUST_NOT_KNOW.iter().find(|(name, _)| *name == krate).map_or(&[][..], |(_, list)| *list);
        for dependency in &dependencies {
            let upwards = ours.contains(&dependency.as_str()) && !allowed.contains(&dependency.as_str());
            if upwards || forbidden.contains(&dependency.as_str()) {
                offenders.push(format!("{krate} imports {dependency}"));
            }
        }
    }
    assert_none("these imports are against the layers", &offenders);
}

#[test]
fn nothing_unfinished_is_left() {
    // Spelled in two halves, so that this file is not its own first offender.
    let marks = ["todo", "unimplemented"].map(|name| format!("{name}!("));
    let words = [["FIX", "ME"].concat(), ["TO", "DO"].concat()];
    let silencers = ["allow(", "ignore"].map(|name| format!("#[{name}"));
    let mut offenders = Vec::new();
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            let unfinished = marks.iter().chain(&words).any(|mark| line.contains(mark));
            let silenced = silencers.iter().any(|silencer| line.contains(silencer));
            if unfinished || silenced {
                offenders.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert_none("finish these, or use #[expect(…, reason = …)]", &offenders);
}

#[test]
fn every_block_of_code_on_a_page_ends() {
    let mut pages = Vec::new();
    files(root(), "md", &mut pages);
    assert!(pages.len() > 5, "{pages:?}");
    let is_open = |page: &&PathBuf| {
        let text = fs::read_to_string(page).unwrap();
        text.lines().filter(|line| line.starts_with("```")).count() % 2 == 1
    };
    let open: Vec<_> = pages.iter().filter(is_open).map(|page| page.display().to_string()).collect();
    assert_none("pages with a block of code that has no end", &open);
}

#[test]
fn the_readme_names_only_what_exists() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let linked = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let missing: Vec<_> = linked
        .filter(|link| !link.contains("://") && !link.starts_with('#'))
        .filter(|link| !root().join(link.split('#').next().unwrap()).exists())
        .map(str::to_owned)
        .collect();
    assert_none("README.md links to what is not there", &missing);
}
