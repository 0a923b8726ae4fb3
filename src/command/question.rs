//! Builds the payload of a question from the arguments, a file or standard input.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use schemas::{Action, Error};
use serde_json::{Value, json};

use crate::cli::QuestionArgs;

/// Stands for standard input.
const STDIN: &str = "-";

/// The payload, with `stream` if it is a chat; nothing if there is nothing to say. If `stdin` is a keyboard
/// (`interactive`), it is read only on `-`: otherwise the command would seem to hang.
pub(super) fn payload(
    args: &QuestionArgs,
    stream: bool,
    mut stdin: impl Read,
    interactive: bool,
) -> io::Result<Option<Result<Value, Error>>> {
    if let Some(file) = &args.payload {
        return payload_file(file, stdin).map(Some);
    }
    let text = match args.text.as_slice() {
        [] if interactive => return Ok(None),
        [] => read(&mut stdin)?,
        [only] if only == STDIN => read(&mut stdin)?,
        words => words.join(" "),
    };
    let text = text.trim_end();
    if text.is_empty() {
        return Ok(None);
    }
    Ok(Some(of_text(args, stream, text)))
}

/// The error of `command` if there is nothing to say.
pub(super) fn nothing(command: &str) -> Error {
    Error::invalid("TEXT", format!("nothing to send; try: dynode {command} \"Hello\""))
}

fn payload_file(file: &Path, mut stdin: impl Read) -> io::Result<Result<Value, Error>> {
    let text = if file.as_os_str() == STDIN { read(&mut stdin)? } else { fs::read_to_string(file)? };
    let parsed = serde_json::from_str(&text);
    Ok(parsed.map_err(|error| Error::invalid("--payload", format!("{}: {error}", file.display()))))
}

fn of_text(args: &QuestionArgs, stream: bool, text: &str) -> Result<Value, Error> {
    let model = |default| args.model.as_deref().unwrap_or(default);
    match args.action {
        Action::ChatCompletion | Action::Auto => Ok(json!({
            "model": model("sim-chat"),
            "messages": [{"role": "user", "content": text}],
            "stream": stream,
        })),
        Action::EmbeddingQuery => Ok(json!({"model": model("sim-embed"), "input": text})),
        Action::ImageGenerate => Ok(json!({"model": model("sim-image"), "prompt": text})),
        Action::AudioSynthesize => Ok(json!({"model": model("sim-speech"), "input": text})),
        other => {
            Err(Error::invalid("--action", format!("{other} needs its payload as JSON: --payload FILE")))
        }
    }
}

fn read(input: &mut impl Read) -> io::Result<String> {
    let mut text = String::new();
    input.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn ask(line: &str, stdin: &str) -> Option<Result<Value, Error>> {
        let Some(Command::Send(args)) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
            panic!("not send");
        };
        payload(&args.question, true, stdin.as_bytes(), stdin.is_empty()).unwrap()
    }

    #[test]
    fn words_and_standard_input_become_a_message() {
        let words = ask("dynode send tell me", "").unwrap().unwrap();
        assert_eq!(words["messages"][0]["content"], "tell me");
        assert_eq!((&words["model"], &words["stream"]), (&json!("sim-chat"), &json!(true)));
        for line in ["dynode send", "dynode send -"] {
            assert_eq!(ask(line, "from a pipe\n").unwrap().unwrap()["messages"][0]["content"], "from a pipe");
        }
    }

    #[test]
    fn a_text_to_embed_is_an_input() {
        let payload = ask("dynode send --action embedding.query hi", "").unwrap().unwrap();
        assert_eq!(payload, json!({"model": "sim-embed", "input": "hi"}));
    }

    #[test]
    fn a_text_is_painted_or_spoken() {
        let payload = ask("dynode send --action image.generate a cat", "").unwrap().unwrap();
        assert_eq!(payload, json!({"model": "sim-image", "prompt": "a cat"}));
        let payload = ask("dynode send --action audio.synthesize hi", "").unwrap().unwrap();
        assert_eq!(payload, json!({"model": "sim-speech", "input": "hi"}));
    }

    #[test]
    fn a_payload_is_sent_as_it_is_and_a_broken_one_named() {
        let whole = ask("dynode send --payload -", r#"{"model":"m","messages":[]}"#).unwrap().unwrap();
        assert_eq!(whole["model"], "m");
        let error = ask("dynode send --payload -", "{").unwrap().unwrap_err();
        assert_eq!(error.param.as_deref(), Some("--payload"));
    }

    #[test]
    fn nothing_to_say_is_told_apart() {
        assert!(ask("dynode send", "").is_none());
        assert!(ask("dynode send", " \n").is_none());
    }
}
