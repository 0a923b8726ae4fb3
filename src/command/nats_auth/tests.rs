use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use schemas::Subjects;

use super::*;

fn printed(seeds: &Path, tenants: &[&str]) -> String {
    let tenants = tenants.iter().map(|&name| Tenant::new(name).unwrap()).collect();
    configuration(&NatsAuthArgs { tenants, seeds: seeds.to_owned(), prefix: Subjects::default() }).unwrap()
}

#[test]
fn the_secrets_are_in_files_of_their_owner_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let seeds = dir.path().join("keys");
    let text = printed(&seeds, &["acme"]);
    assert_eq!(fs::metadata(&seeds).unwrap().permissions().mode() & 0o777, 0o700);
    for name in ["engine", "gateway", "worker", "operator", "tenant-acme"] {
        let file = seeds.join(format!("{name}.nk"));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        let seed = fs::read_to_string(&file).unwrap();
        assert!(seed.starts_with("SU") && !text.contains(&seed), "{name}");
    }
}

#[test]
fn who_was_there_before_keeps_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let first = printed(dir.path(), &["acme"]);
    let second = printed(dir.path(), &["globex", "acme", "acme"]);
    let keys = |text: &str| {
        let found = text.split("nkey: \"").skip(1).filter_map(|rest| rest.split('"').next());
        found.map(str::to_owned).collect::<Vec<_>>()
    };
    let (first, second) = (keys(&first), keys(&second));
    assert_eq!((first.len(), second.len()), (5, 6));
    assert!(first.iter().all(|key| second.contains(key)));
    fs::write(dir.path().join("tenant-acme.nk"), "canary").unwrap();
    let args = NatsAuthArgs {
        tenants: vec![Tenant::new("acme").unwrap()],
        seeds: dir.path().to_owned(),
        prefix: Subjects::default(),
    };
    let why = configuration(&args).unwrap_err().to_string();
    assert!(why.contains("tenant-acme.nk") && !why.contains("canary"), "{why}");
}

#[test]
fn nobody_may_do_everything() {
    let dir = tempfile::tempdir().unwrap();
    let text = printed(dir.path(), &["acme", "globex"]);
    for too_much in ["\">\"", "\"$JS.API.>\"", "\"$JS.>\"", "\"_INBOX.>\"", "\"$KV.>\"", "STREAM.DELETE"] {
        assert!(!text.contains(too_much), "{too_much}");
    }
    let (_, acme) = text.split_once("\"DYNODE-acme\": {").unwrap();
    let (acme, _) = acme.split_once("\n  }").unwrap();
    assert!(acme.contains("dynode.req.acme.>") && !acme.contains("globex"), "{acme}");
}
