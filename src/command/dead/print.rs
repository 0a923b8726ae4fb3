//! Formats letters for a terminal. Their text is untrusted: control characters are escaped.

use serde_json::Value;

/// The fields that `show` prints before the body, in this order.
const FIELDS: [&str; 9] =
    ["sequence", "parked_at", "stage", "tenant", "id", "subject", "deliveries", "content_type", "bytes"];

/// One line of a list.
pub(super) fn line(letter: &Value) -> String {
    let text = |name| plain(&letter[name]);
    let (at, stage, tenant, id) = (text("parked_at"), text("stage"), text("tenant"), text("id"));
    format!("{:>6}  {at}  {stage}  {tenant}  {id}  {}: {}", text("sequence"), text("code"), text("message"))
}

/// A whole letter, its body last.
pub(super) fn whole(letter: &Value) -> String {
    let mut lines: Vec<_> = FIELDS
        .iter()
        .filter(|name| !letter[**name].is_null())
        .map(|name| format!("{name:<13}{}", plain(&letter[*name])))
        .collect();
    let reason = &letter["reason"];
    lines.push(format!("{:<13}{}: {}", "reason", plain(&reason["code"]), plain(&reason["message"])));
    let body = &letter["body"];
    lines.push(format!("{:<13}{}", "body", plain(&body["format"])));
    lines.push(match &body["content"] {
        Value::String(text) if body["format"] == "text" || body["format"] == "hex" => escaped_lines(text),
        value => escaped_lines(&format!("{value:#}")),
    });
    lines.join("\n")
}

/// The result of a replay.
pub(super) fn replayed(answer: &Value) -> String {
    let (sequence, subject, id) =
        (plain(&answer["sequence"]), plain(&answer["subject"]), plain(&answer["id"]));
    let mut line = match answer["fresh"].as_bool() {
        Some(true) => {
            format!("{sequence}: replayed under the new id {id}, since nothing runs twice under one id")
        }
        _ => format!("{sequence}: replayed {id} on {subject}"),
    };
    if answer["removed"] == false {
        line.push_str(" (the letter could not be removed; another replay changes nothing)");
    }
    line
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => escaped(text),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

/// Escapes control characters but not quotes, which are harmless.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\'' | '\\' => shown.push(character),
            other => shown.extend(other.escape_debug()),
        }
    }
    shown
}

fn escaped_lines(text: &str) -> String {
    text.lines().map(escaped).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn letter(body: Value) -> Value {
        json!({
            "sequence": 7, "parked_at": "2025-01-02T03:04:05Z", "stage": "delivery", "tenant": "acme", "id": "r-1",
            "code": "provider_unavailable", "message": "503 \u{1b}[2J", "subject": "dynode.cb.acme.r-1",
            "deliveries": 3, "bytes": 12, "content_type": null,
            "reason": {"code": "provider_unavailable", "message": "503 \u{1b}[2J"}, "body": body,
        })
    }

    #[test]
    fn a_letter_is_one_line() {
        let expected =
            r"     7  2025-01-02T03:04:05Z  delivery  acme  r-1  provider_unavailable: 503 \u{1b}[2J";
        assert_eq!(line(&letter(Value::Null)), expected);
    }

    #[test]
    fn a_letter_is_shown_with_its_body() {
        let shown = whole(&letter(json!({"format": "messagepack", "content": {"a": 1}})));
        let expected = "sequence     7\n\
            parked_at    2025-01-02T03:04:05Z\n\
            stage        delivery\n\
            tenant       acme\n\
            id           r-1\n\
            subject      dynode.cb.acme.r-1\n\
            deliveries   3\n\
            bytes        12\n\
            reason       provider_unavailable: 503 \\u{1b}[2J\n\
            body         messagepack\n\
            {\n  \"a\": 1\n}";
        assert_eq!(shown, expected);
        let text = whole(&letter(json!({"format": "text", "content": "{\"a\":\n\u{1b}"})));
        assert!(text.ends_with("body         text\n{\"a\":\n\\u{1b}"), "{text}");
    }

    #[test]
    fn a_replay_says_under_which_id() {
        let answer = |fresh, removed| {
            let subject = "dynode.req.acme.auto";
            json!({"sequence": 7, "subject": subject, "id": "x", "fresh": fresh, "removed": removed})
        };
        assert_eq!(replayed(&answer(false, true)), "7: replayed x on dynode.req.acme.auto");
        assert!(replayed(&answer(true, true)).contains("the new id x"));
        assert!(replayed(&answer(false, false)).contains("could not be removed"));
    }
}
