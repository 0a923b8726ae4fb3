//! A wall clock for the engine's processes alone, which can be set: by libfaketime, where this machine has it. The clock of
//! the machine is never touched.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where packages put the library.
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
    /// A clock that is right, kept in a file of `dir`.
    ///
    /// # Errors
    /// `Unsupported` where the library is missing.
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

    /// From now on it is wrong by so many seconds.
    pub(crate) fn shift(&self, seconds: i64) -> io::Result<()> {
        // Moved into place, so that no process reads half of it.
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}s\n"))?;
        fs::rename(new, &self.file)
    }

    /// What makes a process go by it.
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
