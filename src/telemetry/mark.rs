//! Marks the log lines of a worker process with its slot, since several processes share one standard error.

use std::io::{self, Stderr, Write};

use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogFormat;

/// What is inserted into every line.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    text: String,
    /// How many bytes of a line precede it.
    offset: usize,
}

/// Writes marked lines.
#[derive(Debug)]
pub(super) struct Marked<'a, W> {
    mark: &'a Mark,
    out: W,
}

impl Mark {
    /// The mark of the worker in this slot: `worker=1` before a text line, or the first key of a JSON object. Empty for
    /// other processes.
    pub(super) fn of(worker: Option<u32>, format: LogFormat) -> Self {
        let (text, offset) = match (worker, format) {
            (None, _) => (String::new(), 0),
            (Some(slot), LogFormat::Text) => (format!("worker={slot} "), 0),
            (Some(slot), LogFormat::Json) => (format!("\"worker\":{slot},"), "{".len()),
        };
        Self { text, offset }
    }
}

impl<'a> MakeWriter<'a> for Mark {
    type Writer = Marked<'a, Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        Marked { mark: self, out: io::stderr() }
    }
}

impl<W: Write> Write for Marked<'_, W> {
    /// Takes one whole line from the subscriber and writes it at once, so that the lines of several processes do not
    /// mix.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let Mark { text, offset } = self.mark;
        let (before, after) = line.split_at((*offset).min(line.len()));
        self.out.write_all(&[before, text.as_bytes(), after].concat())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(worker: Option<u32>, format: LogFormat, line: &str) -> String {
        let mut out = Vec::new();
        let mark = Mark::of(worker, format);
        Marked { mark: &mark, out: &mut out }.write_all(line.as_bytes()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_of_a_worker_names_its_slot_and_any_other_is_left_alone() {
        assert_eq!(marked(Some(2), LogFormat::Text, "10:00 INFO x\n"), "worker=2 10:00 INFO x\n");
        let json = marked(Some(2), LogFormat::Json, "{\"level\":\"INFO\"}\n");
        assert_eq!(json, "{\"worker\":2,\"level\":\"INFO\"}\n");
        assert_eq!(marked(None, LogFormat::Json, "{}\n"), "{}\n");
    }
}
