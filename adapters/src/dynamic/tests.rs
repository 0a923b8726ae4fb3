use std::collections::BTreeMap;

use proptest::{prelude::*, sample::Index};
use serde_json::json;

use super::*;
use crate::{Kind, Registry, http};

const MINIMAL: &str = r#"
base_url = "https://api.test/v1"
key = { header = "x-key", variable = "TEST_KEY" }
[models]
m = { call = "make" }
[calls.make]
action = "image.generate"
[calls.make.request]
path = "make"
json = { prompt = "{{ payload.prompt }}" }
[calls.make.reply]
files = { urls = "{{ reply.url }}" }
"#;

fn refused(text: &str) -> FileError {
    Program::read("p.toml", text).unwrap_err()
}

#[test]
fn a_bad_file_is_told_with_line_and_reason() {
    let rows = [
        ("key = {", "key = [", "p.toml:3:", ""),
        ("action = ", "actoin = ", "p.toml:7:1", "unknown field `actoin`"),
        ("image.generate", "image.make", "p.toml:7:", "unknown variant `image.make`"),
        (
            "image.generate",
            "workflow.run",
            "p.toml:7:1",
            "calls.make.action: a provider file cannot describe",
        ),
        (
            "path = \"make\"",
            "path = \"/make\"",
            "p.toml:9:1",
            "calls.make.request.path: must begin without a slash",
        ),
        ("path = \"make\"", "path = \"{{ make\"", "p.toml:9:1", "calls.make.request.path: "),
        ("path = \"make\"\n", "", "p.toml:8:", "missing field `path`"),
        (
            "payload.prompt }}",
            "prompt }}",
            "p.toml:10:1",
            "calls.make.request.json: prompt: there is no `prompt` here",
        ),
        (
            "payload.prompt }}",
            "reply.prompt }}",
            "p.toml:10:1",
            "there is no `reply` here; use one of payload",
        ),
        ("json = ", "form = {}\njson = ", "p.toml:8:", "more than one body"),
        ("json = ", "method = \"GET\"\njson = ", "p.toml:10:1", "a GET has no body"),
        ("files = ", "output = 1\nfiles = ", "p.toml:11:", "once: by files or bytes"),
        (
            "files = ",
            "text = \"x\" #",
            "p.toml:12:1",
            "calls.make.reply.text: is no answer to `image.generate`",
        ),
        ("urls = ", "base64 = \"{{ reply.b }}\", urls = ", "p.toml:12:", "keep one of urls and base64"),
        (
            "{ call = \"make\" }",
            "{ call = \"made\" }",
            "p.toml:5:",
            "there is no call `made`; the calls here are `make`",
        ),
        ("[models]\nm = { call = \"make\" }", "models = {}", "p.toml:4:1", "models: names no model"),
        ("path = \"make\"", "path = \"{{ webhook.url }}\"", "p.toml:9:", "there is no `webhook` here"),
    ];
    for (from, to, place, why) in rows {
        assert!(MINIMAL.contains(from), "{from}");
        let error = refused(&MINIMAL.replace(from, to)).to_string();
        assert!(error.starts_with(place), "{from} -> {to}: {error}");
        assert!(error.contains(why), "{from} -> {to}: {error}");
    }
}

#[test]
fn what_is_added_is_checked_as_well() {
    let rows = [
        ("[limits]\nfiles = 0", "limits.files: 0 is not between"),
        ("[calls.make.reply.usage]\nmoney = \"{{ reply.x }}\"", "usage.money: is nothing that is counted"),
        ("[calls.make.result]\npath = \"x\"", "calls.make.result: is asked for after a poll"),
        (
            "[[errors]]\ncode = \"provider_error\"\nremedy = \"retry\"\nsays = \"x\"",
            "errors[0]: fits every refusal",
        ),
        (
            "[[errors]]\nstatus = 200\ncode = \"provider_error\"\nremedy = \"retry\"\nsays = \"x\"",
            "errors[0].status: fits every reply",
        ),
        ("[refusal]\nmessage = \"{{ words }}\"", "refusal.message: there is no `words` here"),
        (
            "[calls.make.poll]\npath = \"x\"\nstate = \"{{ reply.s }}\"\npending = []\ndone = []",
            "calls.make.poll.done: names no state",
        ),
        (
            "[calls.make.poll]\npath = \"x\"\nstate = \"{{ reply.s }}\"\npending = []\ndone = [\"d\"]\nevery_ms = 1",
            "calls.make.poll.every_ms: 1 is not between 50 and 20000",
        ),
        ("[calls.make.webhook]\nevery_ms = 1", "calls.make.webhook.every_ms: 1 is not between"),
        ("[calls.make.webhook]\ndone = [\"d\"]", "calls.make.webhook.state: is missing"),
        ("[calls.make.webhook]\nstate = \"{{ reply.s }}\"", "calls.make.webhook.done: names no state"),
        (
            "[calls.make.webhook]\nstate = \"{{ reply.s }}\"\ndone = [\"d\"]\n[calls.make.poll]\npath = \"x\"\n\
             state = \"{{ reply.s }}\"\npending = []\ndone = [\"d\"]",
            "calls.make.webhook.state: beside a poll a webhook only says that it is time to ask",
        ),
        (
            "[calls.make.stream]\nframing = \"lines\"\ntext = \"{{ reply.t }}\"\nfinish_reason = \"{{ reply.f }}\"",
            "calls.make.stream: only a chat answer",
        ),
        ("[calls.make.stream]\nframing = \"morse\"", "unknown variant `morse`"),
    ];
    for (more, why) in rows {
        let error = refused(&format!("{MINIMAL}\n{more}\n")).to_string();
        assert!(error.contains(why), "{more}: {error}");
        assert!(!error.starts_with("p.toml:1:"), "{more}: {error}");
    }
}

#[test]
fn a_stream_is_read_where_it_is_and_its_end_is_known() {
    let chat = |framing: &str, more: &str| {
        format!(
            "[models]\nm = {{ call = \"say\" }}\n[calls.say]\naction = \"chat.completion\"\n\
             [calls.say.request]\npath = \"x\"\n[calls.say.reply]\ntext = \"{{{{ reply.t }}}}\"\n\
             [calls.say.stream]\nframing = \"{framing}\"\ntext = \"{{{{ reply if event == 'output' }}}}\"\n\
             finish_reason = \"{{{{ reply.f }}}}\"\n{more}"
        )
    };
    let url = "url = \"{{ submitted.stream }}\"\n";
    let poll = "[calls.say.poll]\npath = \"x\"\nstate = \"{{ reply.s }}\"\npending = []\ndone = [\"d\"]\n";
    assert!(Program::read("p.toml", &chat("text_events", &format!("{url}{poll}"))).is_ok());
    let rows = [
        (chat("events", url), "stream.url: needs a `poll`, which tells how the work"),
        (chat("events", poll), "stream.url: is missing: where does the first reply say"),
        (chat("text_events", ""), "stream.framing: texts are read of a stream that has a `url`"),
        (
            chat("events", "url = \"{{ reply.x }}\"\n")
                .replace("[calls.say.stream]", &format!("{poll}[calls.say.stream]")),
            "stream.url: there is no `reply` here",
        ),
    ];
    for (text, why) in rows {
        let error = refused(&text).to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn every_shipped_file_is_one_and_makes_its_sample() {
    for name in shipped::NAMES {
        let check = check::Check::read(name, None, std::time::Duration::from_secs(1)).unwrap();
        for model in check.models() {
            let request =
                check.request(model, None).unwrap_or_else(|why| panic!("{name} {}: {why}", model.id));
            assert!(!request.contains(check::NO_KEY), "{request}");
        }
    }
}

fn built(name: &str, table: Value, variable: Option<&str>) -> Result<Dynamic, ConfigError> {
    let mut config = json!({"kind": "dynamic"});
    config.as_object_mut().unwrap().extend(table.as_object().unwrap().clone());
    let config: ProviderConfig = serde_json::from_value(config).unwrap();
    let client = http::client_builder().build().unwrap();
    let variable = variable.map(str::to_owned);
    Dynamic::with_variables(name, &config, client, move |name| {
        variable.clone().filter(|_| name == "IDEOGRAM_API_KEY")
    })
}

#[test]
fn a_missing_key_is_named_with_the_variable_to_set() {
    let error = built("p", json!({"file": "ideogram"}), None).unwrap_err();
    assert_eq!(error.path, "providers.p.api_key_env");
    assert!(error.why.contains("`IDEOGRAM_API_KEY` is not set; set it to the key"), "{error}");
    let dynamic = built("p", json!({"file": "ideogram"}), Some("k-canary")).unwrap();
    assert_eq!(dynamic.provider.endpoint.headers(0)["api-key"], "k-canary");
    let shown = format!("{dynamic:?}");
    assert!(!shown.contains("canary"), "{shown}");
    built("p", json!({"file": "ideogram", "api_key": "k"}), None).unwrap();
}

#[test]
fn the_secret_of_webhooks_is_needed_where_there_is_no_other_way_and_named_with_its_variable() {
    let webhooks = |text: &str, more: Value, secret: Option<&str>| {
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        let mut config =
            json!({"kind": "dynamic", "file": file.path(), "api_key": "k", "base_url": "http://h"});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let secret = secret.map(str::to_owned);
        let client = http::client_builder().build().unwrap();
        let config: ProviderConfig = serde_json::from_value(config).unwrap();
        let dynamic = Dynamic::with_variables("p", &config, client, move |name| {
            secret.clone().filter(|_| matches!(name, "HOOK" | "OTHER"))
        });
        dynamic.map(|dynamic| dynamic.webhooks())
    };
    const GOOD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let only = format!("webhook_secret = {{ variable = \"HOOK\" }}\n{MINIMAL}\n[calls.make.webhook]\n");
    let beside = only.clone()
        + "[calls.make.poll]\npath = \"x\"\nstate = \"{{ reply.s }}\"\npending = []\ndone = [\"d\"]\n";
    let error = webhooks(&only, json!({}), None).unwrap_err();
    assert_eq!(error.path, "providers.p.webhook_secret_env");
    assert!(error.why.contains("`HOOK` is not set"), "{error}");
    let error = webhooks(&only, json!({}), Some("canary")).unwrap_err();
    assert!(error.why.contains("whsec_") && !error.why.contains("canary"), "{error}");
    let known = webhooks(&only, json!({"webhook_secret_env": "OTHER"}), Some(GOOD)).unwrap().unwrap();
    assert!(known.are_needed && known.secret.is_some());
    assert!(webhooks(&beside, json!({}), None).unwrap().is_none(), "it can be asked instead");
    assert!(!webhooks(&beside, json!({}), Some(GOOD)).unwrap().unwrap().are_needed);
    assert!(webhooks(&beside, json!({"webhook_secret_env": "NOT_SET"}), Some(GOOD)).is_err());
    assert!(webhooks(MINIMAL, json!({}), Some(GOOD)).unwrap().is_none());
}

#[test]
fn models_are_those_of_the_file_or_renamed_by_the_configuration() {
    let ids = |table: Value| {
        let dynamic = built("p", table, Some("k"))?;
        Ok::<_, ConfigError>(
            dynamic.models().iter().map(|m| format!("{}={}", m.id, m.upstream)).collect::<Vec<_>>(),
        )
    };
    assert_eq!(ids(json!({"file": "ideogram"})).unwrap().len(), 4);
    let renamed = json!({"file": "ideogram", "models": {"pictures": {"upstream": "ideogram-v3-turbo"}}});
    assert_eq!(ids(renamed).unwrap(), ["pictures=ideogram-v3-turbo"]);
    let new = json!({"file": "ideogram", "models": {"ideogram-v9": {}}});
    assert_eq!(ids(new).unwrap(), ["ideogram-v9=ideogram-v9"], "one call alone can be meant");
    let rows = [
        (json!({"models": {"x": {"action": "chat.completion"}}}), "providers.p.models.x", "cannot be told"),
        (
            json!({"models": {"ideogram-v3": {"action": "video.render"}}}),
            "providers.p.models.ideogram-v3",
            "does `image.generate`",
        ),
        (
            json!({"models": {"a": {"upstream": "m"}, "b": {"upstream": "m"}}}),
            "providers.p.models",
            "both `m`",
        ),
        (json!({"seed": 3}), "providers.p.seed", "does not belong"),
        (json!({"base_url": "ftp://x"}), "providers.p.base_url", "http://"),
        (json!({"file": "nosuch"}), "providers.p.file", "`nosuch` is not shipped (elevenlabs"),
        (json!({"file": "/no/such.toml"}), "providers.p.file", "cannot be read"),
        (json!({"file": null}), "providers.p.file", "is missing"),
    ];
    for (more, path, why) in rows {
        let mut table = json!({"file": "ideogram"});
        table.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let error = built("p", table, Some("k")).unwrap_err();
        assert_eq!(error.path, path, "{more}: {error}");
        assert!(error.why.contains(why), "{more}: {error}");
    }
}

#[test]
fn a_registry_is_told_the_file_and_the_line_of_a_fault() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bad.toml");
    std::fs::write(&path, MINIMAL.replace("path = \"make\"", "path = \"/make\"")).unwrap();
    let config = json!({"kind": "dynamic", "file": path, "api_key": "k"});
    let providers = BTreeMap::from([("p".to_owned(), serde_json::from_value(config).unwrap())]);
    let error = Registry::build(&providers).unwrap_err();
    assert_eq!(error.path, "providers.p.file");
    assert!(error.why.contains("bad.toml:9:1: calls.make.request.path: "), "{error}");
    let config = json!({"kind": "simulated", "file": "ideogram", "models": {"m": {}}});
    let providers = BTreeMap::from([("p".to_owned(), serde_json::from_value(config).unwrap())]);
    assert_eq!(Registry::build(&providers).unwrap_err().path, "providers.p.file");
    assert!(Kind::Dynamic.actions().contains(&Action::VideoRender));
}

proptest! {
    /// A slip of the hand in a shipped file: it is read, or refused with a line that it has.
    #[test]
    fn a_slip_in_a_file_is_told_with_its_line(
        which in 0..shipped::NAMES.len(), at in any::<Index>(), length in 0..12_usize, slip in "[a-z{}%\"'=|. \\[\\]\n]{0,4}",
    ) {
        let (_, mut text) = shipped::read(shipped::NAMES[which]).unwrap();
        let from = text.floor_char_boundary(at.index(text.len()));
        let to = text.ceil_char_boundary((from + length).min(text.len()));
        text.replace_range(from..to, &slip);
        if let Err(error) = Program::read("p.toml", &text) {
            prop_assert!((1..=text.matches('\n').count() + 1).contains(&error.line), "{error}");
            prop_assert!(!error.why.is_empty());
        }
    }
}
