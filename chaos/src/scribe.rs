//! Writes the history: stamps, appends and syncs each line in the order in which it was handed over. It never changes a
//! line, and never loses one silently.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::history::{Entry, Fact};

/// Lines that may wait for the disk: some seconds of a busy run.
const LINES_WAITING_MAX: usize = 131_072;

/// A cheap handle for everybody with something to write; clones write into the same history.
#[derive(Clone, Debug)]
pub struct Scribe {
    desk: Arc<Desk>,
}

/// The history while it is being written, held by whoever will read it.
#[derive(Debug)]
pub struct Book {
    scribe: Scribe,
    path: PathBuf,
    writer: JoinHandle<io::Result<()>>,
}

#[derive(Debug)]
struct Desk {
    began: Instant,
    // Held while a line is stamped and handed over, so that the times in the file never go back.
    lines: Mutex<SyncSender<Line>>,
    lost: AtomicU64,
}

#[derive(Debug)]
enum Line {
    Entry(Box<Entry>),
    End,
}

impl Scribe {
    /// Writes down what happened, and who says so. Returns at once: the line reaches the disk a little later.
    pub fn write(&self, by: impl Into<String>, fact: Fact) {
        let lines = self.desk.lines.lock();
        let entry = Entry { at_ms: self.at_ms(), by: by.into(), fact };
        if lines.try_send(Line::Entry(Box::new(entry))).is_err() {
            self.desk.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Milliseconds since the history began.
    #[must_use]
    pub fn at_ms(&self) -> u64 {
        u64::try_from(self.desk.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Book {
    /// Begins a history in a new file.
    ///
    /// # Errors
    /// When the file cannot be made, or is there already.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let file = File::options().append(true).create_new(true).open(path)?;
        let (lines, queue) = sync_channel(LINES_WAITING_MAX);
        let desk = Desk { began: Instant::now(), lines: Mutex::new(lines), lost: AtomicU64::new(0) };
        // A thread, since it waits for the disk. Its death shows in lost lines and in the error of `close`.
        let writer = std::thread::Builder::new().name("history".into()).spawn(move || write(file, &queue))?;
        Ok(Self { scribe: Scribe { desk: Arc::new(desk) }, path: path.to_owned(), writer })
    }

    /// A handle to write with.
    #[must_use]
    pub fn scribe(&self) -> Scribe {
        self.scribe.clone()
    }

    /// Ends the history and reads it back from the disk. What is written later is lost.
    ///
    /// # Errors
    /// When a line could not be written, was lost, or cannot be read.
    pub fn close(self) -> io::Result<Vec<Entry>> {
        // This fails only if the writer has ended; its error comes next.
        let _ = self.scribe.desk.lines.lock().send(Line::End);
        self.writer.join().map_err(|_| io::Error::other("the writer of the history panicked"))??;
        match self.scribe.desk.lost.load(Ordering::Relaxed) {
            0 => read(&self.path),
            lost => {
                Err(io::Error::other(format!("{lost} lines of the history are lost: the disk is too slow")))
            }
        }
    }
}

/// Reads a history.
///
/// # Errors
/// When the file cannot be read, or a line is not of a history; the error names the line.
pub fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let lines = BufReader::new(File::open(path)?).lines().enumerate();
    lines
        .map(|(index, line)| {
            serde_json::from_str(&line?)
                .map_err(|error| io::Error::other(format!("{}:{}: {error}", path.display(), index + 1)))
        })
        .collect()
}

/// Writes what comes, and syncs whenever nothing waits.
fn write(file: File, queue: &Receiver<Line>) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    while let Ok(first) = queue.recv() {
        let mut next = Some(first);
        while let Some(line) = next {
            match line {
                Line::Entry(entry) => {
                    serde_json::to_writer(&mut out, &entry)?;
                    out.write_all(b"\n")?;
                }
                Line::End => return sync(&mut out),
            }
            next = queue.try_recv().ok();
        }
        sync(&mut out)?;
    }
    sync(&mut out)
}

fn sync(out: &mut BufWriter<File>) -> io::Result<()> {
    out.flush()?;
    out.get_ref().sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Phase;

    #[test]
    fn what_is_written_is_read_back_in_order_and_a_file_is_never_written_over() {
        let path = std::env::temp_dir().join(format!("dynode-history-{}.jsonl", std::process::id()));
        let book = Book::begin(&path).unwrap();
        let scribe = book.scribe();
        for times in 0..100 {
            scribe.write("nemesis", Fact::Fired { fault: "kill".into(), times });
        }
        scribe.write("harness", Fact::Phase { phase: Phase::Over });
        assert!(Book::begin(&path).is_err(), "a second history in the same file");
        let entries = book.close().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(entries.len(), 101);
        let times = entries[..100].iter().map(|entry| match entry.fact {
            Fact::Fired { times, .. } => times,
            _ => panic!("{entry:?}"),
        });
        assert!(times.eq(0..100));
        assert!(entries.is_sorted_by_key(|entry| entry.at_ms));
    }
}
