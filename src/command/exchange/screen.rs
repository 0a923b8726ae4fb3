//! Shows an answer on the terminal. Standard output carries the answer and nothing else.

use std::io::{self, Write};

use schemas::{ChatDelta, ChatOutput, Error, EventBody, Output, event::Completion};
use tokio::time::Instant;

/// How the answer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::command) enum Style {
    /// Piece by piece.
    Stream,
    /// Once it is complete.
    Whole,
    /// Every event as received.
    Raw,
}

/// Shows one answer.
#[derive(Debug)]
pub(in crate::command) struct Screen<Out, Notes> {
    out: Out,
    notes: Notes,
    style: Style,
    chatty: bool,
    start: Instant,
    attempt: u32,
    shown: String,
}

/// Whether and how the request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// It continues.
    More,
    /// It succeeded.
    Succeeded,
    /// It failed or was cancelled.
    Failed,
}

impl<Out: Write, Notes: Write> Screen<Out, Notes> {
    /// Shows the answer on `out` and notes on `notes`; model, usage and time only if it is `chatty`.
    pub(in crate::command) fn new(style: Style, chatty: bool, out: Out, notes: Notes) -> Self {
        Self { out, notes, style, chatty, start: Instant::now(), attempt: 0, shown: String::new() }
    }

    /// The text of the answer so far.
    pub(super) fn text(self) -> String {
        self.shown
    }

    /// Writes a note to the person.
    pub(super) fn note(&mut self, what: &str) -> io::Result<()> {
        if !self.shown.is_empty() && !self.shown.ends_with('\n') {
            writeln!(self.notes)?;
        }
        writeln!(self.notes, "dynode: {what}")
    }

    /// Shows a frame as received, if the style is raw.
    pub(super) fn raw(&mut self, frame: &str) -> io::Result<()> {
        if self.style != Style::Raw {
            return Ok(());
        }
        writeln!(self.out, "{frame}")?;
        self.out.flush()
    }

    /// Shows an event of `attempt`.
    pub(super) fn show(&mut self, attempt: u32, event: &EventBody) -> io::Result<Shown> {
        if let EventBody::Restarted { reason } = event {
            self.begin_anew(reason)?;
        } else if attempt > self.attempt {
            self.begin_anew("another attempt")?;
        }
        self.attempt = self.attempt.max(attempt);
        match event {
            EventBody::ChatDelta(delta) => self.delta(delta)?,
            EventBody::Complete(done) | EventBody::ChatComplete(done) => {
                self.complete(done)?;
                return Ok(Shown::Succeeded);
            }
            EventBody::Fail { error } => {
                self.note(&reason_of(error))?;
                return Ok(Shown::Failed);
            }
            EventBody::Cancelled { .. } => {
                self.note("the request was cancelled")?;
                return Ok(Shown::Failed);
            }
            _ => {}
        }
        Ok(Shown::More)
    }

    fn delta(&mut self, delta: &ChatDelta) -> io::Result<()> {
        if self.style != Style::Stream || delta.choice != 0 || delta.delta.is_empty() {
            return Ok(());
        }
        self.shown.push_str(&delta.delta);
        self.out.write_all(delta.delta.as_bytes())?;
        self.out.flush()
    }

    /// Discards what was shown: the new answer starts on a line of its own.
    pub(super) fn begin_anew(&mut self, reason: &str) -> io::Result<()> {
        if self.shown.is_empty() {
            return Ok(());
        }
        self.note(&format!("the answer begins anew ({reason})"))?;
        self.shown.clear();
        writeln!(self.out)?;
        self.out.flush()
    }

    fn complete(&mut self, done: &Completion) -> io::Result<()> {
        match &done.output {
            _ if self.style == Style::Raw => {}
            Output::Chat(chat) => self.rest_of(chat)?,
            Output::Embeddings(embeddings) => {
                for vector in &embeddings.embeddings {
                    writeln!(self.out, "{}", serde_json::to_string(vector)?)?;
                }
            }
            Output::Media(media) => {
                for asset in &media.assets {
                    writeln!(self.out, "{} ({}, {} bytes)", asset.url, asset.media_type, asset.bytes)?;
                }
            }
            Output::Other(value) => writeln!(self.out, "{value:#}")?,
        }
        self.out.flush()?;
        if self.chatty {
            let seconds = self.start.elapsed().as_secs_f64();
            let who = done.provider.as_deref().zip(done.model.as_deref());
            let who = who.map_or_else(String::new, |(provider, model)| format!("{provider}/{model}, "));
            let (input, output) = (done.usage.input_tokens, done.usage.output_tokens);
            writeln!(self.notes, "dynode: {who}{input} tokens in, {output} out, {seconds:.1} s")?;
        }
        Ok(())
    }

    /// Shows the missing rest of the complete answer: events may have been lost, the complete answer is not.
    fn rest_of(&mut self, chat: &ChatOutput) -> io::Result<()> {
        let text = if chat.text.is_empty() { &chat.refusal } else { &chat.text };
        if !text.starts_with(&self.shown) {
            self.begin_anew("some pieces were lost")?;
        }
        write!(self.out, "{}", &text[self.shown.len()..])?;
        self.shown.clone_from(text);
        if !text.ends_with('\n') && !text.is_empty() {
            writeln!(self.out)?;
        }
        for call in &chat.tool_calls {
            writeln!(self.out, "{}", serde_json::to_string(call)?)?;
        }
        Ok(())
    }
}

fn reason_of(error: &Error) -> String {
    let again = error.retry_after_ms.map(|wait| format!("; try again in {:.1} s", wait as f64 / 1_000.0));
    format!("{error}{}", again.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use schemas::{ErrorCode, Usage};

    use super::*;

    fn screen(style: Style) -> Screen<Vec<u8>, Vec<u8>> {
        Screen::new(style, false, Vec::new(), Vec::new())
    }

    fn delta(text: &str) -> EventBody {
        EventBody::ChatDelta(ChatDelta::text(text))
    }

    fn complete(text: &str) -> EventBody {
        let output = Output::Chat(ChatOutput { text: text.into(), ..ChatOutput::default() });
        let usage = Usage::default();
        EventBody::ChatComplete(Completion { output, usage, cost_usd: None, provider: None, model: None })
    }

    fn show(style: Style, events: &[(u32, EventBody)]) -> (String, String, Shown) {
        let mut screen = screen(style);
        let last =
            events.iter().map(|(attempt, event)| screen.show(*attempt, event).unwrap()).last().unwrap();
        (String::from_utf8(screen.out).unwrap(), String::from_utf8(screen.notes).unwrap(), last)
    }

    #[test]
    fn pieces_become_one_line_of_text() {
        let (out, notes, end) =
            show(Style::Stream, &[(1, delta("Hel")), (1, delta("lo")), (1, complete("Hello"))]);
        assert_eq!((out.as_str(), notes.as_str(), end), ("Hello\n", "", Shown::Succeeded));
    }

    #[test]
    fn lost_pieces_are_made_good_by_the_whole() {
        assert_eq!(show(Style::Stream, &[(1, delta("Hel")), (1, complete("Hello"))]).0, "Hello\n");
        assert_eq!(show(Style::Stream, &[(1, delta("lo")), (1, complete("Hello"))]).0, "lo\nHello\n");
    }

    #[test]
    fn a_new_attempt_begins_on_a_new_line_and_says_why() {
        let restarted = EventBody::Restarted { reason: "worker lost".into() };
        let events = [(1, delta("Hel")), (2, restarted), (2, delta("Hello")), (2, complete("Hello"))];
        let (out, notes, _) = show(Style::Stream, &events);
        assert_eq!(out, "Hel\nHello\n");
        assert_eq!(notes, "\ndynode: the answer begins anew (worker lost)\n");
        let (out, _, _) =
            show(Style::Stream, &[(1, delta("Hel")), (2, delta("Hello")), (2, complete("Hello"))]);
        assert_eq!(out, "Hel\nHello\n", "also where the word of it was lost");
    }

    #[test]
    fn a_script_gets_only_the_finished_answer() {
        let events = [(1, delta("Hel")), (2, delta("Hi")), (2, complete("Hi"))];
        assert_eq!(show(Style::Whole, &events).0, "Hi\n");
    }

    #[test]
    fn a_refusal_says_when_to_return() {
        let error = Error::new(ErrorCode::Overloaded, "too much").retry_after_ms(1_500);
        let (out, notes, end) = show(Style::Stream, &[(0, EventBody::Fail { error })]);
        assert_eq!((out.as_str(), end), ("", Shown::Failed));
        assert_eq!(notes, "dynode: overloaded: too much; try again in 1.5 s\n");
    }

    #[test]
    fn raw_frames_are_passed_on_and_nothing_else() {
        let mut screen = screen(Style::Raw);
        screen.raw("{\"event\":\"queued\"}").unwrap();
        screen.show(1, &delta("Hi")).unwrap();
        screen.show(1, &complete("Hi")).unwrap();
        assert_eq!(String::from_utf8(screen.out).unwrap(), "{\"event\":\"queued\"}\n");
    }
}
