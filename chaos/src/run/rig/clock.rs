//! A settable wall clock for the engine's processes only, by libfaketime if this machine has it. The machine's own
//! clock is never touched.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where packages install the library.
const PLACES: [&str; 5] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
];

/// The clock.
#[derive(Debug)]
pub(crate) struct WallClock {
    library: PathBuf,
    file: PathBuf,
}

impl WallClock {
    /// A correct clock, kept in a file of `dir`.
    ///
    /// # Errors
    /// `Unsupported` if the library is missing.
    pub(crate) fn new(dir: &Path) -> io::Result<Self> {
        let found = PLACES.iter().map(Path::new).find(|place| place.exists());
        let library = found.ok_or_else(|| {
            let why = "libfaketime is not installed (`apt install libfaketime`), and the clock of the machine is \
                       not the harness's to set";
            io::Error::new(io::ErrorKind::Unsupported, why)
        })?;
        let clock = Self { library: library.to_owned(), file: dir.join("wall-clock") };
        clock.shift(0)?;
        Ok(clock)
    }

    /// Makes it wrong by this many seconds from now on.
    pub(crate) fn shift(&self, seconds: i64) -> io::Result<()> {
        // Moved into place, so that no process reads half a file.
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}s\n"))?;
        fs::rename(new, &self.file)
    }

    /// Makes a process use this clock.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.display().to_string();
        vec![
            ("LD_PRELOAD".into(), text(&self.library)),
            ("FAKETIME_TIMESTAMP_FILE".into(), text(&self.file)),
            ("FAKETIME_NO_CACHE".into(), "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC".into(), "1".into()),
        ]
    }
}
