//! Formats numbers, times and untrusted text in the same way in all reports.

use super::Standing;

/// `1234567` as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `340 ms`, `1.2 s`, `4 min 5 s`: three digits are enough.
pub(crate) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

/// A duration, or a dash if there is none.
pub(super) fn duration_or_dash(ms: Option<u64>) -> String {
    ms.map_or_else(|| "–".into(), duration)
}

/// `held`, `broken`, `not tested`.
pub(super) const fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Held(_) => "held",
        Standing::Broken(_) => "BROKEN",
        Standing::NotExercised => "not tested",
    }
}

/// How often a guarantee was tested, or broken.
pub(super) fn extent(standing: Standing) -> String {
    match standing {
        Standing::Held(checked) => format!("{}×", count(checked)),
        Standing::Broken(findings) => format!("{}×", count(findings as u64)),
        Standing::NotExercised => String::new(),
    }
}

/// Escapes text for HTML or SVG.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        assert_eq!(
            [0, 999, 1_250, 59_999, 65_000].map(duration),
            ["0 ms", "999 ms", "1.2 s", "59.9 s", "1 min 5 s"]
        );
    }

    #[test]
    fn foreign_text_cannot_become_markup() {
        assert_eq!(escape("<a href='x'>\"&"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;");
    }
}
