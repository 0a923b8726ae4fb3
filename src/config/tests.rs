//! What a wrong setting is told, which layer wins, and that the default configuration documents itself.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;

fn load_with(
    file: Option<&str>,
    variables: &[(&str, &str)],
    flags: &[(&'static str, &'static str, &str)],
) -> Result<Loaded, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dynode.toml");
    if let Some(text) = file {
        std::fs::write(&path, text).unwrap();
    }
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let flags = flags.iter().map(|(flag, key, value)| (*flag, *key, (*value).to_owned())).collect();
    let sources = Sources { file: file.map(|_| path), variables, flags };
    let in_directory = format!("{}/", directory.path().display());
    sources.load().map_err(|error| error.to_string().replace(&in_directory, ""))
}

fn of_file(text: &str) -> Result<Config, String> {
    load_with(Some(text), &[], &[]).map(|loaded| loaded.config)
}

fn of_variables(variables: &[(&str, &str)]) -> Result<Config, String> {
    load_with(None, variables, &[]).map(|loaded| loaded.config)
}

#[test]
fn the_defaults_are_a_configuration() {
    let config = of_variables(&[]).unwrap();
    assert_eq!(config.gateway.listen, "127.0.0.1:8321");
    assert_eq!(config.broker, BrokerChoice::Auto);
    assert_eq!(config.stream_limits(), broker::Limits::default());
    let models: Vec<_> = config.providers["sim"].models.keys().map(String::as_str).collect();
    assert_eq!(models, ["sim-chat", "sim-embed", "sim-fast", "sim-image", "sim-speech"]);
}

#[test]
fn a_provider_that_only_tells_needs_to_reach_us() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("telling.toml");
    let text = "base_url = \"http://h\"\nmodels.m = { call = \"c\" }\n[calls.c]\naction = \"tool.invoke\"\n\
        [calls.c.request]\npath = \"p\"\njson = { hook = \"{{ webhook.url }}\" }\n[calls.c.webhook]\n\
        [calls.c.reply]\noutput = \"{{ reply }}\"\n";
    std::fs::write(&file, text).unwrap();
    let provider = format!("[providers.p]\nkind = \"dynamic\"\nfile = {file:?}\n");
    let error = of_file(&provider).unwrap_err();
    assert!(error.contains("gateway.public_url: is needed by `providers.p`"), "{error}");
    of_file(&format!("{provider}[gateway]\npublic_url = \"https://ai.test\"\n")).unwrap();
}

#[test]
fn everything_is_a_configuration_and_without_keys_it_is_the_default_one() {
    let sources = Sources { file: Some("everything".into()), ..Sources::default() };
    let loaded = sources.load().unwrap();
    let mut left_out = loaded.registry.left_out().keys().cloned().collect::<Vec<_>>();
    left_out.extend(loaded.config.providers.into_keys());
    left_out.sort();
    let all = [
        "anthropic",
        "elevenlabs",
        "gemini",
        "ideogram",
        "openai",
        "pexels",
        "replicate",
        "shotstack",
        "sim",
        "stability",
        "zai",
    ];
    assert_eq!(left_out, all);
    assert!(loaded.files.iter().any(|file| file.ends_with("config/everything.toml")));
}

#[test]
fn a_later_layer_wins_and_leaves_the_rest() {
    let file = "listen = \"127.0.0.1:1\"\nlog = \"debug\"\nprefix = \"a\"\n[engine]\nretries = 7\n";
    let variables = [("DYNODE_LISTEN", "127.0.0.1:2"), ("DYNODE_LOG", "warn"), ("RUST_LOG", "trace")];
    let config = load_with(Some(file), &variables, &[("--listen", "listen", "127.0.0.1:3")]).unwrap().config;
    assert_eq!((config.listen.as_str(), config.gateway.listen.as_str()), ("127.0.0.1:3", "127.0.0.1:3"));
    assert_eq!((config.log.as_str(), config.prefix.as_str()), ("warn", "a"));
    assert_eq!((config.engine.retries, config.engine.attempts_max), (7, 3));
    assert_eq!(of_variables(&[("RUST_LOG", "trace")]).unwrap().log, "trace");
}

#[test]
fn a_variable_is_read_as_its_key_wants() {
    let config = of_variables(&[
        ("DYNODE_GATEWAY__BODY_BYTES_MAX", "4096"),
        ("DYNODE_PREFIX", "42"),
        ("DYNODE_CALLBACKS__ALLOW_NETWORKS", r#"["10.0.0.0/8"]"#),
        ("DYNODE_PROVIDERS__SIM__MODELS__SIM_CHAT__TOKENS_PER_SECOND", "12.5"),
        ("DYNODE_BROKER", ""),
    ])
    .unwrap();
    assert_eq!((config.gateway.body_bytes_max, config.prefix.as_str()), (4096, "42"));
    assert_eq!(config.callbacks.allow_networks.len(), 1);
    assert_eq!(config.providers["sim"].models["sim-chat"].tokens_per_second, Some(12.5));
    assert_eq!(config.broker, BrokerChoice::Auto);
}

#[test]
fn variables_that_are_no_settings_are_left_alone() {
    let kubernetes = [
        ("DYNODE_PORT", "tcp://10.0.0.1:80"),
        ("DYNODE_PORT_80_TCP_ADDR", "x"),
        ("DYNODE_SERVICE_HOST", "x"),
    ];
    of_variables(&kubernetes).unwrap();
    of_variables(&[("DYNODE_URL", "http://h:1")]).unwrap();
}

#[test]
fn a_provider_is_added_beside_the_default_and_can_be_taken_out() {
    let other = "kind = \"simulated\"\nmodels = { m = {} }\n";
    let both = of_file(&format!("[providers.other]\n{other}")).unwrap();
    assert_eq!(both.providers.keys().collect::<Vec<_>>(), ["other", "sim"]);
    let one = of_file(&format!("[providers]\nsim = false\n[providers.other]\n{other}")).unwrap();
    assert_eq!(one.providers.keys().collect::<Vec<_>>(), ["other"]);
    assert!(of_variables(&[("DYNODE_PROVIDERS__SIM", "false")]).unwrap().providers.is_empty());
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_line() {
    let table = [
        ("lissten = \"x\"", "dynode.toml:1:1: lissten: there is no such key; did you mean `listen`?"),
        (
            "\n[gateway]\nbody_byte_max = 1",
            "dynode.toml:3:1: gateway.body_byte_max: there is no such key; did you mean `body_bytes_max`?",
        ),
        ("# a\nprefix = 7", "dynode.toml:2:1: prefix: invalid type: integer `7`, expected a string"),
        (
            "[engine]\n  retries = \"many\"",
            "dynode.toml:2:3: engine.retries: invalid type: string \"many\", expected u32",
        ),
        (
            "[engine]\nlease_ms = -1",
            "dynode.toml:2:1: engine.lease_ms: invalid value: integer `-1`, expected u64",
        ),
        ("[engine]\nlease_ms = 10", "dynode.toml:2:1: engine.lease_ms: 10 is too small; the least is 3000"),
        (
            "[streams]\nduplicate_window_seconds = 20",
            "dynode.toml:2:1: streams.duplicate_window_seconds: 20 s is not longer",
        ),
        (
            "[watchdog]\nsilence_kill_ms = 5000",
            "dynode.toml:2:1: watchdog.silence_kill_ms: must be at least 3 times engine.heartbeat_ms",
        ),
        (
            "[engine]\nresume_wait_ms = 9000",
            "dynode.toml:2:1: engine.resume_wait_ms: must be less than engine.pause_wait_ms",
        ),
        (
            "broker = \"memory\"\nworkers = 2",
            "dynode.toml:2:1: workers: worker processes cannot reach a broker in the memory",
        ),
        ("[gateway]\nlisten = \"x\"", "dynode.toml:2:1: gateway.listen: set `listen`, at the top, instead"),
        ("[gateway]\nconnections_max = 0", "dynode.toml:2:1: gateway.connections_max: must be at least 1"),
        (
            "log_format = \"xml\"",
            "dynode.toml:1:1: log_format: unknown variant `xml`, expected `text` or `json`",
        ),
        ("broker = \"kafka\"", "dynode.toml:1:1: broker: expected `auto`, `memory`"),
        ("listen = \"here\"", "dynode.toml:1:1: listen: expected an address and a port"),
        ("prefix = \"a.b\"", "dynode.toml:1:1: prefix: "),
        ("log = \"info,x=loud\"", "dynode.toml:1:1: log: "),
        ("[providers.x]\nmodels = {}", "dynode.toml:1:12: providers.x: missing field `kind`"),
        (
            "[providers.sim.models.a]\nactoin = 1",
            "dynode.toml:2:1: providers.sim.models.a.actoin: there is no such key; did you mean `action`?",
        ),
        (
            "[[classifier.rules]]\nwhen = \"/a\"\naction = \"sing\"",
            "dynode.toml:3:1: classifier.rules[0].action: unknown variant `sing`",
        ),
        (
            "[[classifier.rules]]\nwhen = \"/a\"\nmatches = \"(\"\naction = \"auto\"",
            "dynode.toml:3:1: classifier.rules[0].matches: ",
        ),
        (
            "[classifier]\nrules = [\n  { when = \"a\", action = \"auto\" },\n]",
            "dynode.toml:3:5: classifier.rules[0].when: expected a JSON pointer",
        ),
        ("a = \n", "dynode.toml:1:"),
        (
            "[telemetry]\notlp_endpoint = \"collector\"",
            "dynode.toml:2:1: telemetry.otlp_endpoint: expected an http:// or https:// URL",
        ),
    ];
    for (text, expected) in table {
        let error = of_file(text).expect_err(text);
        assert!(error.starts_with(expected), "{text}\n  told:     {error}\n  expected: {expected}");
    }
}

#[test]
fn what_is_wrong_with_a_budget_is_told_with_its_line() {
    let table = [
        (
            "tenant = \"a\"\nper = \"week\"\nusd = 1",
            "dynode.toml:3:1: budgets[0].per: unknown variant `week`",
        ),
        ("tenant = \"a\"\nper = \"day\"\nusd = -1", "dynode.toml:4:1: budgets[0].usd: expected an amount"),
        ("tenant = \"a b\"\nper = \"day\"\nusd = 1", "dynode.toml:2:1: budgets[0].tenant: `a b` is not"),
        (
            "organisation = \"A\"\nper = \"day\"\nusd = 1",
            "dynode.toml:2:1: budgets[0].organisation: no tenant",
        ),
    ];
    for (text, expected) in table {
        let error = of_file(&format!("[[budgets]]\n{text}")).expect_err(text);
        assert!(error.starts_with(expected), "{text}\n  told:     {error}\n  expected: {expected}");
    }
}

#[test]
fn limits_are_of_an_organisation_that_tenants_have() {
    let error = of_file("[[limits]]\norganisation = \"Acme\"\nconcurrency = 2").unwrap_err();
    let why =
        "dynode.toml:2:1: limits[0].organisation: no tenant in [tenants] belongs to the organisation `Acme`";
    assert!(error.starts_with(why), "{error}");
    let tenants =
        "[tenants.a]\norganisation = \"Acme\"\n[tenants.b]\norganisation = \"Acme\"\nproject = \"x\"\n";
    let budget = "[[budgets]]\norganisation = \"Acme\"\nproject = \"x\"\nper = \"day\"\nusd = 1\n";
    let limits = "[[limits]]\norganisation = \"Acme\"\nconcurrency = 2";
    let config = of_file(&format!("{tenants}{budget}{limits}")).unwrap();
    assert_eq!((config.limits.len(), config.budgets.len()), (1, 1));
}

/// The gateway has a copy of it, which nobody has written down.
#[test]
fn a_listen_that_is_no_string_is_told_where_it_stands() {
    let error = of_file("\nlisten = 8321").unwrap_err();
    assert_eq!(error, "dynode.toml:2:1: listen: expected a string, such as \"127.0.0.1:8321\"");
}

#[test]
fn what_is_wrong_in_the_environment_or_in_a_flag_is_told_by_its_name() {
    let table = [
        (("DYNODE_LISTEN__", "x"), "DYNODE_LISTEN__: listen: expected a string"),
        (("DYNODE_LISEN", "x"), "DYNODE_LISEN: lisen: there is no such key; did you mean `listen`?"),
        (
            ("DYNODE_ENGINE__RETRIES", "many"),
            "DYNODE_ENGINE__RETRIES: engine.retries: invalid type: string \"many\", expected u32",
        ),
        (
            ("DYNODE_ENGINE__RETRIES", "-1"),
            "DYNODE_ENGINE__RETRIES: engine.retries: invalid value: integer `-1`, expected u32",
        ),
        (("DYNODE_ENGINE__LEASE_MS", "1"), "DYNODE_ENGINE__LEASE_MS: engine.lease_ms: 1 is too small"),
        (("DYNODE_CONFIG", "/nowhere/dynode.toml"), "DYNODE_CONFIG: cannot read `/nowhere/dynode.toml`: "),
        (("RUST_LOG", "x=loud"), "RUST_LOG: log: "),
    ];
    for (variable, expected) in table {
        let error = of_variables(&[variable]).expect_err(variable.0);
        assert!(error.starts_with(expected), "told:     {error}\nexpected: {expected}");
    }
    let error = load_with(None, &[], &[("--broker", "broker", "kafka")]).unwrap_err();
    assert!(error.starts_with("--broker: broker: expected `auto`"), "{error}");
}

#[test]
fn secrets_are_neither_told_nor_debugged() {
    let canary = "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5";
    let config = of_variables(&[
        ("DYNODE_CALLBACKS__DEFAULT_SECRET", canary),
        ("DYNODE_BROKER", "nats://u:canary@h:1"),
    ]);
    let debugged = format!("{:?}", config.unwrap());
    assert!(!debugged.contains("Y2FuYXJ5") && !debugged.contains("canary"), "{debugged}");
    let error = of_file("[providers.x]\nkind = \"simulated\"\nmodels = {}\napi_key = 112233").unwrap_err();
    assert_eq!(error, "dynode.toml:4:1: providers.x.api_key: expected a string");
    let error = of_variables(&[("DYNODE_BROKER", "nat://u:canary@h")]).unwrap_err();
    assert!(!error.contains("canary"), "{error}");
}

#[test]
fn every_key_of_the_default_configuration_has_a_comment() {
    let mut above = "";
    for line in DEFAULT.lines() {
        if is_setting(line) || line.starts_with("[providers.sim") {
            assert!(above.starts_with("# "), "no comment above `{line}`");
        }
        above = line;
    }
}

#[test]
fn every_key_that_is_known_stands_in_the_default_configuration() {
    /// Keys that hold tables: they stand in no line of their own.
    const TABLES: [&str; 16] = [
        "assets",
        "budgets",
        "ledger",
        "waterfalls",
        "gateway",
        "streams",
        "engine",
        "classifier",
        "callbacks",
        "providers",
        "telemetry",
        "watchdog",
        "models",
        "keys",
        "tenants",
        "limits",
    ];
    let tables: BTreeMap<&str, &str> = [
        ("", "nonsense = 1"),
        ("streams", "[streams]\nnonsense = 1"),
        ("gateway", "[gateway]\nnonsense = 1"),
        ("engine", "[engine]\nnonsense = 1"),
        ("classifier", "[classifier]\nnonsense = 1"),
        ("callbacks", "[callbacks]\nnonsense = 1"),
        ("budgets", "[[budgets]]\nnonsense = 1"),
        ("tenants.acme", "[tenants.acme]\nnonsense = 1"),
        ("limits", "[[limits]]\nnonsense = 1"),
        ("keys", "[[keys]]\nnonsense = 1"),
        ("ledger", "[ledger]\nnonsense = 1"),
        ("assets", "[assets]\nnonsense = 1"),
        ("telemetry", "[telemetry]\nnonsense = 1"),
        ("watchdog", "[watchdog]\nnonsense = 1"),
        ("providers.sim", "[providers.sim]\nnonsense = 1"),
        ("providers.sim.models.sim-chat", "[providers.sim.models.sim-chat]\nnonsense = 1"),
    ]
    .into();
    let documented: Vec<&str> = DEFAULT.lines().filter(|line| is_setting(line)).collect();
    for (name, text) in tables {
        let error = of_file(text).unwrap_err();
        let known = error.split("the keys here are ").nth(1).unwrap();
        for key in known.split(", ").filter(|key| !TABLES.contains(key)) {
            let stands = |line: &&str| line.trim_start_matches('#').split(" =").next() == Some(key);
            assert!(documented.iter().any(stands), "{name}: `{key}` is not in default.toml");
        }
    }
}

/// A key, or one that is commented out.
fn is_setting(line: &str) -> bool {
    let key = line.strip_prefix('#').unwrap_or(line).split(" =").next().unwrap_or_default();
    line.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// What a slip of the hand makes of the default configuration: lines changed, doubled, moved, and bytes too.
fn slipped(edits: &[(Index, Index, char)]) -> String {
    let mut lines: Vec<String> = DEFAULT
        .lines()
        .filter(|line| !line.starts_with("# ") && !line.is_empty())
        .map(|line| line.trim_start_matches('#').to_owned())
        .collect();
    for (line, at, c) in edits {
        let (from, to) = (line.index(lines.len()), at.index(lines.len()));
        let mut text: Vec<char> = lines[from].chars().collect();
        match c {
            '0'..='9' => lines.insert(to, lines[from].clone()),
            'x' => drop(lines.remove(from)),
            _ => {
                text.insert(at.index(text.len() + 1), *c);
                lines[from] = text.into_iter().collect();
            }
        }
    }
    lines.join("\n")
}

/// A file is read, or refused with its name and a line that it has.
fn check_file(text: &str) -> Result<(), TestCaseError> {
    if let Err(error) = of_file(text) {
        let place = error.strip_prefix("dynode.toml:").and_then(|rest| rest.split(':').next()?.parse().ok());
        let lines = text.matches('\n').count() + 1;
        prop_assert!(place.is_some_and(|line: usize| (1..=lines).contains(&line)), "{text}\n{error}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_slip_in_a_file_is_told_with_its_line(
        edits in vec((any::<Index>(), any::<Index>(), "[a-z0-9x=\"\\[\\]{}.,#' é-]"), 0..4),
    ) {
        let edits: Vec<_> = edits
            .into_iter()
            .filter_map(|(line, at, text): (_, _, String)| Some((line, at, text.chars().next()?)))
            .collect();
        check_file(&slipped(&edits))?;
    }

    #[test]
    fn any_text_is_read_or_told_with_its_line(text in "(\\PC{0,20}\n){0,4}|([a-z_.\"=\\[\\]{}0-9 \n']|listen|engine|providers|sim|models){0,20}") {
        check_file(&text)?;
    }

    #[test]
    fn any_variable_is_read_or_told_by_its_name(
        key in "(LISTEN|LOG|ENGINE|PROVIDERS|SIM|MODELS|CLASSIFIER|RULES|_|__|[A-Z0-9]){0,8}",
        value in "\\PC{0,20}",
    ) {
        let name = format!("DYNODE_{key}");
        if let Err(error) = of_variables(&[(&name, &value)]) {
            prop_assert!(error.starts_with(&name) || name == "DYNODE_CONFIG", "{name}={value}\n{error}");
        }
    }
}
