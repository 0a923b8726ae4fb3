//! Tells what a file is by its first bytes, whatever its provider says it is. Pure.

use infer::MatcherType;
use schemas::{Action, Request};

/// This many bytes tell every type that is looked for.
pub(super) const HEAD_BYTES: usize = 512;
/// Raw samples without a header: no bytes identify them, so they are accepted only if the request asked for them.
const PCM: &str = "audio/pcm";

/// The media type of a file that begins with `head` and answers `request`; the error says what is wrong with the file.
pub(super) fn media_type(request: &Request, head: &[u8]) -> Result<&'static str, String> {
    let (wanted, name) = match request.action {
        Action::ImageGenerate => (MatcherType::Image, "image"),
        Action::AudioSynthesize => (MatcherType::Audio, "sound"),
        Action::VideoRender => (MatcherType::Video, "video"),
        other => return Err(format!("made a file, which `{other}` does not ask for")),
    };
    if head.is_empty() {
        return Err(format!("made an empty file instead of the requested {name}"));
    }
    match infer::get(head) {
        Some(kind) if kind.matcher_type() == wanted => Ok(registered(kind.mime_type())),
        Some(kind) => Err(format!("made a file of {} instead of the requested {name}", kind.mime_type())),
        // The error does not quote the text: it may repeat our key.
        None if is_text(head) => Err(format!("made a text instead of the requested {name}")),
        None if asks_for_pcm(request) => Ok(PCM),
        None => Err(format!("made a file of an unknown type instead of the requested {name}")),
    }
}

/// The registered names of types that `infer` names by older ones.
fn registered(mime: &'static str) -> &'static str {
    match mime {
        "audio/x-wav" => "audio/wav",
        "audio/x-flac" => "audio/flac",
        "audio/m4a" => "audio/mp4",
        other => other,
    }
}

fn asks_for_pcm(request: &Request) -> bool {
    let asked = |field: &str| request.payload.get(field).and_then(serde_json::Value::as_str);
    let formats = ["response_format", "output_format"].into_iter().filter_map(asked);
    request.action == Action::AudioSynthesize
        && formats.into_iter().any(|format| format == "pcm" || format.starts_with("pcm_"))
}

/// Whether it is readable: most likely an error page. The end of `head` may cut a character in two.
fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => return is_text(&head[..error.valid_up_to()]),
        Err(_) => return false,
    };
    !text.is_empty() && !text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const WAV: &[u8] = b"RIFF\x24\0\0\0WAVEfmt ";

    fn of(action: Action, payload: serde_json::Value, head: &[u8]) -> Result<&'static str, String> {
        media_type(&Request::new(action, payload), head)
    }

    #[test]
    fn bytes_tell_what_a_file_is_whatever_is_said_of_it() {
        assert_eq!(of(Action::ImageGenerate, json!({}), PNG), Ok("image/png"));
        assert_eq!(of(Action::AudioSynthesize, json!({}), WAV), Ok("audio/wav"));
        assert_eq!(of(Action::AudioSynthesize, json!({}), b"ID3\x04\0\0"), Ok("audio/mpeg"));
        assert_eq!(of(Action::VideoRender, json!({}), b"\0\0\0\x18ftypmp42\0\0\0\0"), Ok("video/mp4"));
    }

    #[test]
    fn what_was_not_asked_for_is_refused() {
        let page = b"<!DOCTYPE html><html><body>quota exceeded</body></html>";
        for (action, head) in [
            (Action::ImageGenerate, &page[..]),
            (Action::ImageGenerate, b"{\"error\":\"no\"}"),
            (Action::ImageGenerate, WAV),
            (Action::ImageGenerate, b""),
            (Action::ImageGenerate, b"\0\x01\x02\x03"),
            (Action::AudioSynthesize, PNG),
            (Action::AudioSynthesize, &page[..]),
            (Action::ChatCompletion, PNG),
        ] {
            assert!(of(action, json!({}), head).is_err(), "{action}: {head:?}");
        }
    }

    #[test]
    fn samples_without_a_head_are_taken_where_they_were_asked_for() {
        let (samples, pcm) = (b"\0\x01\xff\xfe\0\x02", json!({"response_format": "pcm"}));
        assert_eq!(of(Action::AudioSynthesize, pcm.clone(), samples), Ok("audio/pcm"));
        assert!(of(Action::AudioSynthesize, json!({}), samples).is_err());
        assert!(of(Action::AudioSynthesize, pcm, b"{\"error\":\"no\"}").is_err());
    }
}
